/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The leaves of tl_chain_gru.h for Armv6-M, eight columns at a time. Compilers do not keep sums in the upper registers,
 * and with -Os they have none. A column of three rows takes 10.9 instructions. */
#ifndef TL_V6M_GRU_H
#define TL_V6M_GRU_H

#if defined(TL_HOST)

#include "tl_chain_gru.h"

#else

#define TL_OWN_TRIPLES
#include "tl_chain_gru.h"

/* Columns of v at r2, their weights at r1; r0 and r3 for anything. The sums: r6, r7, r12. */
#define TL_V(k) "ldrh r0, [r2, #2*" k "]\n sxth r0, r0\n"
#define TL_TRIPLE(w, k)                                                                                                \
    TL_V(k) "asrs r3, " w ", #16\n muls r3, r0\n adds r6, r6, r3\n asrs r3, " w ", #8\n muls r3, r0\n"                 \
    "adds r7, r7, r3\n muls " w ", r0\n add r12, " w "\n"
#define TL_TWO(k, l) "ldmia r1!, {r4, r5}\n" TL_TRIPLE("r4", k) TL_TRIPLE("r5", l)
#define TL_WIDE(k)                                                                                                     \
    "ldmia r1!, {r4, r5}\n" TL_V(k) "asrs r3, r4, #16\n muls r3, r0\n adds r6, r6, r3\n"                               \
    "muls r4, r0\n adds r7, r7, r4\n muls r5, r0\n add r12, r5\n"
/* Turns of eight columns, then of one; lr is the end of each. */
#define TL_RUN(eight, one)                                                                                             \
    ".syntax unified\n push {r0, r3, r4, r5, r6, r7, lr}\n"                                                            \
    "ldr r6, [r0]\n ldr r7, [r0, #4]\n ldr r4, [r0, #8]\n mov r12, r4\n"                                               \
    "lsrs r3, r3, #3\n beq 2f\n lsls r3, r3, #4\n adds r3, r3, r2\n mov lr, r3\n"                                      \
    "1:\n" eight "adds r2, #16\n cmp r2, lr\n bne 1b\n"                                                                \
    "2:\n ldr r3, [sp, #4]\n lsls r3, r3, #29\n beq 4f\n lsrs r3, r3, #28\n adds r3, r3, r2\n mov lr, r3\n"            \
    "3:\n" one "adds r2, #2\n cmp r2, lr\n bne 3b\n"                                                                   \
    "4:\n pop {r0, r3}\n str r6, [r0]\n str r7, [r0, #4]\n mov r4, r12\n str r4, [r0, #8]\n"                           \
    "pop {r4, r5, r6, r7, pc}\n"
#define TL_UNUSED __attribute__((unused))

__attribute__((naked, noinline, used)) static void tl_run8(TL_UNUSED uint32_t sum[3], TL_UNUSED const uint32_t *w,
                                                           TL_UNUSED const int16_t *v, TL_UNUSED uint32_t n)
{
    __asm__(TL_RUN(TL_TWO("0", "1") TL_TWO("2", "3") TL_TWO("4", "5") TL_TWO("6", "7"),
                   "ldmia r1!, {r4}\n" TL_TRIPLE("r4", "0")));
}

__attribute__((naked, noinline, used)) static void tl_run16(TL_UNUSED uint32_t sum[3], TL_UNUSED const uint32_t *w,
                                                            TL_UNUSED const int16_t *v, TL_UNUSED uint32_t n)
{
    __asm__(TL_RUN(TL_WIDE("0") TL_WIDE("1") TL_WIDE("2") TL_WIDE("3") TL_WIDE("4") TL_WIDE("5") TL_WIDE("6")
                       TL_WIDE("7"),
                   TL_WIDE("0")));
}

TL_INLINE const uint32_t *tl_triples8(uint32_t sum[3], const uint32_t *w, const int16_t *v, uint32_t n)
{
    tl_run8(sum, w, v, n);
    return w + n;
}

TL_INLINE const uint32_t *tl_triples16(uint32_t sum[3], const uint32_t *w, const int16_t *v, uint32_t n)
{
    tl_run16(sum, w, v, n);
    return w + 2 * n;
}

#endif
#endif
