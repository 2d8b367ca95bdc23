/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AVX-512 with VNNI, scheme w8a8: four int8 weights meet four activations, made unsigned, in one VPDPBUSD. */
#include <immintrin.h>
#include <stddef.h>

#include "tl_avx512vnni_w8a8.h"
#include "tl_tables_w8a8_planes.h"

#if !(defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__AVX512VNNI__))
#error "build this file with -mavx512f -mavx512bw -mavx512vl -mavx512vnni"
#endif

#define V __m512i
#define LOAD(p) _mm512_loadu_si512(p)
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

/* A multiplier m * 2^(s - 31): shift to the left before it, to the right and rounding behind it. */
typedef struct scale {
    V m, half, sign;
    __m128i left, right;
} scale;

static inline scale load_scale(int32_t m, int8_t s)
{
    const int right = s < 0 ? -s : 0;
    return (scale){_mm512_set1_epi32(m), _mm512_set1_epi32((int32_t)((uint32_t)1 << right >> 1)),
                   _mm512_set1_epi32(right != 0 ? -1 : 0), _mm_cvtsi32_si128(s > 0 ? s : 0), _mm_cvtsi32_si128(right)};
}

/* x >> n, rounded half away from zero; half = 2^(n-1), sign = -1; both 0 where n is. |x| + half < 2^31. */
static inline V rounding_shift(V x, V half, V sign, __m128i n)
{
    const V below = _mm512_and_si512(_mm512_srai_epi32(x, 31), sign);
    return _mm512_sra_epi32(_mm512_add_epi32(_mm512_add_epi32(x, half), below), n);
}

/* tl_multiply: even and odd lanes as 64-bit products. */
static inline V multiply(V x, const scale *p)
{
    const V half = _mm512_set1_epi64((long long)1 << 30), wide = _mm512_sll_epi32(x, p->left);
    const V even = _mm512_add_epi64(_mm512_mul_epi32(wide, p->m), half);
    const V odd = _mm512_add_epi64(_mm512_mul_epi32(_mm512_srli_epi64(wide, 32), p->m), half);
    const V high = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 31), _mm512_slli_epi64(odd, 1));
    return rounding_shift(high, p->half, p->sign, p->right);
}

static inline const int8_t *dot8(V acc[8], const int32_t *b, const int8_t *w, const int8_t *v, uint32_t n)
{
    UNROLL for (uint32_t i = 0; i < 8; i++) {
        acc[i] = LOAD(b + 16 * i);
    }
    for (uint32_t k = 0; k < n; k += 4, w += 8 * 64) {
        const __m128i four = n - k >= 4 ? _mm_loadu_si32(v + k)
                                        : _mm_maskz_loadu_epi8((__mmask16)((1u << (n - k)) - 1u), v + k);
        const V quad = _mm512_xor_si512(_mm512_broadcastd_epi32(four), _mm512_set1_epi8(-128));
        UNROLL for (uint32_t i = 0; i < 8; i++) {
            acc[i] = _mm512_dpbusd_epi32(acc[i], quad, LOAD(w + 64 * i));
        }
    }
    return w;
}

/* 32 words of a table of 256. A permutation takes the lower 6 bits of an index. */
static inline V pick(const uint16_t table[256], V index)
{
    const __mmask32 bit6 = _mm512_test_epi16_mask(index, _mm512_set1_epi16(64));
    const __mmask32 bit7 = _mm512_test_epi16_mask(index, _mm512_set1_epi16(128));
    const V a = _mm512_permutex2var_epi16(LOAD(table), index, LOAD(table + 32));
    const V b = _mm512_permutex2var_epi16(LOAD(table + 64), index, LOAD(table + 96));
    const V c = _mm512_permutex2var_epi16(LOAD(table + 128), index, LOAD(table + 160));
    const V d = _mm512_permutex2var_epi16(LOAD(table + 192), index, LOAD(table + 224));
    return _mm512_mask_blend_epi16(bit7, _mm512_mask_blend_epi16(bit6, a, b), _mm512_mask_blend_epi16(bit6, c, d));
}

/* tl_table_sigmoid: 3 |z| is taken apart by multiplications, as it has 17 bits. (a + b + 1) >> 1 is VPAVGW. */
static inline V sigmoid(V z)
{
    const V size = _mm512_abs_epi16(z), index = _mm512_mulhi_epu16(size, _mm512_set1_epi16(3 << 7));
    const V rest = _mm512_slli_epi16(_mm512_mullo_epi16(size, _mm512_set1_epi16(3)), 7); /* of 512, Q0.16 */
    const V y = _mm512_avg_epu16(pick(tl_24ths_base, index), _mm512_mulhi_epu16(pick(tl_24ths_step, index), rest));
    return _mm512_mask_sub_epi16(y, _mm512_movepi16_mask(z), _mm512_set1_epi16(-32768), y);
}

/* tl_table_tanh of `sign` |t|, t as index and rest of 256. (step * rest + 128) >> 8 is VPMULHRSW. */
static inline V tanh_of(V index, V rest, __mmask32 sign)
{
    const V step = _mm512_mulhrs_epi16(pick(tl_24ths_step, index), _mm512_slli_epi16(rest, 7));
    const V y = _mm512_add_epi16(_mm512_sub_epi16(pick(tl_24ths_base, index), _mm512_set1_epi16(-32768)), step);
    return _mm512_mask_sub_epi16(y, sign, _mm512_setzero_si512(), y);
}

