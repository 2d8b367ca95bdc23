/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The step that the x86 targets share. A target's file defines, before it includes this one:
 *   V, MM(op)                 its vector, and the prefix of its intrinsics
 *   LANES                     int32 lanes of V; a block is 2 * LANES hidden units
 *   dot8(acc, w, v, n)        acc[8] += int8 weights times v [n]; returns the weights behind those it used
 *   dot_pair(acc, w, pair)    acc + int16 weights times a pair of x in every lane
 *   sigmoid(z), tanh_(z)      tl_lookup on 2 * LANES int16
 *   load_units(p, n), store_units(p, v, n), load_pair(p, n)   the first n of a vector, or 2, of int16
 *
 * A block has 8 accumulators: gates i, f, g, o times two halves. The halves hold the units in the order in which
 * PACKSSDW puts them side by side again, so that everything behind it is 16 bits wide and in the order of the units. */
#ifndef TL_X86_H
#define TL_X86_H

/* mulw: a * m >> 16 = (high half * m) + (unsigned low half * m >> 16). m in 1 .. 32767, one per int32 lane. */
static inline V mulw(V a, V m)
{
    return MM(add_epi32)(MM(madd_epi16)(a, MM(slli_epi32)(m, 16)), MM(mulhi_epu16)(a, m));
}

/* acc[8] = b + (sum wx16 x >> f): wrapping sums, exact by the proof in tl_kernels.h. */
static inline void start16(V acc[8], const int32_t *b, const int16_t *w, const int16_t *x, uint32_t n, uint8_t f)
{
    const __m128i shift = _mm_cvtsi32_si128(f);
    UNROLL for (uint32_t v = 0; v < 8; v++) {
        acc[v] = ZERO;
    }
    for (uint32_t k = 0; k < n; k += 2, w += 16 * LANES) {
        const V pair = load_pair(x + k, n - k);
        UNROLL for (uint32_t v = 0; v < 8; v++) {
            acc[v] = dot_pair(acc[v], LOAD(w + v * 2 * LANES), pair);
        }
    }
    UNROLL for (uint32_t v = 0; v < 8; v++) {
        acc[v] = MM(add_epi32)(LOAD(b + v * LANES), MM(sra_epi32)(acc[v], shift));
    }
}

static inline void start8(V acc[8], const int32_t *b)
{
    UNROLL for (uint32_t v = 0; v < 8; v++) {
        acc[v] = LOAD(b + v * LANES);
    }
}

/* The two halves of one gate -> gate inputs, Q3.12. */
static inline V requantize(V first, V second, const int32_t *m, __m128i t)
{
    return MM(packs_epi32)(MM(sra_epi32)(mulw(first, LOAD(m)), t), MM(sra_epi32)(mulw(second, LOAD(m + LANES)), t));
}

/* f c + (i g >> (15 - frac)) + 2^14 >> 15 in int32, |result| <= 2^16, for one half of the words of each 128 bits.
 * The words are f, 128 and c, 128: the rounding, 2^14 = 128 * 128, is the second product of each pair. */
static inline V cell_sum(V f, V c, V ig, __m128i shift)
{
    return MM(srai_epi32)(MM(add_epi32)(MM(madd_epi16)(f, c), MM(sra_epi32)(ig, shift)), 15);
}

/* c (updated) and h_new of one block of which n units exist; z: the four gate inputs, Q3.12. */
static inline void update(int16_t *h_new, int16_t *c, const V z[4], uint32_t n, uint8_t frac)
{
    const V i = sigmoid(z[0]), f = sigmoid(z[1]), g = tanh_(z[2]), o = sigmoid(z[3]);
    const V old = load_units(c, n), root = MM(set1_epi16)(128);
    const V ig_lo = MM(mullo_epi16)(i, g), ig_hi = MM(mulhi_epi16)(i, g);
    const __m128i down = _mm_cvtsi32_si128(15 - frac), up = _mm_cvtsi32_si128(12 - frac);
    const V lo = cell_sum(MM(unpacklo_epi16)(f, root), MM(unpacklo_epi16)(old, root),
                          MM(unpacklo_epi16)(ig_lo, ig_hi), down);
    const V hi = cell_sum(MM(unpackhi_epi16)(f, root), MM(unpackhi_epi16)(old, root),
                          MM(unpackhi_epi16)(ig_lo, ig_hi), down);
    store_units(c, MM(packs_epi32)(lo, hi), n);
    /* Q.frac -> Q3.12: sat16(sat16(v) << s) = sat16(v << s), and |v << s| <= 2^28 */
    const V wide = MM(packs_epi32)(MM(sll_epi32)(lo, up), MM(sll_epi32)(hi, up));
    store_units(h_new, MM(mulhrs_epi16)(o, tanh_(wide)), n); /* (o tanh(c) + 2^14) >> 15 */
}

static inline void step(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const PARAMETERS *p)
{
    const uint32_t hidden = p->hidden;
    const __m128i t = _mm_cvtsi32_si128(p->t);
    const int8_t *w = p->w8;
    const int16_t *wx = p->wx16;
    const int32_t *b = p->b, *m = p->m;
    for (uint32_t u = 0; u < hidden; u += 2 * LANES, b += 8 * LANES, m += 8 * LANES) {
        const uint32_t n = hidden - u < 2 * LANES ? hidden - u : 2 * LANES;
        V acc[8], z[4];
        if (wx != NULL) {
            start16(acc, b, wx, x, p->inputs, p->f);
            wx += (p->inputs + 1u) / 2 * (16 * LANES);
        } else {
            start8(acc, b);
            w = dot8(acc, w, x, p->inputs);
        }
        w = dot8(acc, w, h, hidden);
        UNROLL for (uint32_t gate = 0; gate < 4; gate++) {
            z[gate] = requantize(acc[2 * gate], acc[2 * gate + 1], m + 2 * gate * LANES, t);
        }
        update(h_new + u, c + u, z, n, p->frac);
    }
}

#endif
