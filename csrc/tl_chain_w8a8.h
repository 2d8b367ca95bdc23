/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The LSTM step of the scheme w8a8 on the cores without DSP instructions: four rows in one word, as in tl_chain.h, with
 * the sums of x and of h apart. */
#ifndef TL_CHAIN_W8A8_H
#define TL_CHAIN_W8A8_H

#include "tl_column8.h"
#include "tl_unit_w8a8.h"
#include "tl_v6m_w8a8.h"

/* n columns, returning what stands behind their weights. */
#ifdef TL_OWN_COLUMNS /* the file that includes this one defines it */
static const uint32_t *tl_bytes(uint32_t sum[4], const uint32_t *w, const int8_t *v, uint32_t n);
#else
INLINE const uint32_t *tl_bytes(uint32_t sum[4], const uint32_t *w, const int8_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        tl_column8(sum, w[k], v[k]);
    }
    return w + n;
}
#endif

/* What the +128 of three rows adds. */
INLINE uint32_t tl_less(const int8_t *v, uint32_t n)
{
    int32_t sum = 0;
    for (const int8_t *end = v + n; v != end; v++) {
        sum += *v;
    }
    return (uint32_t)sum * (0u - 128u);
}

/* The sums of four rows, biases included; moves the stream on. */
INLINE const uint32_t *tl_four(int32_t acc[4], const uint32_t *w, const int8_t *v, uint32_t n, uint32_t less)
{
    uint32_t sum[4] = {0, less, less * 0x101u, less * 0x10101u};
    w = tl_bytes(sum, w, v, n);
    acc[0] = (int32_t)(sum[0] + w[0]);
    acc[1] = (int32_t)(sum[1] - (sum[0] << 8) + w[1]);
    acc[2] = (int32_t)(sum[2] - (sum[1] << 8) + w[2]);
    acc[3] = (int32_t)(sum[3] - (sum[2] << 8) + w[3]);
    return w + 4;
}

INLINE void tl_lstm_step_chain_w8a8(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x,
                                    const tl_lstm_w8a8_v6m *p)
{
    const uint32_t inputs = p->inputs, hidden = p->hidden, less_x = tl_less(x, inputs), less_h = tl_less(h, hidden);
    const tl_unit_w8a8 unit = {p->m, p->bits, p->clip, p->h_zero};
    const uint32_t *w = p->w;
    for (uint32_t u = 0; u < p->units; u++) {
        int32_t of_x[4], of_h[4];
        w = tl_four(of_x, w, x, inputs, less_x);
        w = tl_four(of_h, w, h, hidden, less_h);
        tl_finish_w8a8(h_new + u, c + u, of_x, of_h, &unit);
    }
}

#endif
