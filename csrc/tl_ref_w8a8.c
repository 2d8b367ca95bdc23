/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The portable kernels of the scheme w8a8: complete, plain, never optimised. */
#include "tl_tables_w8a8.h"
#include "tl_w8a8.h"

static int32_t dot(const int8_t *w, const int8_t *v, uint32_t n)
{
    int32_t sum = 0;
    for (uint32_t k = 0; k < n; k++) {
        sum += w[k] * v[k];
    }
    return sum;
}

/* a + b in int16, saturated; beyond +-2^17 b alone decides, and with any b up to 2^31 the sum would leave int32. */
static int16_t sum_sat16(int16_t a, int32_t b)
{
    const int32_t top = 131072;
    return tl_sat16(a + (b > top ? top : b < -top ? -top : b));
}

/* Gate input of a unit, Q3.12. */
static int16_t gate_input(const tl_lstm_w8a8 *p, uint32_t gate, uint32_t unit, const int8_t *h, const int8_t *x)
{
    const uint32_t row = gate * p->hidden + unit;
    const int32_t from_x = p->bx[row] + dot(p->wx + row * p->inputs, x, p->inputs);
    const int32_t from_h = p->bh[row] + dot(p->wh + row * p->hidden, h, p->hidden);
    return sum_sat16(tl_sat16(tl_multiply(from_x, p->m[gate], p->s[gate])),
                     tl_multiply(from_h, p->m[4 + gate], p->s[4 + gate]));
}

static int16_t sigmoid(const tl_lstm_w8a8 *p, int16_t z)
{
    return p->table ? tl_table_sigmoid(tl_sigmoid_24ths, z) : tl_gemmlowp_sigmoid(z);
}

static int16_t tanh_(const tl_lstm_w8a8 *p, int16_t z, uint8_t bits)
{
    return p->table ? tl_table_tanh(tl_sigmoid_24ths, z, bits) : tl_gemmlowp_tanh(z, bits);
}

void tl_lstm_step_w8a8_ref(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x, const tl_lstm_w8a8 *p)
{
    for (uint32_t u = 0; u < p->units; u++) {
        const int16_t i = sigmoid(p, gate_input(p, 0, u, h, x));
        const int16_t f = sigmoid(p, gate_input(p, 1, u, h, x));
        const int16_t g = tanh_(p, gate_input(p, 2, u, h, x), 3);
        const int16_t o = sigmoid(p, gate_input(p, 3, u, h, x));
        c[u] = tl_cell_w8a8(f, c[u], i, g, p->bits, p->clip);
        h_new[u] = tl_hidden_w8a8(o, tanh_(p, c[u], p->bits), p->m[8], p->s[8], p->h_zero);
    }
}

void tl_dense_w16a8_ref(int32_t *y, const int8_t *h, const tl_dense_w16a8 *p)
{
    for (uint32_t row = 0; row < p->outputs; row++) {
        const int16_t *w = p->w + row * p->inputs;
        y[row] = p->b[row];
        for (uint32_t k = 0; k < p->inputs; k++) {
            y[row] += w[k] * h[k];
        }
    }
}
