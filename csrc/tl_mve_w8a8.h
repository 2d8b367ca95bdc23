/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The target `mve`, scheme w8a8. Layout of the weights: toolkit/codegen/pack_mve_w8a8.py. */
#ifndef TL_MVE_W8A8_H
#define TL_MVE_W8A8_H

#include "tl_w8a8.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM layer; the activations are those of the table. In the order of their use: 8 units at a time, gates i, f, g,
 * o, 4 units at a time (the last ones padded with 0), and of these first the input's part, then the recurrent one.
 * w: per 16 columns (the last ones padded with 0) 16 of each unit; b: one of each unit. */
typedef struct tl_lstm_w8a8_mve {
    const int8_t *w;
    const int32_t *b;
    const int32_t *m; /* the rest as in tl_lstm_w8a8 */
    const int8_t *s;
    uint16_t inputs, hidden;
    uint16_t units; /* that a call computes: hidden; a slice is whole blocks of 8, or all that are left */
    int16_t clip;
    int8_t h_zero;
    uint8_t bits;
} tl_lstm_w8a8_mve;

/* The meaning, the ranges and the bits of tl_lstm_step_w8a8_ref. */
TL_KERNEL void tl_lstm_step_w8a8_mve(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x,
                                     const tl_lstm_w8a8_mve *p);

#ifdef __cplusplus
}
#endif
#endif
