/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The dense layer of the cores without DSP instructions: eight columns a turn. On Armv6-M it gains nothing: there the
 * offset of each load wants an instruction of its own. */
#ifndef TL_DENSE_UNROLLED_H
#define TL_DENSE_UNROLLED_H

#include "tl_kernels.h"

static inline void tl_dense_unrolled(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    const int16_t *w = p->w;
    const uint32_t inputs = p->inputs, outputs = p->outputs;
    for (uint32_t row = 0; row < outputs; row++) {
        const int16_t *v = h, *end = h + (inputs & ~7u);
        int32_t sum = p->b[row];
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
        for (end += inputs & 7; v != end; v++, w++) {
            sum += *w * *v;
        }
        y[row] = sum;
    }
}

#endif
