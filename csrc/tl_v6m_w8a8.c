/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The step of tl_chain_w8a8.h for Armv6-M, its columns in assembly: the sums stay in r8 .. r11, as in tl_v6m.c. */
#define TL_SHORT_PRODUCTS
#if defined(TL_HOST)

#include "tl_chain_w8a8.h"

#else

#if !defined(__thumb__)
#error "tl_v6m_w8a8.c is Thumb code: compile with -mcpu=cortex-m0 -mthumb, or with -DTL_HOST=1 for its twin in C"
#endif

#define TL_OWN_COLUMNS
#include "tl_chain_w8a8.h"
#include "tl_v6m_column.h"

#define UNUSED __attribute__((unused))
/* A column whose value is the byte at r1 + k: no alignment. */
#define BYTE(k, w) "ldrb r3, [r1, #" k "]\n sxtb r3, r3\n" COLUMN(w)
#define FOUR(a, b, c, d)                                                                                               \
    "ldmia r0!, {r4, r5}\n" BYTE(a, "r4") BYTE(b, "r5") "ldmia r0!, {r4, r5}\n" BYTE(c, "r4") BYTE(d, "r5")

/* r0 the stream, r1 the values, r7 their end in whole passes of eight, r12 that of all, lr where the sums lie. */
__attribute__((naked, noinline)) static const uint32_t *tl_bytes(UNUSED uint32_t sum[4], UNUSED const uint32_t *w,
                                                                 UNUSED const int8_t *v, UNUSED uint32_t n)
{
    __asm__(".syntax unified\n"
            "push {r4, r5, r6, r7, lr}\n"
            "mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n"
            "push {r4, r5, r6, r7}\n"
            "mov lr, r0\n ldmia r0!, {r4, r5, r6, r7}\n"
            "mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"
            "mov r0, r1\n mov r1, r2\n adds r2, r2, r3\n mov r12, r2\n"
            "movs r7, #7\n bics r3, r7\n adds r7, r1, r3\n"
            "b 2f\n"
            "1:\n" FOUR("0", "1", "2", "3") FOUR("4", "5", "6", "7") "adds r1, #8\n"
            "2:\n cmp r1, r7\n bne 1b\n"
            "b 4f\n"
            "3:\n ldmia r0!, {r4}\n" BYTE("0", "r4") "adds r1, #1\n"
            "4:\n cmp r1, r12\n bne 3b\n"
            "mov r1, lr\n mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n stmia r1!, {r4, r5, r6, r7}\n"
            "pop {r4, r5, r6, r7}\n"
            "mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"
            "pop {r4, r5, r6, r7, pc}\n");
}

#endif

void tl_lstm_step_w8a8_v6m(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x, const tl_lstm_w8a8_v6m *p)
{
    tl_lstm_step_chain_w8a8(h_new, c, h, x, p);
}
