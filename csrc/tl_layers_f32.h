/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The layers without a state, float32, portable; formulas: quantize/float_ops.py. y overlaps no x unless it is said. */
#ifndef TL_LAYERS_F32_H
#define TL_LAYERS_F32_H

#include "tl_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of one row. */
TL_KERNEL void tl_copy_f32_ref(float *y, const float *x, uint32_t n); /* y may be x, or begin before it */
TL_KERNEL void tl_fill_f32_ref(float *y, float value, uint32_t n);
TL_KERNEL void tl_add_f32_ref(float *y, const float *a, const float *b, uint32_t n); /* y may be a or b */
TL_KERNEL void tl_mul_f32_ref(float *y, const float *a, const float *b, uint32_t n);

/* A row's features: y [n] = gain x + offset. y may be x. */
typedef struct tl_scale_f32 {
    const float *gain, *offset; /* [n] */
    uint16_t n;
} tl_scale_f32;

TL_KERNEL void tl_scale_f32_ref(float *y, const float *x, const tl_scale_f32 *p);

/* Layer normalisation of a row: y [n] = gain (x - mean) / sqrt(variance + epsilon) + offset. y may be x. */
typedef struct tl_norm_f32 {
    const float *gain, *offset; /* [n] */
    float epsilon;
    uint16_t n;
} tl_norm_f32;

TL_KERNEL void tl_norm_f32_ref(float *y, const float *x, const tl_norm_f32 *p);

/* How a layer goes over the time of a sequence x, whose rows lie x_stride values apart, as do those of y. At step t it
 * sees the rows t * stride - before + k * dilation, k < kernel; a row outside of 0 .. in_steps - 1 is padding. */
typedef struct tl_time_f32 {
    uint32_t x_stride, y_stride;
    uint16_t in_steps, out_steps;
    uint16_t kernel, stride, dilation, before;
} tl_time_f32;

/* A convolution over time; padding is zeros. Each of `groups` parts of the outputs sees its own part of the inputs. */
typedef struct tl_conv_f32 {
    tl_time_f32 time;
    const float *w; /* [outputs][kernel][inputs / groups] */
    const float *b; /* [outputs] */
    uint16_t inputs, outputs, groups;
} tl_conv_f32;

TL_KERNEL void tl_conv_f32_ref(float *y, const float *x, const tl_conv_f32 *p);

/* A feature's largest or average value over time; padding counts for nothing, but with count_padding as zeros. */
typedef struct tl_pool_f32 {
    tl_time_f32 time;
    uint16_t n;
    uint8_t count_padding;
} tl_pool_f32;

TL_KERNEL void tl_max_pool_f32_ref(float *y, const float *x, const tl_pool_f32 *p);
TL_KERNEL void tl_average_pool_f32_ref(float *y, const float *x, const tl_pool_f32 *p);

#ifdef __cplusplus
}
#endif
#endif
