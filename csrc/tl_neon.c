/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AArch64 with Advanced SIMD: two columns of int8 weights meet two activations in one multiplication. */
#include "tl_neon.h"

#include "tl_aarch64_w8a16.h"

/* Pairs of columns, acc += (w0 + x1)(w1 + x0): both factors are int16, as |w| <= 127 and |x| <= 32640. The product is
 * w0 x0 + w1 x1 + w0 w1 + x0 x1. */
INLINE void pair(D *acc, uint32_t gates, const int8_t *w, W even, W odd)
{
    UNROLL for (uint32_t i = 0; i < gates; i++) {
        const int8x16_t columns = vld1q_s8(w + 32 * i);
        const W a = vaddw_s8(odd, vget_low_s8(columns)), b = vaddw_high_s8(even, columns);
        acc[2 * i] = vmlal_s16(acc[2 * i], vget_low_s16(a), vget_low_s16(b));
        acc[2 * i + 1] = vmlal_high_s16(acc[2 * i + 1], a, b);
    }
}

/* Two pairs; cross + x0 x1 + x2 x3. */
INLINE D quad(D *acc, uint32_t gates, const int8_t *w, int16x4_t x, D cross)
{
    const W x0 = vdupq_lane_s16(x, 0), x1 = vdupq_lane_s16(x, 1), x2 = vdupq_lane_s16(x, 2), x3 = vdupq_lane_s16(x, 3);
    pair(acc, gates, w, x0, x1);
    pair(acc, gates, w + 16, x2, x3);
    return vmlal_s16(vmlal_s16(cross, vget_low_s16(x0), vget_low_s16(x1)), vget_low_s16(x2), vget_low_s16(x3));
}

/* sum w0 w1 is taken off in b, sum x0 x1 here. All modulo 2^32. */
INLINE const int8_t *dot8(D *acc, uint32_t gates, const int8_t *w, const int16_t *v, uint32_t n)
{
    D cross = ZERO;
    for (; n >= 4; n -= 4, v += 4, w += gates * 32) {
        cross = quad(acc, gates, w, vld1_s16(v), cross);
    }
    if (n > 0) {
        cross = quad(acc, gates, w, load_some(v, n), cross);
        w += gates * 32;
    }
    UNROLL for (uint32_t i = 0; i < 2 * gates; i++) {
        acc[i] = vsubq_s32(acc[i], cross);
    }
    return w;
}

#include "tl_tiles.h"

void tl_lstm_step_w8a16_neon(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                             const tl_lstm_w8a16_neon *p)
{
    lstm_step(h_new, c, h, x, p);
}

void tl_gru_step_w8a16_neon(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                            const tl_gru_w8a16_neon *p)
{
    gru_step(h_new, reset, h, x, p);
}

void tl_dense_w16a16_neon(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    dense(y, h, p);
}
