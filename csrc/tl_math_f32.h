/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* exp, log, sqrt and what is made of them, in float32 and without libm. Each is within 4e-7 of the exact function, of its
 * size where that is more than 1 (tests/test_f32_math.py sweeps them). NaN gives NaN; an infinity gives the limit. */
#ifndef TL_MATH_F32_H
#define TL_MATH_F32_H

#include <stdint.h>

typedef union tl_float_bits {
    uint32_t bits;
    float value;
} tl_float_bits;

/* 2^n, -126 <= n <= 127. */
static inline float tl_power_of_2(int32_t n)
{
    const tl_float_bits made = {(uint32_t)(n + 127) << 23};
    return made.value;
}

static inline float tl_infinity(void)
{
    const tl_float_bits made = {0x7f800000u};
    return made.value;
}

static inline float tl_magnitude(float v)
{
    return v < 0.0f ? -v : v;
}

static inline float tl_within(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

/* e^r - 1 for |r| <= ln(2) / 2; minimax, relative error before rounding 3e-9. */
static inline float tl_expm1_near_0(float r)
{
    const float p = ((0x1.6a2430p-10f * r + 0x1.1239e4p-7f) * r + 0x1.5558f2p-5f) * r + 0x1.555492p-3f;
    return r + r * r * (p * r + 0x1.fffffcp-2f);
}

/* e^v; 0 below, and infinity above, what float32 holds. */
static inline float tl_exp(float v)
{
    if (v != v) {
        return v;
    }
    v = tl_within(v, -104.0f, 89.0f);
    const float turns = 0x1.715476p+0f * v; /* of ln(2) */
    const int32_t n = (int32_t)(turns < 0.0f ? turns - 0.5f : turns + 0.5f), half = n / 2;
    const float r = (v - (float)n * 0x1.62ep-1f) - (float)n * 0x1.0bfbe8p-15f; /* ln(2) in two: the first product is exact */
    return (1.0f + tl_expm1_near_0(r)) * tl_power_of_2(half) * tl_power_of_2(n - half); /* 2^n may be none */
}

/* e^v - 1, v <= 0. */
static inline float tl_expm1(float v)
{
    return v > -0.34f ? tl_expm1_near_0(v) : tl_exp(v) - 1.0f;
}

/* ln(v), v >= 1: with v = 2^n m and s = (m - 1) / (m + 1), n ln(2) + 2 (s + s^3 / 3 + s^5 / 5 ...). */
static inline float tl_log(float v)
{
    if (!(v < tl_infinity())) {
        return v;
    }
    tl_float_bits parts;
    parts.value = v;
    int32_t n = (int32_t)((parts.bits - 0x3f3504f3u) >> 23); /* 0x3f3504f3: sqrt(1/2), so that m is about 1 */
    parts.bits -= (uint32_t)n << 23;
    const float s = (parts.value - 1.0f) / (parts.value + 1.0f), q = s * s; /* |s| < 0.172 */
    const float series = 2.0f * s * (1.0f + q * (1.0f / 3 + q * (1.0f / 5 + q * (1.0f / 7 + q * (1.0f / 9)))));
    return (float)n * 0x1.62ep-1f + ((float)n * 0x1.0bfbe8p-15f + series);
}

/* 1 / sqrt(v), v at least 2^-126 or 0: a first guess from the exponent, then Newton's method; infinity for 0. */
static inline float tl_inverse_root(float v)
{
    tl_float_bits guess;
    guess.value = v;
    guess.bits = 0x5f375a86u - (guess.bits >> 1); /* within 3.5 % */
    float y = guess.value;
    for (uint32_t k = 0; k < 3; k++) {
        y = y * (1.5f - 0.5f * v * y * y);
    }
    return v > 0.0f ? y : 1.0f / v;
}

static inline float tl_sigmoid(float v)
{
    return 1.0f / (1.0f + tl_exp(-v));
}

/* Near 0 x + x^3 Q(x^2), minimax, so that small results keep their digits. */
static inline float tl_tanh(float v)
{
    const float size = tl_magnitude(v), q = v * v;
    if (size < 0.55f) {
        return v + v * q * (((0x1.0aa1ecp-6f * q - 0x1.aecab8p-5f) * q + 0x1.10c820p-3f) * q - 0x1.55542cp-2f);
    }
    const float e = tl_exp(-2.0f * size), y = (1.0f - e) / (1.0f + e);
    return v < 0.0f ? -y : y;
}

/* ln(1 + e^v). */
static inline float tl_softplus(float v)
{
    return (v < 0.0f ? 0.0f : v) + tl_log(1.0f + tl_exp(-tl_magnitude(v)));
}

#endif
