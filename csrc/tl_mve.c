/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kernels for Arm cores with Helium (MVE), 8 units at a time: the sums of a gate in core registers, 4 rows at once
 * (tl_mve_sums.h); everything behind them in vectors, a unit a lane. */
#include <arm_mve.h>
#include <stddef.h>

#include "tl_mve.h"
#include "tl_mve_sums.h"
#include "tl_tables_planes.h"

#if !defined(TL_HOST) && !(defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1))
#error "build this file for a core with Helium, e.g. -mcpu=cortex-m55"
#endif

#define UNITS 8u       /* of a block */
#define ROWS 4u        /* that are summed at once */
#define GATE_OF_BM 16u /* biases and multipliers of a block's gate */
#define KEEP_ORDER __asm__("" ::: "memory") /* gcc would load every gate's vectors first, and spill them */

/* Sums of a block of n units: the sums of gate k stand from k * stride on; the last block may have half the stride. */
typedef struct block {
    int32_t sums[4 * UNITS];
    uint32_t n, stride;
} block;

/* The last block reads sums that it has not written. */
static inline void clear(block *b)
{
    for (uint32_t k = 0; k < 4 * UNITS; k += 4) {
        vst1q_s32(b->sums + k, vdupq_n_s32(0));
    }
}

static inline void size_block(block *b, uint32_t left)
{
    b->n = left < UNITS ? left : UNITS;
    b->stride = (b->n + ROWS - 1) / ROWS * ROWS;
}

