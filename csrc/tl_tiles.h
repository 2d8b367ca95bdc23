/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The steps of the targets that hold hidden units side by side in vectors, over the layers of tl_tiled.h.
 * A target's file defines, before it includes this one:
 *   LANES, D, W              int32 lanes of D; W holds 2 * LANES int16; a block is as many units
 *   LOAD32(p), add32, shr32(v, n), narrow(first, second)     D from memory, sum, arithmetic shift, saturated W
 *   X_COLUMNS, load_x(p, n), dot_x(acc, w, x)                columns of wx16 that meet x at once: x [n], acc + w x
 *   dot8(acc, gates, w, v, n)  acc[2 * gates] += int8 weights times v [n]; returns the weights behind those it used
 *   mulw(a, m), lift(r, first, second)                       a * m >> 16; Q0.15 as such multipliers m
 *   requantize(first, second, m, t)                          two halves of a gate -> Q3.12
 *   sigmoid(z), tanh_(z)     tl_lookup
 *   mul_round(a, b)          (a * b + 2^14) >> 15
 *   cell(c, i, f, g, frac)   tl_cell in place; returns the argument of its tanh, Q3.12
 *   blend(z, h, n)           (z * h + (32768 - z) * n + 2^14) >> 15, z in 11 .. 32757
 *   load_units(p, n), store_units(p, v, n)                   the first n of W
 *   dot_words(acc, a, b), total(acc)                         acc + products of W in any lanes; sum of the lanes */
#ifndef TL_TILES_H
#define TL_TILES_H

#include <stddef.h>

#include "tl_tiled.h"

#define BLOCK (2 * LANES)

/* What is still to be read of a layer's arrays. */
typedef struct stream {
    const int8_t *w8;
    const int16_t *wx16;
    const int32_t *b, *m;
} stream;

/* acc[2 * gates] = b + (sum wx x >> f), for one block: wrapping sums, exact by the proof in tl_kernels.h. */
INLINE void start(D *acc, uint32_t gates, stream *s, const int16_t *x, uint32_t inputs, uint8_t f)
{
    if (s->wx16 == NULL) {
        UNROLL for (uint32_t v = 0; v < 2 * gates; v++) {
            acc[v] = LOAD32(s->b + v * LANES);
        }
        s->w8 = dot8(acc, gates, s->w8, x, inputs);
    } else {
        UNROLL for (uint32_t v = 0; v < 2 * gates; v++) {
            acc[v] = ZERO;
        }
        for (uint32_t k = 0; k < inputs; k += X_COLUMNS, s->wx16 += gates * BLOCK * X_COLUMNS) {
            const X column = load_x(x + k, inputs - k);
            UNROLL for (uint32_t v = 0; v < 2 * gates; v++) {
                acc[v] = dot_x(acc[v], s->wx16 + v * LANES * X_COLUMNS, column);
            }
        }
        UNROLL for (uint32_t v = 0; v < 2 * gates; v++) {
            acc[v] = add32(LOAD32(s->b + v * LANES), shr32(acc[v], f));
        }
    }
    s->b += gates * BLOCK;
}

/* acc[2 * gates] -> gate inputs, Q3.12. */
INLINE void finish(W *z, uint32_t gates, const D *acc, stream *s, uint8_t t)
{
    UNROLL for (uint32_t gate = 0; gate < gates; gate++) {
        z[gate] = requantize(acc[2 * gate], acc[2 * gate + 1], s->m + gate * BLOCK, t);
    }
    s->m += gates * BLOCK;
}

INLINE uint32_t units_left(uint32_t units, uint32_t unit)
{
    return units - unit < BLOCK ? units - unit : BLOCK;
}

