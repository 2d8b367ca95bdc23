/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A hidden unit of the scheme w8a8 behind its sums, on the cores without DSP instructions. Nothing branches on data. */
#ifndef TL_UNIT_W8A8_H
#define TL_UNIT_W8A8_H

#include "tl_inline.h"
#include "tl_lines_w8a8.h"

/* What a layer's units share; 4 words a scale: m, shift to the left + 1, shift to the right n, its half (1 << n) >> 1;
 * |sum| < 2^30. */
typedef struct tl_unit_w8a8 {
    const int32_t *m; /* [9][4]: of the input's part of i, f, g, o, of the recurrent part, of h */
    uint32_t bits;
    int32_t clip, zero;
} tl_unit_w8a8;

/* The leaves: saturation to int16; (a m + 2^31) >> 32. */
#ifdef TL_OWN_SCALARS /* the file that includes this one defines them */
INLINE int32_t tl_clip(int32_t v);
#else
INLINE int32_t tl_clip(int32_t v)
{
    return tl_sat16(v);
}
#endif
#ifdef TL_SHORT_PRODUCTS /* in halves, as tl_high_mul */
INLINE int32_t tl_upper(int32_t a, int32_t m)
{
    const uint32_t a_low = (uint32_t)a & 0xFFFFu, m_low = (uint32_t)m & 0xFFFFu;
    const int32_t a_high = a >> 16, m_high = m >> 16;
    const int32_t middle = a_high * (int32_t)m_low + (int32_t)(a_low * m_low >> 16);
    const int32_t other = (int32_t)a_low * m_high + (int32_t)((uint32_t)middle & 0xFFFFu);
    return a_high * m_high + (middle >> 16) + (((other >> 15) + 1) >> 1);
}
#else
INLINE int32_t tl_upper(int32_t a, int32_t m)
{
    const int64_t product = (int64_t)a * m;
    return (int32_t)(product >> 32) + (int32_t)((uint32_t)product >> 31);
}
#endif

/* tl_multiply. */
INLINE int32_t tl_scale_w8a8(int32_t v, const int32_t *m)
{
    const int32_t product = tl_upper((int32_t)((uint32_t)v << m[1]), m[0]);
    return m[2] == 0 ? product : (product + (product >> 31) + m[3]) >> m[2];
}

/* v held to -clip .. clip. */
INLINE int32_t tl_held(int32_t v, int32_t clip)
{
    v += (clip - v) * (int32_t)((uint32_t)(clip - v) >> 31);
    return v - (clip + v) * (int32_t)((uint32_t)(clip + v) >> 31);
}

/* Its sums over x and over h, in the order i, f, g, o -> c and h. */
INLINE void tl_finish_w8a8(int8_t *h_new, int16_t *c, const int32_t x[4], const int32_t h[4], const tl_unit_w8a8 *p)
{
    const int32_t *m = p->m;
    const int32_t i = tl_line_sigmoid(tl_clip(tl_clip(tl_scale_w8a8(x[0], m)) + tl_scale_w8a8(h[0], m + 16)));
    const int32_t f = tl_line_sigmoid(tl_clip(tl_clip(tl_scale_w8a8(x[1], m + 4)) + tl_scale_w8a8(h[1], m + 20)));
    const int32_t g3 = 3 * tl_clip(tl_clip(tl_scale_w8a8(x[2], m + 8)) + tl_scale_w8a8(h[2], m + 24));
    const int32_t o = tl_line_sigmoid(tl_clip(tl_clip(tl_scale_w8a8(x[3], m + 12)) + tl_scale_w8a8(h[3], m + 28)));
    const int32_t g = tl_line_tanh(g3, tl_clip(g3 >> 1) >> 7);
    int32_t cell = tl_clip(tl_round(f * *c, 15) + tl_round(i * g, 15u + p->bits));
    cell = p->clip == 0 ? cell : tl_held(cell, p->clip);
    *c = (int16_t)cell;
    const int32_t c3 = tl_three(cell, p->bits);
    const int32_t v = tl_scale_w8a8(o * tl_line_tanh(c3, tl_clip(c3 >> 1) >> 7), m + 32) + p->zero;
    *h_new = (int8_t)(tl_clip(tl_clip(v) * 256) >> 8);
}

#endif
