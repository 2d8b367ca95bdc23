/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Contracts of the target `dsp_size`: the cores of `dsp`, an LSTM step in a fifth of its code and half its tables. */
#ifndef TL_DSP_SIZE_H
#define TL_DSP_SIZE_H

#include "tl_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM layer as one stream of words, unit after unit; toolkit/codegen/pack_dsp_size.py writes it:
 *   inputs: per pair of columns, with int16 weights a word each of i, f, g, o; with int8 two words as for h
 *   b of i, f, g, o
 *   h: per pair of columns k, k + 1 the bytes i[k] f[k] i[k + 1] f[k + 1], then of g and o
 *   m of o, f, i, g, int16
 * Weights beyond the last column are 0. */
typedef struct tl_lstm_w8a16_dsp_size {
    const uint32_t *w;
    uint16_t inputs, hidden;
    uint16_t units; /* that a call computes, as in tl_lstm_w8a16 */
    uint8_t wide;   /* 1: int16 input weights */
    uint8_t t;      /* shift of the requantization, 0 .. 15 */
    uint8_t f;      /* shift of the input sum, 0 .. 15 */
    uint8_t cell;   /* shift of i g: 15 - frac, 3 .. 15 */
} tl_lstm_w8a16_dsp_size;

/* Meaning, ranges and proofs as tl_lstm_step_w8a16_ref. x, h, c and h_new may lie on any even address. */
TL_KERNEL void tl_lstm_step_w8a16_dsp_size(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                           const tl_lstm_w8a16_dsp_size *p);

#ifdef __cplusplus
}
#endif
#endif
