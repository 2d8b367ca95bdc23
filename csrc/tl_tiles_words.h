/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* dot8 and the look-ups of processors that have madd (tl_tiles_madd.h) and nothing better: avx2, wasm_simd128. */
#ifndef TL_TILES_WORDS_H
#define TL_TILES_WORDS_H

#include "tl_tables.h"

/* A word holds the weights of a row in each half, 256 first + (second + 128), |first|, |second| <= 127. With A, B the
 * sums of the two rows: T = sum word v = 256 A + B + 128 sum v, and the upper byte gives A. All modulo 2^32. */
INLINE const int8_t *dot8(D *acc, uint32_t gates, const int8_t *w, const int16_t *v, uint32_t n)
{
    D a[4], t[4], bias = ZERO;
    UNROLL for (uint32_t i = 0; i < gates; i++) {
        a[i] = t[i] = ZERO;
    }
    for (uint32_t k = 0; k < n; k += 2, w += gates * 4 * LANES) {
        const W pair = load_x(v + k, n - k);
        UNROLL for (uint32_t i = 0; i < gates; i++) {
            W words = LOAD16(w + 4 * LANES * i);
            KEEP(words);
            ADD_TO(t[i], madd(words, pair));
            ADD_TO(a[i], madd(srai16(words, 8), pair));
        }
        bias = dot_words(bias, splat16(128), pair);
    }
    UNROLL for (uint32_t i = 0; i < gates; i++) {
        acc[2 * i] = add32(acc[2 * i], a[i]);
        t[i] = sub32(sub32(t[i], bias), slli32(a[i], 8));
        acc[2 * i + 1] = add32(acc[2 * i + 1], t[i]);
    }
    return w;
}

/* tl_lookup: n[i] * (32768 - fraction) + n[i + 1] * fraction >> 15; the coefficients fit int16, as fraction is odd. */
INLINE W lookup(const int16_t nodes[257], W z)
{
    const W half = splat16(-32768);
    const W index = srli16(xor_(z, half), 8);
    const W fraction = or_(srli16(slli16(z, 8), 1), splat16(1)); /* Q0.15 */
    const W rest = sub16(half, fraction);
    const D lo = madd(node_pairs(nodes, interleave_lo(index, ZERO)), interleave_lo(rest, fraction));
    const D hi = madd(node_pairs(nodes, interleave_hi(index, ZERO)), interleave_hi(rest, fraction));
    return narrow(srai32(lo, 15), srai32(hi, 15));
}

INLINE W sigmoid(W z)
{
    return lookup(tl_sigmoid_nodes, z);
}

INLINE W tanh_(W z)
{
    return lookup(tl_tanh_nodes, z);
}

#endif
