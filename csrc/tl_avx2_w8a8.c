/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AVX2, scheme w8a8: four int8 weights meet four activations in VPMADDUBSW, as |v| times sign(v) w; |w| <= 127 keeps a
 * pair below 2^15. */
#include "tl_tiled_w8a8.h"
#include "tl_x86_256.h"

INLINE W load_bytes(const int8_t *p, uint32_t n)
{
    int8_t part[16] = {0};
    if (n < 16) {
        tl_copy8(part, p, n);
    }
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(n >= 16 ? p : part)));
}

INLINE void store_bytes(int8_t *p, W v, uint32_t n)
{
    int8_t all[16];
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    _mm_storeu_si128((__m128i *)(void *)(n >= 16 ? p : all), bytes);
    if (n < 16) {
        tl_copy8(p, all, n);
    }
}

INLINE const int8_t *dot8(D *acc, uint32_t gates, const int8_t *w, const int8_t *v, uint32_t n)
{
    const W one = splat16(1);
    for (uint32_t k = 0; k < n; k += 4, w += gates * 64) {
        const W quad = splat32((int32_t)tl_quad(v + k, n - k)), size = _mm256_abs_epi8(quad);
        UNROLL for (uint32_t i = 0; i < 2 * gates; i++) {
            const W turned = _mm256_sign_epi8(LOAD16(w + 32 * i), quad);
            ADD_TO(acc[i], madd(_mm256_maddubs_epi16(size, turned), one));
        }
    }
    return w;
}

#include "tl_pairs_w8a8.h"
#include "tl_tiles_w8a8.h"

KERNELS(avx2)
