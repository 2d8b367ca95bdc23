/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Scheme w8a8: the arithmetic of TFLite's fused int8 LSTM. Twin of quantize/gemmlowp.py, bit for bit; docs/w8a8.md.
 *
 * Only 32-bit operations, as in tl_math.h. */
#ifndef TL_W8A8_H
#define TL_W8A8_H

#include "tl_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM layer: int8 weights, int8 x and h with zero points, int16 c. Rows in gate order i, f, g, o. */
typedef struct tl_lstm_w8a8 {
    const int8_t *wx;  /* [4 * hidden][inputs] */
    const int8_t *wh;  /* [4 * hidden][hidden] */
    const int32_t *bx; /* [4 * hidden], carries the zero point of x */
    const int32_t *bh; /* [4 * hidden], carries the zero point of h */
    const int32_t *m;  /* [9]: of the input's part of i, f, g, o, of the recurrent part, of h; 0 .. 2^31 - 1 */
    const int8_t *s;   /* [9]: shifts to the left, -31 .. 30; of h <= 0 */
    uint16_t inputs, hidden;
    uint16_t units; /* that a call computes: hidden; fewer in a slice, whose pointers point to its first unit */
    int16_t clip;  /* of |c|; 0: none */
    int8_t h_zero; /* zero point of h: what h is before the first step */
    uint8_t bits;  /* integer bits of c, 0 .. 6 */
    uint8_t table; /* activations: 0 gemmlowp, as in TFLite; 1 a table, as in TFLite Micro */
} tl_lstm_w8a8;

/* One step. h_new [units] <- h [hidden], c [units] (updated), x [inputs]. h_new must not overlap h, c or x.
 * Proven per row, with s the shift of its part: (128 sum|w| + |b|) << max(s, 0) < 2^31, for wx, bx and for wh, bh. */
TL_KERNEL void tl_lstm_step_w8a8_ref(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x,
                                     const tl_lstm_w8a8 *p);

/* A dense head on int8 h: int16 weights, int32 output. */
typedef struct tl_dense_w16a8 {
    const int16_t *w; /* [outputs][inputs] */
    const int32_t *b; /* [outputs], carries the zero point of h */
    uint16_t inputs, outputs;
} tl_dense_w16a8;

/* y [outputs] = b + w h. Proven: 128 * sum|w| + |b| < 2^31 per row. */
TL_KERNEL void tl_dense_w16a8_ref(int32_t *y, const int8_t *h, const tl_dense_w16a8 *p);

#ifdef __cplusplus
}
#endif

static inline void tl_copy8(int8_t *to, const int8_t *from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        to[i] = from[i];
    }
}

static inline void tl_fill8(int8_t *to, int8_t value, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        to[i] = value;
    }
}

static inline void tl_zero8(int8_t *to, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        to[i] = 0;
    }
}

/* Samples as the network takes them, saturated to int8. */
static inline void tl_narrow(int8_t *to, const int16_t *from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        to[i] = (int8_t)(from[i] > 127 ? 127 : from[i] < -128 ? -128 : from[i]);
    }
}

/* floor(x * m / 2^32) with 0 <= m < 2^31: the product in halves, so that a core without a long multiply needs no library.
 * No sum of halves leaves int32: 32767 * 65535 + 65535 < 2^31. `next`: the two bits below, of the lower half. */
static inline int32_t tl_upper_mul(int32_t x, int32_t m, uint32_t *next)
{
    const uint32_t x_low = (uint32_t)x & 0xFFFFu, m_low = (uint32_t)m & 0xFFFFu;
    const int32_t x_high = x >> 16, m_high = m >> 16;
    const uint32_t low = x_low * m_low;
    const int32_t middle = x_high * (int32_t)m_low + (int32_t)(low >> 16);
    const int32_t other = (int32_t)x_low * m_high + (int32_t)((uint32_t)middle & 0xFFFFu);
    *next = ((uint32_t)other >> 14) & 3u;
    return x_high * m_high + (middle >> 16) + (other >> 16);
}

/* (x * m + 2^30) >> 31, as above. */
static inline int32_t tl_high_mul(int32_t x, int32_t m)
{
    uint32_t next;
    const int32_t high = tl_upper_mul(x, m, &next);
    return high * 2 + (int32_t)((next + 1u) >> 1);
}

/* x * m * 2^(s - 31), rounded once, half up; 0 <= m < 2^31, s in -31 .. 0, |x| < 2^31. */
static inline int32_t tl_multiply_once(int32_t x, int32_t m, int8_t s)
{
    uint32_t next;
    const int32_t high = tl_upper_mul(x, m, &next);
    if (s == 0) {
        return high * 2 + (int32_t)((next + 1u) >> 1);
    }
    return s == -1 ? high + (int32_t)(next >> 1) : (high + (int32_t)((uint32_t)1 << (-s - 2))) >> (-s - 1);
}

/* x / 2^n, rounded half away from zero; n in 0 .. 31. */
static inline int32_t tl_rounding_shift(int32_t x, uint32_t n)
{
    const uint32_t mask = ((uint32_t)1 << n) - 1u;
    return (x >> n) + (((uint32_t)x & mask) > (mask >> 1) + (x < 0));
}

/* x * m * 2^(s - 31) with two roundings; |x| << max(s, 0) < 2^31. */
static inline int32_t tl_multiply(int32_t x, int32_t m, int8_t s)
{
    return s > 0 ? tl_high_mul(x * (int32_t)((uint32_t)1 << s), m)
                 : tl_rounding_shift(tl_high_mul(x, m), (uint32_t)-s);
}

