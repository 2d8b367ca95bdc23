/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A dense layer from int8 to int8, as TFLite's FULLY_CONNECTED: contract and parameters. */
#ifndef TL_DENSE_W8A8_H
#define TL_DENSE_W8A8_H

#include "tl_w8a8.h"

/* h' = clamp(round((W x + b) m 2^(s - 31)) + h_zero). */
typedef struct tl_dense_w8a8 {
    const int8_t *w;  /* [outputs][inputs] */
    const int32_t *b; /* [outputs], carries the zero point of x */
    const int32_t *m; /* [outputs], 0 .. 2^31 - 1 */
    const int8_t *s;  /* [outputs], -31 .. 0 */
    uint16_t inputs;
    uint16_t units; /* that a call computes: the outputs; fewer in a slice, whose pointers point to its first unit */
    int8_t h_zero, low, high;
} tl_dense_w8a8;

/* h_new [units] <- x [inputs]; they must not overlap.
 * Proven per row: 128 * sum|w| + |b| < 2^31, so that no partial sum overflows int32. */
TL_KERNEL void tl_dense_w8a8_ref(int8_t *h_new, const int8_t *x, const tl_dense_w8a8 *p);

#endif