INLINE void lstm_step(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_tiled *p)
{
    stream s = {p->w8, p->wx16, p->b, p->m};
    for (uint32_t u = 0; u < p->units; u += BLOCK) {
        const uint32_t n = units_left(p->units, u);
        D acc[8];
        W z[4];
        start(acc, 4, &s, x, p->inputs, p->f);
        s.w8 = dot8(acc, 4, s.w8, h, p->hidden);
        finish(z, 4, acc, &s, p->t);
        const W i = sigmoid(z[0]), f = sigmoid(z[1]), g = tanh_(z[2]), o = sigmoid(z[3]);
        W state = load_units(c + u, n);
        const W wide = cell(&state, i, f, g, p->frac);
        store_units(c + u, state, n);
        store_units(h_new + u, mul_round(o, tanh_(wide)), n);
    }
}

/* n of a block: T((zx + 2 (zh r >> 16)) >> t), with zx, zh = acc * m >> 16, Q(12 + t). */
INLINE W new_gate(const D zx[2], const D zh[2], W r, stream *s, uint8_t t)
{
    const D m[2] = {LOAD32(s->m), LOAD32(s->m + LANES)};
    D by[2], sum[2];
    lift(r, &by[0], &by[1]);
    UNROLL for (uint32_t half = 0; half < 2; half++) {
        const D gated = mulw(mulw(zh[half], m[half]), by[half]);
        sum[half] = shr32(add32(mulw(zx[half], m[half]), add32(gated, gated)), t);
    }
    s->m += BLOCK;
    return tanh_(narrow(sum[0], sum[1]));
}

INLINE void gru_after(int16_t *h_new, const int16_t *h, const int16_t *x, const tl_gru_w8a16_tiled *p)
{
    stream s = {p->w8, p->wx16, p->b, p->m};
    for (uint32_t u = 0; u < p->units; u += BLOCK) {
        const uint32_t n = units_left(p->units, u);
        D acc[6];
        W z[2];
        start(acc, 3, &s, x, p->inputs, p->f);
        const D zx[2] = {acc[4], acc[5]};
        acc[4] = LOAD32(s.b);
        acc[5] = LOAD32(s.b + LANES);
        s.b += BLOCK;
        s.w8 = dot8(acc, 3, s.w8, h, p->hidden);
        finish(z, 2, acc, &s, p->t);
        const W fresh = new_gate(zx, acc + 4, sigmoid(z[0]), &s, p->t);
        store_units(h_new + u, blend(sigmoid(z[1]), load_units(h + p->first + u, n), fresh), n);
    }
}

/* Two passes: the second needs r * h of every unit. Between them z waits in h_new. */
INLINE void gru_before(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x, const tl_gru_w8a16_tiled *p)
{
    stream s = {p->w8, p->wx16, p->b, p->m};
    D acc[4];
    W z[2];
    for (uint32_t u = 0; u < p->hidden; u += BLOCK) {
        const uint32_t n = units_left(p->hidden, u);
        start(acc, 2, &s, x, p->inputs, p->f);
        s.w8 = dot8(acc, 2, s.w8, h, p->hidden);
        finish(z, 2, acc, &s, p->t);
        store_units(reset + u, mul_round(sigmoid(z[0]), load_units(h + u, n)), n);
        store_units(h_new + u, sigmoid(z[1]), n);
    }
    for (uint32_t u = 0; u < p->hidden; u += BLOCK) {
        const uint32_t n = units_left(p->hidden, u);
        start(acc, 1, &s, x, p->inputs, p->f);
        s.w8 = dot8(acc, 1, s.w8, reset, p->hidden);
        finish(z, 1, acc, &s, p->t);
        store_units(h_new + u, blend(load_units(h_new + u, n), load_units(h + u, n), tanh_(z[0])), n);
    }
}

INLINE void gru_step(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x, const tl_gru_w8a16_tiled *p)
{
    if (p->reset_after) {
        gru_after(h_new, h, x, p);
    } else {
        gru_before(h_new, reset, h, x, p);
    }
}

INLINE void dense(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    const int16_t *w = p->w;
    for (uint32_t row = 0; row < p->outputs; row++, w += p->inputs) {
        D sum = ZERO;
        for (uint32_t k = 0; k < p->inputs; k += BLOCK) {
            sum = dot_words(sum, load_units(w + k, p->inputs - k), load_units(h + k, p->inputs - k));
        }
        y[row] = p->b[row] + total(sum);
    }
}

#endif
