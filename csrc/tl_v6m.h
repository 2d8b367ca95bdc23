/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kernels for Armv6-M: Cortex-M0, M0+, M1. No DSP instructions, no long multiply, eight registers that can compute.
 * tl_v7m.h takes the same layout. */
#ifndef TL_V6M_H
#define TL_V6M_H

#include "tl_kernels.h"

/* A recurrent layer in blocks of four rows, of which a word holds a column. `w` is one stream, read forwards; per
 * block, for its rows a, b, c, d:
 *     an int16 input column  (wide)      a << 16 | (b + 32768), c << 16 | (d + 32768)
 *     an int8 input column   (not wide)  a << 24 | (b + 128) << 16 | (c + 128) << 8 | (d + 128)
 *     a recurrent column                 the same
 *     b and m of a, of b, of d, of c: a word each
 * The rows of an LSTM are i, f, g, o of a hidden unit. Those of a GRU are one gate of four units, of zeros behind the
 * last. With reset_after there are four blocks for four units: r; z; n, of the inputs alone; n, of the recurrent
 * columns alone. Else there are those of r for all units, then those of n, then those of z.
 * Fields, ranges and the proof that no row's sum overflows: tl_lstm_w8a16 and tl_gru_w8a16 in tl_kernels.h. */
typedef struct tl_cell_w8a16_v6m {
    const uint32_t *w;
    uint16_t inputs, hidden;
    uint16_t units; /* that a call computes, as in tl_lstm_w8a16; of a GRU four times as many, or all that are left */
    uint16_t first; /* of a GRU: the first of these units */
    uint8_t wide;   /* 1: int16 input weights */
    uint8_t t, f;
    uint8_t frac;        /* of an LSTM */
    uint8_t reset_after; /* of a GRU */
} tl_cell_w8a16_v6m;

typedef tl_cell_w8a16_v6m tl_lstm_w8a16_v6m;
typedef tl_cell_w8a16_v6m tl_gru_w8a16_v6m;

#ifdef __cplusplus
extern "C" {
#endif

/* One step, the bits of tl_lstm_step_w8a16_ref. h_new must not overlap h, c or x. No alignment beyond int16_t's. */
TL_KERNEL void tl_lstm_step_w8a16_v6m(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                      const tl_lstm_w8a16_v6m *p);

/* One step, the bits of tl_gru_step_w8a16_ref; the same instructions whatever the numbers are. */
TL_KERNEL void tl_gru_step_w8a16_v6m(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                     const tl_gru_w8a16_v6m *p);

/* As tl_dense_w16a16_ref, on the same parameters. */
TL_KERNEL void tl_dense_w16a16_v6m(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
