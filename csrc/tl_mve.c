/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kernels for Arm cores with Helium (MVE). The sums of a unit stay in core registers (tl_mve_units.h); the gates of 8 units
 * are then computed at once, a unit a lane. */
#include <arm_mve.h>
#include <stddef.h>

#include "tl_mve.h"
#include "tl_mve_units.h"
#include "tl_tables_planes.h"

#if !defined(TL_HOST) && !(defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1))
#error "build this file for a core with Helium, e.g. -mcpu=cortex-m55"
#endif

#define UNITS 8u        /* of a block */
#define ROW_OF_BM 16u   /* words of biases and multipliers: 4 each of the even, then of the odd units */
#define BLOCK_OF_BM 64u /* 4 rows */
#define KEEP_ORDER __asm__("" ::: "memory") /* gcc would load every row's vectors first, and spill them */

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

/* What a block of less than 8 units leaves as it was. */
static inline void clear(int32_t sums[UNITS][4])
{
    for (uint32_t u = 0; u < UNITS; u++) {
        vst1q_s32(sums[u], vdupq_n_s32(0));
    }
}

/* The scaled sums of one row: of the even and of the odd units of a block. */
static inline int32x4x2_t scaled(int32_t (*sums)[4], uint32_t row, const int32_t *bm)
{
    const uint32x4_t pairs = vidupq_n_u32(0, 8);
    int32x4x2_t v;
    bm += row * ROW_OF_BM;
    KEEP_ORDER;
    v.val[0] = vaddq_s32(vldrwq_gather_shifted_offset_s32(sums[0] + row, pairs), vld1q_s32(bm));
    v.val[0] = vmulhq_s32(v.val[0], vld1q_s32(bm + 4));
    v.val[1] = vaddq_s32(vldrwq_gather_shifted_offset_s32(sums[1] + row, pairs), vld1q_s32(bm + 8));
    v.val[1] = vmulhq_s32(v.val[1], vld1q_s32(bm + 12));
    return v;
}

static inline int16x8_t narrow(int32x4_t even, int32x4_t odd)
{
    return vqmovntq_s32(vqmovnbq_s32(vreinterpretq_s16_s32(odd), even), odd);
}

/* Gate inputs of one row, Q3.12. */
static inline int16x8_t gate(int32_t (*sums)[4], uint32_t row, const int32_t *bm)
{
    const int32x4x2_t v = scaled(sums, row, bm);
    return narrow(v.val[0], v.val[1]);
}

/* (even, odd + 2^14) >> 15, saturated. */
static inline int16x8_t round15(int32x4_t even, int32x4_t odd)
{
    return vqrshrntq_n_s32(vqrshrnbq_n_s32(vreinterpretq_s16_s32(odd), even, 15), odd, 15);
}

void tl_lstm_step_w8a16_mve(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_mve *p)
{
    const context t = {x, p->inputs, h, p->hidden, p->f};
    const int32_t shift = 15 - p->frac;
    const int32_t *bm = p->bm;
    stream at = {p->w8, p->wx16};
    int32_t sums[UNITS][4];
    clear(sums);
    for (uint32_t left = p->units, n; left != 0; left -= n, c += n, h_new += n, bm += BLOCK_OF_BM) {
        n = left < UNITS ? left : UNITS;
        if (p->wx16 != NULL) {
            lstm_sums_w16(sums, &at, &t, n);
        } else {
            lstm_sums_w8(sums, &at, &t, n);
        }
        const mve_pred16_t first = vctp16q(n);
        const int16x8_t i = sigmoid(gate(sums, 0, bm)), f = sigmoid(gate(sums, 1, bm));
        const int16x8_t g = tanh_(gate(sums, 2, bm)), o = sigmoid(gate(sums, 3, bm));
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
    const context shared = {x, p->inputs, h, p->hidden, p->f};
    const int32_t t = p->t;
    const int32_t *bm = p->bm;
    const int16_t *own = h + p->first;
    stream at = {p->w8, p->wx16};
    int32_t sums[UNITS][4];
    clear(sums);
    (void)reset;
    for (uint32_t left = p->units, n; left != 0; left -= n, own += n, h_new += n, bm += BLOCK_OF_BM) {
        n = left < UNITS ? left : UNITS;
        if (p->wx16 != NULL) {
            gru_sums_w16(sums, &at, &shared, n);
        } else {
            gru_sums_w8(sums, &at, &shared, n);
        }
        const mve_pred16_t first = vctp16q(n);
        const int16x8_t r = sigmoid(gate(sums, 0, bm)), z = sigmoid(gate(sums, 1, bm));
        /* Q(12 + t); mulw(a, r) = 2 a (r * 2^15) >> 32 */
        const int32x4x2_t from_x = scaled(sums, 2, bm), from_h = scaled(sums, 3, bm);
        const int32x4_t even = vqdmulhq_s32(from_h.val[0], vshllbq_n_s16(r, 15));
        const int32x4_t odd = vqdmulhq_s32(from_h.val[1], vshlltq_n_s16(r, 15));
        const int16x8_t new = tanh_(narrow(vshlq_r_s32(vaddq_s32(from_x.val[0], vaddq_s32(even, even)), -t),
                                           vshlq_r_s32(vaddq_s32(from_x.val[1], vaddq_s32(odd, odd)), -t)));
        const int16x8_t before = vldrhq_z_s16(own, first), rest = vsubq_s16(vdupq_n_s16(INT16_MIN), z); /* 32768 - z */
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
        y[row] = p->b[row] + dot(w, h, p->inputs);
    }
}
