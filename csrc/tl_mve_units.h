/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The sums of hidden units, and single sums, for tl_mve.c only: assembly, and its twin in C for hosts. */
#ifndef TL_MVE_UNITS_H
#define TL_MVE_UNITS_H

#include <stdint.h>

/* What the units of a layer share; the assembly knows the offsets. */
typedef struct context {
    const int16_t *x; /*  0 */
    uint32_t inputs;  /*  4 */
    const int16_t *h; /*  8 */
    uint32_t hidden;  /* 12 */
    uint32_t f;       /* 16  shift of the input sums */
} context;

/* Where the streams of weights stand. */
typedef struct stream {
    const int8_t *w8;
    const int16_t *w16;
} stream;

/* NAME(sums, at, t, n): the sums of n > 0 units; moves the streams on. Rows of x go to the sums X.., rows of h to H..
 * Both loops are tail-predicated: their last pass takes only the columns that are left, so that nothing is read behind
 * x or h. A load and a product alternate, which lets a core overlap them. */
#if defined(TL_HOST)
#define SUMS(NAME, X_STREAM, X_ROWS, X, H_ROWS, H, SHIFT)                                                              \
    static void NAME(int32_t (*sums)[4], stream *at, const context *t, uint32_t n)                                     \
    {                                                                                                                  \
        for (uint32_t u = 0; u < n; u++, sums++) {                                                                     \
            for (uint32_t k = 0; k < 4; k++) {                                                                         \
                (*sums)[k] = 0;                                                                                        \
            }                                                                                                          \
            ADD(X_STREAM, X_ROWS, X, t->x, t->inputs)                                                                  \
            SHIFT                                                                                                      \
            ADD(w8, H_ROWS, H, t->h, t->hidden)                                                                        \
        }                                                                                                              \
    }
#define ADD(STREAM, ROWS, ROW, V, COUNT)                                                                               \
    for (uint32_t k = 0; k < COUNT; k += 8) {                                                                          \
        for (uint32_t row = 0; row < ROWS; row++) {                                                                    \
            for (uint32_t j = 0; j < 8; j++) {                                                                         \
                (*sums)[ROW[row] - '0'] += k + j < COUNT ? *at->STREAM * V[k + j] : 0;                                 \
                at->STREAM++;                                                                                          \
            }                                                                                                          \
        }                                                                                                              \
    }
#define SHIFT_X                                                                                                        \
    for (uint32_t k = 0; k < 4; k++) {                                                                                 \
        (*sums)[k] >>= t->f;                                                                                           \
    }
SUMS(lstm_sums_w8, w8, 4, "0123", 4, "0123", )
SUMS(lstm_sums_w16, w16, 4, "0123", 4, "0123", SHIFT_X)
SUMS(gru_sums_w8, w8, 3, "012", 3, "013", )
SUMS(gru_sums_w16, w16, 3, "012", 3, "013", SHIFT_X)

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
#define ROWS3(W, A, B, C) W(A, "q1") W(B, "q2") W(C, "q1")
#define ROWS4(W) ROWS3(W, "0", "1", "2") W("3", "q2")
#define LOOP(LABEL, OFFSET, ROWS)                                                                                      \
    "ldrd %[v], lr, [%[t], #" OFFSET "]\n\t"                                                                           \
    "dlstp.16 lr, lr\n" LABEL ":\n\t"                                                                                  \
    "vldrh.u16 q0, [%[v]], #16\n\t" ROWS "letp lr, " LABEL "b\n\t"
#define SHIFT_X                                                                                                        \
    "ldr %[v], [%[t], #16]\n\t"                                                                                        \
    "asr %[s0], %[s0], %[v]\n\tasr %[s1], %[s1], %[v]\n\tasr %[s2], %[s2], %[v]\n\tasr %[s3], %[s3], %[v]\n\t"
#define SUMS(NAME, X_ROWS, H_ROWS, SHIFT)                                                                              \
    static inline void NAME(int32_t (*sums)[4], stream *at, const context *t, uint32_t n)                              \
    {                                                                                                                  \
        int32_t s0, s1, s2, s3;                                                                                        \
        const int16_t *v;                                                                                              \
        __asm__ volatile("1:\n\t"                                                                                      \
                         "mov %[s0], #0\n\tmov %[s1], #0\n\tmov %[s2], #0\n\tmov %[s3], #0\n\t"                        \
                         LOOP("2", "0", X_ROWS) SHIFT LOOP("3", "8", H_ROWS)                                           \
                         "strd %[s0], %[s1], [%[sums]], #8\n\tstrd %[s2], %[s3], [%[sums]], #8\n\t"                    \
                         "subs %[n], #1\n\t"                                                                           \
                         "bne 1b"                                                                                      \
                         : [s0] "=&Te"(s0), [s1] "=&Te"(s1), [s2] "=&Te"(s2), [s3] "=&Te"(s3), [v] "=&r"(v),           \
                           [w8] "+l"(at->w8), [w16] "+r"(at->w16), [sums] "+r"(sums), [n] "+r"(n)                      \
                         : [t] "r"(t)                                                                                  \
                         : "q0", "q1", "q2", "lr", "cc", "memory");                                                    \
    }
SUMS(lstm_sums_w8, ROWS4(W8), ROWS4(W8), )
SUMS(lstm_sums_w16, ROWS4(W16), ROWS4(W8), SHIFT_X)
SUMS(gru_sums_w8, ROWS3(W8, "0", "1", "2"), ROWS3(W8, "0", "1", "3"), )
SUMS(gru_sums_w16, ROWS3(W16, "0", "1", "2"), ROWS3(W8, "0", "1", "3"), SHIFT_X)

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
