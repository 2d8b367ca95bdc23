/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AVX2 with FMA: blocks of 16 units. */
#include <immintrin.h>

#include "tl_inline.h"
#include "tl_kernels.h"

#if !(defined(__AVX2__) && defined(__FMA__))
#error "build this file with -mavx2 -mfma"
#endif

#define V __m256
#define LANES 8u
#define VECTORS 2u
#define BOTH_WAYS 1
#define LEAF static inline
#define fraction(t, n) ((t) - (n))
#define ALL _mm256_set1_ps
#define LOAD _mm256_load_ps
#define X V
#define spread ALL
#define multiply_add _mm256_fmadd_ps
#define IN_ORDER __asm__("" ::: "memory")
#define multiply_x multiply_add

static inline V limit(V t, V most)
{
    return _mm256_min_ps(_mm256_max_ps(t, _mm256_sub_ps(_mm256_setzero_ps(), most)), most);
}

static inline V floor_(V t)
{
    return _mm256_floor_ps(t);
}

static inline V scale(V p, V t, V n)
{
    (void)t;
    return _mm256_castsi256_ps(
        _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)));
}

static inline __m256i first(uint32_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)(n < LANES ? n : LANES)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline V load_units(const float *p, uint32_t n)
{
    return n >= LANES ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, first(n));
}

static inline void store_units(float *p, V v, uint32_t n)
{
    if (n >= LANES) {
        _mm256_storeu_ps(p, v);
    } else {
        _mm256_maskstore_ps(p, first(n), v);
    }
}

static inline float total(V v)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

#include "tl_dot_f32.h"
#include "tl_tiles_f32.h"

void tl_lstm_step_f32_avx2(float *h_new, float *c, const float *h, const float *x, const tl_tiles_f32 *p)
{
    lstm_step(h_new, c, h, x, p);
}

void tl_gru_step_f32_avx2(float *h_new, float *reset, const float *h, const float *x, const tl_tiles_f32 *p)
{
    (void)reset;
    gru_step(h_new, h, x, p);
}

void tl_dense_f32_avx2(float *y, const float *h, const tl_dense_f32 *p)
{
    dense(y, h, p);
}
