/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The LSTM with layer normalisation: contract and parameters. 32-bit operations only, no division. */
#ifndef TL_NORM_H
#define TL_NORM_H

#include "tl_kernels.h"

/* gates = LN(W x + bx) + U h + b; c = LN(f c + i g); h = LN(o tanh(c)). Rows in gate order i, f, g, o. */
typedef struct tl_lstm_norm_w8a16 {
    const int16_t *wx; /* [4 * hidden][inputs], one scale for all rows */
    const int32_t *bx; /* [4 * hidden] */
    const int8_t *wh;  /* [4 * hidden][hidden] */
    const int32_t *b;  /* [4 * hidden], with the offset of LN(W x + bx) and the rounding of the requantization */
    const int16_t *m;  /* [4 * hidden], 1 .. 32767 */
    const int16_t *gx; /* [4 * hidden] gains of the three norms: what a step of u, Q3.12, is in gate inputs, c and h */
    const int16_t *gc; /* [hidden] */
    const int16_t *gh; /* [hidden] */
    const int16_t *oc; /* [hidden] offsets, in steps of c and h */
    const int16_t *oh; /* [hidden] */
    uint16_t inputs, hidden;
    int16_t exm, ecm, ehm; /* epsilon of each norm, m * 2^e in steps of its values squared: m in 2^14 .. 2^15 */
    int8_t exe, ece, ehe;
    int16_t rx, rh;     /* 2^(k + 14) / n of the norms over n = 4 * hidden and n = hidden values */
    uint8_t kx, kh;     /* 2^k: the power of two from n on */
    uint8_t sx, sc, sh; /* shifts of the gains, 1 .. 30 */
    uint8_t t;          /* shift of the requantization, 0 .. 15 */
    uint8_t frac;       /* fractional bits of c, 0 .. 12 */
} tl_lstm_norm_w8a16;

/* One step. h_new [hidden] <- h [hidden], c [hidden] (updated), x [inputs]; |h|, |x| <= 32640. work [4 * hidden]: scratch.
 * h_new overlaps none of the others. Proven per row: 32640 sum|wh| + |b| < 2^31, 32640 sum|wx| + |bx| < 2^30. */
TL_KERNEL void tl_lstm_norm_step_w8a16_ref(int16_t *h_new, int16_t *c, int32_t *work, const int16_t *h, const int16_t *x,
                                           const tl_lstm_norm_w8a16 *p);

#endif
