/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kernels for Arm cores with Helium (MVE). The sums of a unit stay in core registers (tl_mve_dot.h); the gates of 8 units
 * are then computed at once, a unit a lane. */
#include <arm_mve.h>
#include <stddef.h>

#include "tl_mve.h"
#include "tl_mve_dot.h"
#include "tl_tables_planes.h"

#if !defined(TL_HOST) && !(defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1))
#error "build this file for a core with Helium, e.g. -mcpu=cortex-m55"
#endif

#define UNITS 8u        /* of a block */
#define ROW_OF_BM 16u   /* words of biases and multipliers: 4 each of the even, then of the odd units */
#define BLOCK_OF_BM 64u /* 4 rows */

/* tl_lookup: the table holds 2 * (n[i + 1] - n[i]), so that >> 15 is the upper half of a product. */
static inline int16x8_t lookup(const int16_t base[256], const int16_t slope[256], int16x8_t z)
{
    const uint16x8_t u = vreinterpretq_u16_s16(z), i = vshrq_n_u16(u, 8); /* i - 128, modulo 256, as the tables are turned */
    const uint16x8_t fraction = vorrq_n_u16(vshrq_n_u16(vshlq_n_u16(u, 8), 1), 1); /* Q0.15 */
    return vaddq_s16(vldrhq_gather_shifted_offset_s16(base, i),
                     vmulhq_s16(vldrhq_gather_shifted_offset_s16(slope, i), vreinterpretq_s16_u16(fraction)));
}

static inline int16x8_t sigmoid(int16x8_t z)
{
    return lookup(tl_sigmoid_base, tl_sigmoid_slope, z);
}

static inline int16x8_t tanh_(int16x8_t z)
{
    return lookup(tl_tanh_base, tl_tanh_slope, z);
}

/* The scaled sums of the even and the odd units of a block. */
static inline int32x4x2_t scaled(const int32_t sums[UNITS], const int32_t bm[ROW_OF_BM])
{
    int32x4x2_t v = vld2q_s32(sums);
    v.val[0] = vmulhq_s32(vaddq_s32(v.val[0], vld1q_s32(bm)), vld1q_s32(bm + 4));
    v.val[1] = vmulhq_s32(vaddq_s32(v.val[1], vld1q_s32(bm + 8)), vld1q_s32(bm + 12));
    return v;
}

static inline int16x8_t narrow(int32x4_t even, int32x4_t odd)
{
    return vqmovntq_s32(vqmovnbq_s32(vreinterpretq_s16_s32(odd), even), odd);
}

/* Gate inputs of a row, Q3.12. */
static inline int16x8_t gate(const int32_t sums[UNITS], const int32_t bm[ROW_OF_BM])
{
    const int32x4x2_t v = scaled(sums, bm);
    return narrow(v.val[0], v.val[1]);
}

/* (even, odd + 2^14) >> 15, saturated. */
static inline int16x8_t round15(int32x4_t even, int32x4_t odd)
{
    return vqrshrntq_n_s32(vqrshrnbq_n_s32(vreinterpretq_s16_s32(odd), even, 15), odd, 15);
}

