/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Arithmetic of both widths, over MM(op), the prefix of a width's intrinsics. */
#ifndef TL_X86_H
#define TL_X86_H

#define add32 MM(add_epi32)
#define sub32 MM(sub_epi32)
#define srai32 MM(srai_epi32)
#define slli32 MM(slli_epi32)
#define shr32(v, n) MM(sra_epi32)(v, _mm_cvtsi32_si128((int)(n)))
#define shl32(v, n) MM(sll_epi32)(v, _mm_cvtsi32_si128((int)(n)))
#define min32 MM(min_epi32)
#define max32 MM(max_epi32)
#define abs32 MM(abs_epi32)
#define madd MM(madd_epi16)
#define narrow MM(packs_epi32)
#define narrow_unsigned MM(packus_epi32)
#define interleave_lo MM(unpacklo_epi16)
#define interleave_hi MM(unpackhi_epi16)
#define splat16 MM(set1_epi16)
#define splat32 MM(set1_epi32)
#define add16 MM(add_epi16)
#define sub16 MM(sub_epi16)
#define adds16 MM(adds_epi16)
#define min16 MM(min_epi16)
#define abs16 MM(abs_epi16)
#define srai16 MM(srai_epi16)
#define srli16 MM(srli_epi16)
#define slli16 MM(slli_epi16)
#define shr16(v, n) MM(srl_epi16)(v, _mm_cvtsi32_si128((int)(n)))
#define shl16(v, n) MM(sll_epi16)(v, _mm_cvtsi32_si128((int)(n)))
#define mul16 MM(mullo_epi16)
#define triple_shr(v, n) MM(mulhi_epu16)(v, splat16(3 << (16 - (n)))) /* 3 v >> n, v unsigned */
#define mul_round MM(mulhrs_epi16)

/* a * m >> 16 = (high half * m) + (unsigned low half * m >> 16). m in 1 .. 32767, one per int32 lane. */
INLINE D mulw(D a, D m)
{
    return add32(madd(a, slli32(m, 16)), MM(mulhi_epu16)(a, m));
}

INLINE void lift(W r, D *first, D *second)
{
    *first = interleave_lo(r, ZERO);
    *second = interleave_hi(r, ZERO);
}

INLINE W requantize(D first, D second, const int32_t *m, uint8_t t)
{
    return narrow(shr32(mulw(first, LOAD32(m)), t), shr32(mulw(second, LOAD32(m + LANES)), t));
}

/* The products of int16 words as int32 pairs, in the order of interleave_lo and interleave_hi. */
INLINE void products(W a, W b, D *first, D *second)
{
    const W low = MM(mullo_epi16)(a, b), high = MM(mulhi_epi16)(a, b);
    *first = interleave_lo(low, high);
    *second = interleave_hi(low, high);
}

/* tl_high_mul: even and odd lanes as 64-bit products. */
INLINE D high_mul(D x, D m)
{
    const D half = splat64(1 << 30);
    const D even = MM(add_epi64)(MM(mul_epi32)(x, m), half);
    const D odd = MM(add_epi64)(MM(mul_epi32)(MM(srli_epi64)(x, 32), m), half);
    return odd_of(MM(srli_epi64)(even, 31), MM(slli_epi64)(odd, 1));
}

/* tl_rounding_shift of |x| < 2^31 - 2^(n - 1). */
INLINE D rounding_shift(D x, uint32_t n)
{
    const D half = splat32((int32_t)((uint32_t)1 << n >> 1)), below = and_(srai32(x, 31), splat32(n != 0 ? -1 : 0));
    return shr32(add32(add32(x, half), below), n);
}

#endif
