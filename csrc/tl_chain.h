/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The LSTM step of the cores without DSP instructions: four rows of a hidden unit in one word (tl_v6m.h), multiplied as
 * they are, without masks.
 *
 * With W = a << 24 | b << 16 | c << 8 | d, where a is signed and b, c, d are not,
 *     W >> 24 = a,   W >> 16 = 256 a + b,   W >> 8 = 256 (256 a + b) + c,   W = 256 (...) + d,
 * so that sum[j] - 256 sum[j - 1] is the sum of row j alone. All is uint32_t and exact modulo 2^32: only the true sum of
 * a row must fit in int32, which tl_kernels.h asks for. b, c and d carry +128, which adds 128 sum(v) to their rows. */
#ifndef TL_CHAIN_H
#define TL_CHAIN_H

#include "tl_kernels.h"
#include "tl_tables_packed.h"

#define TL_INLINE static inline __attribute__((always_inline)) /* or the sums would go to memory */

/* |sum| <= 65535 * 32640 < 2^31. */
TL_INLINE uint32_t tl_total(const int16_t *v, uint32_t n)
{
    int32_t sum = 0;
    for (uint32_t k = 0; k < n; k++) {
        sum += v[k];
    }
    return (uint32_t)sum;
}

/* sum[j] += (w[k] >> (24 - 8 j)) v[k], k < n; the columns behind them. */
TL_INLINE const uint32_t *tl_columns8(uint32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n)
{
    for (const int16_t *end = v + n; v != end; v++, w++) {
        uint32_t x = (uint32_t)(int32_t)*v;
        sum[0] += (uint32_t)((int32_t)*w >> 24) * x;
        sum[1] += (uint32_t)((int32_t)*w >> 16) * x;
        sum[2] += (uint32_t)((int32_t)*w >> 8) * x;
        sum[3] += *w * x;
    }
    return w;
}

/* sum[2 j] += (w[2 k + j] >> 16) v[k], sum[2 j + 1] += w[2 k + j] v[k], k < n; the columns behind them. */
TL_INLINE const uint32_t *tl_columns16(uint32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n)
{
    for (const int16_t *end = v + n; v != end; v++, w += 2) {
        uint32_t x = (uint32_t)(int32_t)*v;
        sum[0] += (uint32_t)((int32_t)w[0] >> 16) * x;
        sum[1] += w[0] * x;
        sum[2] += (uint32_t)((int32_t)w[1] >> 16) * x;
        sum[3] += w[1] * x;
    }
    return w;
}

/* sum[j] of the int16 input weights -> sum[j] as tl_columns8 would leave them, with the shift f done per row.
 * total: -32768 sum(x). */
TL_INLINE void tl_join(uint32_t sum[4], uint32_t total, uint32_t f)
{
    uint32_t i = (uint32_t)((int32_t)sum[0] >> f);
    uint32_t g = (uint32_t)((int32_t)sum[2] >> f);
    sum[1] = (i << 8) + (uint32_t)((int32_t)(sum[1] - (sum[0] << 16) + total) >> f);
    sum[3] = (uint32_t)((int32_t)(sum[3] - (sum[2] << 16) + total) >> f);
    sum[0] = i;
    sum[2] = (sum[1] << 8) + g;
    sum[3] += sum[2] << 8;
}

/* Linear interpolation in a packed table; z in Q3.12, saturated here to int16. Same bits as tl_lookup. */
TL_INLINE int32_t tl_look(const uint32_t table[256], int32_t z)
{
    uint32_t at = (uint32_t)z + 32768u;
    if (at >> 16 != 0) {
        at = z < 0 ? 0u : 65535u;
    }
    uint32_t word = table[at >> 8];
    return (int32_t)(word + (uint32_t)((int16_t)word * (int16_t)(at << 7))) >> 16;
}

/* Accumulator -> gate. */
TL_INLINE int32_t tl_gate(const uint32_t table[256], uint32_t acc, int32_t m, uint32_t t)
{
    return tl_look(table, tl_mulw((int32_t)acc, (int16_t)m) >> t);
}

TL_INLINE void tl_lstm_step_chain(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                      const tl_lstm_w8a16_v6m *p)
{
    const uint32_t n = p->hidden, inputs = p->inputs, wide = p->wide, frac = p->frac;
    const uint32_t total_x = 0u - tl_total(x, inputs);
    const uint32_t total = ((wide != 0 ? 0u : total_x) - tl_total(h, n)) << 7;
    const uint32_t *w = p->w;
    for (uint32_t u = 0; u < n; u++) {
        uint32_t sum[4] = {0, 0, 0, 0};
        if (wide != 0) {
            w = tl_columns16(sum, w, x, inputs);
            tl_join(sum, total_x << 15, p->f);
        } else {
            w = tl_columns8(sum, w, x, inputs);
        }
        w = tl_columns8(sum, w, h, n);
        int32_t i = tl_gate(tl_sigmoid_packed, sum[0] + w[0], (int16_t)w[4], p->t);
        int32_t f = tl_gate(tl_sigmoid_packed, sum[1] - (sum[0] << 8) + total + w[1], (int32_t)w[4] >> 16, p->t);
        int32_t g = tl_gate(tl_tanh_packed, sum[2] - (sum[1] << 8) + total + w[2], (int16_t)w[5], p->t);
        int32_t o = tl_gate(tl_sigmoid_packed, sum[3] - (sum[2] << 8) + total + w[3], (int32_t)w[5] >> 16, p->t);
        w += 6;
        c[u] = tl_cell((int16_t)f, c[u], (int16_t)i, (int16_t)g, (uint8_t)frac);
        h_new[u] = tl_hidden((int16_t)o, (int16_t)tl_look(tl_tanh_packed, c[u] * (1 << (12 - frac))));
    }
}

#endif
