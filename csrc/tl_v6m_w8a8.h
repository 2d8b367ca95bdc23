/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The targets `v6m` and `v7m`, scheme w8a8. */
#ifndef TL_V6M_W8A8_H
#define TL_V6M_W8A8_H

#include "tl_w8a8.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM layer; the activations are those of the table. `w` is one stream; per hidden unit:
 *     a column of x  i << 24 | (f + 128) << 16 | (g + 128) << 8 | (o + 128)
 *     the biases of i, f, g, o in the input's part
 *     a column of h, four biases: the same of the recurrent part
 * Each row must satisfy (128 sum|w| + |b|) << max(s, 0) < 2^30. */
typedef struct tl_lstm_w8a8_v6m {
    const uint32_t *w; /* [hidden][inputs + 4 + hidden + 4] */
    const int32_t *m;  /* [9][4]: tl_unit_w8a8; in the order of tl_lstm_w8a8 */
    uint16_t inputs, hidden;
    uint16_t units; /* the rest as in tl_lstm_w8a8 */
    int16_t clip;
    int8_t h_zero;
    uint8_t bits;
} tl_lstm_w8a8_v6m;

/* The meaning and the bits of tl_lstm_step_w8a8_ref. */
TL_KERNEL void tl_lstm_step_w8a8_v6m(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x,
                                     const tl_lstm_w8a8_v6m *p);
TL_KERNEL void tl_lstm_step_w8a8_v7m(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x,
                                     const tl_lstm_w8a8_v6m *p);

#ifdef __cplusplus
}
#endif
#endif
