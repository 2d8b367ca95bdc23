/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Primitives of tl_tiles.h and tl_tiles_madd.h on x86, over MM(op), the prefix of a width's intrinsics. */
#ifndef TL_X86_H
#define TL_X86_H

#define add32 MM(add_epi32)
#define sub32 MM(sub_epi32)
#define srai32 MM(srai_epi32)
#define slli32 MM(slli_epi32)
#define shr32(v, n) MM(sra_epi32)(v, _mm_cvtsi32_si128(n))
#define shl32(v, n) MM(sll_epi32)(v, _mm_cvtsi32_si128(n))
#define madd MM(madd_epi16)
#define narrow MM(packs_epi32)
#define interleave_lo MM(unpacklo_epi16)
#define interleave_hi MM(unpackhi_epi16)
#define splat16 MM(set1_epi16)
#define splat32 MM(set1_epi32)
#define sub16 MM(sub_epi16)
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

#endif
