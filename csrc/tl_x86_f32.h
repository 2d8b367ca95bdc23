/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The float32 kernels that the x86 targets share. A target's file defines, before it includes this one:
 *   V, MM(op), LANES          its vector, the prefix of its intrinsics, and the floats in it
 *   limit(t, most)            t, but within +-most; a NaN counts as one of the two
 *   floor_(t), scale(p, t, n) the floor; p * 2^n for n = floor_(t)
 *   load_units(p, n), store_units(p, v, n)   the first n of a vector
 *   total(v)                  the sum of its lanes
 *   UNROLL                    unrolls the loop behind it
 *
 * A block has 8 accumulators: 4 sections (tl_f32.h) times two vectors of units. */
#ifndef TL_X86_F32_H
#define TL_X86_F32_H

#define ALL(v) MM(set1_ps)(v)

static inline V multiply_add(V a, V b, V c)
{
    return MM(fmadd_ps)(a, b, c);
}

/* 2^t, t limited to +-29. Estrin's order: as monotone as Horner's, since all terms are positive, and half as deep. */
static inline V power_of_2(V t)
{
    t = limit(t, ALL(TL_EXP2_MOST));
    const V n = floor_(t), r = MM(sub_ps)(t, n), r2 = MM(mul_ps)(r, r);
    const V low = multiply_add(r, ALL(TL_EXP2_C1), ALL(1.0f));
    const V middle = multiply_add(r, ALL(TL_EXP2_C3), ALL(TL_EXP2_C2));
    const V high = multiply_add(r, ALL(TL_EXP2_C5), ALL(TL_EXP2_C4));
    return scale(multiply_add(r2, multiply_add(r2, high, middle), low), t, n);
}

/* acc[section][half] += tile column times v[k]; sections: bit s is set where the columns have section s. */
static inline __attribute__((always_inline)) const float *dot(V acc[8], const float *w, const float *v, uint32_t n,
                                                              const uint32_t sections)
{
    for (uint32_t k = 0; k < n; k++) {
        const V x = ALL(v[k]);
        UNROLL for (uint32_t i = 0; i < 8; i++) {
            if (sections >> (i / 2) & 1u) {
                acc[i] = multiply_add(MM(load_ps)(w), x, acc[i]);
                w += LANES;
            }
        }
    }
    return w;
}

/* h_new and c of up to LANES units from the exponents E = 2^z = e^-gate, 2^zg = e^-2g: one division each, as
 * c' = c / (1 + Ef) + (1 - Eg) / ((1 + Ei)(1 + Eg)), h' = (1 - Ec) / ((1 + Eo)(1 + Ec)). */
static inline void lstm_update(float *h_new, float *c, V zi, V zf, V zg, V zo, uint32_t n)
{
    const V one = ALL(1.0f), g = power_of_2(zg);
    const V forget = MM(add_ps)(one, power_of_2(zf)), output = MM(add_ps)(one, power_of_2(zo));
    const V below = MM(mul_ps)(MM(add_ps)(one, power_of_2(zi)), MM(add_ps)(one, g));
    const V above = multiply_add(load_units(c, n), below, MM(mul_ps)(MM(sub_ps)(one, g), forget));
    const V cell = MM(div_ps)(above, MM(mul_ps)(below, forget));
    const V e = power_of_2(MM(mul_ps)(cell, ALL(-2.0f * TL_LOG2_E)));
    store_units(c, cell, n);
    store_units(h_new, MM(div_ps)(MM(sub_ps)(one, e), MM(mul_ps)(output, MM(add_ps)(one, e))), n);
}

/* h_new of up to LANES units: z h + (1 - z) n = (h (1 + En) + Ez (1 - En)) / ((1 + Ez)(1 + En)). */
static inline void gru_update(float *h_new, const float *h, V zr, V zz, V nx, V nh, uint32_t n)
{
    const V one = ALL(1.0f), z = power_of_2(zz), r = MM(div_ps)(one, MM(add_ps)(one, power_of_2(zr)));
    const V e = power_of_2(multiply_add(r, nh, nx)), below = MM(add_ps)(one, e);
    const V above = multiply_add(load_units(h, n), below, MM(mul_ps)(z, MM(sub_ps)(one, e)));
    store_units(h_new, MM(div_ps)(above, MM(mul_ps)(below, MM(add_ps)(one, z))), n);
}

static inline uint32_t blocks(uint32_t hidden)
{
    return (hidden + 2 * LANES - 1) / (2 * LANES);
}

/* Block k of a step that goes up or down: see tl_f32.h. The numbers do not depend on the order. */
static inline uint32_t block(uint32_t k, uint32_t n, const float *h_new, const float *h)
{
    return (uintptr_t)h_new < (uintptr_t)h ? n - 1 - k : k;
}

static inline void lstm_step(float *h_new, float *c, const float *h, const float *x, const tl_tiles_f32 *p)
{
    const uint32_t hidden = p->hidden, all = blocks(hidden), size = 8 * LANES * (1u + p->inputs + hidden);
    for (uint32_t k = 0; k < all; k++) {
        const uint32_t at = block(k, all, h_new, h), u = 2 * LANES * at, left = hidden - u;
        const float *w = p->w + (uintptr_t)at * size;
        V acc[8];
        UNROLL for (uint32_t i = 0; i < 8; i++) {
            acc[i] = MM(load_ps)(w + i * LANES);
        }
        w = dot(acc, w + 8 * LANES, x, p->inputs, 15);
        (void)dot(acc, w, h, hidden, 15);
        lstm_update(h_new + u, c + u, acc[0], acc[2], acc[4], acc[6], left);
        if (left > LANES) {
            lstm_update(h_new + u + LANES, c + u + LANES, acc[1], acc[3], acc[5], acc[7], left - LANES);
        }
    }
}

static inline void gru_step(float *h_new, const float *h, const float *x, const tl_tiles_f32 *p)
{
    const uint32_t hidden = p->hidden, all = blocks(hidden), size = LANES * (8u + 6u * (p->inputs + hidden));
    for (uint32_t k = 0; k < all; k++) {
        const uint32_t at = block(k, all, h_new, h), u = 2 * LANES * at, left = hidden - u;
        const float *w = p->w + (uintptr_t)at * size;
        V acc[8];
        UNROLL for (uint32_t i = 0; i < 8; i++) {
            acc[i] = MM(load_ps)(w + i * LANES);
        }
        w = dot(acc, w + 8 * LANES, x, p->inputs, 7);
        (void)dot(acc, w, h, hidden, 11);
        gru_update(h_new + u, h + u, acc[0], acc[2], acc[4], acc[6], left);
        if (left > LANES) {
            gru_update(h_new + u + LANES, h + u + LANES, acc[1], acc[3], acc[5], acc[7], left - LANES);
        }
    }
}

static inline void dense(float *y, const float *h, const tl_dense_f32 *p)
{
    const uint32_t n = p->inputs;
    for (uint32_t row = 0; row < p->outputs; row++) {
        const float *w = p->w + row * n;
        V sum = ALL(0.0f);
        for (uint32_t k = 0; k < n; k += LANES) {
            sum = multiply_add(load_units(w + k, n - k), load_units(h + k, n - k), sum);
        }
        y[row] = p->b[row] + total(sum);
    }
}

#endif
