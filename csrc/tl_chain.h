/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Steps of the cores without DSP instructions: four rows in one word (tl_v6m.h), multiplied as they are, without masks.
 *
 * With W = a << 24 | b << 16 | c << 8 | d, where a is signed and b, c, d are not,
 *     W >> 24 = a,   W >> 16 = 256 a + b,   W >> 8 = 256 (256 a + b) + c,   W = 256 (...) + d,
 * so that sum[j] - 256 sum[j - 1] is the sum of row j alone. All is uint32_t and exact modulo 2^32: only the true sum
 * of a row must fit in int32, as tl_kernels.h asks. b, c and d carry +128, which adds 128 sum(v) to their rows. */
#ifndef TL_CHAIN_H
#define TL_CHAIN_H

#include "tl_column8.h"
#include "tl_tables_lines.h"

/* What a block of rows is multiplied with: x and v, as are those below it; x alone; v alone. */
enum { TL_BOTH = 1, TL_OF_X, TL_OF_V };

/* |sum| <= 65535 * 32640 < 2^31. */
TL_INLINE uint32_t tl_total(const int16_t *v, uint32_t n)
{
    int32_t sum = 0;
    for (const int16_t *end = v + n; v != end; v++) {
        sum += *v;
    }
    return (uint32_t)sum;
}

/* tl_mulw by a gate; accumulator to gate input. */
#ifdef TL_LONG_PRODUCTS /* one instruction each; m is then m * 2^(16 - t) */
TL_INLINE int32_t tl_gate(int32_t a, int16_t gate)
{
    return (int32_t)(((int64_t)a * (gate * 65536)) >> 32);
}

TL_INLINE int32_t tl_scale(int32_t acc, uint32_t m, uint32_t t)
{
    (void)t;
    return (int32_t)(((int64_t)acc * (int32_t)m) >> 32);
}
#else
TL_INLINE int32_t tl_gate(int32_t a, int16_t gate)
{
    return tl_mulw(a, gate);
}

TL_INLINE int32_t tl_scale(int32_t acc, uint32_t m, uint32_t t)
{
    return tl_mulw(acc, (int16_t)m) >> t;
}
#endif

/* A leaf: z >> 8, held to -128 .. 127. */
#ifdef TL_OWN_LEAVES /* the file that includes this one defines it, and those below */
TL_INLINE int32_t tl_interval(int32_t z);
#else
TL_INLINE int32_t tl_interval(int32_t z)
{
    return tl_sat16(z) >> 8;
}
#endif

/* Linear interpolation in a table of lines; z in Q3.12. Same bits as tl_lookup of z saturated to int16: beyond the ends
 * of the table the slope is 0, so that only the index must be held. */
TL_INLINE int16_t tl_look(const uint32_t table[256], int32_t z)
{
    uint32_t word = table[128 + tl_interval(z)];
    return (int16_t)((int32_t)(word + (uint32_t)(int16_t)word * ((uint32_t)z << 7)) >> 16);
}

#ifndef TL_OWN_FOUR /* the same of all that follows but the step */

/* sum[2 j] += (w[j] >> 16) x, sum[2 j + 1] += w[j] x. */
TL_INLINE void tl_column16(uint32_t sum[4], const uint32_t w[2], int32_t x)
{
    sum[0] += (uint32_t)((int32_t)w[0] >> 16) * (uint32_t)x;
    sum[1] += w[0] * (uint32_t)x;
    sum[2] += (uint32_t)((int32_t)w[1] >> 16) * (uint32_t)x;
    sum[3] += w[1] * (uint32_t)x;
}

/* Leaves: n columns, returning what stands behind their weights; saturation to int16. */
#ifdef TL_OWN_LEAVES
TL_INLINE int32_t tl_clip16(int32_t v);
TL_INLINE const uint32_t *tl_columns8(uint32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n);
TL_INLINE const uint32_t *tl_columns16(uint32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n);
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

/* What rows of weights are multiplied with: x, then v. */
typedef struct tl_sides {
    const int16_t *x, *v;
    uint32_t inputs, n, wide, f, t;
    uint32_t low_x, low_v; /* take the 128 of the bytes off a row's sum over x, over v */
    uint32_t low_wide;     /* and the 32768 of the half-words off one over x */
} tl_sides;

TL_INLINE void tl_set_x(tl_sides *s, const int16_t *x, const tl_cell_w8a16_v6m *p)
{
    const uint32_t total = tl_total(x, p->inputs);
    s->x = x;
    s->inputs = p->inputs;
    s->wide = p->wide;
    s->f = p->f;
    s->t = p->t;
    s->low_x = 0u - (total << 7);
    s->low_wide = 0u - (total << 15);
}

TL_INLINE void tl_set_v(tl_sides *s, const int16_t *v, uint32_t n)
{
    s->v = v;
    s->n = n;
    s->low_v = 0u - (tl_total(v, n) << 7);
}

/* Four rows -> their gate inputs; over a part of x and v alone in Q(12 + t). Returns what stands behind them. */
TL_INLINE const uint32_t *tl_four(int32_t z[4], const uint32_t *w, const tl_sides *s, uint32_t part)
{
    const uint32_t t = part <= TL_BOTH ? s->t : 0;
    uint32_t low = part == TL_OF_X ? 0 : s->low_v, sum[4] = {0, 0, 0, 0};
    if (part != TL_OF_V && s->wide != 0) {
        sum[1] = sum[3] = s->low_wide;
        w = tl_columns16(sum, w, s->x, s->inputs);
        tl_join(sum, low, s->f);
    } else {
        low += part == TL_OF_V ? 0 : s->low_x;
        sum[1] = low;
        sum[2] = low * 0x101u;
        sum[3] = low * 0x10101u;
        w = tl_columns8(sum, w, s->x, part == TL_OF_V ? 0 : s->inputs);
    }
    w = tl_columns8(sum, w, s->v, part == TL_OF_X ? 0 : s->n);
    z[0] = tl_scale((int32_t)(sum[0] + w[0]), w[1], t);
    z[1] = tl_scale((int32_t)(sum[1] - (sum[0] << 8) + w[2]), w[3], t);
    z[3] = tl_scale((int32_t)(sum[3] - (sum[2] << 8) + w[4]), w[5], t);
    z[2] = tl_scale((int32_t)(sum[2] - (sum[1] << 8) + w[6]), w[7], t);
    return w + 8;
}

TL_INLINE void tl_lstm_step_chain(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                  const tl_cell_w8a16_v6m *p)
{
    const uint32_t *w = p->w;
    const uint32_t frac = p->frac;
    tl_sides s;
    tl_set_x(&s, x, p);
    tl_set_v(&s, h, p->hidden);
    for (uint32_t u = 0; u < p->units; u++) {
        int32_t z[4];
        w = tl_four(z, w, &s, TL_BOTH);
        int32_t i = tl_look(tl_sigmoid_lines, z[0]), f = tl_look(tl_sigmoid_lines, z[1]);
        int32_t g = tl_look(tl_tanh_lines, z[2]);
        int16_t o = tl_look(tl_sigmoid_lines, z[3]);
        int32_t cell = tl_clip16((f * c[u] + ((i * g) >> (15 - frac)) + (1 << 14)) >> 15); /* tl_cell */
        c[u] = (int16_t)cell;
        h_new[u] = tl_hidden(o, tl_look(tl_tanh_lines, cell * (1 << (12 - frac))));
    }
}

#endif
#endif
