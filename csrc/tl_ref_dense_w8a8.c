/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The dense layer from int8 to int8, portable. The twin of quantize/ops/dense_w8a8.py. */
#include "tl_dense_w8a8.h"

void tl_dense_w8a8_ref(int8_t *h_new, const int8_t *x, const tl_dense_w8a8 *p)
{
    const int8_t *w = p->w;
    for (uint32_t u = 0; u < p->units; u++, w += p->inputs) {
        int32_t sum = p->b[u];
        for (uint32_t k = 0; k < p->inputs; k++) {
            sum += w[k] * x[k];
        }
        /* |y| <= 2^31 - 1 before the zero point, which must not make it overflow: anything beyond +-512 is clamped */
        int32_t y = tl_multiply_once(sum, p->m[u], p->s[u]);
        y = (y > 512 ? 512 : y < -512 ? -512 : y) + p->h_zero;
        h_new[u] = (int8_t)(y > p->high ? p->high : y < p->low ? p->low : y);
    }
}
