/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The dense layer of the cores without DSP instructions: eight columns a turn. */
#ifndef TL_DENSE_UNROLLED_H
#define TL_DENSE_UNROLLED_H

#include "tl_kernels.h"

/* A leaf: sum + w v over n columns. */
#ifndef TL_OWN_DOT /* else the file that includes this one defines it */
static inline int32_t tl_dot(const int16_t *w, const int16_t *v, uint32_t n, int32_t sum)
{
    const int16_t *end = v + (n & ~7u);
    for (; v != end; v += 8, w += 8) {
        sum += w[0] * v[0];
        sum += w[1] * v[1];
        sum += w[2] * v[2];
        sum += w[3] * v[3];
        sum += w[4] * v[4];
        sum += w[5] * v[5];
        sum += w[6] * v[6];
        sum += w[7] * v[7];
    }
    for (end += n & 7; v != end; v++, w++) {
        sum += *w * *v;
    }
    return sum;
}
#endif

static inline void tl_dense_unrolled(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    const int16_t *w = p->w;
    const uint32_t inputs = p->inputs, outputs = p->outputs;
    for (uint32_t row = 0; row < outputs; row++, w += inputs) {
        y[row] = tl_dot(w, h, inputs, p->b[row]);
    }
}

#endif
