/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The scalar steps of the integer arithmetic. Twin of quantize/fixedpoint.py, bit for bit.
 *
 * Only 32-bit operations, so that a Cortex-M0 needs no run-time library. `>>` of a negative value is arithmetic on every
 * compiler that this code is built with, and the assertion below holds it to that. */
#ifndef TL_MATH_H
#define TL_MATH_H

#include <stdint.h>

#ifndef TL_STATIC_ASSERT
#ifdef __cplusplus
#define TL_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define TL_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif
#endif

TL_STATIC_ASSERT((-3 >> 1) == -2, "Tealight needs an arithmetic right shift");

/* Saturates to int16 in the same time for every v. The product is what compilers do not turn into a branch again, as
 * they do with a mask on Armv6-M. limit - v fits: both have the sign of v. */
static inline int16_t tl_sat16(int32_t v)
{
    int32_t limit = (v >> 31) ^ 32767;
    uint32_t beyond = (uint32_t)((v >> 15) ^ (v >> 31)); /* 0 where v fits, else up to 65535 */
    return (int16_t)(v + (limit - v) * (int32_t)((beyond + 65535u) >> 16));
}

/* How many bits v has, 0 .. 32, in the same time for every v. */
static inline uint32_t tl_bits(uint32_t v)
{
    uint32_t n = 0;
    for (uint32_t k = 16; k != 0; k >>= 1) {
        uint32_t shift = ((0u - (v >> k)) >> 31) * k; /* k where v has more than k bits: v >> k is below 2^31 */
        n += shift;
        v >>= shift;
    }
    return n + v;
}

/* (a * m) >> 16, rounded down; m in 0 .. 32767. The high half times m stays below 2^30, the low half below 2^31. */
static inline int32_t tl_mulw(int32_t a, int16_t m)
{
    return (a >> 16) * m + (((int32_t)((uint32_t)a & 0xFFFFu) * m) >> 16);
}

/* Accumulator -> gate input: int32 -> Q3.12. */
static inline int16_t tl_requantize(int32_t acc, int16_t m, uint8_t t)
{
    return tl_sat16(tl_mulw(acc, m) >> t);
}

/* Linear interpolation in 257 nodes; z in Q3.12. A step between nodes is at most 2048: the product stays below 2^26. */
static inline int16_t tl_lookup(const int16_t nodes[257], int16_t z)
{
    uint32_t i = (uint32_t)(z + 32768) >> 8;
    int32_t fraction = ((z & 255) << 7) | 1; /* Q0.15 */
    return (int16_t)(nodes[i] + (((nodes[i + 1] - nodes[i]) * fraction) >> 15));
}

/* c' = f c + i g; gates in Q0.15, c in Q(15 - frac).frac. |f c| + |i g| / 8 < 2^31. */
static inline int16_t tl_cell(int16_t f, int16_t c, int16_t i, int16_t g, uint8_t frac)
{
    return tl_sat16((f * c + ((i * g) >> (15 - frac)) + (1 << 14)) >> 15);
}

/* o tanh(c) from tanh in 1/32640 and o in Q0.15: |h| <= 32629, in 1/32640. */
static inline int16_t tl_hidden(int16_t o, int16_t tanh_c)
{
    return (int16_t)((o * tanh_c + (1 << 14)) >> 15);
}

/* h' = (1 - z) n + z h of a GRU; z in Q0.15, |h|, |n| <= 32640, and so is the result: |z (h - n)| + 2^14 < 2^31. */
static inline int16_t tl_blend(int16_t z, int16_t h, int16_t n)
{
    return (int16_t)(n + ((z * (h - n) + (1 << 14)) >> 15));
}

/* A raw input column: fixed point of the header's decimals -> x_q, full scale +-32640. */
typedef struct tl_input {
    int32_t low, high, offset;
    int16_t m;
    uint8_t k, s;
} tl_input;

/* Clamp, subtract, scale by m * 2^(k - 16 - s), round half up, saturate. |raw - offset| << k < 2^31 by the clamp. */
static inline int16_t tl_scale_in(int32_t raw, const tl_input *p)
{
    int32_t d = (raw < p->low ? p->low : raw > p->high ? p->high : raw) - p->offset;
    int32_t x = (tl_mulw(d * (int32_t)((uint32_t)1 << p->k), p->m) + (int32_t)((uint32_t)1 << (p->s - 1))) >> p->s;
    return (int16_t)(x > 32640 ? 32640 : x < -32640 ? -32640 : x);
}

/* A raw output column: head output -> fixed point of the header's decimals. */
typedef struct tl_output {
    int32_t offset;
    int16_t m;
    uint8_t s;
} tl_output;

/* Scale by m * 2^(-16 - s), round half up, add the offset, saturate to int32. */
static inline int32_t tl_scale_out(int32_t y, const tl_output *p)
{
    int32_t v = (tl_mulw(y, p->m) + (int32_t)((uint32_t)1 << (p->s - 1))) >> p->s;
    if (v > 0 && p->offset > INT32_MAX - v) {
        return INT32_MAX;
    }
    if (v < 0 && p->offset < INT32_MIN - v) {
        return INT32_MIN;
    }
    return v + p->offset;
}

/* Lost sample k of n between two inputs; reciprocal = round(32768 / (n + 1)), k <= n <= 255: |product| < 2^31. */
static inline int16_t tl_interpolate(int16_t last, int16_t next, int32_t k, int16_t reciprocal)
{
    return (int16_t)(last + ((tl_mulw((next - last) * k * 128, reciprocal) + 32) >> 6));
}

#endif
