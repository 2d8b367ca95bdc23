/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The layers that look at one row. */
#include "tl_layers_f32.h"
#include "tl_math_f32.h"

void tl_copy_f32_ref(float *y, const float *x, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        y[k] = x[k];
    }
}

void tl_fill_f32_ref(float *y, float value, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        y[k] = value;
    }
}

void tl_add_f32_ref(float *y, const float *a, const float *b, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        y[k] = a[k] + b[k];
    }
}

void tl_mul_f32_ref(float *y, const float *a, const float *b, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        y[k] = a[k] * b[k];
    }
}

void tl_scale_f32_ref(float *y, const float *x, const tl_scale_f32 *p)
{
    for (uint32_t k = 0; k < p->n; k++) {
        y[k] = p->gain[k] * x[k] + p->offset[k];
    }
}

void tl_norm_f32_ref(float *y, const float *x, const tl_norm_f32 *p)
{
    const float each = 1.0f / (float)p->n;
    float mean = 0.0f, variance = 0.0f;
    for (uint32_t k = 0; k < p->n; k++) {
        mean += x[k] * each;
    }
    for (uint32_t k = 0; k < p->n; k++) {
        y[k] = x[k] - mean;
        variance += y[k] * y[k] * each;
    }
    const float unit = tl_inverse_root(variance + p->epsilon);
    for (uint32_t k = 0; k < p->n; k++) {
        y[k] = p->gain[k] * (y[k] * unit) + p->offset[k];
    }
}
