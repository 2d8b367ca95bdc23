/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The portable kernels: complete, plain, never optimised. They are the definition that every other target must meet. */
#include <stddef.h>

#include "tl_kernels.h"
#include "tl_tables.h"

/* Largest result: see the contracts in tl_kernels.h. */
static int32_t dot8(const int8_t *w, const int16_t *v, uint32_t n)
{
    int32_t sum = 0;
    for (uint32_t k = 0; k < n; k++) {
        sum += w[k] * v[k];
    }
    return sum;
}

static int32_t dot16(const int16_t *w, const int16_t *v, uint32_t n)
{
    int32_t sum = 0;
    for (uint32_t k = 0; k < n; k++) {
        sum += w[k] * v[k];
    }
    return sum;
}

/* The input's part of a row's accumulator. */
static int32_t input_sum(const int16_t *wx16, const int8_t *wx8, uint32_t row, const int16_t *x, uint32_t n, uint8_t f)
{
    return (wx16 != NULL ? dot16(wx16 + row * n, x, n) : dot8(wx8 + row * n, x, n)) >> f;
}

/* Gate input of one row, Q3.12. */
static int16_t gate(const tl_lstm_w8a16 *p, uint32_t row, const int16_t *h, const int16_t *x)
{
    int32_t acc = p->b[row] + dot8(p->wh + row * p->hidden, h, p->hidden) +
                  input_sum(p->wx16, p->wx8, row, x, p->inputs, p->f);
    return tl_requantize(acc, p->m[row], p->t);
}

void tl_lstm_step_w8a16_ref(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16 *p)
{
    const uint32_t n = p->hidden;
    for (uint32_t u = 0; u < p->units; u++) {
        int16_t i = tl_lookup(tl_sigmoid_nodes, gate(p, u, h, x));
        int16_t f = tl_lookup(tl_sigmoid_nodes, gate(p, n + u, h, x));
        int16_t g = tl_lookup(tl_tanh_nodes, gate(p, 2 * n + u, h, x));
        int16_t o = tl_lookup(tl_sigmoid_nodes, gate(p, 3 * n + u, h, x));
        c[u] = tl_cell(f, c[u], i, g, p->frac);
        int16_t z = tl_sat16(c[u] * (1 << (12 - p->frac))); /* Q.frac -> Q3.12 */
        h_new[u] = tl_hidden(o, tl_lookup(tl_tanh_nodes, z));
    }
}

/* Bias and input's part of one row's accumulator. */
static int32_t gru_input(const tl_gru_w8a16 *p, uint32_t row, const int16_t *x)
{
    return p->b[row] + input_sum(p->wx16, p->wx8, row, x, p->inputs, p->f);
}

/* Gate input of one row, Q3.12. */
static int16_t gru_gate(const tl_gru_w8a16 *p, uint32_t row, const int16_t *h, const int16_t *x)
{
    return tl_requantize(gru_input(p, row, x) + dot8(p->wh + row * p->hidden, h, p->hidden), p->m[row], p->t);
}

/* Gate input of n with reset after; both parts in Q(12 + t), each below 2^30. */
static int16_t gru_new(const tl_gru_w8a16 *p, uint32_t u, const int16_t *h, const int16_t *x, int16_t r)
{
    const uint32_t n = p->hidden, row = 2 * n + u;
    int32_t from_x = tl_mulw(gru_input(p, row, x), p->m[row]);
    int32_t from_h = tl_mulw(p->b[3 * n + u] + dot8(p->wh + row * n, h, n), p->m[row]);
    return tl_sat16((from_x + 2 * tl_mulw(from_h, r)) >> p->t);
}

void tl_gru_step_w8a16_ref(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x, const tl_gru_w8a16 *p)
{
    const uint32_t n = p->hidden;
    if (!p->reset_after) {
        for (uint32_t u = 0; u < n; u++) {
            reset[u] = tl_hidden(tl_lookup(tl_sigmoid_nodes, gru_gate(p, u, h, x)), h[u]);
        }
    }
    for (uint32_t u = 0; u < p->units; u++) {
        int16_t z = tl_lookup(tl_sigmoid_nodes, gru_gate(p, n + u, h, x)), zn;
        if (p->reset_after) {
            zn = gru_new(p, u, h, x, tl_lookup(tl_sigmoid_nodes, gru_gate(p, u, h, x)));
        } else {
            zn = gru_gate(p, 2 * n + u, reset, x);
        }
        h_new[u] = tl_blend(z, h[p->first + u], tl_lookup(tl_tanh_nodes, zn));
    }
}

void tl_dense_w16a16_ref(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    for (uint32_t row = 0; row < p->outputs; row++) {
        y[row] = p->b[row] + dot16(p->w + row * p->inputs, h, p->inputs);
    }
}