/* Of a gate input, Q3.12. */
static inline V tanh_gate(V z)
{
    const V size = _mm512_abs_epi16(z), low = _mm512_set1_epi16(255);
    const V index = _mm512_min_epu16(_mm512_mulhi_epu16(size, _mm512_set1_epi16(3 << 8)), low);
    const V rest = _mm512_and_si512(_mm512_mullo_epi16(size, _mm512_set1_epi16(3)), low);
    return tanh_of(index, rest, _mm512_movepi16_mask(z));
}

static inline V widened(V c, __m128i up, V half, __m128i down)
{
    const V t = _mm512_sll_epi32(_mm512_add_epi32(c, _mm512_slli_epi32(c, 1)), up);
    return _mm512_abs_epi32(_mm512_sra_epi32(_mm512_add_epi32(t, half), down));
}

/* Of a cell with `bits` integer bits, whose words lie in two halves. */
static inline V tanh_cell(V c, V lo, V hi, uint8_t bits)
{
    const int shift = bits < 3 ? 3 - bits : 0;
    const __m128i down = _mm_cvtsi32_si128(shift), up = _mm_cvtsi32_si128(bits < 3 ? 0 : bits - 3);
    const V half = _mm512_set1_epi32(1 << shift >> 1);
    const V t = _mm512_packus_epi32(widened(lo, up, half, down), widened(hi, up, half, down));
    return tanh_of(_mm512_srli_epi16(t, 8), _mm512_and_si512(t, _mm512_set1_epi16(255)), _mm512_movepi16_mask(c));
}

/* c (updated) and h_new of one block of which `mask` units exist; z: the four gate inputs, Q3.12. */
static inline void update(int8_t *h_new, int16_t *c, const V z[4], __mmask32 mask, const tl_lstm_w8a8_avx512vnni *p)
{
    const scale of_h = load_scale(p->m[8], p->s[8]);
    const V i = sigmoid(z[0]), f = sigmoid(z[1]), g = tanh_gate(z[2]), o = sigmoid(z[3]);
    const V old = _mm512_maskz_loadu_epi16(mask, c), minus = _mm512_set1_epi32(-1);
    const V fc_lo = _mm512_mullo_epi16(f, old), fc_hi = _mm512_mulhi_epi16(f, old);
    const V ig_lo = _mm512_mullo_epi16(i, g), ig_hi = _mm512_mulhi_epi16(i, g);
    const V half_fc = _mm512_set1_epi32(1 << 14), half_ig = _mm512_set1_epi32(1 << (14 + p->bits));
    const __m128i q15 = _mm_cvtsi32_si128(15), q_ig = _mm_cvtsi32_si128(15 + p->bits);
    V lo = _mm512_add_epi32(rounding_shift(_mm512_unpacklo_epi16(fc_lo, fc_hi), half_fc, minus, q15),
                            rounding_shift(_mm512_unpacklo_epi16(ig_lo, ig_hi), half_ig, minus, q_ig));
    V hi = _mm512_add_epi32(rounding_shift(_mm512_unpackhi_epi16(fc_lo, fc_hi), half_fc, minus, q15),
                            rounding_shift(_mm512_unpackhi_epi16(ig_lo, ig_hi), half_ig, minus, q_ig));
    const V top = _mm512_set1_epi32(p->clip != 0 ? p->clip : 32767);
    const V bottom = _mm512_set1_epi32(p->clip != 0 ? -p->clip : -32768);
    lo = _mm512_max_epi32(_mm512_min_epi32(lo, top), bottom);
    hi = _mm512_max_epi32(_mm512_min_epi32(hi, top), bottom);
    const V cell = _mm512_packs_epi32(lo, hi), t = tanh_cell(cell, lo, hi, p->bits);
    _mm512_mask_storeu_epi16(c, mask, cell);
    const V ot_lo = _mm512_mullo_epi16(o, t), ot_hi = _mm512_mulhi_epi16(o, t), zero = _mm512_set1_epi32(p->h_zero);
    const V h_lo = _mm512_add_epi32(multiply(_mm512_unpacklo_epi16(ot_lo, ot_hi), &of_h), zero);
    const V h_hi = _mm512_add_epi32(multiply(_mm512_unpackhi_epi16(ot_lo, ot_hi), &of_h), zero);
    _mm256_mask_storeu_epi8(h_new, mask, _mm512_cvtsepi16_epi8(_mm512_packs_epi32(h_lo, h_hi)));
}

void tl_lstm_step_w8a8_avx512vnni(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x,
                                  const tl_lstm_w8a8_avx512vnni *p)
{
    const uint32_t hidden = p->hidden;
    const V top = _mm512_set1_epi32(32767), bottom = _mm512_set1_epi32(-32768);
    const int8_t *w = p->w;
    const int32_t *b = p->b;
    for (uint32_t u = 0; u < hidden; u += 32, b += 256) {
        const __mmask32 mask = hidden - u >= 32 ? 0xFFFFFFFFu : (__mmask32)((1u << (hidden - u)) - 1u);
        V from_x[8], from_h[8], z[4];
        w = dot8(from_x, b, w, x, p->inputs);
        w = dot8(from_h, b + 128, w, h, hidden);
        UNROLL for (uint32_t gate = 0; gate < 4; gate++) {
            const scale of_x = load_scale(p->m[gate], p->s[gate]), of_h = load_scale(p->m[4 + gate], p->s[4 + gate]);
            V sum[2];
            UNROLL for (uint32_t half = 0; half < 2; half++) {
                const V part = multiply(from_x[2 * gate + half], &of_x);
                sum[half] = _mm512_add_epi32(_mm512_max_epi32(_mm512_min_epi32(part, top), bottom),
                                             multiply(from_h[2 * gate + half], &of_h));
            }
            z[gate] = _mm512_packs_epi32(sum[0], sum[1]);
        }
        update(h_new + u, c + u, z, mask, p);
    }
}
