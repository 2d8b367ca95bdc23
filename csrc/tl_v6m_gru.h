/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The leaves of tl_chain_gru.h for Armv6-M, eight or four columns at a time: compilers do not keep the sums in the upper
 * registers. A column of three rows takes 10.9 instructions. */
#ifndef TL_V6M_GRU_H
#define TL_V6M_GRU_H

#if defined(TL_HOST)

#include "tl_chain_gru.h"

#else

#define TL_OWN_TRIPLES
#include "tl_chain_gru.h"

#define TL_TRIPLE(w, k)                                                                                                \
    "ldrh %[x], [%[v], #2*" k "]\n sxth %[x], %[x]\n"                                                                  \
    "asrs %[t], " w ", #16\n muls %[t], %[x], %[t]\n add %[s0], %[t]\n"                                                \
    "asrs %[t], " w ", #8\n muls %[t], %[x], %[t]\n add %[s1], %[t]\n"                                                 \
    "muls " w ", %[x], " w "\n add %[s2], " w "\n"
#define TL_TRIPLES(k, l) "ldmia %[w]!, {r4, r5}\n" TL_TRIPLE("r4", k) TL_TRIPLE("r5", l)
#define TL_TRIPLE_WIDE(k)                                                                                              \
    "ldmia %[w]!, {r4, r5}\n ldrh %[x], [%[v], #2*" k "]\n sxth %[x], %[x]\n"                                          \
    "asrs %[t], r4, #16\n muls %[t], %[x], %[t]\n add %[s0], %[t]\n"                                                   \
    "muls r4, %[x], r4\n add %[s1], r4\n muls r5, %[x], r5\n add %[s2], r5\n"
/* The loop over v .. end, whole turns of `count` columns. */
#define TL_TRIPLE_LOOP(turn, count)                                                                                    \
    if (v != end) {                                                                                                    \
        uint32_t x, t;                                                                                                 \
        __asm__(".syntax unified\n 1:\n" turn "adds %[v], #2*" count "\n cmp %[v], %[end]\n bne 1b\n"                  \
                : [s0] "+h"(sum[0]), [s1] "+h"(sum[1]), [s2] "+h"(sum[2]), [w] "+l"(w), [v] "+l"(v), [x] "=&l"(x),     \
                  [t] "=&l"(t)                                                                                         \
                : [end] "h"(end)                                                                                       \
                : "r4", "r5", "cc", "memory");                                                                         \
    }

TL_INLINE const uint32_t *tl_triples8(uint32_t sum[3], const uint32_t *w, const int16_t *v, uint32_t n)
{
    const int16_t *end = v + (n & ~7u);
    TL_TRIPLE_LOOP(TL_TRIPLES("0", "1") TL_TRIPLES("2", "3") TL_TRIPLES("4", "5") TL_TRIPLES("6", "7"), "8")
    end += n & 7;
    TL_TRIPLE_LOOP("ldmia %[w]!, {r4}\n" TL_TRIPLE("r4", "0"), "1")
    return w;
}

TL_INLINE const uint32_t *tl_triples16(uint32_t sum[3], const uint32_t *w, const int16_t *v, uint32_t n)
{
    const int16_t *end = v + (n & ~3u);
    TL_TRIPLE_LOOP(TL_TRIPLE_WIDE("0") TL_TRIPLE_WIDE("1") TL_TRIPLE_WIDE("2") TL_TRIPLE_WIDE("3"), "4")
    end += n & 3;
    TL_TRIPLE_LOOP(TL_TRIPLE_WIDE("0"), "1")
    return w;
}

#endif
#endif
