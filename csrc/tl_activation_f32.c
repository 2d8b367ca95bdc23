/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The activation functions: each is an expression of v, a and b. */
#include "tl_activation_f32.h"
#include "tl_math_f32.h"

#define TL_EACH(name, expression)                                                                                      \
    TL_ACTIVATION(name)                                                                                                \
    {                                                                                                                  \
        (void)a, (void)b;                                                                                              \
        for (uint32_t k = 0; k < n; k++) {                                                                             \
            const float v = x[k];                                                                                      \
            y[k] = expression;                                                                                         \
        }                                                                                                              \
    }

/* Phi(-v), the normal distribution's tail, v >= 0: minimax exponent, v times it within 6e-8. */
static float tail(float v)
{
    float p = ((-0x1.d24b3cp-19f * v + 0x1.dd9d10p-17f) * v + 0x1.8bb008p-12f) * v - 0x1.59a7bcp-8f;
    p = (((p * v + 0x1.2c5086p-5f) * v + 0x1.45d6fcp-2f) * v + 0x1.98862ap-1f) * v + 0x1.62e424p-1f;
    return v > 7.0f ? 0.0f : tl_exp(-p);
}

static float elu(float v, float a)
{
    return v > 0.0f ? v : a * tl_expm1(v);
}

static float largest(const float *x, uint32_t n)
{
    float most = x[0];
    for (uint32_t k = 1; k < n; k++) {
        most = x[k] > most ? x[k] : most;
    }
    return most;
}

TL_EACH(relu, v < 0.0f ? 0.0f : v)
TL_EACH(tanh, tl_tanh(v))
TL_EACH(sigmoid, tl_sigmoid(v))
TL_EACH(affine, a * v + b)
TL_EACH(leaky_relu, v < 0.0f ? a * v : v)
TL_EACH(thresholded_relu, v > a ? v : 0.0f)
TL_EACH(scaled_tanh, a * tl_tanh(b * v))
TL_EACH(hard_sigmoid, tl_within(a * v + b, 0.0f, 1.0f))
TL_EACH(elu, elu(v, a))
TL_EACH(softsign, v / (1.0f + tl_magnitude(v)))
TL_EACH(softplus, tl_softplus(v))
TL_EACH(selu, 1.050700987f * elu(v, 1.673263242f))
TL_EACH(gelu, v < 0.0f ? v * tail(-v) : v > 7.0f ? v : v - v * tail(v))
TL_EACH(gelu_tanh, v * tl_sigmoid(1.595769122f * v * (1.0f + 0.044715f * v * v))) /* 2 sqrt(2 / pi) */
TL_EACH(silu, v * tl_sigmoid(v))
TL_EACH(exp, tl_exp(v))
TL_EACH(relu6, tl_within(v, 0.0f, 6.0f))
TL_EACH(hard_swish, v * tl_within(v * (1.0f / 6) + 0.5f, 0.0f, 1.0f))

TL_ACTIVATION(softmax)
{
    const float most = largest(x, n);
    float sum = 0.0f;
    (void)a, (void)b;
    for (uint32_t k = 0; k < n; k++) {
        y[k] = tl_exp(x[k] - most);
        sum += y[k];
    }
    for (uint32_t k = 0; k < n; k++) {
        y[k] /= sum;
    }
}

TL_ACTIVATION(log_softmax)
{
    const float most = largest(x, n);
    float sum = 0.0f;
    (void)a, (void)b;
    for (uint32_t k = 0; k < n; k++) {
        sum += tl_exp(x[k] - most);
    }
    const float log = tl_log(sum);
    for (uint32_t k = 0; k < n; k++) {
        y[k] = (x[k] - most) - log;
    }
}
