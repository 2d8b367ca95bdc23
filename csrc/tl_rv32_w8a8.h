/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The target `rv32`, scheme w8a8. */
#ifndef TL_RV32_W8A8_H
#define TL_RV32_W8A8_H

#include "tl_w8a8.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM layer, two hidden units a block as in tl_rv32.h; the activations are those of the table. Each row must
 * satisfy (128 sum|w| + |b|) << max(s, 0) < 2^30. */
typedef struct tl_lstm_w8a8_rv32 {
    const int8_t *w;  /* [blocks][inputs + hidden][8] */
    const int32_t *b; /* [blocks][2][8]: of the input's part, of the recurrent one */
    const int32_t *m; /* [9][4]: tl_unit_w8a8; in the order of tl_lstm_w8a8 */
    uint16_t inputs, hidden;
    uint16_t units; /* of a slice: whole blocks, or all that are left */
    int16_t clip;   /* the rest as in tl_lstm_w8a8 */
    int8_t h_zero;
    uint8_t bits;
} tl_lstm_w8a8_rv32;

/* The meaning and the bits of tl_lstm_step_w8a8_ref. */
TL_KERNEL void tl_lstm_step_w8a8_rv32(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x,
                                      const tl_lstm_w8a8_rv32 *p);

#ifdef __cplusplus
}
#endif
#endif
