/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The layers that look at several steps: convolution and pooling. */
#include "tl_layers_f32.h"
#include "tl_math_f32.h"
#include "tl_sums_f32.h"

/* The row of x that step t sees at k; NULL: padding. */
static const float *row(const float *x, const tl_time_f32 *p, uint32_t t, uint32_t k)
{
    const uint32_t at = t * p->stride + k * p->dilation - p->before; /* below 0 it wraps to far above in_steps */
    return at < p->in_steps ? x + at * p->x_stride : 0;
}

void tl_conv_f32_ref(float *y, const float *x, const tl_conv_f32 *p)
{
    const uint32_t width = p->inputs / p->groups, share = p->outputs / p->groups;
    for (uint32_t t = 0; t < p->time.out_steps; t++, y += p->time.y_stride) {
        tl_copy_f32_ref(y, p->b, p->outputs);
        for (uint32_t k = 0; k < p->time.kernel; k++) {
            const float *seen = row(x, &p->time, t, k);
            for (uint32_t o = 0; seen && o < p->outputs; o++) {
                const float *w = p->w + (o * p->time.kernel + k) * width;
                y[o] += tl_sum_of_products(w, seen + o / share * width, width);
            }
        }
    }
}

void tl_max_pool_f32_ref(float *y, const float *x, const tl_pool_f32 *p)
{
    for (uint32_t t = 0; t < p->time.out_steps; t++, y += p->time.y_stride) {
        tl_fill_f32_ref(y, -tl_infinity(), p->n);
        for (uint32_t k = 0; k < p->time.kernel; k++) {
            const float *seen = row(x, &p->time, t, k);
            for (uint32_t j = 0; seen && j < p->n; j++) {
                y[j] = seen[j] < y[j] ? y[j] : seen[j];
            }
        }
    }
}

void tl_average_pool_f32_ref(float *y, const float *x, const tl_pool_f32 *p)
{
    for (uint32_t t = 0; t < p->time.out_steps; t++, y += p->time.y_stride) {
        uint32_t count = 0;
        tl_fill_f32_ref(y, 0.0f, p->n);
        for (uint32_t k = 0; k < p->time.kernel; k++) {
            const float *seen = row(x, &p->time, t, k);
            count += seen || p->count_padding;
            if (seen) {
                tl_add_f32_ref(y, y, seen, p->n);
            }
        }
        for (uint32_t j = 0; j < p->n; j++) {
            y[j] /= (float)count;
        }
    }
}
