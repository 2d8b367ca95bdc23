/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Arm cores with Helium of floats (Cortex-M55, M85): blocks of 4 units, the fourth of the 8 vectors for each section. */
#include <arm_mve.h>

#include "tl_inline.h"
#include "tl_kernels.h"

#if !defined(TL_HOST) && !(defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 2))
#error "build this file for a core with Helium and floats, e.g. -mcpu=cortex-m55"
#endif

#define V float32x4_t
#define LANES 4u
#define VECTORS 1u
#define BOTH_WAYS 0
#define LEAF static inline
#define fraction(t, n) ((t) - (n))
#define ALL vdupq_n_f32
#define LOAD vld1q_f32
#define X float
#define spread(v) (v)
#define IN_ORDER (void)0
#define multiply_add(a, b, c) vfmaq_f32(c, a, b)
#define multiply_x(a, x, c) vfmaq_n_f32(c, a, x)
#define floor_ vrndmq_f32
#define load_units(p, n) vldrwq_z_f32(p, vctp32q(n))
#define store_units(p, v, n) vstrwq_p_f32(p, v, vctp32q(n))
#define total(v) ((vgetq_lane_f32(v, 0) + vgetq_lane_f32(v, 1)) + (vgetq_lane_f32(v, 2) + vgetq_lane_f32(v, 3)))

INLINE V limit(V t, V most)
{
    return vminnmq_f32(vmaxnmq_f32(t, vnegq_f32(most)), most);
}

INLINE V scale(V p, V t, V n)
{
    (void)t;
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), vshlq_n_s32(vcvtq_s32_f32(n), 23)));
}

#include "tl_dot_f32.h"
#include "tl_tiles_f32.h"

void tl_lstm_step_f32_mve(float *h_new, float *c, const float *h, const float *x, const tl_tiles_f32 *p)
{
    lstm_step(h_new, c, h, x, p);
}

void tl_gru_step_f32_mve(float *h_new, float *reset, const float *h, const float *x, const tl_tiles_f32 *p)
{
    (void)reset;
    gru_step(h_new, h, x, p);
}

void tl_dense_f32_mve(float *y, const float *h, const tl_dense_f32 *p)
{
    dense(y, h, p);
}
