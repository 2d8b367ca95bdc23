/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Four rows in a word on Armv7-M: the columns of tl_v7m.c and tl_v7m_w8a8.c, whose TL_VALUE loads a value into x. */
#ifndef TL_V7M_LOOP_H
#define TL_V7M_LOOP_H

#define COLUMN(w)                                                                                                      \
    TL_VALUE                                                                                                           \
    "asrs %[t], " w ", #24\n mla %[s0], %[t], %[x], %[s0]\n"                                                           \
    "asrs %[t], " w ", #16\n mla %[s1], %[t], %[x], %[s1]\n"                                                           \
    "asrs %[t], " w ", #8\n mla %[s2], %[t], %[x], %[s2]\n"                                                            \
    "mla %[s3], " w ", %[x], %[s3]\n"
#define FOUR "ldmia %[w]!, {r8, r9, r10, r11}\n" COLUMN("r8") COLUMN("r9") COLUMN("r10") COLUMN("r11")
/* The loop over v .. end, whole turns. */
#define LOOP(turn)                                                                                                     \
    if (v != end) {                                                                                                    \
        uint32_t x, t;                                                                                                 \
        __asm__("1:\n" turn "cmp %[v], %[end]\n bne 1b\n"                                                              \
                : [s0] "+r"(sum[0]), [s1] "+r"(sum[1]), [s2] "+r"(sum[2]), [s3] "+r"(sum[3]), [w] "+r"(w),             \
                  [v] "+r"(v), [x] "=&r"(x), [t] "=&r"(t)                                                              \
                : [end] "r"(end)                                                                                       \
                : "r8", "r9", "r10", "r11", "cc", "memory");                                                           \
    }

#endif
