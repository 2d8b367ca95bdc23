/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* WebAssembly with 128-bit SIMD: two rows of int8 weights share a 16-bit word and meet pairs of activations in
 * i32x4.dot_i16x8_s. Multipliers m come as m << 16, those of `requantize` as m << (16 - t). */
#include "tl_tables.h"
#include "tl_wasm.h"
#include "tl_wasm_simd128.h"

#define ACTIVATION int16_t

INLINE W load_x(const int16_t *p, uint32_t n)
{
    return n > 1 ? wasm_v128_load32_splat(p) : wasm_i32x4_splat((uint16_t)p[0]);
}

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

#include "tl_tiles_madd.h"
#include "tl_tiles_words.h"
#include "tl_words.h"
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
