/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Four rows in Armv6-M assembly, text for the functions of tl_v6m.c: sums, then gate inputs. */
#ifndef TL_V6M_ROWS_H
#define TL_V6M_ROWS_H

#include <stdint.h>

#include "tl_v6m_column.h"

/* A run of columns: v; how far to jump into the unrolled loop; where v stands behind the last whole pair, less 1 when
 * another column follows, less 3 when this is the x of a layer with int8 inputs, behind which comes h. */
typedef struct tl_run {
    const int16_t *v;
    uint32_t jump;
    uintptr_t end;
} tl_run;

/* What rows of weights are multiplied with, at the offsets that stand in the assembly. */
typedef struct tl_sides {
    tl_run x, v;           /* 0, 12 */
    uint32_t x_odd;        /* 24: another column follows the pairs of x */
    uint32_t low, total_x; /* 28: what is taken off with int16 inputs, low_v or 0; 32: their 32768 */
    uint32_t f, t;         /* 36, 40 */
    uint32_t wide;         /* 44: of an LSTM it becomes the address where a unit begins */
    uint32_t low_x, low_v; /* 48, 52: take the 128 of the bytes off a row's sum over x, over v */
    uint32_t stop;         /* 56: what tl_four does is a part */
} tl_sides;

/* What tl_units reads. c and h_new point behind their ends; u is the place of a unit in bytes from there, so it ends at
 * 0. */
typedef struct tl_job {
    uint32_t first[4];       /* the sums before the first of int8 inputs */
    tl_sides sides;          /* the offsets count from here */
    const uint32_t *sigmoid; /* 60 and so on: in the order in which the gates take them */
    uint32_t t;              /* 64 */
    const uint32_t *tanh;    /* 68 */
    int16_t *c;              /* 72 */
    uint32_t shift_ig, u;    /* 76, 80 */
    int16_t *h_new;          /* 84 */
    uint32_t shift_c;        /* 88 */
} tl_job;

#define PAIR                                                                                                           \
    "ldmia r1!, {r2}\n ldmia r0!, {r4, r5}\n sxth r3, r2\n" COLUMN("r4") "asrs r3, r2, #16\n" COLUMN("r5")
#define PAIR_BYTES 52u
/* The same for int16 weights. */
#define WIDE                                                                                                           \
    "ldmia r0!, {r4, r5}\n"                                                                                            \
    "asrs r6, r4, #16\n muls r6, r3\n add r8, r6\n muls r4, r3\n add r9, r4\n"                                         \
    "asrs r6, r5, #16\n muls r6, r3\n add r10, r6\n muls r5, r3\n add r11, r5\n"
#define WIDE_PAIR "ldmia r1!, {r2}\n sxth r3, r2\n" WIDE "asrs r3, r2, #16\n" WIDE
#define WIDE_PAIR_BYTES 50u
/* One column when v lies between two words, and what `jump` is for the pairs behind it. */
#define BETWEEN (16 * PAIR_BYTES + 10u)
#define WIDE_BETWEEN (4 * WIDE_PAIR_BYTES + 8u)
#define REST(none, turn, bytes)                                                                                        \
    "adds r6, r7, #3\n subs r6, r6, r1\n lsrs r6, r6, #2\n beq " none "\n negs r6, r6\n"                               \
    "movs r2, #" turn "\n ands r6, r2\n movs r2, #" bytes "\n muls r6, r2\n subs r6, #2\n"
#define NEXT "ldrh r3, [r1]\n sxth r3, r3\n adds r1, #2\n"

/* Gate input of a row, without its bias, in r1: its sum less 256 times the sum of the row before it. */
#define ROW(sum, before) "mov r1, " sum "\n mov r2, " before "\n lsls r2, r2, #8\n subs r1, r1, r2\n"
/* Adds the bias; accumulator -> z, by two short products (tl_mulw) and t in r5. The bias and m are next at r0. */
#define REQUANTIZE                                                                                                     \
    "ldmia r0!, {r2, r3}\n adds r1, r1, r2\n uxth r2, r1\n asrs r1, r1, #16\n"                                         \
    "muls r2, r3\n muls r1, r3\n lsrs r2, r2, #16\n adds r1, r1, r2\n asrs r1, r5\n"
#define SAVE "mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n push {r4, r5, r6, r7}\n"
#define RESTORE "pop {r4, r5, r6, r7}\n mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"

/* The sums of four rows. r0 = w, r7 = r12 = the sides. Columns of int16 weights begin at 1, those of bytes at 3, with
 * r7 the run and the sums begun. Ends at 20; `stop` may go there when x is done. */
#define WIDE_SUMS(stop)                                                                                                \
    "1:\n"                                                                                                             \
    "movs r1, #0\n mov r8, r1\n mov r10, r1\n"                                                                         \
    "ldr r1, [r7, #32]\n mov r9, r1\n mov r11, r1\n ldmia r7, {r1, r6, r7}\n"                                          \
    "11:\n add pc, r6\n"                                                                                               \
    "12:\n.rept 4\n" WIDE_PAIR ".endr\n cmp r1, r7\n blo 12b\n"                                                       \
    "15:\n lsls r7, r7, #31\n bpl 13f\n b 16f\n"                                                                      \
    NEXT WIDE REST("15b", "3", "50") "b 11b\n" /* WIDE_BETWEEN */                                                      \
    "16:\n" NEXT WIDE                                                                                                  \
    "13:\n" /* tl_join, low included */                                                                                \
    "mov r7, r12\n ldr r6, [r7, #36]\n"                                                                                \
    "mov r1, r8\n mov r2, r9\n lsls r3, r1, #16\n subs r2, r2, r3\n asrs r1, r6\n asrs r2, r6\n"                       \
    "mov r3, r10\n mov r4, r11\n lsls r5, r3, #16\n subs r4, r4, r5\n asrs r3, r6\n asrs r4, r6\n"                     \
    "ldr r6, [r7, #28]\n"                                                                                              \
    "mov r8, r1\n lsls r1, r1, #8\n adds r2, r2, r1\n adds r2, r2, r6\n"                                               \
    "mov r9, r2\n lsls r2, r2, #8\n adds r3, r3, r2\n adds r3, r3, r6\n"                                               \
    "mov r10, r3\n lsls r3, r3, #8\n adds r4, r4, r3\n adds r4, r4, r6\n mov r11, r4\n"                                \
    stop "adds r7, #12\n"
#define SUMS(stop)                                                                                                     \
    "3:\n"                                                                                                             \
    "ldmia r7, {r1, r6, r7}\n"                                                                                         \
    "4:\n add pc, r6\n"                                                                                                \
    "5:\n.rept 16\n" PAIR ".endr\n cmp r1, r7\n bhs 8f\n b 5b\n"                                                      \
    "8:\n"                                                                                                             \
    "lsls r2, r7, #31\n bpl 20f\n b 14f\n"                                                                             \
    NEXT "ldmia r0!, {r4}\n" COLUMN("r4") REST("8b", "15", "52") "b 4b\n" /* BETWEEN: v between two words */           \
    "14:\n"                                                                                                            \
    "lsls r7, r7, #30\n bmi 6f\n" /* more after the pairs: h has one column */                                         \
    "mov r2, r12\n ldr r2, [r2, #24]\n cmp r2, #0\n beq 7f\n"                                                          \
    "6:\n" NEXT "ldmia r0!, {r4}\n" COLUMN("r4")                                                                       \
    "cmp r7, #0\n bmi 20f\n"                                                                                           \
    "7:\n mov r7, r12\n" stop "adds r7, #12\n b 3b\n"

#endif
