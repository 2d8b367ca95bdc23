/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The twin, in C and for every shape, of the loops that tl_dsp_layer.h makes: for hosts, included by tl_dsp.c alone. */
#ifndef TL_DSP_TWIN_H
#define TL_DSP_TWIN_H

#include <stdbool.h>

#include "tl_dsp.h"
#include "tl_dsp_groups.h"
#include "tl_tables_packed.h"

static int32_t high(uint32_t a, uint32_t b)
{
    return (int32_t)(((int64_t)(int32_t)a * (int32_t)b) >> 32);
}

static uint32_t smlawb(uint32_t a, int32_t b, uint32_t sum)
{
    return sum + (uint32_t)(((int64_t)(int32_t)a * b) >> 16);
}

/* Gate input, Q3.12 -> top half of the result. Beyond the table's ends the slope is 0. */
static int32_t table(const uint32_t *packed, int32_t v)
{
    int32_t i = v >> 8;
    uint32_t word = packed[128 + (i > 127 ? 127 : i < -128 ? -128 : i)];
    return (int32_t)word + (int16_t)word * (int16_t)((uint32_t)v << 7);
}

/* The four sums of a unit. Returns its multipliers. */
static const uint32_t *unit(uint32_t s[4], bool is_gru, const uint32_t *w, const tl_dsp_context *t,
                            const tl_cell_w8a16_dsp *p, const int16_t *x)
{
    uint32_t of_x[4] = {0, 0, 0, 0};
    for (uint32_t k = 0; p->kind == 2 && k < p->inputs; k += 2, w += 4) {
        for (uint32_t row = 0; row < 4; row++) {
            of_x[row] = smlad(w[row], two(x, k, p->inputs), of_x[row]);
        }
    }
    for (uint32_t row = 0; row < 4; row++) {
        s[row] = *w++;
    }
    w = groups(s, is_gru ? s + 2 : NULL, w, x, p->kind == 0 ? p->inputs : 0);
    w = groups(s, is_gru ? s + 3 : NULL, w, t->h, p->hidden);
    for (uint32_t row = 0; row < (is_gru ? 2 : 4); row += 2) {
        s[row] += t->low - (s[row + 1] << 8);
        s[row + 1] += t->high;
    }
    for (uint32_t row = 0; row < 4; row++) {
        s[row] = p->kind == 1 ? smlawb(*w++, x[0], s[row]) : s[row] + (uint32_t)((int32_t)of_x[row] >> p->f);
    }
    return w;
}

static void twin_lstm(int16_t *h_new, int16_t *c, const tl_dsp_context *t, const tl_lstm_w8a16_dsp *p,
                      const int16_t *x)
{
    const uint32_t *w = p->w;
    for (uint32_t u = 0; u < p->units; u++, w += 4) {
        uint32_t s[4];
        w = unit(s, false, w, t, p, x);
        int32_t i = table(tl_sigmoid_packed, high(s[0], w[0])), f = table(tl_sigmoid_packed, high(s[1], w[1]));
        int32_t g = table(tl_tanh_packed, high(s[2], w[2])), o = table(tl_sigmoid_packed, high(s[3], w[3]));
        c[u] = tl_cell((int16_t)(f >> 16), c[u], (int16_t)(i >> 16), (int16_t)(g >> 16), p->shift);
        int32_t squashed = table(tl_tanh_packed, c[u] * (1 << (12 - p->shift)));
        h_new[u] = tl_hidden((int16_t)(o >> 16), (int16_t)(squashed >> 16));
    }
}

static void twin_gru(int16_t *h_new, const tl_dsp_context *t, const tl_gru_w8a16_dsp *p, const int16_t *x)
{
    const uint32_t *w = p->w;
    for (uint32_t u = 0; u < p->units; u++, w += 4) {
        uint32_t s[4];
        w = unit(s, true, w, t, p, x);
        int32_t z = table(tl_sigmoid_packed, high(s[0], w[0])), r = table(tl_sigmoid_packed, high(s[1], w[1]));
        int32_t from_x = high(s[2], w[2]), from_h = high(s[3], w[3]); /* Q(12 + t) */
        int32_t n = table(tl_tanh_packed, (from_x + 2 * tl_mulw(from_h, (int16_t)(r >> 16))) >> p->shift);
        h_new[u] = tl_blend((int16_t)(z >> 16), t->c[u], (int16_t)(n >> 16));
    }
}

/* The gate inputs of p->units rows, four at a time. Returns what stands behind their weights. */
static const uint32_t *twin_gate(int16_t *z, const tl_dsp_context *t, const uint32_t *w, const tl_gru_w8a16_dsp *p,
                                 const int16_t *x)
{
    for (uint32_t u = 0; u < p->units; u += 4, w += 4) {
        uint32_t s[4];
        w = unit(s, false, w, t, p, x);
        for (uint32_t k = 0; k < 4 && u + k < p->units; k++) {
            z[u + k] = tl_sat16(high(s[k], w[k]));
        }
    }
    return w;
}

#endif
