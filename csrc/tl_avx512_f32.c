/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AVX-512: blocks of 32 units. */
#include <immintrin.h>

#include "tl_inline.h"
#include "tl_kernels.h"

#if !(defined(__AVX512F__) && defined(__AVX512DQ__))
#error "build this file with -mavx512f -mavx512dq"
#endif

#define V __m512
#define LANES 16u
#define VECTORS 2u
#define BOTH_WAYS 1
#define LEAF static inline
#define ALL _mm512_set1_ps
#define LOAD _mm512_load_ps
#define X V
#define spread ALL
#define multiply_add _mm512_fmadd_ps
#define IN_ORDER __asm__("" ::: "memory")
#define multiply_x multiply_add

static inline V limit(V t, V most)
{
    return _mm512_range_ps(t, most, 2); /* the smaller in magnitude, with the sign of t */
}

static inline V floor_(V t)
{
    return _mm512_roundscale_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}

static inline V fraction(V t, V n)
{
    (void)n;
    return _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}

static inline V scale(V p, V t, V n)
{
    (void)n;
    return _mm512_scalef_ps(p, t); /* takes the floor itself, while n is still being made */
}

static inline __mmask16 first(uint32_t n)
{
    const uint32_t mask = n >= LANES ? 0xFFFFu : (1u << n) - 1u;
    return (__mmask16)mask;
}

static inline V load_units(const float *p, uint32_t n)
{
    return _mm512_maskz_loadu_ps(first(n), p);
}

static inline void store_units(float *p, V v, uint32_t n)
{
    if (n >= LANES) {
        _mm512_storeu_ps(p, v); /* a masked store would not be forwarded to the loads of the next step */
    } else {
        _mm512_mask_storeu_ps(p, first(n), v);
    }
}

static inline float total(V v)
{
    return _mm512_reduce_add_ps(v);
}

#include "tl_dot_f32.h"
#include "tl_tiles_f32.h"

void tl_lstm_step_f32_avx512vnni(float *h_new, float *c, const float *h, const float *x, const tl_tiles_f32 *p)
{
    lstm_step(h_new, c, h, x, p);
}

void tl_gru_step_f32_avx512vnni(float *h_new, float *reset, const float *h, const float *x, const tl_tiles_f32 *p)
{
    (void)reset;
    gru_step(h_new, h, x, p);
}

void tl_dense_f32_avx512vnni(float *y, const float *h, const tl_dense_f32 *p)
{
    dense(y, h, p);
}
