/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AVX2: two rows of int8 weights share a 16-bit word and meet pairs of activations in VPMADDWD. */
#include <immintrin.h>
#include <stddef.h>

#include "tl_avx2.h"
#include "tl_tables.h"

#ifndef __AVX2__
#error "build this file with -mavx2"
#endif

#define V __m256i
#define MM(op) _mm256_##op
#define ZERO _mm256_setzero_si256()
#define LANES 8u
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define PARAMETERS tl_lstm_w8a16_avx2
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif
#define KEEP(v) __asm__("" : "+v"(v)) /* in a register: gcc would load weights twice and copy the accumulators */

static inline V load_units(const int16_t *p, uint32_t n)
{
    int16_t part[16] = {0};
    if (n >= 16) {
        return LOAD(p);
    }
    tl_copy(part, p, n);
    return LOAD(part);
}

static inline void store_units(int16_t *p, V v, uint32_t n)
{
    int16_t all[16];
    _mm256_storeu_si256((__m256i *)(void *)(n >= 16 ? p : all), v);
    if (n < 16) {
        tl_copy(p, all, n);
    }
}

static inline V load_pair(const int16_t *p, uint32_t n)
{
    int32_t pair = (uint16_t)p[0];
    if (n > 1) {
        __builtin_memcpy(&pair, p, 4);
    }
    return _mm256_set1_epi32(pair);
}

/* 2 * 32640 * 32767 < 2^31: a pair never overflows. */
static inline V dot_pair(V acc, V w, V pair)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(w, pair));
}

/* A word holds the weights of a row in each half, 256 first + (second + 128), |first|, |second| <= 127. With A, B the
 * sums of the two rows: T = sum word v = 256 A + B + 128 sum v, and the upper byte gives A. All modulo 2^32. */
static inline const int8_t *dot8(V acc[8], const int8_t *w, const int16_t *v, uint32_t n)
{
    V a[4], t[4], bias = ZERO;
    UNROLL for (uint32_t i = 0; i < 4; i++) {
        a[i] = t[i] = ZERO;
    }
    for (uint32_t k = 0; k < n; k += 2, w += 4 * 32) {
        const V pair = load_pair(v + k, n - k);
        UNROLL for (uint32_t i = 0; i < 4; i++) {
            V words = LOAD(w + 32 * i);
            KEEP(words);
            t[i] = dot_pair(t[i], words, pair);
            a[i] = dot_pair(a[i], _mm256_srai_epi16(words, 8), pair);
            KEEP(t[i]);
            KEEP(a[i]);
        }
        bias = dot_pair(bias, _mm256_set1_epi16(128), pair);
    }
    UNROLL for (uint32_t i = 0; i < 4; i++) {
        acc[2 * i] = _mm256_add_epi32(acc[2 * i], a[i]);
        t[i] = _mm256_sub_epi32(_mm256_sub_epi32(t[i], bias), _mm256_slli_epi32(a[i], 8));
        acc[2 * i + 1] = _mm256_add_epi32(acc[2 * i + 1], t[i]);
    }
    return w;
}

/* n[i] in the lower and n[i + 1] in the upper word of each lane. */
static inline V node_pairs(const int16_t nodes[257], V index)
{
    return _mm256_i32gather_epi32((const int *)(const void *)nodes, index, 2);
}

/* tl_lookup: n[i] * (32768 - fraction) + n[i + 1] * fraction >> 15; the coefficients fit int16, as fraction is odd. */
static inline V lookup(const int16_t nodes[257], V z)
{
    const V half = _mm256_set1_epi16(-32768);
    const V index = _mm256_srli_epi16(_mm256_xor_si256(z, half), 8);
    const V fraction = _mm256_or_si256(_mm256_srli_epi16(_mm256_slli_epi16(z, 8), 1), _mm256_set1_epi16(1)); /* Q0.15 */
    const V rest = _mm256_sub_epi16(half, fraction);
    const V lo = _mm256_madd_epi16(node_pairs(nodes, _mm256_unpacklo_epi16(index, ZERO)),
                                   _mm256_unpacklo_epi16(rest, fraction));
    const V hi = _mm256_madd_epi16(node_pairs(nodes, _mm256_unpackhi_epi16(index, ZERO)),
                                   _mm256_unpackhi_epi16(rest, fraction));
    return _mm256_packs_epi32(_mm256_srai_epi32(lo, 15), _mm256_srai_epi32(hi, 15));
}

static inline V sigmoid(V z)
{
    return lookup(tl_sigmoid_nodes, z);
}

static inline V tanh_(V z)
{
    return lookup(tl_tanh_nodes, z);
}

#include "tl_x86.h"

void tl_lstm_step_w8a16_avx2(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                             const tl_lstm_w8a16_avx2 *p)
{
    step(h_new, c, h, x, p);
}

/* Sum of the eight lanes. */
static inline int32_t total(V v)
{
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1)));
}

void tl_dense_w16a16_avx2(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    const uint32_t n = p->inputs;
    for (uint32_t row = 0; row < p->outputs; row++) {
        const int16_t *w = p->w + row * n;
        V sum = ZERO;
        for (uint32_t k = 0; k < n; k += 16) {
            sum = dot_pair(sum, load_units(w + k, n - k), load_units(h + k, n - k));
        }
        y[row] = p->b[row] + total(sum);
    }
}
