/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Groups of four columns of the target `dsp`, as tl_dsp.h lays them out: for a layer's assembly, and its twin in C for
 * hosts. r0 stream, r1 values, r2 .. r7 a group, sums r8 .. r11. */
#ifndef TL_DSP_GROUPS_H
#define TL_DSP_GROUPS_H

#include <stddef.h>

#include "tl_kernels.h"

#if defined(TL_HOST)

static inline uint32_t smlad(uint32_t a, uint32_t b, uint32_t sum)
{
    return sum + (uint32_t)((int16_t)a * (int16_t)b) + (uint32_t)((int16_t)(a >> 16) * (int16_t)(b >> 16));
}

static inline uint32_t sxtab16_ror8(uint32_t a, uint32_t b)
{
    int32_t low = (int16_t)a + (int8_t)(b >> 8), top = (int16_t)(a >> 16) + (int8_t)(b >> 24);
    return (uint32_t)top << 16 | ((uint32_t)low & 0xFFFFu);
}

/* v[k] and v[k + 1], 0 beyond the last. */
static inline uint32_t two(const int16_t *v, uint32_t k, uint32_t n)
{
    return (k < n ? (uint16_t)v[k] : 0u) | (uint32_t)(k + 1 < n ? (uint16_t)v[k + 1] : 0u) << 16;
}

static inline const uint32_t *two_rows(uint32_t sum[2], const uint32_t *w, uint32_t v01, uint32_t v23)
{
    sum[0] = smlad(w[1], v23, smlad(w[0], v01, sum[0]));
    sum[1] = smlad(sxtab16_ror8(v23, w[0]), sxtab16_ror8(v01, w[1]), sum[1]);
    return w + 2;
}

/* n: the sum of a GRU's third row, or NULL. */
static inline const uint32_t *groups(uint32_t sum[4], uint32_t *n, const uint32_t *w, const int16_t *v, uint32_t columns)
{
    for (uint32_t k = 0; k < columns; k += 4) {
        uint32_t v01 = two(v, k, columns), v23 = two(v, k + 2, columns);
        w = two_rows(sum, w, v01, v23);
        if (n == NULL) {
            w = two_rows(sum + 2, w, v01, v23);
        } else {
            *n = smlad(sxtab16_ror8(0, *w), v23, smlad(sxtab16_ror8(0, *w << 8), v01, *n));
            w++;
        }
    }
    return w;
}

#else

#define TL_TEXT(x) #x
#define TL_SET(name, value) ".set " name ", " TL_TEXT(value) "\n"
#define TL_UNUSED __attribute__((unused))

#define TL_FOUR(a, b, c, d)                                                                                            \
    "ldr " a ", [r0], #4\n ldr " b ", [r0], #4\n ldr " c ", [r0], #4\n ldr " d ", [r0], #4\n"
/* Rows 256 a + (b + 128) in r4, r5: T of b in r8, a in r9. */
#define TL_TWO_ROWS                                                                                                    \
    "smlad r8, r4, r2, r8\n smlad r8, r5, r3, r8\n"                                                                    \
    "sxtab16 r4, r3, r4, ror #8\n sxtab16 r5, r2, r5, ror #8\n smlad r9, r4, r5, r9\n"
#define TL_LSTM_LOADS TL_FOUR("r4", "r5", "r6", "r7")
#define TL_LSTM_SUMS                                                                                                   \
    TL_TWO_ROWS "smlad r10, r6, r2, r10\n smlad r10, r7, r3, r10\n"                                                    \
    "sxtab16 r6, r3, r6, ror #8\n sxtab16 r7, r2, r7, ror #8\n smlad r11, r6, r7, r11\n"
#define TL_GRU_LOADS "ldr r4, [r0], #4\n ldr r5, [r0], #4\n ldr r6, [r0], #4\n"
#define TL_GRU_SUMS(n)                                                                                                 \
    TL_TWO_ROWS "sxtb16 r7, r6\n sxtb16 r6, r6, ror #8\n smlad " n ", r7, r2, " n "\n smlad " n ", r6, r3, " n "\n"
#define TL_GROUP(loads, sums) loads "ldr r2, [r1], #4\n ldr r3, [r1], #4\n" sums

/* Groups of `columns` values at r1, to which `argument` points: passes of 16 above 32, the incomplete one last. */
#define TL_GROUPS(columns, argument, loads, sums)                                                                      \
    ".set .Ln, " columns "/4\n"                                                                                        \
    ".if .Ln > 32\n"                                                                                                   \
    "1:\n"                                                                                                             \
    ".rept 16\n" TL_GROUP(loads, sums) ".endr\n"                                                                       \
    "ldr r2, " argument "\n"                                                                                           \
    "addw r2, r2, #(.Ln/16*128)\n"                                                                                     \
    "cmp r1, r2\n"                                                                                                     \
    "bne.w 1b\n"                                                                                                       \
    ".set .Ln, .Ln%16\n"                                                                                               \
    ".endif\n"                                                                                                         \
    ".rept .Ln\n" TL_GROUP(loads, sums) ".endr\n"                                                                      \
    ".if " columns "%4\n" loads                                                                                        \
    ".if " columns "%4 == 1\n ldrh r2, [r1]\n .else\n ldr r2, [r1]\n .endif\n"                                         \
    ".if " columns "%4 == 3\n ldrh r3, [r1, #4]\n .else\n mov r3, #0\n .endif\n" sums ".endif\n"

#endif
#endif
