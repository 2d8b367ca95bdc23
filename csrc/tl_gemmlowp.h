/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* TFLite's activations of scheme w8a8, lane by lane: tl_gemmlowp_sigmoid and tl_gemmlowp_tanh of tl_w8a8.h. Every
 * number is an int16; what saturates or is rounded away from zero there, but cannot where it stands, is not here.
 * Tested for all inputs. */
#ifndef TL_GEMMLOWP_H
#define TL_GEMMLOWP_H

/* tl_exp of a < 0; anything of 0. */
INLINE W exponential(W a, uint32_t bits)
{
    static const int16_t power[7] = {25520, 19875, 12055, 4435, 600, 11, 0};
    const uint32_t quarter = 13 - bits;
    const W low = sub16(and_(a, splat16((int16_t)((1 << quarter) - 1))), splat16((int16_t)(1 << quarter)));
    const W rest = shr16(sub16(low, a), quarter);
    const W x = add16(shl16(low, bits), splat16(1 << 12)), x2 = mul_round(x, x), x3 = mul_round(x2, x);
    const W x4 = srli16(add16(mul_round(x2, x2), splat16(2)), 2);
    const W tail = add16(mul_round(add16(x4, x3), splat16(10923)), x2); /* >= 0 */
    const W series = add16(x, srli16(add16(tail, splat16(1)), 1));
    W y = add16(mul_round(series, splat16(28918)), splat16(28918));
    for (uint32_t k = 0; k < bits + 2 && k < 7; k++) {
        y = by_sign(shl16(rest, 15 - k), mul_round(y, splat16(power[k])), y);
    }
    return bits > 5 ? by_sign(add16(a, splat16((int16_t)(1 << (20 - bits)))), splat16(0), y) : y;
}

/* tl_newton of exponential(-|z|). */
INLINE W newton(W z, uint32_t bits)
{
    const W e = exponential(sub16(splat16(0), abs16(z)), bits);
    const W half = srli16(add16(e, splat16(-32768)), 1);
    W x = add16(mul_round(half, splat16(-15420)), splat16(23130));
    UNROLL for (uint32_t k = 0; k < 3; k++) {
        x = add16(x, slli16(mul_round(x, sub16(splat16(8192), mul_round(half, x))), 2));
    }
    return x;
}

/* y with the sign of z. */
INLINE W with_sign(W z, W y)
{
    return by_sign(z, sub16(splat16(0), y), y);
}

/* v, but `middle` where z is 0. */
INLINE W unless_zero(W z, W v, int16_t middle)
{
    return by_sign(sub16(abs16(z), splat16(1)), splat16(middle), v);
}

static __attribute__((noinline)) W gemmlowp_sigmoid(W z)
{
    const W x = newton(z, 3), y = adds16(x, x);
    return unless_zero(z, by_sign(z, sub16(splat16(32767), y), y), 16384);
}

static __attribute__((noinline)) W gemmlowp_tanh(W z, uint32_t bits)
{
    const W above = sub16(newton(z, bits + 1), splat16(8192)), twice = adds16(above, above), y = adds16(twice, twice);
    return unless_zero(z, with_sign(z, y), 0);
}

#endif
