/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AArch64 with the dot product of Armv8.2, scheme w8a8: four columns of weights meet four activations in one SDOT. */
#include "tl_aarch64_w8a8.h"

#ifndef __ARM_FEATURE_DOTPROD
#error "build this file with -march=armv8.2-a+dotprod, or -mcpu of a core that has it"
#endif

/* Four columns of weights times quad `lane`; w goes on to the next. */
#define QUAD(lane)                                                                                                     \
    UNROLL for (uint32_t i = 0; i < 2 * gates; i++) {                                                                  \
        acc[i] = vdotq_laneq_s32(acc[i], vld1q_s8(w + 16 * i), bytes, lane);                                           \
    }                                                                                                                  \
    w += gates * 32

INLINE const int8_t *dot8(D *acc, uint32_t gates, const int8_t *w, const int8_t *v, uint32_t n)
{
    for (; n >= 16; v += 16, n -= 16) {
        const int8x16_t bytes = vld1q_s8(v);
        QUAD(0);
        QUAD(1);
        QUAD(2);
        QUAD(3);
    }
    for (uint32_t k = 0; k < n; k += 4) {
        const int8x16_t bytes = vreinterpretq_s8_u32(vdupq_n_u32(tl_quad(v + k, n - k)));
        QUAD(0);
    }
    return w;
}

#include "tl_tiles_w8a8.h"

KERNELS(neon_dotprod)
