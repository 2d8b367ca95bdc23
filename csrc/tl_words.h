/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The dot8 of processors that multiply and add pairs of int16 (madd) and have nothing better. ADD_TO(acc, v), KEEP(v)
 * add and keep a vector in its register; load_x(p, n): the first two of n activations (ACTIVATION: their type) in
 * every lane. */
#ifndef TL_WORDS_H
#define TL_WORDS_H

/* A word holds the weights of a row in each half, 256 first + (second + 128), |first|, |second| <= 127. With A, B the
 * sums of the two rows: T = sum word v = 256 A + B + 128 sum v, and the upper byte gives A. All modulo 2^32. */
INLINE const int8_t *dot8(D *acc, uint32_t gates, const int8_t *w, const ACTIVATION *v, uint32_t n)
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

#endif
