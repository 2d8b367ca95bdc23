/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The sums of the float32 kernels with vectors. Beside what tl_tiles_f32.h says, a target's file defines:
 *   X, spread(v)              an activation as multiply_x wants it
 *   multiply_x(a, x, c)       a x + c
 *   total(v)                  the sum of the lanes */
#ifndef TL_DOT_F32_H
#define TL_DOT_F32_H

#include "tl_f32.h"
#include "tl_inline.h"

/* acc[section][vector] += tile column times v[k]; bit s of `sections` is set where the columns have section s.
 * Returns what lies behind the columns. */
INLINE const float *dot(V acc[4 * VECTORS], const float *w, const float *v, uint32_t n, const uint32_t sections)
{
    for (uint32_t k = 0; k < n; k++) {
        const X x = spread(v[k]);
        UNROLL for (uint32_t i = 0; i < 4 * VECTORS; i++) {
            if (sections >> (i / VECTORS) & 1u) {
                acc[i] = multiply_x(LOAD(w), x, acc[i]);
                w += LANES;
            }
        }
    }
    return w;
}

static inline void dense(float *y, const float *h, const tl_dense_f32 *p)
{
    const uint32_t n = p->inputs;
    for (uint32_t row = 0; row < p->outputs; row++) {
        const float *w = p->w + row * n;
        V sum = ALL(0.0f);
        for (uint32_t k = 0; k < n; k += LANES) {
            sum = multiply_add(load_units(w + k, n - k), load_units(h + k, n - k), sum);
        }
        y[row] = p->b[row] + total(sum);
    }
}

#endif
