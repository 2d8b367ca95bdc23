/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The loop over the hidden units, for tl_dsp.c only: assembly, and its twin in C for hosts. */
#ifndef TL_DSP_UNITS_H
#define TL_DSP_UNITS_H

#include <stdint.h>

#include "tl_math.h"

#if defined(TL_HOST)
#elif defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
#include <arm_acle.h>
#else
#error "tl_dsp.c needs a Cortex-M with the DSP extension, e.g. -mcpu=cortex-m4"
#endif

#define GROUPS 16u /* in a pass of the unrolled loop of the assembly */
#define PAIRS 7u

/* What a unit needs, in words; the assembly knows the offsets. */
typedef struct context {
    const uint32_t *w, *w_end;      /*  0  4 */
    int16_t *c;                     /*  8 */
    uintptr_t to_h_new;             /* 12  bytes from c[u + 1] to h_new[u] */
    const uint32_t *sigmoid, *tanh; /* 16 20  the middle of the tables */
    int32_t shift;                  /* 24  15 - frac */
    uint32_t low, high;             /* 28 32  added to the starts of I, G and of F, O */
    int32_t k;                      /* 36  2^(32 - f), 0 with f = 0 */
    uint32_t h[2];                  /* 40 44  the first group */
    uintptr_t h_at, h_last;         /* 48 52  base of the first and of the last pass over the others */
    uint32_t h_skip;                /* 56  bytes of code that the first pass skips */
    uint32_t x[2];                  /* 60 64 */
    uintptr_t x_at, x_last;         /* 68 72 */
    uint32_t x_skip;                /* 76 */
    uint32_t kind;                  /* 80  as in the parameters; the assembly puts an address here */
} context;

#if defined(TL_HOST)
static uint32_t smlad(uint32_t a, uint32_t b, uint32_t sum)
{
    return sum + (uint32_t)((int16_t)a * (int16_t)b) + (uint32_t)((int16_t)(a >> 16) * (int16_t)(b >> 16));
}
#else
static inline uint32_t smlad(uint32_t a, uint32_t b, uint32_t sum)
{
    return (uint32_t)__smlad((int16x2_t)a, (int16x2_t)b, (int32_t)sum);
}
#endif

static inline uint32_t load(const int16_t *v)
{
    uint32_t word;
    __builtin_memcpy(&word, v, 4);
    return word;
}

#if defined(TL_HOST)
/* The twin of the assembly below. */
static int32_t high(uint32_t a, int32_t b)
{
    return (int32_t)(((int64_t)(int32_t)a * b) >> 32);
}

static uint32_t sxtab16_ror8(uint32_t a, uint32_t b)
{
    int32_t low = (int16_t)a + (int8_t)(b >> 8), top = (int16_t)(a >> 16) + (int8_t)(b >> 24);
    return (uint32_t)top << 16 | ((uint32_t)low & 0xFFFFu);
}

static void group(uint32_t sum[4], const uint32_t *w, uint32_t v01, uint32_t v23)
{
    for (uint32_t k = 0; k < 2; k++, w += 2) {
        sum[2 * k] = smlad(w[1], v23, smlad(w[0], v01, sum[2 * k]));
        sum[2 * k + 1] = smlad(sxtab16_ror8(v23, w[0]), sxtab16_ror8(v01, w[1]), sum[2 * k + 1]);
    }
}

static const uint32_t *groups(uint32_t sum[4], const uint32_t *w, uintptr_t at, uintptr_t last, uint32_t g)
{
    for (;; at += 8u * GROUPS, g = 0) {
        for (; g < GROUPS; g++, w += 4) {
            const int16_t *v = (const int16_t *)(at + 8u * g);
            group(sum, w, load(v), load(v + 2));
        }
        if (at == last) {
            return w;
        }
    }
}

static const uint32_t *pair(uint32_t sum[4], const uint32_t *w, uint32_t v)
{
    for (uint32_t k = 0; k < 4; k++) {
        sum[k] = smlad(*w++, v, sum[k]);
    }
    return w;
}

static const uint32_t *single(uint32_t sum[4], const uint32_t *w, uint32_t v)
{
    for (uint32_t k = 0; k < 4; k++) {
        sum[k] = (uint32_t)((int16_t)(k % 2 != 0 ? w[k / 2] >> 16 : w[k / 2]) * (int16_t)v);
    }
    return w + 2;
}

