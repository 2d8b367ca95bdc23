/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The dense layer that is not the head, portable. The twin of quantize/ops/dense_hidden.py. */
#include "tl_hidden.h"
#include "tl_tables.h"

static int16_t clamp(int16_t z, int16_t low)
{
    return z < low ? low : z > 32640 ? 32640 : z;
}

static int16_t function_of(uint8_t function, int16_t z)
{
    switch (function) {
    case TL_RELU:
        return clamp(z, 0);
    case TL_TANH:
        return tl_lookup(tl_tanh_nodes, z);
    case TL_SIGMOID:
        return tl_hidden(tl_lookup(tl_sigmoid_nodes, z), 32640); /* Q0.15 -> 1 / 32640 */
    default:
        return clamp(z, -32640);
    }
}

void tl_dense_hidden_w16a16_ref(int16_t *h_new, const int16_t *x, const tl_dense_hidden_w16a16 *p)
{
    const int16_t *w = p->w;
    for (uint32_t u = 0; u < p->units; u++, w += p->inputs) {
        int32_t acc = p->b[u];
        for (uint32_t k = 0; k < p->inputs; k++) {
            acc += w[k] * x[k];
        }
        h_new[u] = function_of(p->function, tl_requantize(acc, p->m[u], p->t));
    }
}
