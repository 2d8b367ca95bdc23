/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Contracts of the target `mve`: Cortex-M55, M85 and others with Helium. Layout: toolkit/codegen/pack_mve.py. */
#ifndef TL_MVE_H
#define TL_MVE_H

#include "tl_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM layer. Weights in the order of their use: per unit, per group of 8 columns, 8 of each row i, f, g, o; the last
 * group is padded with 0. Biases and multipliers: per block of 8 units and per row b, m of the units 0, 2, 4, 6, then b,
 * m of the units 1, 3, 5, 7; the last block is padded with 0. A multiplier is m * 2^(16 - t), so that the upper half of
 * its product with a sum is mulw(sum, m) >> t. */
typedef struct tl_lstm_w8a16_mve {
    const int8_t *w8;    /* [hidden][groups of the inputs, with int8 input weights only, then groups of h][4][8] */
    const int16_t *wx16; /* [hidden][groups of the inputs][4][8], or NULL: int8 input weights */
    const int32_t *bm;   /* [blocks][4][2][b, m][4] */
    uint16_t inputs, hidden;
    uint16_t units;  /* as in tl_lstm_w8a16: whole blocks, but for the last ones */
    uint8_t f, frac; /* as in tl_lstm_w8a16 */
} tl_lstm_w8a16_mve;

/* Meaning, ranges, aliasing and bits as tl_lstm_step_w8a16_ref. */
TL_KERNEL void tl_lstm_step_w8a16_mve(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                      const tl_lstm_w8a16_mve *p);

/* A GRU layer with reset after: as the LSTM layer, with the rows r, z, n; biases and multipliers of r, z, nx, nh. Those
 * of nx and nh are m * 2^16: their shift by t comes behind their sum. */
typedef struct tl_gru_w8a16_mve {
    const int8_t *w8;    /* [hidden][groups of the inputs, with int8 input weights only, then groups of h][3][8] */
    const int16_t *wx16; /* [hidden][groups of the inputs][3][8], or NULL: int8 input weights */
    const int32_t *bm;   /* [blocks][4][2][b, m][4] */
    uint16_t inputs, hidden;
    uint16_t units, first; /* as in tl_gru_w8a16: whole blocks, but for the last ones */
    uint8_t t, f;          /* as in tl_gru_w8a16 */
} tl_gru_w8a16_mve;

/* Meaning, ranges, aliasing and bits as tl_gru_step_w8a16_ref with reset after; `reset` is not used. */
TL_KERNEL void tl_gru_step_w8a16_mve(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                     const tl_gru_w8a16_mve *p);

/* Meaning, layout and bits as tl_dense_w16a16_ref. */
TL_KERNEL void tl_dense_w16a16_mve(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
