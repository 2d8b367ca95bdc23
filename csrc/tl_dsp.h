/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Contracts of the target `dsp`: Cortex-M4, M7 and M33 with the DSP extension. */
#ifndef TL_DSP_H
#define TL_DSP_H

#include "tl_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM layer as one stream of words, unit after unit; toolkit/codegen/pack_dsp.py writes it:
 *   kind 0 (int8 input weights):   4 starts, groups of x, groups of h, 4 multipliers
 *   kind 1 (one int16 input, f>0): weights of I, F and of G, O in two words, 4 starts, groups of h, 4 multipliers
 *   kind 2 (other int16 inputs):   pairs (words of I, F, G, O per two columns), 4 starts, groups of h, 4 multipliers
 * A group is four columns k .. k+3 of four rows: F,I of k and k+1; F,I of k+2 and k+3; then O,G the same. Each
 * half-word is 256 * (first row) + (second row + 128). Weights beyond the last column are 0, and when the number of
 * columns is no multiple of the group the incomplete group stands first: nothing is read behind x or h.
 * Starts: b - sum(w0 w2) for F and O (pairs of columns of a group: 0 and 2, 1 and 3); for I and G what they lack, see
 * pack_dsp.py. Multipliers: m * 2^(16 - t), so that the high word of sum * multiplier is mulw(sum, m) >> t. */
typedef struct tl_lstm_w8a16_dsp {
    const uint32_t *w;
    uint32_t words;          /* in w */
    uint16_t inputs, hidden;
    uint16_t x_more, h_more; /* bytes of x and h between the first and the last pass of the unrolled loop */
    uint8_t x_skip, h_skip;  /* groups or pairs that its first pass skips */
    uint8_t kind;            /* 0: int8 input weights; 1: one int16 input, f > 0; 2: other int16 inputs */
    uint8_t f;               /* shift of the input sum, 0 .. 15; with f = 1 the input weights are stored negated */
    uint8_t frac;            /* fractional bits of c, 0 .. 12 */
} tl_lstm_w8a16_dsp;

/* Meaning, ranges and proofs as tl_lstm_step_w8a16_ref; sums wrap modulo 2^32, their true results fit. x, h, c and
 * h_new may lie on any even address; with x and h on a multiple of 4 the loads are faster. */
TL_KERNEL void tl_lstm_step_w8a16_dsp(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                      const tl_lstm_w8a16_dsp *p);

/* As tl_dense_w16a16_ref, on the same parameters. */
TL_KERNEL void tl_dense_w16a16_dsp(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
