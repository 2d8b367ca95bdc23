/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kernels for RV32IM: a load of a byte extends its sign, so that rows need no packing; 31 registers hold eight sums. */
#ifndef TL_RV32_H
#define TL_RV32_H

#include "tl_kernels.h"

/* An LSTM layer, two hidden units a block: per column the rows i, f, g, o of one unit and of the next. The second unit
 * of the last block is zeros where `hidden` is odd. Ranges and the proof that no sum overflows: tl_lstm_w8a16. */
typedef struct tl_lstm_w8a16_rv32 {
    const int8_t *wh;    /* [blocks][hidden][8] */
    const int16_t *wx16; /* [blocks][inputs][8], or NULL */
    const int8_t *wx8;   /* the same: exactly one of the two */
    const int32_t *bm;   /* [2 * blocks][8]: b of i, f, g, o, then m * 2^(16 - t) of each */
    uint16_t inputs, hidden, units; /* units of a slice: whole blocks, or all that are left */
    uint8_t f, frac; /* as tl_lstm_w8a16 */
} tl_lstm_w8a16_rv32;

/* A GRU layer with reset after: the same blocks, of the rows r, z, n of one unit and of the next. */
typedef struct tl_gru_w8a16_rv32 {
    const int8_t *wh;    /* [blocks][hidden][6] */
    const int16_t *wx16; /* [blocks][inputs][6], or NULL */
    const int8_t *wx8;   /* the same: exactly one of the two */
    const int32_t *bm;   /* [2 * blocks][7]: b of r, z, nx, nh, then m * 2^(16 - t) of r and z, m * 2^16 of n */
    uint16_t inputs, hidden, units; /* as above */
    uint16_t first; /* as tl_gru_w8a16 */
    uint8_t f, t;
} tl_gru_w8a16_rv32;

#ifdef __cplusplus
extern "C" {
#endif

/* One step, the bits of tl_lstm_step_w8a16_ref. h_new must not overlap h, c or x. No alignment beyond int16_t's. */
TL_KERNEL void tl_lstm_step_w8a16_rv32(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                       const tl_lstm_w8a16_rv32 *p);

/* The same of tl_gru_step_w8a16_ref with reset_after; `reset` is not touched. */
TL_KERNEL void tl_gru_step_w8a16_rv32(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                      const tl_gru_w8a16_rv32 *p);

/* As tl_dense_w16a16_ref, on the same parameters. */
TL_KERNEL void tl_dense_w16a16_rv32(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
