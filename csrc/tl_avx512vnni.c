/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AVX-512 with VNNI: a column of four int8 weights meets int16 activations in two VPDPBUSD, upper and lower bytes. */
#include "tl_avx512vnni.h"
#include "tl_tables_planes.h"
#include "tl_x86_512.h"

INLINE W load_x(const int16_t *p, uint32_t n)
{
    return _mm512_broadcastd_epi32(_mm_maskz_loadu_epi16(n > 1 ? 3 : 1, p));
}

/* v + 32768 = 256 upper + lower, both unsigned bytes; the 32768 sum w that this adds is taken off in b. */
INLINE const int8_t *dot8(D *acc, uint32_t gates, const int8_t *w, const int16_t *v, uint32_t n)
{
    const W even = _mm512_set1_epi32(0x06040200), odd = _mm512_set1_epi32(0x07050301);
    D upper[8];
    UNROLL for (uint32_t i = 0; i < 2 * gates; i++) {
        upper[i] = ZERO;
    }
    for (uint32_t k = 0; k < n; k += 4, w += gates * 128) {
        const __m128i four = n - k >= 4 ? _mm_loadl_epi64((const __m128i *)(const void *)(v + k))
                                        : _mm_maskz_loadu_epi16((__mmask8)first(n - k), v + k);
        const W quad = _mm512_xor_si512(_mm512_broadcastq_epi64(four), _mm512_set1_epi16(-32768));
        const W low = _mm512_shuffle_epi8(quad, even), high = _mm512_shuffle_epi8(quad, odd);
        UNROLL for (uint32_t i = 0; i < 2 * gates; i++) {
            W weights = LOAD16(w + 64 * i);
            KEEP(weights);
            acc[i] = _mm512_dpbusd_epi32(acc[i], low, weights);
            upper[i] = _mm512_dpbusd_epi32(upper[i], high, weights);
            KEEP(acc[i]);
            KEEP(upper[i]);
        }
    }
    UNROLL for (uint32_t i = 0; i < 2 * gates; i++) {
        acc[i] = _mm512_add_epi32(acc[i], _mm512_slli_epi32(upper[i], 8));
    }
    return w;
}

/* tl_lookup: the table holds 2 * (n[i + 1] - n[i]), so that >> 15 is the upper half of a product. */
INLINE W lookup(const int16_t base[256], const int16_t slope[256], W z)
{
    const W one = _mm512_set1_epi16(1);
    const W index = _mm512_srai_epi16(z, 8); /* its lower 8 bits: i - 128, modulo 256, as the tables are turned */
    const W fraction = _mm512_or_si512(_mm512_srli_epi16(_mm512_slli_epi16(z, 8), 1), one); /* Q0.15 */
    const __mmask32 bit6 = _mm512_test_epi16_mask(z, _mm512_set1_epi16(1 << 14));
    const __mmask32 bit7 = _mm512_movepi16_mask(z);
    return _mm512_add_epi16(pick(base, index, bit6, bit7),
                            _mm512_mulhi_epi16(pick(slope, index, bit6, bit7), fraction));
}

INLINE W sigmoid(W z)
{
    return lookup(tl_sigmoid_base, tl_sigmoid_slope, z);
}

INLINE W tanh_(W z)
{
    return lookup(tl_tanh_base, tl_tanh_slope, z);
}

#include "tl_tiles_madd.h"
#include "tl_tiles.h"

void tl_lstm_step_w8a16_avx512vnni(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                   const tl_lstm_w8a16_avx512vnni *p)
{
    lstm_step(h_new, c, h, x, p);
}

void tl_gru_step_w8a16_avx512vnni(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                  const tl_gru_w8a16_avx512vnni *p)
{
    gru_step(h_new, reset, h, x, p);
}

void tl_dense_w16a16_avx512vnni(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    dense(y, h, p);
}