static const uint32_t *pairs(uint32_t sum[4], const uint32_t *w, const context *t)
{
    uint32_t g = t->x_skip / 32u;
    w = pair(sum, w, t->x[0]);
    for (uintptr_t at = t->x_at;; at += 4u * PAIRS, g = 0) {
        for (; g < PAIRS; g++) {
            w = pair(sum, w, load((const int16_t *)(at + 4u * g)));
        }
        if (at == t->x_last) {
            return w;
        }
    }
}

/* Gate input before the shift by 8 -> top half of the result. Beyond the table's ends the slope is 0. */
static int32_t table(const uint32_t *middle, int32_t v, uint32_t bits)
{
    int32_t i = v >> bits;
    uint32_t word = middle[i > 127 ? 127 : i < -128 ? -128 : i];
    return (int32_t)word + (int16_t)word * (int16_t)((uint32_t)v << (15 - bits));
}

static void units(context *t)
{
    while (t->w != t->w_end) {
        uint32_t s[4] = {0, 0, 0, 0};
        const uint32_t *w = t->w;
        if (t->kind != 0) {
            w = t->kind == 1 ? single(s, w, t->x[0]) : pairs(s, w, t);
            for (uint32_t k = 0; k < 4; k++) {
                s[k] = (t->k != 0 ? (uint32_t)high(s[k], t->k) : s[k]) + *w++ + (k % 2 != 0 ? t->high : t->low);
            }
            s[0] += s[1] << 8;
            s[2] += s[3] << 8;
        } else {
            for (uint32_t k = 0; k < 4; k++) {
                s[k] = *w++ + (k % 2 != 0 ? t->high : t->low);
            }
            group(s, w, t->x[0], t->x[1]);
            w = groups(s, w + 4, t->x_at, t->x_last, t->x_skip / 64u);
        }
        group(s, w, t->h[0], t->h[1]);
        w = groups(s, w + 4, t->h_at, t->h_last, t->h_skip / 64u);
        int32_t i = table(t->sigmoid, high(s[0] - (s[1] << 8), (int32_t)w[0]), 8);
        int32_t f = table(t->sigmoid, high(s[1], (int32_t)w[1]), 8);
        int32_t g = table(t->tanh, high(s[2] - (s[3] << 8), (int32_t)w[2]), 8);
        int32_t o = table(t->sigmoid, high(s[3], (int32_t)w[3]), 8);
        int16_t cell = tl_sat16(((((i >> 16) * (g >> 16)) >> t->shift) + (f >> 16) * *t->c + (1 << 14)) >> 15);
        *t->c++ = cell;
        int32_t squashed = table(t->tanh, (int32_t)((uint32_t)cell << t->shift), 11) >> 16;
        int16_t *h_new = (int16_t *)((uintptr_t)t->c + t->to_h_new);
        *h_new = (int16_t)(((o >> 16) * squashed + (1 << 14)) >> 15);
        t->w = w + 4;
    }
}
#else
/* One group: r2, r3 values, r4 .. r7 weights; sums I r8, F r9, G r10, O r11. 64 bytes with its loads. */
#define PRODUCTS                                                                                                       \
    "smlad r8, r4, r2, r8\n smlad r8, r5, r3, r8\n smlad r10, r6, r2, r10\n smlad r10, r7, r3, r10\n"                  \
    "sxtab16 r4, r3, r4, ror #8\n sxtab16 r5, r2, r5, ror #8\n smlad r9, r4, r5, r9\n"                                 \
    "sxtab16 r6, r3, r6, ror #8\n sxtab16 r7, r2, r7, ror #8\n smlad r11, r6, r7, r11\n"
#define WEIGHTS(at)                                                                                                    \
    "ldr.w r4, [r0, #" at "]\n ldr.w r5, [r0, #" at "+4]\n ldr.w r6, [r0, #" at "+8]\n ldr.w r7, [r0, #" at "+12]\n"
