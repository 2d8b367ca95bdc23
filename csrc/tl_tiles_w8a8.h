/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The step of scheme w8a8 over the layers of tl_tiled_w8a8.h. A target's file includes its vectors (tl_x86_256.h,
 * tl_x86_512.h, tl_aarch64.h, tl_wasm.h) and defines, before it includes this one:
 *   dot8(acc, gates, w, v, n)    acc[2 * gates] += int8 weights times v [n]; returns the weights behind those it used
 *   load_bytes(p, n), store_bytes(p, v, n)   the first n of W from int8, and to int8, saturated
 *   sigmoid_node(i, f)           (n[i] + ((n[i + 1] - n[i]) f >> 16) + 1) >> 1, n: tl_sigmoid_24ths, f Q0.16
 *   tanh_node(i, f)              n[i] - 32768 + (((n[i + 1] - n[i]) f + 2^15) >> 16) */
#ifndef TL_TILES_W8A8_H
#define TL_TILES_W8A8_H

#include "tl_gemmlowp.h"
#include "tl_tiled_w8a8.h"

#define BLOCK (2 * LANES)

/* tl_multiply */
INLINE D multiply(D x, const int32_t m[3])
{
    return rounding_shift(high_mul(shl32(x, m[1]), splat32(m[0])), (uint32_t)m[2]);
}

/* tl_table_sigmoid: the upper bits of 3 |z|, and the lower 9 as a fraction. */
INLINE W table_sigmoid(W z)
{
    const W size = abs16(z), y = sigmoid_node(triple_shr(size, 9), mul16(size, splat16(3 << 7)));
    return by_sign(z, sub16(splat16(-32768), y), y);
}

/* tl_table_tanh of a gate input, Q3.12. The last interval has no step: its fraction may be anything. */
INLINE W table_tanh(W z)
{
    const W size = abs16(z), index = min16(triple_shr(size, 8), splat16(255));
    return with_sign(z, tanh_node(index, mul16(size, splat16(3 << 8))));
}

/* |3 c 2^(bits - 3)|, rounded: below 2^20. */
INLINE D cell_size(D c, uint32_t up, uint32_t down)
{
    const D t = add32(shl32(add32(c, slli32(c, 1)), up), splat32(1 << down >> 1));
    return abs32(shr32(t, down));
}

/* tl_table_tanh of a cell, whose words lie in two halves. */
INLINE W table_tanh_cell(W c, D lo, D hi, uint32_t bits)
{
    const uint32_t up = bits < 3 ? 0 : bits - 3, down = bits < 3 ? 3 - bits : 0;
    const W t = narrow_unsigned(cell_size(lo, up, down), cell_size(hi, up, down));
    return with_sign(c, tanh_node(srli16(t, 8), slli16(t, 8)));
}

INLINE W sigmoid(W z, uint8_t table)
{
    return table ? table_sigmoid(z) : gemmlowp_sigmoid(z);
}

/* The gate inputs, Q3.12, from the sums of their parts. */
INLINE void gate_inputs(W z[4], const D from_x[8], const D from_h[8], const tl_lstm_w8a8_tiled *p)
{
    const D top = splat32(32767), bottom = splat32(-32768);
    UNROLL for (uint32_t gate = 0; gate < 4; gate++) {
        D sum[2];
        UNROLL for (uint32_t half = 0; half < 2; half++) {
            const D part = multiply(from_x[2 * gate + half], p->m + 3 * gate);
            sum[half] = add32(max32(min32(part, top), bottom),
                              multiply(from_h[2 * gate + half], p->m + 12 + 3 * gate));
        }
        z[gate] = narrow(sum[0], sum[1]);
    }
}

/* tl_cell_w8a8, saturated and clipped, for one half. */
INLINE D new_cell(D fc, D ig, const tl_lstm_w8a8_tiled *p)
{
    const int32_t top = p->clip != 0 ? p->clip : 32767, bottom = p->clip != 0 ? -p->clip : -32768;
    const D sum = add32(rounding_shift(fc, 15), rounding_shift(ig, 15u + p->bits));
    return max32(min32(sum, splat32(top)), splat32(bottom));
}

/* Behind the gates: c, updated, and h_new of n units. */
INLINE void update(int8_t *h_new, int16_t *c, uint32_t n, W i, W f, W g, W o, const tl_lstm_w8a8_tiled *p)
{
    D fc[2], ig[2], ot[2];
    products(f, load_units(c, n), &fc[0], &fc[1]);
    products(i, g, &ig[0], &ig[1]);
    const D lo = new_cell(fc[0], ig[0], p), hi = new_cell(fc[1], ig[1], p);
    const W cell = narrow(lo, hi);
    store_units(c, cell, n);
    products(o, p->table ? table_tanh_cell(cell, lo, hi, p->bits) : gemmlowp_tanh(cell, p->bits), &ot[0], &ot[1]);
    UNROLL for (uint32_t half = 0; half < 2; half++) {
        ot[half] = add32(multiply(ot[half], p->m + 24), splat32(p->h_zero));
    }
    store_bytes(h_new, narrow(ot[0], ot[1]), n);
}

INLINE void lstm_step(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x, const tl_lstm_w8a8_tiled *p)
{
    const int8_t *w = p->w;
    const int32_t *b = p->b;
    for (uint32_t u = 0; u < p->units; u += BLOCK, b += 8 * BLOCK) {
        D from_x[8], from_h[8];
        W z[4];
        UNROLL for (uint32_t v = 0; v < 8; v++) {
            from_x[v] = LOAD32(b + v * LANES);
        }
        w = dot8(from_x, 4, w, x, p->inputs);
        UNROLL for (uint32_t v = 0; v < 8; v++) {
            from_h[v] = LOAD32(b + (8 + v) * LANES);
        }
        w = dot8(from_h, 4, w, h, p->hidden);
        gate_inputs(z, from_x, from_h, p);
        const W i = sigmoid(z[0], p->table), f = sigmoid(z[1], p->table), o = sigmoid(z[3], p->table);
        const W g = p->table ? table_tanh(z[2]) : gemmlowp_tanh(z[2], 3);
        const uint32_t n = p->units - u < BLOCK ? p->units - u : BLOCK;
        update(h_new + u, c + u, n, i, f, g, o, p);
    }
}

/* 2 * 32767 * 128 < 2^31: no pair of products overflows; the sums are exact by the proof in tl_w8a8.h. */
INLINE void dense(int32_t *y, const int8_t *h, const tl_dense_w16a8 *p)
{
    const int16_t *w = p->w;
    for (uint32_t row = 0; row < p->outputs; row++, w += p->inputs) {
        D sum = ZERO;
        for (uint32_t k = 0; k < p->inputs; k += BLOCK) {
            sum = dot_words(sum, load_units(w + k, p->inputs - k), load_bytes(h + k, p->inputs - k));
        }
        y[row] = p->b[row] + total(sum);
    }
}

/* The functions of a target. */
#define KERNELS(target)                                                                                                \
    void tl_lstm_step_w8a8_##target(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x,                       \
                                    const tl_lstm_w8a8_tiled *p)                                                       \
    {                                                                                                                  \
        lstm_step(h_new, c, h, x, p);                                                                                  \
    }                                                                                                                  \
    void tl_dense_w16a8_##target(int32_t *y, const int8_t *h, const tl_dense_w16a8 *p)                                 \
    {                                                                                                                  \
        dense(y, h, p);                                                                                                \
    }

#endif
