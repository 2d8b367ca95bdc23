/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A dense layer that is not the head: contract and parameters. */
#ifndef TL_HIDDEN_H
#define TL_HIDDEN_H

#include "tl_kernels.h"

enum { TL_LINEAR, TL_RELU, TL_TANH, TL_SIGMOID };

/* h' = function(W x + b). tanh and sigmoid take z in Q3.12; for the others z is h' before it is clamped. */
typedef struct tl_dense_hidden_w16a16 {
    const int16_t *w; /* [outputs][inputs] */
    const int32_t *b; /* [outputs], carries the rounding of the requantization */
    const int16_t *m; /* [outputs], 1 .. 32767 */
    uint16_t inputs;
    uint16_t units;   /* that a call computes: the outputs; fewer in a slice, whose pointers point to its first unit */
    uint8_t t;        /* shift of the requantization, 0 .. 15 */
    uint8_t function; /* TL_LINEAR .. TL_SIGMOID */
} tl_dense_hidden_w16a16;

/* h_new [units] <- x [inputs]; |x|, |h_new| <= 32640. They must not overlap.
 * Proven per row: 32640 * sum|w| + |b| < 2^31, so that no partial sum overflows int32. */
TL_KERNEL void tl_dense_hidden_w16a16_ref(int16_t *h_new, const int16_t *x, const tl_dense_hidden_w16a16 *p);

#endif
