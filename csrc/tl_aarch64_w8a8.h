/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Primitives of tl_tiles_w8a8.h on AArch64, all but dot8. */
#ifndef TL_AARCH64_W8A8_H
#define TL_AARCH64_W8A8_H

#include "tl_aarch64.h"
#include "tl_tables_w8a8.h"
#include "tl_tiled_w8a8.h"

#define U(v) vreinterpretq_u16_s16(v)
#define S(v) vreinterpretq_s16_u16(v)
#define shl32(v, n) vshlq_s32(v, vdupq_n_s32((int32_t)(n)))
#define slli32 vshlq_n_s32
#define min32 vminq_s32
#define max32 vmaxq_s32
#define abs32 vabsq_s32
#define splat32 vdupq_n_s32
#define high_mul vqrdmulhq_s32 /* (2 a b + 2^31) >> 32 */
#define narrow_unsigned(first, second) S(vqmovun_high_s32(vqmovun_s32(first), second))
#define splat16 vdupq_n_s16
#define add16 vaddq_s16
#define adds16 vqaddq_s16
#define sub16 vsubq_s16
#define mul16 vmulq_s16
#define triple_shr(v, n) srli16(add16(v, srli16(v, 1)), (n) - 1) /* 3 v >> n, v unsigned, to 2^15 */
#define min16 vminq_s16
#define abs16 vabsq_s16
#define and_ vandq_s16
#define slli16 vshlq_n_s16
#define srli16(v, n) S(vshrq_n_u16(U(v), n))
#define shl16(v, n) vshlq_s16(v, vdupq_n_s16((int16_t)(n)))
#define shr16(v, n) S(vshlq_u16(U(v), vdupq_n_s16((int16_t)-(int32_t)(n))))
#define by_sign(z, negative, other) vbslq_s16(vcltzq_s16(z), negative, other)

/* tl_rounding_shift: SRSHL rounds half up; one less where x is negative and n is not 0. */
INLINE D rounding_shift(D x, uint32_t n)
{
    const D right = vdupq_n_s32(-(int32_t)n);
    return vrshlq_s32(vsraq_n_s32(x, vandq_s32(x, right), 31), right);
}

INLINE void products(W a, W b, D *first, D *second)
{
    *first = vmull_s16(vget_low_s16(a), vget_low_s16(b));
    *second = vmull_high_s16(a, b);
}

INLINE W load_bytes(const int8_t *p, uint32_t n)
{
    int8_t part[8] = {0};
    if (n >= 8) {
        return vmovl_s8(vld1_s8(p));
    }
    tl_copy8(part, p, n);
    return vmovl_s8(vld1_s8(part));
}

INLINE void store_bytes(int8_t *p, W v, uint32_t n)
{
    int8_t all[8];
    vst1_s8(n >= 8 ? p : all, vqmovn_s16(v));
    if (n < 8) {
        tl_copy8(p, all, n);
    }
}

/* SQDMULH: step f >> 16 of f / 2. URHADD: (a + b + 1) >> 1. */
INLINE W sigmoid_node(W index, W f)
{
    W lower, upper;
    nodes_of((const int16_t *)tl_sigmoid_24ths, U(index), &lower, &upper);
    const W part = vqdmulhq_s16(sub16(upper, lower), srli16(f, 1));
    return S(vrhaddq_u16(U(lower), U(part)));
}

/* SQRDMULH rounds. */
INLINE W tanh_node(W index, W f)
{
    W lower, upper;
    nodes_of((const int16_t *)tl_sigmoid_24ths, U(index), &lower, &upper);
    const W part = mul_round(sub16(upper, lower), srli16(f, 1));
    return add16(sub16(lower, splat16(-32768)), part);
}

#endif
