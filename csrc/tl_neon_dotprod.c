/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AArch64 with the dot product of Armv8.2: four columns of int8 weights meet four activations in two SDOT, upper and
 * lower bytes. */
#include "tl_neon_dotprod.h"

#include "tl_aarch64_w8a16.h"

#ifndef __ARM_FEATURE_DOTPROD
#error "build this file with -march=armv8.2-a+dotprod, or -mcpu of a core that has it"
#endif

/* v = 256 high + low + 128 with signed bytes, for 16 values. */
INLINE int8x16_t low_bytes(W first, W second)
{
    const int8x16_t bytes = vuzp1q_s8(vreinterpretq_s8_s16(first), vreinterpretq_s8_s16(second));
    return veorq_s8(bytes, vdupq_n_s8(-128));
}

INLINE int8x16_t high_bytes(W first, W second)
{
    return vuzp2q_s8(vreinterpretq_s8_s16(first), vreinterpretq_s8_s16(second));
}

/* Four columns of weights times quad `lane` of the bytes; w goes on to the next. */
#define QUAD(lane)                                                                                                     \
    UNROLL for (uint32_t i = 0; i < 2 * gates; i++) {                                                                  \
        const int8x16_t weights = vld1q_s8(w + 16 * i);                                                                \
        acc[i] = vdotq_laneq_s32(acc[i], weights, low, lane);                                                          \
        upper[i] = vdotq_laneq_s32(upper[i], weights, high, lane);                                                     \
    }                                                                                                                  \
    w += gates * 32

/* The 128 sum w that the lower bytes lack is in b. */
INLINE const int8_t *dot8(D *acc, uint32_t gates, const int8_t *w, const int16_t *v, uint32_t n)
{
    D upper[8];
    UNROLL for (uint32_t i = 0; i < 2 * gates; i++) {
        upper[i] = ZERO;
    }
    for (; n >= 16; v += 16, n -= 16) {
        const W first = vld1q_s16(v), second = vld1q_s16(v + 8);
        const int8x16_t low = low_bytes(first, second), high = high_bytes(first, second);
        QUAD(0);
        QUAD(1);
        QUAD(2);
        QUAD(3);
    }
    for (uint32_t k = 0; k < n; k += 4) {
        const int16x4_t four = n - k >= 4 ? vld1_s16(v + k) : load_some(v + k, n - k);
        const W first = vcombine_s16(four, four);
        const int8x16_t low = low_bytes(first, first), high = high_bytes(first, first);
        QUAD(0);
    }
    UNROLL for (uint32_t i = 0; i < 2 * gates; i++) {
        acc[i] = vaddq_s32(acc[i], vshlq_n_s32(upper[i], 8));
    }
    return w;
}

#include "tl_tiles.h"

void tl_lstm_step_w8a16_neon_dotprod(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                     const tl_lstm_w8a16_neon_dotprod *p)
{
    lstm_step(h_new, c, h, x, p);
}

void tl_gru_step_w8a16_neon_dotprod(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                    const tl_gru_w8a16_neon_dotprod *p)
{
    gru_step(h_new, reset, h, x, p);
}

void tl_dense_w16a16_neon_dotprod(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    dense(y, h, p);
}
