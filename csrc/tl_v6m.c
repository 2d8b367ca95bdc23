/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The sums of tl_chain.h for Armv6-M. The four sums stay in r8 .. r11, which cannot compute but can be added to, and two
 * columns share the load of their v. On the M0+, with the single-cycle multiplier, a pair of columns takes 29 cycles. */
#include "tl_v6m.h"

#define TL_INLINE static inline __attribute__((always_inline)) /* the sums must stay in registers */

#if !defined(TL_HOST) && !(defined(__ARM_ARCH_6M__) || (defined(__thumb__) && !defined(__thumb2__)))
#error "tl_v6m.c is for Armv6-M: compile with -mcpu=cortex-m0 -mthumb"
#endif

TL_INLINE const uint32_t *tl_column8(uint32_t sum[4], const uint32_t *w, uint32_t x)
{
    sum[0] += (uint32_t)((int32_t)*w >> 24) * x;
    sum[1] += (uint32_t)((int32_t)*w >> 16) * x;
    sum[2] += (uint32_t)((int32_t)*w >> 8) * x;
    sum[3] += *w * x;
    return w + 1;
}

TL_INLINE const uint32_t *tl_column16(uint32_t sum[4], const uint32_t *w, uint32_t x)
{
    sum[0] += (uint32_t)((int32_t)w[0] >> 16) * x;
    sum[1] += w[0] * x;
    sum[2] += (uint32_t)((int32_t)w[1] >> 16) * x;
    sum[3] += w[1] * x;
    return w + 2;
}

#if defined(TL_HOST)

/* Columns v .. end, an even number of them, v on a word. */
TL_INLINE const uint32_t *tl_pairs8(uint32_t sum[4], const uint32_t *w, const int16_t *v, const int16_t *end)
{
    for (; v != end; v += 2) {
        w = tl_column8(sum, w, (uint32_t)(int32_t)v[0]);
        w = tl_column8(sum, w, (uint32_t)(int32_t)v[1]);
    }
    return w;
}

TL_INLINE const uint32_t *tl_pairs16(uint32_t sum[4], const uint32_t *w, const int16_t *v, const int16_t *end)
{
    for (; v != end; v += 2) {
        w = tl_column16(sum, w, (uint32_t)(int32_t)v[0]);
        w = tl_column16(sum, w, (uint32_t)(int32_t)v[1]);
    }
    return w;
}

#else

/* One column: adds W * x to the four sums, W in `w`. */
#define TL_COLUMN(w)                                                                                                   \
    "asrs %[t], " w ", #24\n muls %[t], %[x]\n add %[s0], %[t]\n"                                                      \
    "asrs %[t], " w ", #16\n muls %[t], %[x]\n add %[s1], %[t]\n"                                                      \
    "asrs %[t], " w ", #8\n muls %[t], %[x]\n add %[s2], %[t]\n"                                                       \
    "muls " w ", %[x]\n add %[s3], " w "\n"
#define TL_PAIR                                                                                                        \
    "ldmia %[v]!, {%[pair]}\n ldmia %[w]!, {r4, r5}\n"                                                                 \
    "sxth %[x], %[pair]\n" TL_COLUMN("r4") "asrs %[x], %[pair], #16\n" TL_COLUMN("r5")
/* One column of int16 weights, in r4 and r5. */
#define TL_WIDE                                                                                                        \
    "ldmia %[w]!, {r4, r5}\n"                                                                                          \
    "asrs %[t], r4, #16\n muls %[t], %[x]\n add %[s0], %[t]\n muls r4, %[x]\n add %[s1], r4\n"                         \
    "asrs %[t], r5, #16\n muls %[t], %[x]\n add %[s2], %[t]\n muls r5, %[x]\n add %[s3], r5\n"

/* Enters the unrolled loop so that whole turns are left. A pair is 26 instructions, 52 bytes. */
TL_INLINE const uint32_t *tl_pairs8(uint32_t sum[4], const uint32_t *w, const int16_t *v, const int16_t *end)
{
    uint32_t pair, x, t = (uint32_t)(v - end) / 2 % 4 * 52;
    if (v == end) {
        return w;
    }
    __asm__(".syntax unified\n"
            "add pc, %[t]\n"
            "nop\n"
            "1:\n"
            TL_PAIR TL_PAIR TL_PAIR TL_PAIR
            "cmp %[v], %[end]\n"
            "bne 1b\n"
            : [s0] "+h"(sum[0]), [s1] "+h"(sum[1]), [s2] "+h"(sum[2]), [s3] "+h"(sum[3]), [w] "+l"(w), [v] "+l"(v),
              [t] "+l"(t), [x] "=&l"(x), [pair] "=&l"(pair)
            : [end] "h"(end)
            : "r4", "r5", "cc", "memory");
    return w;
}

TL_INLINE const uint32_t *tl_pairs16(uint32_t sum[4], const uint32_t *w, const int16_t *v, const int16_t *end)
{
    uint32_t pair, x, t;
    if (v == end) {
        return w;
    }
    __asm__(".syntax unified\n"
            "1:\n"
            "ldmia %[v]!, {%[pair]}\n"
            "sxth %[x], %[pair]\n" TL_WIDE "asrs %[x], %[pair], #16\n" TL_WIDE
            "cmp %[v], %[end]\n"
            "bne 1b\n"
            : [s0] "+h"(sum[0]), [s1] "+h"(sum[1]), [s2] "+h"(sum[2]), [s3] "+h"(sum[3]), [w] "+l"(w), [v] "+l"(v),
              [t] "=&l"(t), [x] "=&l"(x), [pair] "=&l"(pair)
            : [end] "h"(end)
            : "r4", "r5", "cc", "memory");
    return w;
}

#endif

/* v may lie between two words, and n may be odd: pairs start on a word. */
#define TL_COLUMNS(bits)                                                                                               \
    TL_INLINE const uint32_t *tl_columns##bits(uint32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n)   \
    {                                                                                                                  \
        if (((uintptr_t)v & 2) != 0 && n != 0) {                                                                       \
            w = tl_column##bits(sum, w, (uint32_t)(int32_t)*v++);                                                      \
            n--;                                                                                                       \
        }                                                                                                              \
        w = tl_pairs##bits(sum, w, v, v + (n & ~1u));                                                                  \
        return (n & 1) != 0 ? tl_column##bits(sum, w, (uint32_t)(int32_t)v[n - 1]) : w;                                \
    }

TL_COLUMNS(8)
TL_COLUMNS(16)

#include "tl_chain.h"

void tl_lstm_step_w8a16_v6m(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_v6m *p)
{
    tl_lstm_step_chain(h_new, c, h, x, p);
}
