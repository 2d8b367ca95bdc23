/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The float32 steps over tiles (tl_f32.h), written once. A target's file defines, before it includes this one:
 *   V, LANES                  its vector, a type of C with + - * /, and the floats in it
 *   VECTORS                   of units in a block
 *   ALL(v), LOAD(p)           v in every lane; a vector of weights
 *   multiply_add(a, b, c)     a b + c
 *   limit(t, most)            t, but within +-most; a NaN counts as one of the two
 *   floor_(t), scale(p, t, n) the floor; p * 2^n for n = floor_(t)
 *   LEAF                      static inline, or a function of its own
 *   load_units(p, n), store_units(p, v, n)   the first n of a vector, the whole one where there are more
 *   dot(acc, w, v, n, sections)   adds n columns times v: see tl_dot_f32.h, which has it for most
 *
 * A block has 4 * VECTORS accumulators: acc[section * VECTORS + vector]. */
#ifndef TL_TILES_F32_H
#define TL_TILES_F32_H

#include "tl_f32.h"

#define UNITS (VECTORS * LANES)
#define EVERY (4 * VECTORS) /* accumulators */

/* 2^t, t limited to +-29. Estrin's order: as monotone as Horner's, since all terms are positive, and half as deep. */
LEAF V power_of_2(V t)
{
    t = limit(t, ALL(TL_EXP2_MOST));
    const V n = floor_(t), r = t - n, r2 = r * r;
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

/* Block k of a step that goes up or down: see tl_f32.h. The numbers do not depend on the order. */
static inline uint32_t block(uint32_t k, uint32_t n, const float *h_new, const float *h)
{
    return (uintptr_t)h_new < (uintptr_t)h ? n - 1 - k : k;
}

static inline const float *biases(V acc[EVERY], const float *w)
{
    UNROLL for (uint32_t i = 0; i < EVERY; i++) {
        acc[i] = LOAD(w + i * LANES);
    }
    return w + EVERY * LANES;
}

static inline void lstm_step(float *h_new, float *c, const float *h, const float *x, const tl_tiles_f32 *p)
{
    const uint32_t hidden = p->hidden, all = (hidden + UNITS - 1) / UNITS;
    const uint32_t size = 4 * UNITS * (1u + p->inputs + hidden);
    for (uint32_t k = 0; k < all; k++) {
        const uint32_t at = block(k, all, h_new, h), u = UNITS * at;
        V acc[EVERY];
        const float *w = biases(acc, p->w + (uintptr_t)at * size);
        w = dot(acc, w, x, p->inputs, 15);
        (void)dot(acc, w, h, hidden, 15);
        UNROLL for (uint32_t i = 0; i < VECTORS; i++) {
            const uint32_t v = u + i * LANES;
            if (i == 0 || v < hidden) {
                lstm_update(h_new + v, c + v, acc[i], acc[VECTORS + i], acc[2 * VECTORS + i], acc[3 * VECTORS + i],
                            hidden - v);
            }
        }
    }
}

static inline void gru_step(float *h_new, const float *h, const float *x, const tl_tiles_f32 *p)
{
    const uint32_t hidden = p->hidden, all = (hidden + UNITS - 1) / UNITS;
    const uint32_t size = UNITS * (4u + 3u * (p->inputs + hidden));
    for (uint32_t k = 0; k < all; k++) {
        const uint32_t at = block(k, all, h_new, h), u = UNITS * at;
        V acc[EVERY];
        const float *w = biases(acc, p->w + (uintptr_t)at * size);
        w = dot(acc, w, x, p->inputs, 7);
        (void)dot(acc, w, h, hidden, 11);
        UNROLL for (uint32_t i = 0; i < VECTORS; i++) {
            const uint32_t v = u + i * LANES;
            if (i == 0 || v < hidden) {
                gru_update(h_new + v, h + v, acc[i], acc[VECTORS + i], acc[2 * VECTORS + i], acc[3 * VECTORS + i],
                           hidden - v);
            }
        }
    }
}

#endif
