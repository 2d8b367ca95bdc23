/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Vectors of 512 bits on x86 for the loops of tl_tiles.h and tl_tiles_w8a8.h. */
#ifndef TL_X86_512_H
#define TL_X86_512_H

#include <immintrin.h>

#include "tl_inline.h"
#include "tl_kernels.h"

#if !(defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512VNNI__))
#error "build this file with -mavx512f -mavx512bw -mavx512vl -mavx512vnni"
#endif

#define D __m512i
#define W __m512i
#define MM(op) _mm512_##op
#define ZERO _mm512_setzero_si512()
#define LANES 16u
#define LOAD16(p) _mm512_loadu_si512(p)
#define LOAD32(p) LOAD16(p)
#define and_ _mm512_and_si512
#define splat64 _mm512_set1_epi64
#define odd_of(even, odd) _mm512_mask_blend_epi32(0xAAAA, even, odd)
#define by_sign(z, negative, other) _mm512_mask_blend_epi16(_mm512_movepi16_mask(z), other, negative)
#define KEEP(v) __asm__("" : "+v"(v)) /* in a register: gcc would load weights twice and copy the accumulators */
#define total _mm512_reduce_add_epi32

#include "tl_x86.h"

INLINE __mmask32 first(uint32_t n)
{
    return n >= 32 ? 0xFFFFFFFFu : (__mmask32)((1u << n) - 1);
}

INLINE W load_units(const int16_t *p, uint32_t n)
{
    return n >= 32 ? LOAD16(p) : _mm512_maskz_loadu_epi16(first(n), p);
}

INLINE void store_units(int16_t *p, W v, uint32_t n)
{
    if (n >= 32) {
        _mm512_storeu_si512(p, v);
    } else {
        _mm512_mask_storeu_epi16(p, first(n), v);
    }
}

INLINE D dot_words(D acc, W a, W b)
{
    return _mm512_dpwssd_epi32(acc, a, b);
}

/* 32 words out of 256. A permutation takes the lower 6 bits of an index; bit6, bit7 say where the others are set. */
INLINE W pick(const void *table, W index, __mmask32 bit6, __mmask32 bit7)
{
    const int16_t *words = table;
    const W a = _mm512_permutex2var_epi16(LOAD16(words), index, LOAD16(words + 32));
    const W b = _mm512_permutex2var_epi16(LOAD16(words + 64), index, LOAD16(words + 96));
    const W c = _mm512_permutex2var_epi16(LOAD16(words + 128), index, LOAD16(words + 160));
    const W d = _mm512_permutex2var_epi16(LOAD16(words + 192), index, LOAD16(words + 224));
    return _mm512_mask_blend_epi16(bit7, _mm512_mask_blend_epi16(bit6, a, b), _mm512_mask_blend_epi16(bit6, c, d));
}

#endif
