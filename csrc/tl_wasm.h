/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Vectors of WebAssembly for the loops of tl_tiles.h and tl_tiles_w8a8.h. */
#ifndef TL_WASM_H
#define TL_WASM_H

#include <wasm_simd128.h>

#include "tl_inline.h"
#include "tl_kernels.h"

#ifndef __wasm_simd128__
#error "build this file with -msimd128"
#endif

#define D v128_t
#define W v128_t
#define ZERO wasm_i32x4_const_splat(0)
#define LANES 4u
#define LOAD16(p) wasm_v128_load(p)
#define LOAD32(p) wasm_v128_load(p)
#define KEEP(v)
#define ADD_TO(acc, v) (acc) = add32(acc, v)
#define add32 wasm_i32x4_add
#define sub32 wasm_i32x4_sub
#define shr32(v, n) wasm_i32x4_shr(v, (uint32_t)(n))
#define shl32(v, n) wasm_i32x4_shl(v, (uint32_t)(n))
#define srai32 wasm_i32x4_shr
#define slli32 wasm_i32x4_shl
#define min32 wasm_i32x4_min
#define max32 wasm_i32x4_max
#define abs32 wasm_i32x4_abs
#define add16 wasm_i16x8_add
#define adds16 wasm_i16x8_add_sat
#define min16 wasm_i16x8_min
#define abs16 wasm_i16x8_abs
#define sub16 wasm_i16x8_sub
#define srai16 wasm_i16x8_shr
#define srli16 wasm_u16x8_shr
#define slli16 wasm_i16x8_shl
#define mul16 wasm_i16x8_mul
#define triple_shr(v, n) srli16(add16(v, srli16(v, 1)), (n) - 1) /* 3 v >> n, v unsigned, to 2^15 */
#define shr16 srli16
#define shl16 slli16
#define and_ wasm_v128_and
#define xor_ wasm_v128_xor
#define or_ wasm_v128_or
#define splat16 wasm_i16x8_splat
#define splat32 wasm_i32x4_splat
#define madd wasm_i32x4_dot_i16x8
#define narrow wasm_i16x8_narrow_i32x4
#define narrow_unsigned wasm_u16x8_narrow_i32x4
#define by_sign(z, negative, other) wasm_v128_bitselect(negative, other, srai16(z, 15))
#define interleave_lo(a, b) wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define interleave_hi(a, b) wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define mul_round wasm_i16x8_q15mulr_sat

INLINE void products(W a, W b, D *first, D *second)
{
    *first = wasm_i32x4_extmul_low_i16x8(a, b);
    *second = wasm_i32x4_extmul_high_i16x8(a, b);
}

INLINE W load_units(const int16_t *p, uint32_t n)
{
    int16_t part[8] = {0};
    if (n >= 8) {
        return LOAD16(p);
    }
    tl_copy(part, p, n);
    return LOAD16(part);
}

INLINE void store_units(int16_t *p, W v, uint32_t n)
{
    int16_t all[8];
    wasm_v128_store(n >= 8 ? p : all, v);
    if (n < 8) {
        tl_copy(p, all, n);
    }
}

/* tl_high_mul: the middle of 64-bit products. */
INLINE D high_mul(D x, D m)
{
    const v128_t half = wasm_i64x2_const_splat(1 << 30);
    const v128_t first = wasm_i64x2_add(wasm_i64x2_extmul_low_i32x4(x, m), half);
    const v128_t second = wasm_i64x2_add(wasm_i64x2_extmul_high_i32x4(x, m), half);
    return wasm_i32x4_shuffle(wasm_i64x2_shl(first, 1), wasm_i64x2_shl(second, 1), 1, 3, 5, 7);
}

/* tl_rounding_shift of |x| < 2^31 - 2^(n - 1). */
INLINE D rounding_shift(D x, uint32_t n)
{
    const D half = splat32((int32_t)((uint32_t)1 << n >> 1)), below = and_(srai32(x, 31), splat32(n != 0 ? -1 : 0));
    return shr32(add32(add32(x, half), below), n);
}

/* 2 * 32640 * 32768 < 2^31: a pair never overflows. */
INLINE D dot_words(D acc, W a, W b)
{
    return add32(acc, madd(a, b));
}

INLINE int32_t total(D v)
{
    const D sum = add32(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
    return wasm_i32x4_extract_lane(sum, 0) + wasm_i32x4_extract_lane(sum, 1);
}

#define NODE(nodes, index, lane) ((nodes) + wasm_i32x4_extract_lane(index, lane))

/* n[i] in the lower and n[i + 1] in the upper word of each lane. */
INLINE D node_pairs(const int16_t nodes[257], D index)
{
    v128_t pairs = wasm_v128_load32_zero(NODE(nodes, index, 0));
    pairs = wasm_v128_load32_lane(NODE(nodes, index, 1), pairs, 1);
    pairs = wasm_v128_load32_lane(NODE(nodes, index, 2), pairs, 2);
    return wasm_v128_load32_lane(NODE(nodes, index, 3), pairs, 3);
}

#endif
