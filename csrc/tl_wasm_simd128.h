/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* WebAssembly with 128-bit SIMD. Layout: tl_tiled.h. */
#ifndef TL_WASM_SIMD128_H
#define TL_WASM_SIMD128_H

#include "tl_tiled.h"

#ifdef __cplusplus
extern "C" {
#endif

/* LANES 4, blocks of 8 units. A tile of w8 is a pair of columns as 4 words of 256 * (weight of half 0) + (weight of
 * half 1) + 128: [lane][column][half 1, half 0]. b as it is. m: multiplier << (16 - t), or << 16 where tl_tiled.h says
 * so. */
typedef tl_lstm_w8a16_tiled tl_lstm_w8a16_wasm_simd128;
typedef tl_gru_w8a16_tiled tl_gru_w8a16_wasm_simd128;

/* The meaning, the ranges and the bits of tl_<op>_ref. The dense layer has ref's layout. */
TL_KERNEL void tl_lstm_step_w8a16_wasm_simd128(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                               const tl_lstm_w8a16_wasm_simd128 *p);
TL_KERNEL void tl_gru_step_w8a16_wasm_simd128(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                              const tl_gru_w8a16_wasm_simd128 *p);
TL_KERNEL void tl_dense_w16a16_wasm_simd128(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
