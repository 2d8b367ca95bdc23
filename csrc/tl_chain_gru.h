/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The GRU step, reset after, of the cores without DSP instructions: three rows of a hidden unit in one word, as the
 * four of tl_chain.h. With W = r << 16 | z << 8 | n, where r is signed and z and n carry +128,
 *     W >> 16 = r,   W >> 8 = 256 r + z,   W = 256 (256 r + z) + n.
 * The row of n has a sum over the inputs and one over the units: between the two runs of columns stand the biases. */
#ifndef TL_CHAIN_GRU_H
#define TL_CHAIN_GRU_H

#include "tl_chain.h"

/* sum[j] += (w >> (16 - 8 j)) x. */
TL_INLINE void tl_triple8(uint32_t sum[3], uint32_t w, int32_t x)
{
    sum[0] += (uint32_t)((int32_t)w >> 16) * (uint32_t)x;
    sum[1] += (uint32_t)((int32_t)w >> 8) * (uint32_t)x;
    sum[2] += w * (uint32_t)x;
}

/* sum[0] += (w[0] >> 16) x, sum[1] += w[0] x, sum[2] += w[1] x. */
TL_INLINE void tl_triple16(uint32_t sum[3], const uint32_t w[2], int32_t x)
{
    sum[0] += (uint32_t)((int32_t)w[0] >> 16) * (uint32_t)x;
    sum[1] += w[0] * (uint32_t)x;
    sum[2] += w[1] * (uint32_t)x;
}

/* The leaves: n columns, returning what stands behind their weights. */
#ifdef TL_OWN_TRIPLES /* the file that includes this one defines them */
TL_INLINE const uint32_t *tl_triples8(uint32_t sum[3], const uint32_t *w, const int16_t *v, uint32_t n);
TL_INLINE const uint32_t *tl_triples16(uint32_t sum[3], const uint32_t *w, const int16_t *v, uint32_t n);
#else
TL_INLINE const uint32_t *tl_triples8(uint32_t sum[3], const uint32_t *w, const int16_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        tl_triple8(sum, w[k], v[k]);
    }
    return w + n;
}

TL_INLINE const uint32_t *tl_triples16(uint32_t sum[3], const uint32_t *w, const int16_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        tl_triple16(sum, w + 2 * k, v[k]);
    }
    return w + 2 * n;
}
#endif

/* Gate input of n, not yet saturated: both parts in Q(12 + t), each below 2^30. */
TL_INLINE int32_t tl_new_chain(uint32_t from_x, uint32_t from_h, int32_t m, int32_t r, uint32_t t)
{
    int32_t zx = tl_scale((int32_t)from_x, m, 0), zh = tl_scale((int32_t)from_h, m, 0);
    return (zx + 2 * tl_scale(zh, r, 0)) >> t;
}

TL_INLINE void tl_gru_step_chain(int16_t *h_new, const int16_t *h, const int16_t *x, const tl_gru_w8a16_v6m *p)
{
    const uint32_t n = p->hidden, inputs = p->inputs, wide = p->wide, f = p->f, t = p->t;
    const uint32_t low_x = tl_total(x, inputs) * (wide != 0 ? 0u - 32768u : 0u - 128u);
    const uint32_t low_h = tl_total(h, n) * (0u - 128u);
    const int16_t *own = h + p->first;
    const uint32_t *w = p->w;
    for (uint32_t u = 0; u < p->units; u++) {
        uint32_t sum[3] = {0, low_x, wide != 0 ? 0u : low_x * 0x101u};
        uint32_t r, z, from_x;
        if (wide != 0) {
            w = tl_triples16(sum, w, x, inputs);
            r = (uint32_t)((int32_t)sum[0] >> f);
            z = (uint32_t)((int32_t)(sum[1] - (sum[0] << 16)) >> f);
            from_x = (uint32_t)((int32_t)sum[2] >> f) + w[2];
        } else {
            w = tl_triples8(sum, w, x, inputs);
            r = sum[0];
            z = sum[1] - (sum[0] << 8);
            from_x = sum[2] - (sum[1] << 8) + w[2];
        }
        sum[0] = r + w[0];
        sum[1] = z + w[1] + low_h + (sum[0] << 8);
        sum[2] = w[3] + low_h + (sum[1] << 8);
        w = tl_triples8(sum, w + 4, h, n);
        int32_t acc_z = (int32_t)(sum[1] - (sum[0] << 8));
        int32_t reset = tl_look(tl_sigmoid_lines, tl_scale((int32_t)sum[0], (int16_t)w[0], t));
        int32_t kept = tl_look(tl_sigmoid_lines, tl_scale(acc_z, (int32_t)w[0] >> 16, t));
        int32_t fresh = tl_new_chain(from_x, sum[2] - (sum[1] << 8), (int32_t)w[1], reset, t);
        h_new[u] = tl_blend((int16_t)kept, own[u], (int16_t)tl_look(tl_tanh_lines, fresh));
        w += 2;
    }
}

#endif
