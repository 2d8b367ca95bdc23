/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Sums of products, several rows at once, for tl_mve.c only: assembly, and its twin in C for hosts. */
#ifndef TL_MVE_DOT_H
#define TL_MVE_DOT_H

#include <stdint.h>

/* NAME(s, w, v, n): s[0 .. rows - 1] += n > 0 products of v with each row; returns what follows w. w: per 8 columns 8
 * weights of every row, padded; nothing is read behind v + n. The loop is tail-predicated: its last pass multiplies
 * only the columns that are left. A load and a product alternate, so that a core overlaps them. */
#if defined(TL_HOST)
#define DOT(NAME, ROWS, WEIGHT, LOAD, STEP)                                                                            \
    static inline const WEIGHT *NAME(int32_t *s, const WEIGHT *w, const int16_t *v, uint32_t n)                        \
    {                                                                                                                  \
        for (uint32_t k = 0; k < n; k += 8, w += 8 * ROWS) {                                                           \
            for (uint32_t j = 0; j < 8 * ROWS; j++) {                                                                  \
                s[j / 8] += k + j % 8 < n ? w[j] * v[k + j % 8] : 0;                                                   \
            }                                                                                                          \
        }                                                                                                              \
        return w;                                                                                                      \
    }
#else
#define ROW(LOAD, STEP, Q, SUM) LOAD " " Q ", [%[w]], #" STEP "\n\tvmladava.s16 %[" SUM "], q0, " Q "\n\t"
#define ROWS_1(LOAD, STEP) ROW(LOAD, STEP, "q1", "s0")
#define ROWS_3(LOAD, STEP) ROWS_1(LOAD, STEP) ROW(LOAD, STEP, "q2", "s1") ROW(LOAD, STEP, "q1", "s2")
#define ROWS_4(LOAD, STEP) ROWS_3(LOAD, STEP) ROW(LOAD, STEP, "q2", "s3")
#define SUMS_1 [s0] "+Te"(s[0])
#define SUMS_3 SUMS_1, [s1] "+Te"(s[1]), [s2] "+Te"(s[2])
#define SUMS_4 SUMS_3, [s3] "+Te"(s[3])
#define DOT(NAME, ROWS, WEIGHT, LOAD, STEP)                                                                            \
    static inline __attribute__((always_inline)) const WEIGHT *NAME(int32_t *s, const WEIGHT *w, const int16_t *v,     \
                                                                    uint32_t n)                                        \
    {                                                                                                                  \
        __asm__("dlstp.16 lr, %[n]\n\t"                                                                                \
                "1: vldrh.u16 q0, [%[v]], #16\n\t"                                                                     \
                ROWS_##ROWS(LOAD, STEP) "letp lr, 1b"                                                                  \
                : SUMS_##ROWS, [w] "+l"(w), [v] "+r"(v)                                                                \
                : [n] "r"(n)                                                                                           \
                : "q0", "q1", "q2", "lr", "memory");                                                                   \
        return w;                                                                                                      \
    }
#endif

DOT(dot4_w8, 4, int8_t, "vldrb.s16", "8")
DOT(dot4_w16, 4, int16_t, "vldrh.u16", "16")
DOT(dot3_w8, 3, int8_t, "vldrb.s16", "8")
DOT(dot3_w16, 3, int16_t, "vldrh.u16", "16")
DOT(dot1_w16, 1, int16_t, "vldrh.u16", "16")

#endif
