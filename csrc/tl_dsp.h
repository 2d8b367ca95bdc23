/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Contracts of the target `dsp`: Cortex-M4, M7 and M33 with the DSP extension. */
#ifndef TL_DSP_H
#define TL_DSP_H

#include "tl_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A recurrent layer as one stream of words, unit after unit; toolkit/codegen/pack_dsp.py writes it:
 *   kind 0 (int8 input weights):   4 starts, groups of x, groups of h, 4 multipliers
 *   kind 1 (one int16 input):      4 starts, groups of h, 4 weights * 2^(16 - f), 4 multipliers
 *   kind 2 (several int16 inputs): pairs (words of I, F, G, O per two columns), 4 starts, groups of h, 4 multipliers
 * Four words are those of I, F, G, O; of a GRU those of z, r, n with x, n with h. A group is four columns k .. k+3 of
 * four rows: F,I of k and k+1; F,I of k+2 and k+3; then O,G the same. Each half-word is 256 * (first row) + (second
 * row + 128). In a GRU's group r,z stand for F,I, and then there is one word of n: bytes k, k+2, k+1, k+3. Weights
 * beyond the last column are 0. Starts: b - sum(w0 w2) for F and O (pairs of columns of a group: 0 and 2, 1 and 3),
 * b(I) + 256 b(F), b(G) + 256 b(O); for the two n b. Multipliers: m * 2^(16 - t), so that the high word of
 * sum * multiplier is mulw(sum, m) >> t; for the two n m * 2^16.
 * Without reset_after a GRU is three such streams, of gates r, n, z: four units of one gate stand for I, F, G, O. */
typedef struct tl_cell_w8a16_dsp {
    const uint32_t *w;
    /* made for the layer's shape by tl_dsp_layer.h; returns what stands behind the weights that it read. NULL on a
     * host, which has a twin for every shape */
    const uint32_t *(*step)(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                            const struct tl_cell_w8a16_dsp *p);
    uint16_t inputs, hidden;
    uint16_t units; /* that a call computes, as in tl_lstm_w8a16 */
    uint16_t first; /* of a GRU: the first of these units */
    uint8_t kind;
    uint8_t f;     /* shift of the input sum, 0 .. 15 */
    uint8_t shift; /* frac of an LSTM, 0 .. 12; t of a GRU, 0 .. 15 */
    uint8_t reset_after; /* of a GRU */
} tl_cell_w8a16_dsp;

typedef tl_cell_w8a16_dsp tl_lstm_w8a16_dsp;
typedef tl_cell_w8a16_dsp tl_gru_w8a16_dsp;

/* Meaning, ranges and proofs as tl_lstm_step_w8a16_ref; sums wrap modulo 2^32, their true results fit. x, h, c and
 * h_new may lie on any even address; with x and h on a multiple of 4 the loads are faster. */
TL_KERNEL void tl_lstm_step_w8a16_dsp(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                      const tl_lstm_w8a16_dsp *p);

/* As tl_gru_step_w8a16_ref. */
TL_KERNEL void tl_gru_step_w8a16_dsp(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                     const tl_gru_w8a16_dsp *p);

/* What `step` keeps on its stack; tl_dsp_layer.h knows the offsets. The last four are its arguments. */
typedef struct tl_dsp_context {
    uint32_t low, high;             /*  0  4  added to the sums of I, G and of F, O */
    const uint32_t *sigmoid, *tanh; /*  8 12  the middle of the tables */
    const int16_t *c_end;           /* 16 */
    uintptr_t h_new;                /* 20  then bytes from c[u + 1] to h_new[u] */
    int16_t *c;                     /* 24  of a GRU h, from the first unit on */
    const int16_t *h;               /* 28 */
    const int16_t *x;               /* 32  with kind 1 then the input itself */
} tl_dsp_context;

/* Fills the context from its last four. Returns the weights. `used`: only assembly calls it. */
__attribute__((used)) TL_KERNEL const uint32_t *tl_dsp_prepare(tl_dsp_context *t, const tl_cell_w8a16_dsp *p);

/* As tl_dense_w16a16_ref, on the same parameters. */
TL_KERNEL void tl_dense_w16a16_dsp(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
