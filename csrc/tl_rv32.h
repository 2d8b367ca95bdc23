/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kernels for RV32IM: a load of a byte extends its sign, so that rows need no packing; 31 registers hold eight sums. */
#ifndef TL_RV32_H
#define TL_RV32_H

#include "tl_kernels.h"

/* A recurrent layer in blocks of rows, of zeros behind the last: per column the weights of each. The sixteen rows of an
 * LSTM are i, f, g, o of a unit, of the next, .. The eight of a GRU are one gate of eight units. With reset_after
 * there are the blocks of r, of z, of n for eight units, and b and m of n twice, with the inputs and with the recurrent
 * columns. Else there are those of r for all units, then those of n, then those of z.
 * Ranges and the proof that no sum overflows: tl_lstm_w8a16, tl_gru_w8a16. */
typedef struct tl_cell_w8a16_rv32 {
    const int8_t *wh;    /* [blocks][hidden][rows] */
    const int16_t *wx16; /* [blocks][inputs][rows], or NULL */
    const int8_t *wx8;   /* the same: exactly one of the two */
    const int32_t *bm;   /* [blocks][2][rows]: b, then m * 2^(16 - t); with reset_after for n m * 2^16 */
    uint16_t inputs, hidden;
    uint16_t units; /* of a slice: whole blocks, or all that are left */
    uint16_t first; /* of a GRU: the first of these units */
    uint8_t f;      /* as tl_lstm_w8a16 */
    uint8_t frac;   /* of an LSTM */
    uint8_t t, reset_after; /* of a GRU */
} tl_cell_w8a16_rv32;

typedef tl_cell_w8a16_rv32 tl_lstm_w8a16_rv32;
typedef tl_cell_w8a16_rv32 tl_gru_w8a16_rv32;

#ifdef __cplusplus
extern "C" {
#endif

/* One step, the bits of tl_lstm_step_w8a16_ref. h_new must not overlap h, c or x. No alignment beyond int16_t's. */
TL_KERNEL void tl_lstm_step_w8a16_rv32(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                       const tl_lstm_w8a16_rv32 *p);

/* The same of tl_gru_step_w8a16_ref. */
TL_KERNEL void tl_gru_step_w8a16_rv32(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                      const tl_gru_w8a16_rv32 *p);

/* As tl_dense_w16a16_ref, on the same parameters. */
TL_KERNEL void tl_dense_w16a16_rv32(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
