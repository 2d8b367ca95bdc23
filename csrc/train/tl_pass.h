/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the recurrent layers share. */
#ifndef TL_PASS_H
#define TL_PASS_H

#include "tl_gemm.h"
#include "tl_simd.h"
#include "tl_train.h"

#define TL_EACH(b, batch) for (ptrdiff_t b = 0; b < (batch); b += TL_LANES)

static inline ptrdiff_t columns_of(const tl_pass *p)
{
    return p->hidden + p->inputs + 1;
}

/* to [rows][batch] = from * keep [batch] * mask [rows][batch], each of which may be NULL. */
static inline void masked(float *to, const float *from, ptrdiff_t rows, ptrdiff_t batch, const float *keep,
                          const float *mask)
{
    for (ptrdiff_t at = 0; at < rows * batch; at += batch) {
        TL_EACH(b, batch) {
            V v = load(from + at + b);
            if (mask) {
                v *= load(mask + at + b);
            }
            if (keep) {
                v *= load(keep + b);
            }
            store(to + at + b, v);
        }
    }
}

static inline const float *keep_of(const tl_pass *p, ptrdiff_t t)
{
    return p->keep ? p->keep + t * p->batch : NULL;
}

/* The rows of h of the joined column of step t. Returns the column. */
static inline float *feed(const tl_pass *p, ptrdiff_t t)
{
    float *joined = p->joined + t * columns_of(p) * p->batch;
    masked(joined, p->h + t * p->hidden * p->batch, p->hidden, p->batch, keep_of(p, t), p->recurrent);
    return joined;
}

static inline const float *dy_of(const tl_pass *p, ptrdiff_t t)
{
    return t < p->dy_first ? NULL : p->dy + t * p->hidden * p->batch;
}

/* a + b at one place; b may be NULL. */
static inline V plus(const float *a, const float *b, ptrdiff_t at)
{
    V sum = load(a + at);
    if (b) {
        sum += load(b + at);
    }
    return sum;
}

/* dw [rows][n] += the gradient by dz [steps][rows][batch] and the first n of the x_rows rows of x [steps][x_rows][batch],
 * for the steps t .. t + TL_DEPTH / batch - 1 when t is the first of such a group: they are still in a cache then. */
static inline void weights_of(const tl_pass *p, ptrdiff_t t, const float *dz, ptrdiff_t rows, const float *x,
                              ptrdiff_t x_rows, ptrdiff_t n, float *dw, ptrdiff_t dw_rows)
{
    const ptrdiff_t together = TL_DEPTH / p->batch, now = p->steps - t < together ? p->steps - t : together;
    if (t % together == 0) {
        const tl_matrix a = {dz + t * rows * p->batch, p->batch, 1, rows * p->batch};
        const tl_matrix b = {x + t * x_rows * p->batch, p->batch, 1, x_rows * p->batch};
        tl_outer(rows, n, p->batch, now, a, b, dw, dw_rows, p->turned);
    }
}

static inline void swap(float **a, float **b)
{
    float *other = *a;
    *a = *b;
    *b = other;
}

#endif