void tl_lstm_step_w8a16_mve(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_mve *p)
{
    const int8_t *w8 = p->w8;
    const int16_t *wx16 = p->wx16;
    const int32_t *bm = p->bm;
    const int32_t shift = 15 - p->frac;
    int32_t sums[4][UNITS] = {{0}};
    for (uint32_t left = p->hidden, n; left != 0; left -= n, c += n, h_new += n, bm += BLOCK_OF_BM) {
        n = left < UNITS ? left : UNITS;
        for (uint32_t u = 0; u < n; u++) {
            int32_t s[4] = {0, 0, 0, 0};
            if (wx16 != NULL) {
                wx16 = dot4_w16(s, wx16, x, p->inputs);
                for (uint32_t k = 0; k < 4; k++) {
                    s[k] >>= p->f;
                }
            } else {
                w8 = dot4_w8(s, w8, x, p->inputs);
            }
            w8 = dot4_w8(s, w8, h, p->hidden);
            for (uint32_t k = 0; k < 4; k++) {
                sums[k][u] = s[k];
            }
        }
        const mve_pred16_t first = vctp16q(n);
        const int16x8_t i = sigmoid(gate(sums[0], bm)), f = sigmoid(gate(sums[1], bm + ROW_OF_BM));
        const int16x8_t g = tanh_(gate(sums[2], bm + 2 * ROW_OF_BM)), o = sigmoid(gate(sums[3], bm + 3 * ROW_OF_BM));
        const int16x8_t before = vldrhq_z_s16(c, first);
        /* Q0.15 * Q.frac + (Q0.30 >> shift) */
        const int32x4_t even = vaddq_s32(vmullbq_int_s16(f, before), vshlq_r_s32(vmullbq_int_s16(i, g), -shift));
        const int32x4_t odd = vaddq_s32(vmulltq_int_s16(f, before), vshlq_r_s32(vmulltq_int_s16(i, g), -shift));
        const int16x8_t cell = round15(even, odd);
        vstrhq_p_s16(c, cell, first);
        vstrhq_p_s16(h_new, vqrdmulhq_s16(o, tanh_(vqshlq_r_s16(cell, shift - 3))), first); /* Q.frac -> Q3.12 */
    }
}

void tl_gru_step_w8a16_mve(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x, const tl_gru_w8a16_mve *p)
{
    const int8_t *w8 = p->w8;
    const int16_t *wx16 = p->wx16;
    const int32_t *bm = p->bm;
    const int16_t *at = h;
    int32_t sums[4][UNITS] = {{0}};
    (void)reset;
    for (uint32_t left = p->hidden, n; left != 0; left -= n, at += n, h_new += n, bm += BLOCK_OF_BM) {
        n = left < UNITS ? left : UNITS;
        for (uint32_t u = 0; u < n; u++) {
            int32_t s[3] = {0, 0, 0};
            if (wx16 != NULL) {
                wx16 = dot3_w16(s, wx16, x, p->inputs);
                for (uint32_t k = 0; k < 3; k++) {
                    s[k] >>= p->f;
                }
            } else {
                w8 = dot3_w8(s, w8, x, p->inputs);
            }
            sums[2][u] = s[2];
            s[2] = 0;
            w8 = dot3_w8(s, w8, h, p->hidden);
            sums[0][u] = s[0];
            sums[1][u] = s[1];
            sums[3][u] = s[2];
        }
        const mve_pred16_t first = vctp16q(n);
        const int16x8_t r = sigmoid(gate(sums[0], bm)), z = sigmoid(gate(sums[1], bm + ROW_OF_BM));
        /* Q(12 + t); 2 a r 2^15 >> 32 is mulw(a, r) */
        const int32x4x2_t from_x = scaled(sums[2], bm + 2 * ROW_OF_BM), from_h = scaled(sums[3], bm + 3 * ROW_OF_BM);
        const int32x4_t even = vqdmulhq_s32(from_h.val[0], vshllbq_n_s16(r, 15));
        const int32x4_t odd = vqdmulhq_s32(from_h.val[1], vshlltq_n_s16(r, 15));
        const int32_t t = p->t;
        const int16x8_t zn = narrow(vshlq_r_s32(vaddq_s32(from_x.val[0], vaddq_s32(even, even)), -t),
                                    vshlq_r_s32(vaddq_s32(from_x.val[1], vaddq_s32(odd, odd)), -t));
        const int16x8_t new = tanh_(zn), rest = vsubq_s16(vdupq_n_s16(INT16_MIN), z); /* 32768 - z, 11 .. 32757 */
        const int16x8_t before = vldrhq_z_s16(at, first);
        vstrhq_p_s16(h_new,
                     round15(vaddq_s32(vmullbq_int_s16(z, before), vmullbq_int_s16(rest, new)),
                             vaddq_s32(vmulltq_int_s16(z, before), vmulltq_int_s16(rest, new))),
                     first);
    }
}

void tl_dense_w16a16_mve(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    const int16_t *w = p->w;
    for (uint32_t row = 0; row < p->outputs; row++, w += p->inputs) {
        int32_t sum = p->b[row];
        dot1_w16(&sum, w, h, p->inputs);
        y[row] = sum;
    }
}
