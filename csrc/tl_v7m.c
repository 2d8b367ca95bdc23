/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "tl_v7m.h"

#define TL_INLINE static inline __attribute__((always_inline)) /* the sums must stay in registers */

TL_INLINE const uint32_t *tl_columns8(uint32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n)
{
    for (const int16_t *end = v + n; v != end; v++, w++) {
        uint32_t x = (uint32_t)(int32_t)*v;
        sum[0] += (uint32_t)((int32_t)*w >> 24) * x;
        sum[1] += (uint32_t)((int32_t)*w >> 16) * x;
        sum[2] += (uint32_t)((int32_t)*w >> 8) * x;
        sum[3] += *w * x;
    }
    return w;
}

TL_INLINE const uint32_t *tl_columns16(uint32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n)
{
    for (const int16_t *end = v + n; v != end; v++, w += 2) {
        uint32_t x = (uint32_t)(int32_t)*v;
        sum[0] += (uint32_t)((int32_t)w[0] >> 16) * x;
        sum[1] += w[0] * x;
        sum[2] += (uint32_t)((int32_t)w[1] >> 16) * x;
        sum[3] += w[1] * x;
    }
    return w;
}

#include "tl_chain.h"

void tl_lstm_step_w8a16_v7m(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_v7m *p)
{
    tl_lstm_step_chain(h_new, c, h, x, p);
}
