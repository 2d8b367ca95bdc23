/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The portable float32 kernels: plain, for any core with an FPU. */
#include "tl_f32.h"

static float power_of_2(float t)
{
    const float most = TL_EXP2_MOST;
    t = t > most ? most : t > -most ? t : -most; /* a NaN counts as -29 */
    int32_t floor = (int32_t)t;
    floor -= (float)floor > t;
    const float r = t - (float)floor; /* 0 .. 1, exact */
    const float p = ((((TL_EXP2_C5 * r + TL_EXP2_C4) * r + TL_EXP2_C3) * r + TL_EXP2_C2) * r + TL_EXP2_C1) * r + 1.0f;
    const union {
        uint32_t bits;
        float value;
    } scale = {(uint32_t)(floor + 127) << 23};
    return p * scale.value;
}

static float sigmoid(float v)
{
    return 1.0f / (1.0f + power_of_2(-TL_LOG2_E * v));
}

static float tanh_(float v)
{
    const float e = power_of_2(-2.0f * TL_LOG2_E * (v < 0.0f ? -v : v)); /* <= 1: the quotient below is monotone */
    const float y = (1.0f - e) / (1.0f + e);
    return v < 0.0f ? -y : y;
}

static float dot(float sum, const float *w, const float *v, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        sum += w[k] * v[k];
    }
    return sum;
}

static float gate(const tl_lstm_f32 *p, uint32_t row, const float *h, const float *x)
{
    const float sum = dot(p->b[row], p->w_ih + row * p->inputs, x, p->inputs);
    return dot(sum, p->w_hh + row * p->hidden, h, p->hidden);
}

void tl_lstm_step_f32_ref(float *h_new, float *c, const float *h, const float *x, const tl_lstm_f32 *p)
{
    const uint32_t n = p->hidden;
    for (uint32_t u = 0; u < n; u++) {
        const float i = sigmoid(gate(p, u, h, x)), f = sigmoid(gate(p, n + u, h, x));
        const float g = tanh_(gate(p, 2 * n + u, h, x)), o = sigmoid(gate(p, 3 * n + u, h, x));
        c[u] = f * c[u] + i * g;
        h_new[u] = o * tanh_(c[u]);
    }
}

void tl_gru_step_f32_ref(float *h_new, float *reset, const float *h, const float *x, const tl_gru_f32 *p)
{
    const uint32_t n = p->hidden;
    const float *w_hh_n = p->w_hh + 2 * n * n;
    for (uint32_t u = 0; u < n; u++) { /* h_new holds r until the second loop */
        const float sum = dot(p->b[u], p->w_ih + u * p->inputs, x, p->inputs);
        h_new[u] = sigmoid(dot(sum, p->w_hh + u * n, h, n));
    }
    for (uint32_t u = 0; !p->reset_after && u < n; u++) {
        reset[u] = h_new[u] * h[u];
    }
    for (uint32_t u = 0; u < n; u++) {
        const uint32_t row = n + u;
        const float sum = dot(p->b[row], p->w_ih + row * p->inputs, x, p->inputs);
        const float z = sigmoid(dot(sum, p->w_hh + row * n, h, n));
        const float nx = dot(p->b[row + n], p->w_ih + (row + n) * p->inputs, x, p->inputs);
        const float new = tanh_(p->reset_after ? nx + h_new[u] * dot(p->b[row + 2 * n], w_hh_n + u * n, h, n)
                                               : dot(nx, w_hh_n + u * n, reset, n));
        h_new[u] = new + z * (h[u] - new);
    }
}

void tl_dense_f32_ref(float *y, const float *h, const tl_dense_f32 *p)
{
    for (uint32_t row = 0; row < p->outputs; row++) {
        y[row] = dot(p->b[row], p->w + row * p->inputs, h, p->inputs);
    }
}
