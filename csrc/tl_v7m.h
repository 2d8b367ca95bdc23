/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kernels for Armv7-M without DSP instructions: Cortex-M3. */
#ifndef TL_V7M_H
#define TL_V7M_H

#include "tl_v6m.h"

/* The layouts of tl_v6m.h, but for the multipliers: m * 2^(16 - t), and m * 2^16 for the two blocks of n. */
typedef tl_cell_w8a16_v6m tl_lstm_w8a16_v7m;
typedef tl_cell_w8a16_v6m tl_gru_w8a16_v7m;

#ifdef __cplusplus
extern "C" {
#endif

/* One step, the bits of tl_lstm_step_w8a16_ref. h_new must not overlap h, c or x. No alignment beyond int16_t's. */
TL_KERNEL void tl_lstm_step_w8a16_v7m(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                      const tl_lstm_w8a16_v7m *p);

/* The same of tl_gru_step_w8a16_ref. */
TL_KERNEL void tl_gru_step_w8a16_v7m(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                     const tl_gru_w8a16_v7m *p);

/* As tl_dense_w16a16_ref, on the same parameters. */
TL_KERNEL void tl_dense_w16a16_v7m(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
