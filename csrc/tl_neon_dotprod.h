/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AArch64 with Advanced SIMD and the dot product of Armv8.2. Layout: tl_tiled.h. */
#ifndef TL_NEON_DOTPROD_H
#define TL_NEON_DOTPROD_H

#include "tl_tiled.h"

#ifdef __cplusplus
extern "C" {
#endif

/* LANES 4, blocks of 8 units. A tile of w8 is a quad of columns: [half][lane][column]; of wx16, one column.
 * b: bias + 128 * sum w8 of the row. m: multiplier << (15 - t), or << 15 where tl_tiled.h says so. */
typedef tl_lstm_w8a16_tiled tl_lstm_w8a16_neon_dotprod;
typedef tl_gru_w8a16_tiled tl_gru_w8a16_neon_dotprod;

/* The meaning, the ranges and the bits of tl_<op>_ref. The dense layer has ref's layout. */
TL_KERNEL void tl_lstm_step_w8a16_neon_dotprod(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                               const tl_lstm_w8a16_neon_dotprod *p);
TL_KERNEL void tl_gru_step_w8a16_neon_dotprod(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                              const tl_gru_w8a16_neon_dotprod *p);
TL_KERNEL void tl_dense_w16a16_neon_dotprod(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
