/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The one place that knows the width of a vector: TL_BYTES is 16 (any processor), 32 (AVX2 and FMA) or 64 (AVX-512F).
 * GCC's vector extension, which clang has too, does the rest; a * b + c may become one rounding (-ffp-contract=fast). */
#ifndef TL_SIMD_H
#define TL_SIMD_H

#include <stddef.h>
#include <stdint.h>

#if TL_BYTES > 16
#include <immintrin.h>
#endif

#define TL_LANES (TL_BYTES / 4)
#define TL_INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define TL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TL_UNROLL _Pragma("GCC unroll 16")
#endif

typedef float V __attribute__((vector_size(TL_BYTES), may_alias));
typedef float Unaligned __attribute__((vector_size(TL_BYTES), may_alias, aligned(4)));
typedef int32_t Mask __attribute__((vector_size(TL_BYTES), may_alias));

TL_INLINE V load(const float *p)
{
    return *(const V *)p;
}

TL_INLINE void store(float *p, V v)
{
    *(V *)p = v;
}

TL_INLINE V all(float v)
{
    return v - (V){0};
}

TL_INLINE V choose(Mask m, V yes, V no)
{
    return (V)((m & (Mask)yes) | (~m & (Mask)no));
}

/* v, but within +-most; a NaN stays one. */
TL_INLINE V limit(V v, float most)
{
#if TL_BYTES == 64
    return _mm512_max_ps(all(-most), _mm512_min_ps(all(most), v));
#elif TL_BYTES == 32
    return _mm256_max_ps(all(-most), _mm256_min_ps(all(most), v));
#else
    v = choose(v > most, all(most), v);
    return choose(v < -most, all(-most), v);
#endif
}

TL_INLINE V root(V v)
{
#if TL_BYTES == 64
    return _mm512_sqrt_ps(v);
#elif TL_BYTES == 32
    return _mm256_sqrt_ps(v);
#else
    for (int i = 0; i < TL_LANES; i++) {
        v[i] = __builtin_sqrtf(v[i]);
    }
    return v;
#endif
}

/* tanh(x) = x P(x^2) / Q(x^2) up to |x| = 8: minimax of the relative error, 6.4e-9; with the rounding below 3e-7, and
 * never above 1. */
TL_INLINE V tanh_(V x)
{
    x = limit(x, 8.0f);
    const V u = x * x;
    const V p = (((0x1.05a7e8p-26f * u + 0x1.6f54bcp-16f) * u + 0x1.d422e2p-9f) * u + 0x1.1357e2p-3f) * u + 1.0f;
    const V q = (((0x1.c98b64p-21f * u + 0x1.65b31ap-12f) * u + 0x1.acad9ap-6f) * u + 0x1.df0142p-2f) * u + 1.0f;
    return x * p / q;
}

TL_INLINE V sigmoid(V x)
{
    return 0.5f * tanh_(0.5f * x) + 0.5f;
}

/* The sum of the lanes: halves, then quarters. */
TL_INLINE float total(V v)
{
#if TL_BYTES == 64
    return _mm512_reduce_add_ps(v);
#else
    float part[TL_LANES];
    *(Unaligned *)part = v;
    TL_UNROLL for (int n = TL_LANES / 2; n > 0; n /= 2) {
        TL_UNROLL for (int i = 0; i < n; i++) {
            part[i] += part[i + n];
        }
    }
    return part[0];
#endif
}

#endif