/* tl_lookup: the table holds 2 * (n[i + 1] - n[i]), so that >> 15 is the upper half of a product. */
static inline int16x8_t lookup(const int16_t base[256], const int16_t slope[256], int16x8_t z)
{
    const uint16x8_t u = vreinterpretq_u16_s16(z), i = vshrq_n_u16(u, 8); /* modulo 256, as the tables are turned */
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

/* The sums of `count` gates from gate k on. */
static void sum(block *b, uint32_t k, uint32_t count, stream *at, const context *t)
{
    (at->w16 != NULL ? sums_w16 : sums_w8)(b->sums + k * b->stride, at, t, count * b->stride / ROWS);
}

/* The scaled sums of gate k: of the even and of the odd units. */
static inline int32x4x2_t scaled(const block *b, uint32_t k, const int32_t *bm)
{
    KEEP_ORDER;
    int32x4x2_t v = vld2q_s32(b->sums + k * b->stride);
    bm += k * GATE_OF_BM;
    v.val[0] = vmulhq_s32(vaddq_s32(v.val[0], vld1q_s32(bm)), vld1q_s32(bm + 4));
    v.val[1] = vmulhq_s32(vaddq_s32(v.val[1], vld1q_s32(bm + 8)), vld1q_s32(bm + 12));
    return v;
}

/* Saturates to int16. */
static inline int16x8_t narrow(int32x4_t even, int32x4_t odd)
{
    return vqmovntq_s32(vqmovnbq_s32(vuninitializedq_s16(), even), odd);
}

/* The inputs of gate k, Q3.12. */
static inline int16x8_t gate(const block *b, uint32_t k, const int32_t *bm)
{
    const int32x4x2_t v = scaled(b, k, bm);
    return narrow(v.val[0], v.val[1]);
}

/* (even, odd + 2^14) >> 15, saturated. */
static inline int16x8_t round15(int32x4_t even, int32x4_t odd)
{
    return vqrshrntq_n_s32(vqrshrnbq_n_s32(vuninitializedq_s16(), even, 15), odd, 15);
}

void tl_lstm_step_w8a16_mve(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_mve *p)
{
    const context t = {x, p->inputs, h, p->hidden, p->f};
    const int32_t shift = 15 - p->frac;
    const int32_t *bm = p->bm;
    stream at = {p->w8, p->wx16};
    block b;
    clear(&b);
    for (uint32_t left = p->units; left != 0; left -= b.n, c += b.n, h_new += b.n, bm += 4 * GATE_OF_BM) {
        size_block(&b, left);
        sum(&b, 0, 4, &at, &t);
        const int16x8_t i = sigmoid(gate(&b, 0, bm)), f = sigmoid(gate(&b, 1, bm));
        const int16x8_t g = tanh_(gate(&b, 2, bm)), o = sigmoid(gate(&b, 3, bm));
        const mve_pred16_t first = vctp16q(b.n);
        const int16x8_t before = vldrhq_z_s16(c, first);
        /* Q0.15 * Q.frac + (Q0.30 >> shift) */
        const int32x4_t even = vaddq_s32(vmullbq_int_s16(f, before), vshlq_r_s32(vmullbq_int_s16(i, g), -shift));
        const int32x4_t odd = vaddq_s32(vmulltq_int_s16(f, before), vshlq_r_s32(vmulltq_int_s16(i, g), -shift));
        const int16x8_t cell = round15(even, odd);
        vstrhq_p_s16(c, cell, first);
        vstrhq_p_s16(h_new, vqrdmulhq_s16(o, tanh_(vqshlq_r_s16(cell, shift - 3))), first); /* Q.frac -> Q3.12 */
    }
}

/* tl_blend: z h + (32768 - z) n. */
static inline int16x8_t blend(int16x8_t z, int16x8_t h, int16x8_t n)
{
    const int16x8_t rest = vsubq_s16(vdupq_n_s16(INT16_MIN), z); /* 11 .. 32757 */
    return round15(vaddq_s32(vmullbq_int_s16(z, h), vmullbq_int_s16(rest, n)),
                   vaddq_s32(vmulltq_int_s16(z, h), vmulltq_int_s16(rest, n)));
}

static void gru_reset_after(int16_t *h_new, const context *t, const tl_gru_w8a16_mve *p)
{
    const context only_x = {t->x, t->inputs, NULL, 0, t->f}, only_h = {NULL, 0, t->h, t->hidden, 0};
    const int16_t *h = t->h + p->first;
    const int32_t shift = p->t;
    const int32_t *bm = p->bm;
    stream at = {p->w8, p->wx16};
    block b;
    clear(&b);
    for (uint32_t left = p->units; left != 0; left -= b.n, h += b.n, h_new += b.n, bm += 4 * GATE_OF_BM) {
        size_block(&b, left);
        sum(&b, 0, 2, &at, t);
        sum(&b, 2, 1, &at, &only_x);
        sum(&b, 3, 1, &at, &only_h);
        const int16x8_t r = sigmoid(gate(&b, 0, bm)), z = sigmoid(gate(&b, 1, bm));
        /* Q(12 + t); mulw(a, r) = 2 a (r * 2^15) >> 32 */
        const int32x4x2_t from_x = scaled(&b, 2, bm), from_h = scaled(&b, 3, bm);
        const int32x4_t even = vqdmulhq_s32(from_h.val[0], vshllbq_n_s16(r, 15));
        const int32x4_t odd = vqdmulhq_s32(from_h.val[1], vshlltq_n_s16(r, 15));
        const int16x8_t zn = narrow(vshlq_r_s32(vaddq_s32(from_x.val[0], vaddq_s32(even, even)), -shift),
                                    vshlq_r_s32(vaddq_s32(from_x.val[1], vaddq_s32(odd, odd)), -shift));
        const mve_pred16_t first = vctp16q(b.n);
        vstrhq_p_s16(h_new, blend(z, vldrhq_z_s16(h, first), tanh_(zn)), first);
    }
}

static void gru_reset_before(int16_t *h_new, int16_t *reset, const context *t, const tl_gru_w8a16_mve *p)
{
    const context kept = {t->x, t->inputs, reset, t->hidden, t->f};
    const int32_t *bm = p->bm;
    stream at = {p->w8, p->wx16};
    block b;
    clear(&b);
    for (uint32_t u = 0; u < t->hidden; u += b.n, bm += GATE_OF_BM) {
        size_block(&b, t->hidden - u);
        sum(&b, 0, 1, &at, t);
        const mve_pred16_t first = vctp16q(b.n);
        vstrhq_p_s16(reset + u, vqrdmulhq_s16(sigmoid(gate(&b, 0, bm)), vldrhq_z_s16(t->h + u, first)), first);
    }
    for (uint32_t u = 0; u < t->hidden; u += b.n, bm += 2 * GATE_OF_BM) {
        size_block(&b, t->hidden - u);
        sum(&b, 0, 1, &at, t);
        sum(&b, 1, 1, &at, &kept);
        const int16x8_t z = sigmoid(gate(&b, 0, bm)), new = tanh_(gate(&b, 1, bm));
        const mve_pred16_t first = vctp16q(b.n);
        vstrhq_p_s16(h_new + u, blend(z, vldrhq_z_s16(t->h + u, first), new), first);
    }
}

void tl_gru_step_w8a16_mve(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                           const tl_gru_w8a16_mve *p)
{
    const context t = {x, p->inputs, h, p->hidden, p->f};
    if (p->reset_after) {
        gru_reset_after(h_new, &t, p);
    } else {
        gru_reset_before(h_new, reset, &t, p);
    }
}

void tl_dense_w16a16_mve(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    const int16_t *w = p->w;
    for (uint32_t row = 0; row < p->outputs; row++, w += p->inputs) {
        y[row] = p->b[row] + dot(w, h, p->inputs);
    }
}
