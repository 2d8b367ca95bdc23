/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AArch64 with Advanced SIMD, scheme w8a8: two columns of weights and two activations meet in SMULL, the next two in
 * SMLAL; |w| <= 127 keeps the sum of two products below 2^15. SADALP adds neighbours. */
#include "tl_aarch64_w8a8.h"

/* Four columns; first, second: two pairs of activations in every pair of bytes. */
INLINE const int8_t *quad(D *acc, uint32_t gates, const int8_t *w, int16x8_t first, int16x8_t second)
{
    const int8x16_t a = vreinterpretq_s8_s16(first), b = vreinterpretq_s8_s16(second);
    UNROLL for (uint32_t i = 0; i < 2 * gates; i++) {
        const int8x16_t columns = vld1q_s8(w + 16 * i);
        acc[i] = vpadalq_s16(acc[i], vmlal_high_s8(vmull_s8(vget_low_s8(columns), vget_low_s8(a)), columns, b));
    }
    return w + gates * 32;
}

INLINE const int8_t *dot8(D *acc, uint32_t gates, const int8_t *w, const int8_t *v, uint32_t n)
{
    for (; n >= 8; v += 8, n -= 8) {
        const int16x4_t pairs = vreinterpret_s16_s8(vld1_s8(v));
        w = quad(acc, gates, w, vdupq_lane_s16(pairs, 0), vdupq_lane_s16(pairs, 1));
        w = quad(acc, gates, w, vdupq_lane_s16(pairs, 2), vdupq_lane_s16(pairs, 3));
    }
    for (uint32_t k = 0; k < n; k += 4) {
        const uint32_t four = tl_quad(v + k, n - k);
        w = quad(acc, gates, w, vdupq_n_s16((int16_t)four), vdupq_n_s16((int16_t)(four >> 16)));
    }
    return w;
}

#include "tl_tiles_w8a8.h"

KERNELS(neon)
