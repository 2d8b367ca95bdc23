/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sums of products for tl_mve.c only: assembly, and its twin in C for hosts. */
#ifndef TL_MVE_SUMS_H
#define TL_MVE_SUMS_H

#include <stdint.h>

/* What the rows of a gate are multiplied with; the assembly knows the offsets. A count of 0: not at all. */
typedef struct context {
    const int16_t *x; /*  0 */
    uint32_t inputs;  /*  4 */
    const int16_t *h; /*  8 */
    uint32_t hidden;  /* 12 */
    uint32_t f;       /* 16  shift of the sums over x */
} context;

/* Where the weights stand. */
typedef struct stream {
    const int8_t *w8;
    const int16_t *w16;
} stream;

/* sums_w16, sums_w8: 4 sums each of n > 0 groups of rows, with int16 or int8 input weights; both move the stream on.
 * The loops are tail-predicated: their last pass takes only the columns that are left, so that nothing is read behind x
 * or h. A load and a product alternate, which lets a core overlap them; with CCR.LOB set LETP takes it no time. */
#if defined(TL_HOST)
#define ADD(STREAM, V, COUNT)                                                                                          \
    for (uint32_t k = 0; k < COUNT; k += 8) {                                                                          \
        for (uint32_t j = 0; j < 32; j++, at->STREAM++) {                                                              \
            sums[j / 8] += k + j % 8 < COUNT ? *at->STREAM * V[k + j % 8] : 0;                                         \
        }                                                                                                              \
    }
#define SUMS(NAME, STREAM, SHIFT)                                                                                      \
    static void NAME(int32_t *sums, stream *at, const context *t, uint32_t n)                                          \
    {                                                                                                                  \
        for (; n != 0; n--, sums += 4) {                                                                               \
            sums[0] = sums[1] = sums[2] = sums[3] = 0;                                                                 \
            ADD(STREAM, t->x, t->inputs)                                                                               \
            SHIFT                                                                                                      \
            ADD(w8, t->h, t->hidden)                                                                                   \
        }                                                                                                              \
    }
SUMS(sums_w8, w8, )
SUMS(sums_w16, w16, sums[0] >>= t->f; sums[1] >>= t->f; sums[2] >>= t->f; sums[3] >>= t->f;)

static inline int32_t dot(const int16_t *w, const int16_t *v, uint32_t n)
{
    int32_t sum = 0;
    for (uint32_t k = 0; k < n; k++) {
        sum += w[k] * v[k];
    }
    return sum;
}
#else
#define W8(ROW, Q) "vldrb.s16 " Q ", [%[w8]], #8\n\tvmladava.s16 %[s" ROW "], q0, " Q "\n\t"
#define W16(ROW, Q) "vldrh.u16 " Q ", [%[w16]], #16\n\tvmladava.s16 %[s" ROW "], q0, " Q "\n\t"
#define LOOP(OFFSET, W, LABEL, END)                                                                                    \
    "ldrd %[v], lr, [%[t], #" OFFSET "]\n\t"                                                                           \
    "wlstp.16 lr, lr, " END "f\n" LABEL ":\n\t"                                                                        \
    "vldrh.u16 q0, [%[v]], #16\n\t" W("0", "q1") W("1", "q2") W("2", "q1") W("3", "q2")                                \
    "letp lr, " LABEL "b\n" END ":\n\t"
#define SUMS(NAME, W, SHIFT)                                                                                           \
    static inline void NAME(int32_t *sums, stream *at, const context *t, uint32_t n)                                   \
    {                                                                                                                  \
        int32_t s0, s1, s2, s3;                                                                                        \
        const int16_t *v;                                                                                              \
        __asm__ volatile("1:\n\t"                                                                                      \
                         "mov %[s0], #0\n\tmov %[s1], #0\n\tmov %[s2], #0\n\tmov %[s3], #0\n\t"                        \
                         LOOP("0", W, "2", "3") SHIFT LOOP("8", W8, "4", "5")                                          \
                         "strd %[s0], %[s1], [%[sums]], #8\n\tstrd %[s2], %[s3], [%[sums]], #8\n\t"                    \
                         "subs %[n], #1\n\t"                                                                           \
                         "bne 1b"                                                                                      \
                         : [s0] "=&Te"(s0), [s1] "=&Te"(s1), [s2] "=&Te"(s2), [s3] "=&Te"(s3), [v] "=&r"(v),           \
                           [w8] "+l"(at->w8), [w16] "+r"(at->w16), [sums] "+r"(sums), [n] "+r"(n)                      \
                         : [t] "r"(t)                                                                                  \
                         : "q0", "q1", "q2", "lr", "cc", "memory");                                                    \
    }
SUMS(sums_w8, W8, )
SUMS(sums_w16, W16,
     "ldr %[v], [%[t], #16]\n\t"
     "asr %[s0], %[s0], %[v]\n\tasr %[s1], %[s1], %[v]\n\tasr %[s2], %[s2], %[v]\n\tasr %[s3], %[s3], %[v]\n\t")

/* n > 0 products. */
static inline int32_t dot(const int16_t *w, const int16_t *v, uint32_t n)
{
    int32_t sum = 0;
    __asm__ volatile("dlstp.16 lr, %[n]\n1:\n\t"
                     "vldrh.u16 q0, [%[v]], #16\n\tvldrh.u16 q1, [%[w]], #16\n\tvmladava.s16 %[sum], q0, q1\n\t"
                     "letp lr, 1b"
                     : [sum] "+Te"(sum), [w] "+r"(w), [v] "+r"(v)
                     : [n] "r"(n)
                     : "q0", "q1", "lr", "memory");
    return sum;
}
#endif

#endif
