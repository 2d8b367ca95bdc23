/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The activation functions, one float32 row at a time: y [n] <- x [n], which may be the same array. a and b are the
 * function's parameters, 0 where it has none. The formulas are those of quantize/activations.py (ONNX's operators). */
#ifndef TL_ACTIVATION_F32_H
#define TL_ACTIVATION_F32_H

#include "tl_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TL_ACTIVATION(name) TL_KERNEL void tl_##name##_f32_ref(float *y, const float *x, uint32_t n, float a, float b)

TL_ACTIVATION(relu);
TL_ACTIVATION(tanh);
TL_ACTIVATION(sigmoid);
TL_ACTIVATION(affine);           /* a x + b */
TL_ACTIVATION(leaky_relu);       /* a x below 0 */
TL_ACTIVATION(thresholded_relu); /* x above a, else 0 */
TL_ACTIVATION(scaled_tanh);      /* a tanh(b x) */
TL_ACTIVATION(hard_sigmoid);     /* a x + b within 0 .. 1 */
TL_ACTIVATION(elu);              /* a (e^x - 1) below 0 */
TL_ACTIVATION(softsign);
TL_ACTIVATION(softplus);
TL_ACTIVATION(selu);
TL_ACTIVATION(gelu); /* by the normal distribution: x Phi(x) */
TL_ACTIVATION(gelu_tanh);
TL_ACTIVATION(silu);
TL_ACTIVATION(exp);
TL_ACTIVATION(relu6);
TL_ACTIVATION(hard_swish);
TL_ACTIVATION(softmax);     /* over the row; its largest value is taken off first, so that nothing overflows */
TL_ACTIVATION(log_softmax); /* likewise */

/* One of them with its parameters. */
typedef struct tl_activation_f32 {
    void (*function)(float *y, const float *x, uint32_t n, float a, float b);
    float a, b;
} tl_activation_f32;

#ifdef __cplusplus
}
#endif
#endif
