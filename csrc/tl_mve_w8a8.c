/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Helium, scheme w8a8: 8 units at a time, the sums of 4 rows at once in core registers, the rest in vectors. */
#include <arm_mve.h>
#include <stddef.h>

#include "tl_mve_w8a8.h"
#include "tl_tables_w8a8_planes.h"

#if !defined(TL_HOST) && !(defined(__ARM_FEATURE_MVE) && (__ARM_FEATURE_MVE & 1))
#error "build this file for a core with Helium, e.g. -mcpu=cortex-m55"
#endif

#define UNITS 8u /* of a block */
#define ROWS 4u  /* that are summed at once */
#define KEEP_ORDER __asm__("" ::: "memory") /* gcc would load every gate's vectors first, and spill them */

/* What the rows are multiplied with; the assembly knows the offsets. */
typedef struct context {
    const int8_t *x; /*  0 */
    uint32_t inputs; /*  4 */
    const int8_t *h; /*  8 */
    uint32_t hidden; /* 12 */
} context;

/* Where the layer's arrays stand. */
typedef struct stream {
    const int8_t *w;
    const int32_t *b;
} stream;

/* Sums of a block of units over x and over h: those of gate k from k * stride on, with a stride of 8, or of 4 where
 * the last block has no more units. */
typedef struct block {
    int32_t x[4 * UNITS], h[4 * UNITS];
} block;

/* The sums of n > 0 groups of 4 rows, which start with their biases; moves the stream on. The loops are
 * tail-predicated: nothing is read behind x or h. */
#if defined(TL_HOST)
static void add(int32_t *sums, stream *at, const int8_t *v, uint32_t n)
{
    for (uint32_t row = 0; row < ROWS; row++) {
        sums[row] = *at->b++;
    }
    for (uint32_t k = 0; k < n; k += 16) {
        for (uint32_t j = 0; j < 16 * ROWS; j++, at->w++) {
            sums[j / 16] += k + j % 16 < n ? *at->w * v[k + j % 16] : 0;
        }
    }
}

static void sum(int32_t *sums_x, int32_t *sums_h, stream *at, const context *t, uint32_t n)
{
    for (; n != 0; n--, sums_x += ROWS, sums_h += ROWS) {
        add(sums_x, at, t->x, t->inputs);
        add(sums_h, at, t->h, t->hidden);
    }
}
#else
#define ROW(SUM, Q) "vldrb.u8 " Q ", [%[w]], #16\n\tvmladava.s8 %[" SUM "], q0, " Q "\n\t"
#define LOOP(OFFSET, LABEL, SUMS)                                                                                      \
    "ldrd %[s0], %[s1], [%[b]], #8\n\tldrd %[s2], %[s3], [%[b]], #8\n\t"                                               \
    "ldrd %[v], lr, [%[t], #" OFFSET "]\n\t"                                                                           \
    "dlstp.8 lr, lr\n" LABEL ":\n\t"                                                                                   \
    "vldrb.u8 q0, [%[v]], #16\n\t" ROW("s0", "q1") ROW("s1", "q2") ROW("s2", "q1") ROW("s3", "q2")                     \
    "letp lr, " LABEL "b\n\t"                                                                                          \
    "strd %[s0], %[s1], [%[" SUMS "]], #8\n\tstrd %[s2], %[s3], [%[" SUMS "]], #8\n\t"
static inline void sum(int32_t *sums_x, int32_t *sums_h, stream *at, const context *t, uint32_t n)
{
    int32_t s0, s1, s2, s3;
    const int8_t *v;
    __asm__ volatile("1:\n\t" LOOP("0", "2", "x") LOOP("8", "3", "h") "subs %[n], #1\n\t"
                     "bne 1b"
                     : [s0] "=&Te"(s0), [s1] "=&Te"(s1), [s2] "=&Te"(s2), [s3] "=&Te"(s3), [v] "=&r"(v),
                       [w] "+r"(at->w), [b] "+r"(at->b), [x] "+r"(sums_x), [h] "+r"(sums_h), [n] "+r"(n)
                     : [t] "r"(t)
                     : "q0", "q1", "q2", "lr", "cc", "memory");
}
#endif