#define GROUP(g, at) "ldr.w r2, [r1, #" g "*8]\n ldr.w r3, [r1, #" g "*8+4]\n" WEIGHTS(g "*16+" at) PRODUCTS
#define GROUPS4(at, a, b, c, d) GROUP(a, at) GROUP(b, at) GROUP(c, at) GROUP(d, at)
/* One pair of wide columns; 32 bytes with its loads. */
#define PAIR_SUM "smlad r8, r4, r2, r8\n smlad r9, r5, r2, r9\n smlad r10, r6, r2, r10\n smlad r11, r7, r2, r11\n"
#define PAIR(g)                                                                                                        \
    "ldr.n r2, [r1, #" g "*4]\n ldr.n r4, [r0, #" g "*16+16]\n ldr.w r5, [r0, #" g "*16+20]\n"                         \
    "ldr.w r6, [r0, #" g "*16+24]\n ldr.w r7, [r0, #" g "*16+28]\n" PAIR_SUM

/* r0 stream, r12 context. */
static __attribute__((naked, noinline)) void units(__attribute__((unused)) context *t)
{
    __asm__(".syntax unified\n"
            "push {r4-r11, lr}\n"
            "mov r12, r0\n ldr r1, [r0, #80]\n"
            "adr.w r2, 10f\n adr.w r3, 20f\n"
            "cmp r1, #1\n it ge\n movge r2, r3\n"
            "adr.w r3, 30f\n"
            "it gt\n movgt r2, r3\n"
            "str r2, [r0, #80]\n"
            "ldr r0, [r0]\n"
            "mov pc, r2\n");
    __asm__(/* int8 inputs */
            ".p2align 2\n"
            "10:\n"
            "ldr.w r8, [r0]\n ldr.w r9, [r0, #4]\n ldr.w r10, [r0, #8]\n ldr.w r11, [r0, #12]\n"
            "ldr.w r1, [r12, #28]\n ldr.w lr, [r12, #32]\n ldr.w r2, [r12, #60]\n ldr.w r3, [r12, #64]\n"
            WEIGHTS("16")
            "add r8, r1\n add r9, lr\n add r10, r1\n add r11, lr\n"
            PRODUCTS
            "ldr.w r1, [r12, #68]\n ldr.w r2, [r12, #76]\n mov.w lr, #0\n"
            "sub.w r0, r0, r2, lsr #2\n"
            "subs r0, #16\n"
            "adr.w r3, 41f\n"
            "add r3, r2\n"
            "mov pc, r3\n");
    __asm__(/* pairs of wide inputs */
            ".p2align 2\n"
            "30:\n"
            "ldr.w r2, [r12, #60]\n ldr.w r1, [r12, #68]\n ldr.w lr, [r12, #72]\n ldr.w r3, [r12, #76]\n"
            WEIGHTS("0")
            "smuad r8, r4, r2\n smuad r9, r5, r2\n smuad r10, r6, r2\n smuad r11, r7, r2\n"
            "sub.w r0, r0, r3, lsr #1\n"
            ".p2align 2\n"
            "add pc, r3\n nop\n"
            "31:\n"
            PAIR("0") PAIR("1") PAIR("2") PAIR("3") PAIR("4") PAIR("5") PAIR("6")
            "adds r0, #112\n"
            "cmp r1, lr\n"
            "bne.n 32f\n");
    __asm__("ldr r2, [r0, #16]\n ldr r3, [r0, #20]\n ldr r4, [r0, #24]\n ldr r5, [r0, #28]\n"
            "ldr.w r6, [r12, #36]\n ldr.w r7, [r12, #28]\n ldr.w r1, [r12, #32]\n"
            "cbnz r6, 21f\n"
            "add r8, r2\n add r9, r3\n add r10, r4\n add r11, r5\n" /* f = 0 */
            "b 22f\n"
            "32:\n"
            "adds r1, #28\n"
            "b 31b\n"

            /* one wide input, f > 0 */
            "20:\n"
            "ldr.w r10, [r0]\n ldr.w r11, [r0, #4]\n"
            "ldr r2, [r0, #8]\n ldr r3, [r0, #12]\n ldr r4, [r0, #16]\n ldr r5, [r0, #20]\n"
            "ldr.w r6, [r12, #36]\n ldr.w r7, [r12, #28]\n ldr.w r1, [r12, #32]\n ldr.w lr, [r12, #60]\n"
            "smulbb r8, r10, lr\n smultb r9, r10, lr\n smulbb r10, r11, lr\n smultb r11, r11, lr\n"
            "subs r0, #8\n"
            "21:\n"
            "smmla r8, r8, r6, r2\n smmla r9, r9, r6, r3\n smmla r10, r10, r6, r4\n smmla r11, r11, r6, r5\n"
            "22:\n"
            "add r9, r1\n add r11, r1\n add r8, r7\n add r10, r7\n"
            "add.w r8, r8, r9, lsl #8\n add.w r10, r10, r11, lsl #8\n"
            /* groups of h, at r0 + 32 */
            "40:\n"
            "ldr.w r2, [r12, #40]\n ldr.w r3, [r12, #44]\n ldr.w r1, [r12, #48]\n ldr.w lr, [r12, #52]\n"
            WEIGHTS("32") PRODUCTS
            "ldr.w r2, [r12, #56]\n"
            "sub.w r0, r0, r2, lsr #2\n"
            ".p2align 2\n"
            "add pc, r2\n nop\n"
            "41:\n"
            GROUPS4("48", "0", "1", "2", "3"));
    __asm__(GROUPS4("48", "4", "5", "6", "7"));
    __asm__(GROUPS4("48", "8", "9", "10", "11"));
    __asm__(GROUPS4("48", "12", "13", "14", "15")
            "cmp r1, lr\n"
            "bne.n 42f\n");
    __asm__(/* gates: multipliers at r0 + 304 */
            "ldr.w r2, [r0, #304]\n ldr.w r3, [r0, #308]\n ldr.w r4, [r0, #312]\n ldr.w r5, [r0, #316]\n"
            "ldr.w r6, [r12, #16]\n ldr.w r7, [r12, #20]\n ldr.w r1, [r12, #8]\n"
            "sub.w r8, r8, r9, lsl #8\n sub.w r10, r10, r11, lsl #8\n"
            "smmul r8, r8, r2\n smmul r9, r9, r3\n smmul r10, r10, r4\n smmul r11, r11, r5\n" /* Q3.12 */
            "ssat r2, #8, r8, asr #8\n ssat r3, #8, r9, asr #8\n ssat r4, #8, r10, asr #8\n ssat r5, #8, r11, asr #8\n"
            "ldr.w r2, [r6, r2, lsl #2]\n ldr.w r3, [r6, r3, lsl #2]\n ldr.w r5, [r6, r5, lsl #2]\n"
            "ldr.w r4, [r7, r4, lsl #2]\n ldrsh.w r6, [r1]\n ldr.w lr, [r12, #24]\n"
            "lsl.w r8, r8, #7\n lsl.w r9, r9, #7\n lsl.w r10, r10, #7\n lsl.w r11, r11, #7\n"
            /* Q0.31 */
            "smlabb r2, r2, r8, r2\n smlabb r3, r3, r9, r3\n smlabb r4, r4, r10, r4\n smlabb r5, r5, r11, r5\n"
            /* cell */
            "smultt r2, r2, r4\n"
            "asr.w r2, r2, lr\n"
            "smlatb r2, r3, r6, r2\n"
            "add.w r2, r2, #16384\n"
            "ssat r2, #16, r2, asr #15\n"
            "strh r2, [r1], #2\n"
            "str.w r1, [r12, #8]\n"
            /* hidden */
            "lsl.w r3, r2, lr\n" /* Q6.15 */
            "ssat r4, #8, r3, asr #11\n"
            "ldr.w r4, [r7, r4, lsl #2]\n ldr.w r6, [r12, #12]\n ldr.w r7, [r12, #4]\n ldr.w r2, [r12, #80]\n"
            "lsls r3, r3, #4\n"
            "smlabb r4, r4, r3, r4\n"
            "smultt r5, r5, r4\n"
            "add.w r5, r5, #16384\n"
            "asrs r5, r5, #15\n"
            "strh r5, [r1, r6]\n"
            "add.w r0, r0, #320\n"
            "cmp r0, r7\n"
            "beq.n 43f\n"
            "mov pc, r2\n"
            /* a pass of x (lr 0) or of h that was not the last */
            "42:\n"
            "add.w r0, r0, #256\n"
            "cmp.w lr, #0\n"
            "bne.n 44f\n"
            "ldr.w r2, [r12, #72]\n"
            "cmp r1, r2\n"
            "it eq\n"
            "addeq r0, #16\n"
            "beq.w 40b\n"
            "44:\n"
            "adds r1, #128\n"
            "b.w 41b\n"
            "43:\n"
            "pop {r4-r11, pc}\n");
}
#endif

#endif
