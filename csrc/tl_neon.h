/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AArch64 with Advanced SIMD. Layout: tl_tiled.h. */
#ifndef TL_NEON_H
#define TL_NEON_H

#include "tl_tiled.h"

#ifdef __cplusplus
extern "C" {
#endif

/* LANES 4, blocks of 8 units. A tile of w8 is a pair of columns: [column][half][lane]; of wx16, one column.
 * b: bias - the sum of w0 w1 over the row's pairs of int8 columns. m: multiplier << (15 - t), or << 15 where tl_tiled.h
 * says so. */
typedef tl_lstm_w8a16_tiled tl_lstm_w8a16_neon;
typedef tl_gru_w8a16_tiled tl_gru_w8a16_neon;

/* The meaning, the ranges and the bits of tl_<op>_ref. The dense layer has ref's layout. */
TL_KERNEL void tl_lstm_step_w8a16_neon(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                       const tl_lstm_w8a16_neon *p);
TL_KERNEL void tl_gru_step_w8a16_neon(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                      const tl_gru_w8a16_neon *p);
TL_KERNEL void tl_dense_w16a16_neon(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
