/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AVX-512 with VNNI, scheme w8a8: four int8 weights meet four activations, made unsigned, in one VPDPBUSD. */
#include "tl_tables_w8a8_planes.h"
#include "tl_x86_512.h"

INLINE W load_bytes(const int8_t *p, uint32_t n)
{
    return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(first(n), p));
}

INLINE void store_bytes(int8_t *p, W v, uint32_t n)
{
    _mm256_mask_storeu_epi8(p, first(n), _mm512_cvtsepi16_epi8(v));
}

INLINE const int8_t *dot8(D *acc, uint32_t gates, const int8_t *w, const int8_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n; k += 4, w += gates * 128) {
        const __m128i four = n - k >= 4 ? _mm_loadu_si32(v + k) : _mm_maskz_loadu_epi8((__mmask16)first(n - k), v + k);
        const W quad = _mm512_xor_si512(_mm512_broadcastd_epi32(four), _mm512_set1_epi8(-128));
        UNROLL for (uint32_t i = 0; i < 2 * gates; i++) {
            acc[i] = _mm512_dpbusd_epi32(acc[i], quad, LOAD16(w + 64 * i));
            KEEP(acc[i]);
        }
    }
    return w;
}

INLINE W look_up(const uint16_t table[256], W index)
{
    const __mmask32 bit6 = _mm512_test_epi16_mask(index, splat16(64));
    const __mmask32 bit7 = _mm512_test_epi16_mask(index, splat16(128));
    return pick(table, index, bit6, bit7);
}

/* (a + b + 1) >> 1 is VPAVGW. */
INLINE W sigmoid_node(W index, W f)
{
    const W part = _mm512_mulhi_epu16(look_up(tl_24ths_step, index), f);
    return _mm512_avg_epu16(look_up(tl_24ths_base, index), part);
}

/* VPMULHRSW of f / 2 rounds. */
INLINE W tanh_node(W index, W f)
{
    const W part = mul_round(look_up(tl_24ths_step, index), srli16(f, 1));
    return add16(sub16(look_up(tl_24ths_base, index), splat16(-32768)), part);
}

#include "tl_tiles_w8a8.h"

KERNELS(avx512vnni)