/* tl_rounding_shift by -s, s < 0: half up, of what is 1 less where it is negative. */
static inline int32x4_t rounding_shift(int32x4_t v, int32_t s)
{
    return vrshlq_n_s32(vqaddq_s32(v, vshrq_n_s32(v, 31)), s);
}

/* tl_multiply of the even and the odd units. */
static inline int32x4x2_t multiply(int32x4x2_t v, int32_t m, int32_t s)
{
    if (__builtin_expect(s < 0, 1)) {
        v.val[0] = rounding_shift(vqrdmulhq_n_s32(v.val[0], m), s);
        v.val[1] = rounding_shift(vqrdmulhq_n_s32(v.val[1], m), s);
    } else {
        v.val[0] = vqrdmulhq_n_s32(vshlq_r_s32(v.val[0], s), m);
        v.val[1] = vqrdmulhq_n_s32(vshlq_r_s32(v.val[1], s), m);
    }
    return v;
}

/* Saturates the even and the odd words to int16. */
static inline int16x8_t narrow(int32x4_t even, int32x4_t odd)
{
    return vqmovntq_s32(vqmovnbq_s32(vuninitializedq_s16(), even), odd);
}

/* The inputs, Q3.12, of the gate whose sums begin at `first`; m, s: its scales in the input's part. */
static inline int16x8_t gate(const block *b, uint32_t first, const int32_t *m, const int8_t *s)
{
    KEEP_ORDER;
    const int32x4x2_t x = multiply(vld2q_s32(b->x + first), m[0], s[0]);
    const int16x8_t from_x = narrow(x.val[0], x.val[1]);
    const int32x4x2_t h = multiply(vld2q_s32(b->h + first), m[4], s[4]);
    return narrow(vqaddq_s32(vmovlbq_s16(from_x), h.val[0]), vqaddq_s32(vmovltq_s16(from_x), h.val[1]));
}

/* tl_table_sigmoid: 3 |z| is taken apart by multiplications, as it has 17 bits. (a + b + 1) >> 1 is VRHADD. */
static inline int16x8_t sigmoid(int16x8_t z)
{
    const uint16x8_t size = vreinterpretq_u16_s16(vabsq_s16(z));
    const uint16x8_t index = vmulhq_u16(size, vdupq_n_u16(3 << 7));
    const uint16x8_t rest = vmulq_n_u16(size, 3 << 7); /* of 512, Q0.16 */
    const uint16x8_t step = vmulhq_u16(vldrhq_gather_shifted_offset_u16(tl_24ths_step, index), rest);
    const uint16x8_t base = vldrhq_gather_shifted_offset_u16(tl_24ths_base, index);
    const int16x8_t y = vreinterpretq_s16_u16(vrhaddq_u16(base, step));
    const int16x8_t sign = vshrq_n_s16(z, 15); /* 32768 - y = (y ^ 32767) + 1 */
    return vsubq_s16(veorq_s16(y, vreinterpretq_s16_u16(vshrq_n_u16(vreinterpretq_u16_s16(sign), 1))), sign);
}

/* tl_table_tanh of t with the sign of z: (step * rest + 128) >> 8 is VQRDMULH. */
static inline int16x8_t tanh_of(uint16x8_t index, uint16x8_t rest, int16x8_t z)
{
    const int16x8_t step = vreinterpretq_s16_u16(vldrhq_gather_shifted_offset_u16(tl_24ths_step, index));
    const int16x8_t base = vreinterpretq_s16_u16(vldrhq_gather_shifted_offset_u16(tl_24ths_base, index));
    const int16x8_t more = vqrdmulhq_s16(step, vreinterpretq_s16_u16(vshlq_n_u16(rest, 7)));
    const int16x8_t y = vaddq_s16(vsubq_s16(base, vdupq_n_s16(INT16_MIN)), more);
    const int16x8_t sign = vshrq_n_s16(z, 15);
    return vsubq_s16(veorq_s16(y, sign), sign);
}

