/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Features of raw samples, and the way back from a forecast difference or return to a raw value: the twin of
 * quantize/features.py, bit for bit. 32-bit operations only; the same time for every value but where C's own ?: says
 * otherwise. */
#ifndef TL_FEATURES_H
#define TL_FEATURES_H

#include <stdint.h>

#include "tl_math.h"

/* The samples of one raw column that a stream remembers, newest first. */
static inline void tl_begin_past(int32_t *past, uint32_t n, int32_t first)
{
    for (uint32_t i = 0; i < n; i++) {
        past[i] = first;
    }
}

static inline void tl_shift_past(int32_t *past, uint32_t n, int32_t now)
{
    for (uint32_t i = n - 1; i != 0; i--) {
        past[i] = past[i - 1];
    }
    past[0] = now;
}

/* The same as bytes, little-endian. */
static inline uint8_t *tl_put_past(uint8_t *out, const int32_t *past, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t shift = 0; shift < 32; shift += 8) {
            *out++ = (uint8_t)((uint32_t)past[i] >> shift);
        }
    }
    return out;
}

static inline const uint8_t *tl_get_past(const uint8_t *in, int32_t *past, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, in += 4) {
        past[i] = (int32_t)((uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24);
    }
    return in;
}

/* now and the last n samples, summed modulo 2^32. */
static inline int32_t tl_sum(int32_t now, const int32_t *past, uint32_t n)
{
    uint32_t sum = (uint32_t)now;
    for (uint32_t i = 0; i < n; i++) {
        sum += (uint32_t)past[i];
    }
    return (int32_t)sum;
}

/* Saturates the sum or the difference of two int32. */
static inline int32_t tl_add_sat(int32_t a, int32_t b)
{
    if (b > 0 ? a > INT32_MAX - b : a < INT32_MIN - b) {
        return b > 0 ? INT32_MAX : INT32_MIN;
    }
    return a + b;
}

static inline int32_t tl_difference(int32_t now, int32_t before)
{
    if (before < 0 ? now > INT32_MAX + before : now < INT32_MIN + before) {
        return before < 0 ? INT32_MAX : INT32_MIN;
    }
    return now - before;
}

/* High half of the product of two uint32. */
static inline uint32_t tl_high(uint32_t a, uint32_t b)
{
    uint32_t low = (a & 0xFFFFu) * (b & 0xFFFFu);
    uint32_t middle = (a >> 16) * (b & 0xFFFFu) + (low >> 16);                /* < 2^32 */
    uint32_t other = (a & 0xFFFFu) * (b >> 16) + (middle & 0xFFFFu);          /* < 2^32 */
    return (a >> 16) * (b >> 16) + (middle >> 16) + (other >> 16);
}

/* log2(v) in Q24, rounded down, bit by bit by squaring (Turner 2010); v below 1 counts as 1. */
static inline int32_t tl_log2(int32_t v)
{
    uint32_t m = v < 1 ? 1u : (uint32_t)v;
    uint32_t out = tl_bits(m) - 1u;
    m <<= 31u - out; /* Q31 in [1, 2) */
    for (uint32_t n = 0; n < 24; n++) {
        m = tl_high(m, m); /* Q30 in [1, 4) */
        out = 2u * out + (m >> 31);
        m <<= 1u - (m >> 31);
    }
    return (int32_t)out;
}

/* log(now / before), 7 decimals: log2 in Q24 times ln(2) 10^7 / 2^24. */
static inline int32_t tl_log_return(int32_t now, int32_t before)
{
    return tl_mulw(tl_log2(now) - tl_log2(before), 27076);
}

/* last * exp(y / 10^7), rounded half up, saturated; last below 1 counts as 1. |y| is bounded by 2^27 (exp(13.4)). */
static inline int32_t tl_price(int32_t last, int32_t y)
{
    static const uint32_t factor[24] = { /* 2^(2^-k) in Q31, k = 1 .. 24 */
        3037000500u, 2553802834u, 2341847524u, 2242560872u, 2194507417u, 2170868212u,
        2159144272u, 2153306067u, 2150392887u, 2148937775u, 2148210589u, 2147847087u,
        2147665360u, 2147574502u, 2147529075u, 2147506361u, 2147495005u, 2147489326u,
        2147486487u, 2147485068u, 2147484358u, 2147484003u, 2147483825u, 2147483737u,
    };
    const int32_t limit = 134217728;
    y = y > limit ? limit : y < -limit ? -limit : y;
    int32_t e = tl_mulw(y * 8, 19828) + (y >> 15); /* log2 in Q24: y 2^24 / (10^7 ln 2), to 2e-7 of itself */
    uint32_t rest = (uint32_t)e << 8, power = 0x80000000u;                         /* Q31 in [1, 2) */
    for (uint32_t k = 0; k < 24; k++, rest <<= 1) {
        uint32_t more = tl_high(power, factor[k]) << 1;
        power ^= (power ^ more) & (0u - (rest >> 31));
    }
    uint32_t m = last < 1 ? 1u : (uint32_t)last, zeros = 32u - tl_bits(m);
    int32_t down = (int32_t)zeros - 1 - (e >> 24);
    m = tl_high(m << zeros, power); /* last * 2^fraction in Q(zeros - 1), >= 2^30 */
    if (down > 0) {
        m = down > 32 ? 0u : ((m >> (down - 1)) + 1u) >> 1;
    }
    return down < 0 || m > 0x7FFFFFFFu ? INT32_MAX : (int32_t)m;
}

#endif
