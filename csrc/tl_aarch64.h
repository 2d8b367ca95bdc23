/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Primitives of tl_tiles.h on AArch64, all but dot8. Multipliers m come as m << 15, those of `requantize` as
 * m << (15 - t): SQDMULH, the upper half of twice a product, shifts by 16 + t in one go. */
#ifndef TL_AARCH64_H
#define TL_AARCH64_H

#include <arm_neon.h> /* an error of its own on other processors */

#include "tl_inline.h"
#include "tl_tables.h"

#define D int32x4_t
#define W int16x8_t
#define LANES 4u
#define ZERO vdupq_n_s32(0)
#define LOAD32(p) vld1q_s32(p)
#define add32 vaddq_s32
#define shr32(v, n) vshlq_s32(v, vdupq_n_s32(-(int32_t)(n)))
#define narrow(first, second) vqmovn_high_s32(vqmovn_s32(first), second)
#define mulw vqdmulhq_s32      /* (2 a (m << 15)) >> 32 */
#define mul_round vqrdmulhq_s16 /* (2 a b + 2^15) >> 16 */
#define X int16x4_t
#define X_COLUMNS 1u
#define load_x(p, n) vdup_n_s16(*(p))
#define dot_x(acc, w, x) vmlal_s16(acc, vld1_s16(w), x)

INLINE void lift(W r, D *first, D *second)
{
    *first = vshll_n_s16(vget_low_s16(r), 15);
    *second = vshll_high_n_s16(r, 15);
}

INLINE W requantize(D first, D second, const int32_t *m, uint8_t t)
{
    (void)t; /* is in m */
    return narrow(mulw(first, LOAD32(m)), mulw(second, LOAD32(m + LANES)));
}

INLINE W load_units(const int16_t *p, uint32_t n)
{
    int16_t part[8] = {0};
    if (n >= 8) {
        return vld1q_s16(p);
    }
    tl_copy(part, p, n);
    return vld1q_s16(part);
}

INLINE void store_units(int16_t *p, W v, uint32_t n)
{
    int16_t all[8];
    vst1q_s16(n >= 8 ? p : all, v);
    if (n < 8) {
        tl_copy(p, all, n);
    }
}

/* n[i] and n[i + 1] into a lane. */
#define PAIR(pairs, nodes, index, half, lane)                                                                          \
    do {                                                                                                               \
        int32_t both;                                                                                                  \
        __builtin_memcpy(&both, (nodes) + vgetq_lane_u16(index, 4 * (half) + (lane)), 4);                              \
        (pairs)[half] = vsetq_lane_s32(both, (pairs)[half], lane);                                                     \
    } while (0)

/* tl_lookup: SQDMULH is the product with Q0.15 >> 15. */
INLINE W lookup(const int16_t nodes[257], W z)
{
    const uint16x8_t bits = vreinterpretq_u16_s16(z);
    const uint16x8_t index = vshrq_n_u16(veorq_u16(bits, vdupq_n_u16(0x8000)), 8);
    const W fraction = vreinterpretq_s16_u16(vorrq_u16(vshrq_n_u16(vshlq_n_u16(bits, 8), 1), vdupq_n_u16(1)));
    D pairs[2] = {ZERO, ZERO};
    PAIR(pairs, nodes, index, 0, 0);
    PAIR(pairs, nodes, index, 1, 0);
    PAIR(pairs, nodes, index, 0, 1);
    PAIR(pairs, nodes, index, 1, 1);
    PAIR(pairs, nodes, index, 0, 2);
    PAIR(pairs, nodes, index, 1, 2);
    PAIR(pairs, nodes, index, 0, 3);
    PAIR(pairs, nodes, index, 1, 3);
    const W first = vreinterpretq_s16_s32(pairs[0]), second = vreinterpretq_s16_s32(pairs[1]);
    const W lower = vuzp1q_s16(first, second), upper = vuzp2q_s16(first, second);
    return vaddq_s16(lower, vqdmulhq_s16(vsubq_s16(upper, lower), fraction));
}

INLINE W sigmoid(W z)
{
    return lookup(tl_sigmoid_nodes, z);
}

INLINE W tanh_(W z)
{
    return lookup(tl_tanh_nodes, z);
}

/* (f c + (i g >> (15 - frac)) + 2^14) >> 15, saturated; then Q.frac -> Q3.12, saturated. */
INLINE W cell(W *c, W i, W f, W g, uint8_t frac)
{
    const D lo = shr32(vmull_s16(vget_low_s16(i), vget_low_s16(g)), 15 - frac);
    const D hi = shr32(vmull_high_s16(i, g), 15 - frac);
    const int16x4_t first = vqrshrn_n_s32(vmlal_s16(lo, vget_low_s16(f), vget_low_s16(*c)), 15);
    *c = vqrshrn_high_n_s32(first, vmlal_high_s16(hi, f, *c), 15);
    return vqshlq_s16(*c, vdupq_n_s16((int16_t)(12 - frac)));
}

/* 32768 - z fits int16. */
INLINE W blend(W z, W h, W n)
{
    const W rest = vsubq_s16(vdupq_n_s16(-32768), z);
    const D lo = vmull_s16(vget_low_s16(z), vget_low_s16(h)), hi = vmull_high_s16(z, h);
    const int16x4_t first = vqrshrn_n_s32(vmlal_s16(lo, vget_low_s16(rest), vget_low_s16(n)), 15);
    return vqrshrn_high_n_s32(first, vmlal_high_s16(hi, rest, n), 15);
}

INLINE D dot_words(D acc, W a, W b)
{
    return vmlal_high_s16(vmlal_s16(acc, vget_low_s16(a), vget_low_s16(b)), a, b);
}

#define total vaddvq_s32

#endif