/* Of a gate input, Q3.12. */
static inline int16x8_t tanh_gate(int16x8_t z)
{
    const uint16x8_t size = vreinterpretq_u16_s16(vabsq_s16(z)), low = vdupq_n_u16(255);
    const uint16x8_t index = vminq_u16(vmulhq_u16(size, vdupq_n_u16(3 << 8)), low);
    return tanh_of(index, vandq_u16(vmulq_n_u16(size, 3), low), z);
}

/* Of a cell with `bits` integer bits: |3 c| in units of 2^-12 / 16, rounded half up before its sign goes. */
static inline int16x8_t tanh_cell(int16x8_t c, int32_t bits)
{
    const int16x8_t three = vdupq_n_s16(3);
    const int32x4_t even = vabsq_s32(vrshlq_n_s32(vmullbq_int_s16(c, three), bits - 3));
    const int32x4_t odd = vabsq_s32(vrshlq_n_s32(vmulltq_int_s16(c, three), bits - 3));
    const uint16x8_t t = vqmovuntq_s32(vqmovunbq_s32(vuninitializedq_u16(), even), odd);
    return tanh_of(vshrq_n_u16(t, 8), vandq_u16(t, vdupq_n_u16(255)), c);
}

static inline int16x8_t cell(int16x8_t f, int16x8_t c, int16x8_t i, int16x8_t g, const tl_lstm_w8a8_mve *p)
{
    const int32_t shift = -15 - p->bits;
    const int16_t clip = p->clip;
    const int32x4_t even = vaddq_s32(rounding_shift(vmullbq_int_s16(f, c), -15),
                                     rounding_shift(vmullbq_int_s16(i, g), shift));
    const int32x4_t odd = vaddq_s32(rounding_shift(vmulltq_int_s16(f, c), -15),
                                    rounding_shift(vmulltq_int_s16(i, g), shift));
    const int16x8_t v = narrow(even, odd);
    return clip == 0 ? v : vmaxq_s16(vminq_s16(v, vdupq_n_s16(clip)), vdupq_n_s16((int16_t)-clip));
}

/* o tanh(c) in the units of h, not yet saturated to int8. */
static inline int16x8_t hidden(int16x8_t o, int16x8_t tanh_c, const tl_lstm_w8a8_mve *p)
{
    const int32x4x2_t products = {{vmullbq_int_s16(o, tanh_c), vmulltq_int_s16(o, tanh_c)}};
    const int32x4x2_t v = multiply(products, p->m[8], p->s[8]);
    return vqaddq_n_s16(narrow(v.val[0], v.val[1]), p->h_zero);
}

void tl_lstm_step_w8a8_mve(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x, const tl_lstm_w8a8_mve *p)
{
    const context t = {x, p->inputs, h, p->hidden};
    const int32_t *const m = p->m;
    const int8_t *const s = p->s;
    stream at = {p->w, p->b};
    block b;
    for (uint32_t k = 0; k < 4 * UNITS; k += 4) { /* the last block reads sums that it has not written */
        vst1q_s32(b.x + k, vdupq_n_s32(0));
        vst1q_s32(b.h + k, vdupq_n_s32(0));
    }
    for (uint32_t left = p->units, n; left != 0; left -= n, c += n, h_new += n) {
        n = left < UNITS ? left : UNITS;
        const uint32_t stride = (n + ROWS - 1) / ROWS * ROWS;
        sum(b.x, b.h, &at, &t, stride);
        const int16x8_t i = sigmoid(gate(&b, 0, m, s)), f = sigmoid(gate(&b, stride, m + 1, s + 1));
        const int16x8_t g = tanh_gate(gate(&b, 2 * stride, m + 2, s + 2));
        const int16x8_t o = sigmoid(gate(&b, 3 * stride, m + 3, s + 3));
        const mve_pred16_t first = vctp16q(n);
        const int16x8_t new = cell(f, vldrhq_z_s16(c, first), i, g, p);
        vstrhq_p_s16(c, new, first);
        const int16x8_t y = hidden(o, tanh_cell(new, p->bits), p);
        vstrbq_p_s16(h_new, vmaxq_s16(vminq_s16(y, vdupq_n_s16(127)), vdupq_n_s16(-128)), first);
    }
}
