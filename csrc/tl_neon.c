/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AArch64 with Advanced SIMD: two columns of int8 weights meet two activations in one multiplication. */
#include "tl_neon.h"

#include "tl_aarch64.h"

/* (w0 + x1)(w1 + x0) = w0 x0 + w1 x1 + w0 w1 + x0 x1, both factors int16 as |w| <= 127 and |x| <= 32640. sum w0 w1 is
 * taken off in b, sum x0 x1 here. All modulo 2^32. */
INLINE const int8_t *dot8(D *acc, uint32_t gates, const int8_t *w, const int16_t *v, uint32_t n)
{
    static const int16_t none = 0; /* behind an odd number */
    D cross = ZERO;
    for (uint32_t k = 0; k < n; k += 2, w += gates * 16) {
        const W even = vld1q_dup_s16(v + k), odd = vld1q_dup_s16(n - k > 1 ? v + k + 1 : &none);
        cross = vmlal_s16(cross, vget_low_s16(even), vget_low_s16(odd));
        UNROLL for (uint32_t i = 0; i < gates; i++) {
            const int8x16_t columns = vld1q_s8(w + 16 * i);
            const W a = vaddw_s8(odd, vget_low_s8(columns)), b = vaddw_high_s8(even, columns);
            acc[2 * i] = vmlal_s16(acc[2 * i], vget_low_s16(a), vget_low_s16(b));
            acc[2 * i + 1] = vmlal_high_s16(acc[2 * i + 1], a, b);
        }
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
