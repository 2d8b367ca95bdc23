/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <arm_mve.h>
#include <stddef.h>

#include "tl_mve.h"
#include "tl_tables_planes.h"

#define UNITS 8u

/* Adds to four sums n products each; w: per 8 columns 8 weights of every row, padded with 0. Nothing is read behind v. */
#define DOT(load, bytes, s, w, v, n)                                                                                   \
    do {                                                                                                               \
        const int16_t *at = v;                                                                                         \
        __asm__("dlstp.16 lr, %[count]\n"                                                                              \
                "1: vldrh.u16 q0, [%[at]], #16\n" load " q1, [%[from]], #" bytes "\n"                                  \
                "vmladava.s16 %[s0], q0, q1\n" load " q2, [%[from]], #" bytes "\n"                                     \
                "vmladava.s16 %[s1], q0, q2\n" load " q1, [%[from]], #" bytes "\n"                                     \
                "vmladava.s16 %[s2], q0, q1\n" load " q2, [%[from]], #" bytes "\n"                                     \
                "vmladava.s16 %[s3], q0, q2\n"                                                                         \
                "letp lr, 1b\n"                                                                                        \
                : [s0] "+Te"(s.i), [s1] "+Te"(s.f), [s2] "+Te"(s.g), [s3] "+Te"(s.o), [from] "+l"(w), [at] "+r"(at)    \
                : [count] "r"(n)                                                                                       \
                : "q0", "q1", "q2", "lr", "memory");                                                                   \
    } while (0)

typedef struct sums {
    int32_t i, f, g, o;
} sums;

/* tl_lookup: the table holds 2 * (n[i + 1] - n[i]), so that >> 15 is the upper half of a product. */
static inline int16x8_t lookup(const int16_t base[256], const int16_t slope[256], int16x8_t z)
{
    uint16x8_t u = vreinterpretq_u16_s16(z), i = vshrq_n_u16(u, 8);
    int16x8_t fraction = vreinterpretq_s16_u16(vorrq_n_u16(vshrq_n_u16(vshlq_n_u16(u, 8), 1), 1));
    return vaddq_s16(vldrhq_gather_shifted_offset_s16(base, i), vmulhq_s16(vldrhq_gather_shifted_offset_s16(slope, i), fraction));
}

static inline int16x8_t gate(const int32_t *acc, const int32_t *bm)
{
    int32x4x2_t v = vld2q_s32(acc);
    int32x4_t even = vmulhq_s32(vaddq_s32(v.val[0], vld1q_s32(bm)), vld1q_s32(bm + 4));
    int32x4_t odd = vmulhq_s32(vaddq_s32(v.val[1], vld1q_s32(bm + 8)), vld1q_s32(bm + 12));
    return vqmovntq_s32(vqmovnbq_s32(vreinterpretq_s16_s32(v.val[0]), even), odd); /* Q3.12 */
}

void tl_lstm_step_w8a16_mve(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_mve *p)
{
    const int8_t *w8 = p->w8;
    const int16_t *wx = p->wx16;
    const int32_t *bm = p->bm;
    int32_t acc[4][UNITS];
    for (uint32_t left = p->hidden; left != 0;) {
        uint32_t n = left < UNITS ? left : UNITS;
        for (uint32_t u = 0; u < n; u++) {
            sums s = {0, 0, 0, 0};
            if (wx != NULL) {
                DOT("vldrh.u16", "16", s, wx, x, p->inputs);
                s.i >>= p->f;
                s.f >>= p->f;
                s.g >>= p->f;
                s.o >>= p->f;
            } else {
                DOT("vldrb.s16", "8", s, w8, x, p->inputs);
            }
            DOT("vldrb.s16", "8", s, w8, h, p->hidden);
            acc[0][u] = s.i;
            acc[1][u] = s.f;
            acc[2][u] = s.g;
            acc[3][u] = s.o;
        }
        int16x8_t i = lookup(tl_sigmoid_base, tl_sigmoid_slope, gate(acc[0], bm));
        int16x8_t f = lookup(tl_sigmoid_base, tl_sigmoid_slope, gate(acc[1], bm + 16));
        int16x8_t g = lookup(tl_tanh_base, tl_tanh_slope, gate(acc[2], bm + 32));
        int16x8_t o = lookup(tl_sigmoid_base, tl_sigmoid_slope, gate(acc[3], bm + 48));
        mve_pred16_t some_units = vctp16q(n);
        int16x8_t cell = vldrhq_z_s16(c, some_units);
        int32x4_t even = vaddq_s32(vmullbq_int_s16(f, cell), vshlq_r_s32(vmullbq_int_s16(i, g), p->frac - 15));
        int32x4_t odd = vaddq_s32(vmulltq_int_s16(f, cell), vshlq_r_s32(vmulltq_int_s16(i, g), p->frac - 15));
        cell = vqrshrntq_n_s32(vqrshrnbq_n_s32(cell, even, 15), odd, 15);
        vstrhq_p_s16(c, cell, some_units);
        int16x8_t squashed = lookup(tl_tanh_base, tl_tanh_slope, vqshlq_r_s16(cell, 12 - p->frac));
        vstrhq_p_s16(h_new, vqrdmulhq_s16(o, squashed), some_units);
        c += n;
        h_new += n;
        bm += 64;
        left -= n;
    }
}

void tl_dense_w16a16_mve(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    const int16_t *w = p->w;
    for (uint32_t row = 0; row < p->outputs; row++) {
        int32_t sum = p->b[row];
        for (int32_t k = 0, n = p->inputs; k < n; k += 8) {
            mve_pred16_t q = vctp16q((uint32_t)(n - k));
            sum = vmladavaq_p_s16(sum, vldrhq_z_s16(h + k, q), vldrhq_z_s16(w + k, q), q);
        }
        y[row] = sum;
        w += p->inputs;
    }
}
