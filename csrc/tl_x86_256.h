/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Vectors of 256 bits on x86 for the loops of tl_tiles.h and tl_tiles_w8a8.h. */
#ifndef TL_X86_256_H
#define TL_X86_256_H

#include <immintrin.h>

#include "tl_inline.h"
#include "tl_kernels.h"

#ifndef __AVX2__
#error "build this file with -mavx2"
#endif

#define D __m256i
#define W __m256i
#define MM(op) _mm256_##op
#define ZERO _mm256_setzero_si256()
#define LANES 8u
#define LOAD16(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define LOAD32(p) LOAD16(p)
#define and_ _mm256_and_si256
#define or_ _mm256_or_si256
#define xor_ _mm256_xor_si256
#define splat64 _mm256_set1_epi64x
#define odd_of(even, odd) _mm256_blend_epi32(even, odd, 0xAA)
#define by_sign(z, negative, other) _mm256_blendv_epi8(other, negative, _mm256_srai_epi16(z, 15))
/* gcc would load weights twice and copy accumulators */
#define KEEP(v) __asm__("" : "+x"(v))
#define ADD_TO(acc, v) __asm__("vpaddd %1, %0, %0" : "+x"(acc) : "x"(v))

#include "tl_x86.h"

INLINE W load_units(const int16_t *p, uint32_t n)
{
    int16_t part[16] = {0};
    if (n >= 16) {
        return LOAD16(p);
    }
    tl_copy(part, p, n);
    return LOAD16(part);
}

INLINE void store_units(int16_t *p, W v, uint32_t n)
{
    int16_t all[16];
    _mm256_storeu_si256((__m256i *)(void *)(n >= 16 ? p : all), v);
    if (n < 16) {
        tl_copy(p, all, n);
    }
}

/* 2 * 32640 * 32768 < 2^31: a pair never overflows. */
INLINE D dot_words(D acc, W a, W b)
{
    return add32(acc, madd(a, b));
}

INLINE int32_t total(D v)
{
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1)));
}

/* n[i] in the lower and n[i + 1] in the upper word of each lane. */
INLINE D node_pairs(const int16_t nodes[257], D index)
{
    return _mm256_i32gather_epi32((const int *)(const void *)nodes, index, 2);
}

#endif
