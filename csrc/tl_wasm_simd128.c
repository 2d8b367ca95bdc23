/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* WebAssembly with 128-bit SIMD: two rows of int8 weights share a 16-bit word and meet pairs of activations in
 * i32x4.dot_i16x8_s. Multipliers m come as m << 16, those of `requantize` as m << (16 - t). */
#include <wasm_simd128.h>

#include "tl_inline.h"
#include "tl_wasm_simd128.h"

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
#define sub16 wasm_i16x8_sub
#define srai16 wasm_i16x8_shr
#define srli16 wasm_u16x8_shr
#define slli16 wasm_i16x8_shl
#define xor_ wasm_v128_xor
#define or_ wasm_v128_or
#define splat16 wasm_i16x8_splat
#define splat32 wasm_i32x4_splat
#define madd wasm_i32x4_dot_i16x8
#define narrow wasm_i16x8_narrow_i32x4
#define interleave_lo(a, b) wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define interleave_hi(a, b) wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define mul_round wasm_i16x8_q15mulr_sat

/* The upper words of the 64-bit products. */
INLINE D mulw(D a, D m)
{
    const v128_t first = wasm_i64x2_extmul_low_i32x4(a, m), second = wasm_i64x2_extmul_high_i32x4(a, m);
    return wasm_i32x4_shuffle(first, second, 1, 3, 5, 7);
}

INLINE void lift(W r, D *first, D *second)
{
    *first = interleave_lo(ZERO, r);
    *second = interleave_hi(ZERO, r);
}

INLINE W requantize(D first, D second, const int32_t *m, uint8_t t)
{
    (void)t; /* is in m */
    return narrow(mulw(first, LOAD32(m)), mulw(second, LOAD32(m + LANES)));
}

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

INLINE W load_x(const int16_t *p, uint32_t n)
{
    return n > 1 ? wasm_v128_load32_splat(p) : wasm_i32x4_splat((uint16_t)p[0]);
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

#include "tl_tiles_madd.h"
#include "tl_tiles_words.h"
#include "tl_tiles.h"

void tl_lstm_step_w8a16_wasm_simd128(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                     const tl_lstm_w8a16_wasm_simd128 *p)
{
    lstm_step(h_new, c, h, x, p);
}

void tl_gru_step_w8a16_wasm_simd128(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                    const tl_gru_w8a16_wasm_simd128 *p)
{
    gru_step(h_new, reset, h, x, p);
}

void tl_dense_w16a16_wasm_simd128(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    dense(y, h, p);
}
