/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Vectors of AArch64 for the loops of tl_tiles.h and tl_tiles_w8a8.h. */
#ifndef TL_AARCH64_H
#define TL_AARCH64_H

#include <arm_neon.h> /* an error of its own on other processors */

#include "tl_inline.h"
#include "tl_kernels.h"

#define D int32x4_t
#define W int16x8_t
#define LANES 4u
#define ZERO vdupq_n_s32(0)
#define LOAD32(p) vld1q_s32(p)
#define add32 vaddq_s32
#define shr32(v, n) vshlq_s32(v, vdupq_n_s32(-(int32_t)(n)))
#define narrow(first, second) vqmovn_high_s32(vqmovn_s32(first), second)
#define mul_round vqrdmulhq_s16 /* (2 a b + 2^15) >> 16 */

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

/* n[i] and n[i + 1] of each lane. */
INLINE void nodes_of(const int16_t *nodes, uint16x8_t index, W *lower, W *upper)
{
    D pairs[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};
    PAIR(pairs, nodes, index, 0, 0);
    PAIR(pairs, nodes, index, 1, 0);
    PAIR(pairs, nodes, index, 0, 1);
    PAIR(pairs, nodes, index, 1, 1);
    PAIR(pairs, nodes, index, 0, 2);
    PAIR(pairs, nodes, index, 1, 2);
    PAIR(pairs, nodes, index, 0, 3);
    PAIR(pairs, nodes, index, 1, 3);
    const W first = vreinterpretq_s16_s32(pairs[0]), second = vreinterpretq_s16_s32(pairs[1]);
    *lower = vuzp1q_s16(first, second);
    *upper = vuzp2q_s16(first, second);
}

INLINE D dot_words(D acc, W a, W b)
{
    return vmlal_high_s16(vmlal_s16(acc, vget_low_s16(a), vget_low_s16(b)), a, b);
}

#define total vaddvq_s32

#endif