/* --- as in TFLite: gemmlowp's int16 fixed point --- */

/* The product of two fractions, Q0.15, rounded half up; -1 times -1 does not occur. */
static inline int32_t tl_q15(int32_t a, int32_t b)
{
    return (a * b + (1 << 14)) >> 15;
}

/* exp(a), Q0.15, of a <= 0, int16 with `bits` integer bits, 1 .. 7: a series for the part below 1/4, and one constant
 * per bit above. */
static inline int32_t tl_exp(int32_t a, uint32_t bits)
{
    static const int16_t power[7] = {25520, 19875, 12055, 4435, 600, 11, 0}; /* exp(-1/4), exp(-1/2) .. exp(-16) */
    const uint32_t quarter = 13u - bits;                                     /* its bit */
    const int32_t low = (a & ((1 << quarter) - 1)) - (1 << quarter);
    const uint32_t rest = (uint32_t)(low - a) >> quarter;
    const int32_t x = low * (1 << bits) + (1 << 12), x2 = tl_q15(x, x), x3 = tl_q15(x2, x);
    const int32_t x4 = tl_rounding_shift(tl_q15(x2, x2), 2);
    const int32_t series = x + tl_rounding_shift(tl_q15(x4 + x3, 10923) + x2, 1);
    int32_t y = tl_sat16(28918 + tl_q15(series, 28918));
    for (uint32_t k = 0; k < bits + 2u && k < 7u; k++) {
        y = (rest >> k) & 1u ? tl_q15(y, power[k]) : y;
    }
    if (bits > 5 && a < -(1 << (20u - bits))) { /* -32 */
        y = 0;
    }
    return a == 0 ? 32767 : y;
}

/* 2 / (1 + e), Q2.13, of e in 0 .. 1, Q0.15: three steps of Newton's method. */
static inline int32_t tl_newton(int32_t e)
{
    const int32_t half = (e + 32768) >> 1;
    int32_t x = 23130 + tl_q15(half, -15420);
    for (uint32_t k = 0; k < 3; k++) {
        x += tl_sat16(tl_q15(x, 8192 - tl_q15(half, x)) * 4);
    }
    return x;
}

/* z in Q3.12 -> Q0.15. */
static inline int16_t tl_gemmlowp_sigmoid(int16_t z)
{
    const int32_t y = tl_sat16(tl_newton(tl_exp(z < 0 ? z : -z, 3)) * 2);
    return (int16_t)(z == 0 ? 16384 : z > 0 ? y : 32767 - y);
}

/* z with `bits` integer bits, 0 .. 6 -> Q0.15. */
static inline int16_t tl_gemmlowp_tanh(int16_t z, uint8_t bits)
{
    const int32_t y = tl_sat16((tl_newton(tl_exp(z < 0 ? z : -z, bits + 1u)) - 8192) * 4);
    return (int16_t)(z == 0 ? 0 : z < 0 ? -y : y);
}

/* --- as in TFLite Micro: one table, 65536 sigmoid(i / 24) for i = 0 .. 256 --- */

/* z in Q3.12 -> Q0.15. */
static inline int16_t tl_table_sigmoid(const uint16_t nodes[257], int16_t z)
{
    const uint32_t t = 3u * (uint32_t)(z < 0 ? -z : z), i = t >> 9;
    const uint32_t step = (uint32_t)nodes[i + 1] - nodes[i];
    const int32_t y = (int32_t)((nodes[i] + (step * (t & 511u) >> 9) + 1u) >> 1);
    return (int16_t)(z < 0 ? 32768 - y : y);
}

/* z with `bits` integer bits, 0 .. 6 -> Q0.15: 2 sigmoid(2 z) - 1, 32767 from |z| = 5.3 on. */
static inline int16_t tl_table_tanh(const uint16_t nodes[257], int16_t z, uint8_t bits)
{
    const int32_t scaled = bits < 3 ? (3 * z + (1 << (2 - bits))) >> (3 - bits) : 3 * z * (1 << (bits - 3));
    const uint32_t size = (uint32_t)(scaled < 0 ? -scaled : scaled), t = size < 65535u ? size : 65535u, i = t >> 8;
    const uint32_t step = (uint32_t)nodes[i + 1] - nodes[i];
    const int32_t y = (int32_t)(nodes[i] + ((step * (t & 255u) + 128u) >> 8)) - 32768;
    return (int16_t)(scaled < 0 ? -y : y);
}

/* --- behind the activations --- */

/* c' = f c + i g, each rounded, saturated, clipped; gates Q0.15, c with `bits` integer bits. |f c|, |i g| <= 2^30. */
static inline int16_t tl_cell_w8a8(int16_t f, int16_t c, int16_t i, int16_t g, uint8_t bits, int16_t clip)
{
    const int16_t v = tl_sat16(tl_rounding_shift(f * c, 15) + tl_rounding_shift(i * g, 15u + bits));
    if (clip == 0) {
        return v;
    }
    return v > clip ? clip : v < -clip ? (int16_t)-clip : v;
}

/* h' = o tanh(c) in the units of h. |o tanh(c)| < 2^30, s <= 0. */
static inline int8_t tl_hidden_w8a8(int16_t o, int16_t tanh_c, int32_t m, int8_t s, int8_t zero)
{
    const int32_t v = tl_multiply(o * tanh_c, m, s) + zero;
    return (int8_t)(v > 127 ? 127 : v < -128 ? -128 : v);
}

#endif
