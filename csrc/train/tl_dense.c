/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Dense layers, copies between layers, and the loss. */
#include "tl_pass.h"

void tl_dense_forward(const tl_dense *p)
{
    for (ptrdiff_t t = 0; t < p->steps; t++) {
        const tl_matrix w = {p->w, p->inputs + 1, 1, 0}, x = {p->joined + t * (p->inputs + 1) * p->batch, p->batch, 1, 0};
        tl_gemm(p->outputs, p->batch, p->inputs + 1, 1, w, x, p->y + t * p->outputs * p->batch, p->batch, false);
    }
}

void tl_dense_backward(const tl_dense *p)
{
    const tl_matrix x = {p->joined, p->batch, 1, (p->inputs + 1) * p->batch};
    const tl_matrix dy = {p->dy, p->batch, 1, p->outputs * p->batch};
    tl_outer(p->outputs, p->inputs + 1, p->batch, p->steps, dy, x, p->dw, p->inputs + 1, p->turned);
    for (ptrdiff_t t = 0; p->dx && t < p->steps; t++) {
        const tl_matrix now = {dy.at + t * dy.parts, p->batch, 1, 0};
        tl_gemm(p->inputs, p->batch, p->outputs, 1, (tl_matrix){p->w, 1, p->inputs + 1, 0}, now,
                p->dx + t * p->inputs * p->batch, p->batch, false);
    }
}

void tl_copy_rows(const tl_copy *p)
{
    for (ptrdiff_t t = 0; t < p->steps; t++) {
        const float *from = p->from + t * p->from_step;
        float *to = p->to + t * p->to_step;
        for (ptrdiff_t at = 0; at < p->floats; at += TL_LANES) {
            V v = load(from + at);
            if (p->mask) {
                v *= load(p->mask + t * p->mask_step + at);
            }
            if (p->scale) {
                v *= p->scale[0];
            }
            if (p->add) {
                v += load(to + at);
            }
            store(to + at, v);
        }
    }
}

void tl_mean_square(const tl_mse *p)
{
    double sum = 0.0;
    TL_EACH(at, p->floats) {
        const V error = load(p->y + at) - load(p->target + at), counted = error * load(p->weight + at);
        store(p->dy + at, counted * (2.0f * p->scale[0]));
        sum += (double)total(counted * error);
    }
    *p->sum += sum;
}
