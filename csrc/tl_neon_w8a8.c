/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AArch64 with Advanced SIMD, scheme w8a8: two columns of weights and two activations meet in SMULL, the next two in
 * SMLAL; |w| <= 127 keeps the sum of two products below 2^15. SADALP adds neighbours. */
#include "tl_aarch64_w8a8.h"

/* Four columns; bytes: four activations, twice. */
INLINE void quad(D *acc, uint32_t gates, const int8_t *w, int8x8_t bytes)
{
    const int16x4_t both = vreinterpret_s16_s8(bytes);
    const int8x8_t first = vreinterpret_s8_s16(vdup_lane_s16(both, 0));
    const int8x16_t second = vreinterpretq_s8_s16(vdupq_lane_s16(both, 1));
    UNROLL for (uint32_t i = 0; i < 2 * gates; i++) {
        const int8x16_t columns = vld1q_s8(w + 16 * i);
        const W products = vmlal_high_s8(vmull_s8(vget_low_s8(columns), first), columns, second);
        acc[i] = vpadalq_s16(acc[i], products);
    }
}

INLINE const int8_t *dot8(D *acc, uint32_t gates, const int8_t *w, const int8_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n; k += 4, w += gates * 32) {
        quad(acc, gates, w, load_some(v + k, n - k));
    }
    return w;
}

#include "tl_tiles_w8a8.h"

KERNELS(neon)
