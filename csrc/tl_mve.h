/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Contracts of the target `mve`: Cortex-M55, M85 and others with Helium. Layout: toolkit/codegen/pack_mve.py. */
#ifndef TL_MVE_H
#define TL_MVE_H

#include "tl_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM layer, its weights in the order of their use: per unit, per group of 8 columns, 8 of each row i, f, g, o.
 * A last group is padded with 0. Biases and multipliers come in blocks of 8 units, padded with 0. */
typedef struct tl_lstm_w8a16_mve {
    const int8_t *w8;    /* [hidden][groups of the inputs, with int8 input weights only, then groups of h][gate][8] */
    const int16_t *wx16; /* [hidden][groups of the inputs][gate][8], or NULL: int8 input weights */
    const int32_t *bm;   /* [block][gate][half][bias, multiplier * 2^(16 - t)][4] */
    uint16_t inputs, hidden;
    uint8_t f, frac; /* as in tl_lstm_w8a16 */
} tl_lstm_w8a16_mve;

/* Meaning, ranges, aliasing and bits as tl_lstm_step_w8a16_ref. */
TL_KERNEL void tl_lstm_step_w8a16_mve(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                      const tl_lstm_w8a16_mve *p);

/* Meaning, layout and bits as tl_dense_w16a16_ref. */
TL_KERNEL void tl_dense_w16a16_mve(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
