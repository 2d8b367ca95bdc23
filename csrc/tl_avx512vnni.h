/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* x86-64 with AVX-512 F, BW, VL and VNNI. Layout: tl_tiled.h. */
#ifndef TL_AVX512VNNI_H
#define TL_AVX512VNNI_H

#include "tl_tiled.h"

#ifdef __cplusplus
extern "C" {
#endif

/* LANES 16, blocks of 32 units. A tile of w8 is a quad of columns: [half][lane][column]. b: bias - 32768 * sum w8 of
 * the row; m from 1 to 32767. Arrays are best aligned to 64 bytes. */
typedef tl_lstm_w8a16_tiled tl_lstm_w8a16_avx512vnni;
typedef tl_gru_w8a16_tiled tl_gru_w8a16_avx512vnni;

/* The meaning, the ranges and the bits of tl_<op>_ref. The dense layer has ref's layout. */
TL_KERNEL void tl_lstm_step_w8a16_avx512vnni(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                             const tl_lstm_w8a16_avx512vnni *p);
TL_KERNEL void tl_gru_step_w8a16_avx512vnni(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                            const tl_gru_w8a16_avx512vnni *p);
TL_KERNEL void tl_dense_w16a16_avx512vnni(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
