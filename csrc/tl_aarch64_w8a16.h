/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Primitives of tl_tiles.h on AArch64, all but dot8. Multipliers m come as m << 15, those of `requantize` as
 * m << (15 - t): SQDMULH, the upper half of twice a product, shifts by 16 + t in one go. */
#ifndef TL_AARCH64_W8A16_H
#define TL_AARCH64_W8A16_H

#include "tl_aarch64.h"
#include "tl_tables.h"

#define mulw vqdmulhq_s32 /* (2 a (m << 15)) >> 32 */
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

/* The first n of four, 1 to 3, and zeros behind them. */
INLINE int16x4_t load_some(const int16_t *p, uint32_t n)
{
    const int16x4_t one = vset_lane_s16(p[0], vdup_n_s16(0), 0);
    const int16x4_t two = vset_lane_s16(n > 1 ? p[1] : 0, one, 1);
    return vset_lane_s16(n > 2 ? p[2] : 0, two, 2);
}

/* tl_lookup: SQDMULH is the product with Q0.15 >> 15. */
INLINE W lookup(const int16_t nodes[257], W z)
{
    const uint16x8_t bits = vreinterpretq_u16_s16(z);
    const W fraction = vreinterpretq_s16_u16(vorrq_u16(vshrq_n_u16(vshlq_n_u16(bits, 8), 1), vdupq_n_u16(1)));
    W lower, upper;
    nodes_of(nodes, vshrq_n_u16(veorq_u16(bits, vdupq_n_u16(0x8000)), 8), &lower, &upper);
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

#endif
