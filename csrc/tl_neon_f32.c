/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AArch64 with Advanced SIMD: blocks of 8 units. */
#include <arm_neon.h> /* an error of its own on other processors */

#include "tl_inline.h"
#include "tl_kernels.h"

#define V float32x4_t
#define LANES 4u
#define VECTORS 2u
#define BOTH_WAYS 1
#define LEAF static inline
#define fraction(t, n) ((t) - (n))
#define ALL vdupq_n_f32
#define LOAD vld1q_f32
#define STORE vst1q_f32
#define X float
#define spread(v) (v)
#define IN_ORDER (void)0
#define multiply_add(a, b, c) vfmaq_f32(c, a, b)
#define multiply_x(a, x, c) vfmaq_n_f32(c, a, x)
#define floor_ vrndmq_f32
#define total vaddvq_f32

INLINE V limit(V t, V most)
{
    return vminnmq_f32(vmaxnmq_f32(t, -most), most);
}

INLINE V scale(V p, V t, V n)
{
    (void)t;
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), vshlq_n_s32(vcvtq_s32_f32(n), 23)));
}

#include "tl_units_f32.h"

#include "tl_dot_f32.h"
#include "tl_tiles_f32.h"

void tl_lstm_step_f32_neon(float *h_new, float *c, const float *h, const float *x, const tl_tiles_f32 *p)
{
    lstm_step(h_new, c, h, x, p);
}

void tl_gru_step_f32_neon(float *h_new, float *reset, const float *h, const float *x, const tl_tiles_f32 *p)
{
    (void)reset;
    gru_step(h_new, h, x, p);
}

void tl_dense_f32_neon(float *y, const float *h, const tl_dense_f32 *p)
{
    dense(y, h, p);
}
