/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The float32 steps over tiles (tl_f32.h), written once. A target's file defines, before it includes this one:
 *   V, LANES                  its vector, a type of C with + - * /, and the floats in it
 *   VECTORS                   of units in a block
 *   ALL(v), LOAD(p)           v in every lane; a vector of weights
 *   multiply_add(a, b, c)     a b + c
 *   limit(t, most)            t, but within +-most; a NaN counts as one of the two
 *   floor_(t), fraction(t, n), scale(p, t, n)   n, the floor; t - n, exact; p * 2^n
 *   LEAF                      static inline, or a function of its own
 *   load_units(p, n), store_units(p, v, n)   the first n of a vector, the whole one where there are more
 *   BOTH_WAYS                 1: a step goes down the weights where h_new lies below h (tl_f32.h)
 *   dot(acc, w, v, n, sections, down)   adds n columns times v: see tl_dot_f32.h, which has it for most
 *
 * A block has 4 * VECTORS sums: acc[section * VECTORS + vector]. */
#ifndef TL_TILES_F32_H
#define TL_TILES_F32_H

#include "tl_f32.h"
#include "tl_inline.h"

#define UNITS (VECTORS * LANES)
#define EVERY (4 * VECTORS) /* sums */

/* 2^t, t limited to +-29. Estrin's order: as monotone as Horner's, since all terms are positive, and half as deep. */
LEAF V power_of_2(V t)
{
    t = limit(t, ALL(TL_EXP2_MOST));
    const V n = floor_(t), r = fraction(t, n), r2 = r * r;
    const V low = multiply_add(r, ALL(TL_EXP2_C1), ALL(1.0f));
    const V middle = multiply_add(r, ALL(TL_EXP2_C3), ALL(TL_EXP2_C2));
    const V high = multiply_add(r, ALL(TL_EXP2_C5), ALL(TL_EXP2_C4));
    return scale(multiply_add(r2, multiply_add(r2, high, middle), low), t, n);
}

/* h_new and c of up to LANES units from the exponents E = 2^z = e^-gate, 2^zg = e^-2g: one division each, as
 * c' = c / (1 + Ef) + (1 - Eg) / ((1 + Ei)(1 + Eg)), h' = (1 - Ec) / ((1 + Eo)(1 + Ec)). */
LEAF void lstm_update(float *h_new, float *c, V zi, V zf, V zg, V zo, uint32_t n)
{
    const V one = ALL(1.0f), g = power_of_2(zg), forget = one + power_of_2(zf), output = one + power_of_2(zo);
    const V below = (one + power_of_2(zi)) * (one + g);
    const V cell = multiply_add(load_units(c, n), below, (one - g) * forget) / (below * forget);
    const V e = power_of_2(cell * ALL(-2.0f * TL_LOG2_E));
    store_units(c, cell, n);
    store_units(h_new, (one - e) / (output * (one + e)), n);
}

/* h_new of up to LANES units: z h + (1 - z) n = (h (1 + En) + Ez (1 - En)) / ((1 + Ez)(1 + En)). */
LEAF void gru_update(float *h_new, const float *h, V zr, V zz, V nx, V nh, uint32_t n)
{
    const V one = ALL(1.0f), z = power_of_2(zz), r = one / (one + power_of_2(zr));
    const V e = power_of_2(multiply_add(r, nh, nx)), below = one + e;
    store_units(h_new, multiply_add(load_units(h, n), below, z * (one - e)) / (below * (one + z)), n);
}

INLINE void add_biases(V acc[EVERY], const float *w)
{
    UNROLL for (uint32_t i = 0; i < EVERY; i++) {
        acc[i] += LOAD(w + i * LANES);
    }
}

/* The sums of a block from w on. Going down, the columns come last to first. */
INLINE void sums(V acc[EVERY], const float *w, const float *h, const float *x, const tl_tiles_f32 *p,
                 const uint32_t from_x, const uint32_t from_h, const uint32_t down)
{
    const float *w_x = w + 4 * UNITS, *w_h = w_x + p->inputs * (from_x == 15 ? 4 * UNITS : 3 * UNITS);
    UNROLL for (uint32_t i = 0; i < EVERY; i++) {
        acc[i] = ALL(0.0f);
    }
    if (down) {
        dot(acc, w_h, h, p->hidden, from_h, 1);
        dot(acc, w_x, x, p->inputs, from_x, 1);
        add_biases(acc, w);
    } else {
        add_biases(acc, w);
        dot(acc, w_x, x, p->inputs, from_x, 0);
        dot(acc, w_h, h, p->hidden, from_h, 0);
    }
}

INLINE void lstm_block(float *h_new, float *c, const float *h, const float *x, const tl_tiles_f32 *p, uint32_t u,
                       const uint32_t down)
{
    V acc[EVERY];
    sums(acc, p->w + (uintptr_t)u * 4 * (1u + p->inputs + p->hidden), h, x, p, 15, 15, down);
    UNROLL for (uint32_t i = 0; i < VECTORS; i++, u += LANES) {
        if (i == 0 || u < p->hidden) {
            lstm_update(h_new + u, c + u, acc[i], acc[VECTORS + i], acc[2 * VECTORS + i], acc[3 * VECTORS + i],
                        p->hidden - u);
        }
    }
}

INLINE void gru_block(float *h_new, const float *h, const float *x, const tl_tiles_f32 *p, uint32_t u,
                      const uint32_t down)
{
    V acc[EVERY];
    sums(acc, p->w + (uintptr_t)u * (4u + 3u * (p->inputs + p->hidden)), h, x, p, 7, 11, down);
    UNROLL for (uint32_t i = 0; i < VECTORS; i++, u += LANES) {
        if (i == 0 || u < p->hidden) {
            gru_update(h_new + u, h + u, acc[i], acc[VECTORS + i], acc[2 * VECTORS + i], acc[3 * VECTORS + i],
                       p->hidden - u);
        }
    }
}

static inline void lstm_step(float *h_new, float *c, const float *h, const float *x, const tl_tiles_f32 *p)
{
    const uint32_t end = (p->hidden + UNITS - 1) / UNITS * UNITS;
    if (BOTH_WAYS && end > UNITS && (uintptr_t)h_new < (uintptr_t)h) {
        for (uint32_t u = end; u != 0; u -= UNITS) {
            lstm_block(h_new, c, h, x, p, u - UNITS, 1);
        }
        return;
    }
    for (uint32_t u = 0; u < end; u += UNITS) {
        lstm_block(h_new, c, h, x, p, u, 0);
    }
}

static inline void gru_step(float *h_new, const float *h, const float *x, const tl_tiles_f32 *p)
{
    const uint32_t end = (p->hidden + UNITS - 1) / UNITS * UNITS;
    if (BOTH_WAYS && end > UNITS && (uintptr_t)h_new < (uintptr_t)h) {
        for (uint32_t u = end; u != 0; u -= UNITS) {
            gru_block(h_new, h, x, p, u - UNITS, 1);
        }
        return;
    }
    for (uint32_t u = 0; u < end; u += UNITS) {
        gru_block(h_new, h, x, p, u, 0);
    }
}

#endif
