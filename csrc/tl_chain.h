/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The LSTM step of the cores without DSP instructions: four rows of a hidden unit in one word (tl_v6m.h), multiplied as
 * they are, without masks.
 *
 * With W = a << 24 | b << 16 | c << 8 | d, where a is signed and b, c, d are not,
 *     W >> 24 = a,   W >> 16 = 256 a + b,   W >> 8 = 256 (256 a + b) + c,   W = 256 (...) + d,
 * so that sum[j] - 256 sum[j - 1] is the sum of row j alone. All is uint32_t and exact modulo 2^32: only the true sum
 * of a row must fit in int32, as tl_kernels.h asks. b, c and d carry +128, which adds 128 sum(v) to their rows. */
#ifndef TL_CHAIN_H
#define TL_CHAIN_H

#include "tl_column8.h"
#include "tl_tables_lines.h"

/* |sum| <= 65535 * 32640 < 2^31. */
TL_INLINE uint32_t tl_total(const int16_t *v, uint32_t n)
{
    int32_t sum = 0;
    for (const int16_t *end = v + n; v != end; v++) {
        sum += *v;
    }
    return (uint32_t)sum;
}

/* sum[2 j] += (w[j] >> 16) x, sum[2 j + 1] += w[j] x. */
TL_INLINE void tl_column16(uint32_t sum[4], const uint32_t w[2], int32_t x)
{
    sum[0] += (uint32_t)((int32_t)w[0] >> 16) * (uint32_t)x;
    sum[1] += w[0] * (uint32_t)x;
    sum[2] += (uint32_t)((int32_t)w[1] >> 16) * (uint32_t)x;
    sum[3] += w[1] * (uint32_t)x;
}

/* The leaves: n columns, returning what stands behind their weights; saturation to int16; accumulator to gate input. */
#ifdef TL_OWN_LEAVES /* the file that includes this one defines them */
TL_INLINE const uint32_t *tl_columns8(uint32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n);
TL_INLINE const uint32_t *tl_columns16(uint32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n);
TL_INLINE int32_t tl_clip16(int32_t v);
TL_INLINE int32_t tl_scale(int32_t acc, int32_t m, uint32_t t);
#else
TL_INLINE const uint32_t *tl_columns8(uint32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        tl_column8(sum, w[k], v[k]);
    }
    return w + n;
}

TL_INLINE const uint32_t *tl_columns16(uint32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        tl_column16(sum, w + 2 * k, v[k]);
    }
    return w + 2 * n;
}

TL_INLINE int32_t tl_clip16(int32_t v)
{
    return tl_sat16(v);
}

TL_INLINE int32_t tl_scale(int32_t acc, int32_t m, uint32_t t)
{
    return tl_mulw(acc, (int16_t)m) >> t;
}
#endif

/* sum[j] of the int16 input weights -> sum[j] as tl_columns8 goes on with, the shift f done per row. */
TL_INLINE void tl_join(uint32_t sum[4], uint32_t total, uint32_t f)
{
    uint32_t i = (uint32_t)((int32_t)sum[0] >> f);
    uint32_t g = (uint32_t)((int32_t)sum[2] >> f);
    sum[1] = (i << 8) + (uint32_t)((int32_t)(sum[1] - (sum[0] << 16)) >> f) + total;
    sum[3] = (uint32_t)((int32_t)(sum[3] - (sum[2] << 16)) >> f) + total;
    sum[0] = i;
    sum[2] = (sum[1] << 8) + g + total;
    sum[3] += sum[2] << 8;
}

/* Linear interpolation in a table of lines; z in Q3.12, saturated here to int16. Same bits as tl_lookup. */
TL_INLINE int32_t tl_look(const uint32_t table[256], int32_t z)
{
    z = tl_clip16(z);
    uint32_t word = table[128 + (z >> 8)];
    return (int32_t)(word + (uint32_t)(int16_t)word * (uint32_t)(z * 128)) >> 16;
}

TL_INLINE void tl_lstm_step_chain(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                      const tl_lstm_w8a16_v6m *p)
{
    const uint32_t n = p->hidden, inputs = p->inputs, wide = p->wide, frac = p->frac;
    const uint32_t total_x = tl_total(x, inputs), t = p->t;
    const uint32_t total = (tl_total(h, n) + (wide != 0 ? 0u : total_x)) * (0u - 128u);
    const uint32_t first1 = wide != 0 ? total_x * (0u - 32768u) : total;
    const uint32_t first2 = wide != 0 ? 0u : total * 0x101u;
    const uint32_t first3 = wide != 0 ? first1 : total * 0x10101u;
    const uint32_t *w = p->w;
    for (uint32_t u = 0; u < p->units; u++) {
        uint32_t sum[4] = {0, first1, first2, first3};
        if (wide != 0) {
            w = tl_columns16(sum, w, x, inputs);
            tl_join(sum, total, p->f);
        } else {
            w = tl_columns8(sum, w, x, inputs);
        }
        w = tl_columns8(sum, w, h, n);
        int32_t acc_i = (int32_t)(sum[0] + w[0]);
        int32_t acc_f = (int32_t)(sum[1] - (sum[0] << 8) + w[2]);
        int32_t acc_g = (int32_t)(sum[2] - (sum[1] << 8) + w[6]);
        int32_t acc_o = (int32_t)(sum[3] - (sum[2] << 8) + w[4]);
        int32_t i = tl_look(tl_sigmoid_lines, tl_scale(acc_i, (int32_t)w[1], t));
        int32_t f = tl_look(tl_sigmoid_lines, tl_scale(acc_f, (int32_t)w[3], t));
        int32_t g = tl_look(tl_tanh_lines, tl_scale(acc_g, (int32_t)w[7], t));
        int32_t o = tl_look(tl_sigmoid_lines, tl_scale(acc_o, (int32_t)w[5], t));
        w += 8;
        int32_t cell = tl_clip16((f * c[u] + ((i * g) >> (15 - frac)) + (1 << 14)) >> 15); /* tl_cell */
        c[u] = (int16_t)cell;
        h_new[u] = tl_hidden((int16_t)o, (int16_t)tl_look(tl_tanh_lines, cell * (1 << (12 - frac))));
    }
}

#endif
