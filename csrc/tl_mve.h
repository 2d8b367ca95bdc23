/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Contracts of the target `mve`: Cortex-M55, M85 and others with Helium. Layout: toolkit/codegen/pack_mve.py. */
#ifndef TL_MVE_H
#define TL_MVE_H

#include "tl_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A recurrent layer. Weights lie in the order of their use: 8 units at a time, one gate after the other, 4 units at a
 * time (the last ones padded with 0), and of these, per 8 columns (the last ones padded with 0), 8 of each unit. With
 * int8 input weights those stand in w8, in front of the recurrent ones.
 * bm, in the same order, per gate of 8 units: biases, then multipliers of the even units, then of the odd ones, padded
 * with 0. A multiplier is m * 2^(16 - t), so that the upper half of its product with a sum is mulw(sum, m) >> t. */

/* An LSTM layer: gates i, f, g, o. */
typedef struct tl_lstm_w8a16_mve {
    const int8_t *w8;
    const int16_t *wx16; /* or NULL: int8 input weights */
    const int32_t *bm;
    uint16_t inputs, hidden;
    uint16_t units;  /* as in tl_lstm_w8a16: whole blocks of 8, but for the last ones */
    uint8_t f, frac; /* as in tl_lstm_w8a16 */
} tl_lstm_w8a16_mve;

/* Meaning, ranges, aliasing and bits as tl_lstm_step_w8a16_ref. */
TL_KERNEL void tl_lstm_step_w8a16_mve(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                      const tl_lstm_w8a16_mve *p);

/* A GRU layer. Reset after: r, z, nx (input weights only) and nh (recurrent ones only), whose multipliers are m * 2^16:
 * the shift by t comes behind their sum. Reset before: r of all units, then z, n. */
typedef struct tl_gru_w8a16_mve {
    const int8_t *w8;
    const int16_t *wx16; /* or NULL: int8 input weights */
    const int32_t *bm;
    uint16_t inputs, hidden;
    uint16_t units, first; /* as in tl_gru_w8a16: whole blocks of 8, but for the last ones */
    uint8_t t, f, reset_after; /* as in tl_gru_w8a16 */
} tl_gru_w8a16_mve;

/* Meaning, ranges, aliasing and bits as tl_gru_step_w8a16_ref. */
TL_KERNEL void tl_gru_step_w8a16_mve(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                     const tl_gru_w8a16_mve *p);

/* Meaning, layout and bits as tl_dense_w16a16_ref. */
TL_KERNEL void tl_dense_w16a16_mve(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
