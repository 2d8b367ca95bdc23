/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The step of tl_chain.h with its columns in assembly, eight at a time: MLA with the shifted word. Compilers run out of
 * registers when they unroll it. A column of four rows takes 8.25 instructions. */
#include "tl_v7m.h"

#include "tl_dense_unrolled.h"

#define TL_LONG_PRODUCTS

#if defined(TL_HOST)

#include "tl_chain_gru.h"

#else

#if !defined(__thumb2__)
#error "tl_v7m.c is Thumb-2 code: compile with -mcpu=cortex-m3 -mthumb, or with -DTL_HOST=1 for its twin in C"
#endif

#define TL_OWN_LEAVES
#include "tl_chain_gru.h"

#define TL_VALUE "ldrsh %[x], [%[v]], #2\n"
#include "tl_v7m_loop.h"

#define WIDE(a, b)                                                                                                     \
    TL_VALUE                                                                                                           \
    "asrs %[t], " a ", #16\n mla %[s0], %[t], %[x], %[s0]\n mla %[s1], " a ", %[x], %[s1]\n"                          \
    "asrs %[t], " b ", #16\n mla %[s2], %[t], %[x], %[s2]\n mla %[s3], " b ", %[x], %[s3]\n"
#define WIDE_TWO "ldmia %[w]!, {r8, r9, r10, r11}\n" WIDE("r8", "r9") WIDE("r10", "r11")

TL_INLINE const uint32_t *tl_columns8(uint32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n)
{
    const int16_t *end = v + (n & ~7u);
    LOOP(FOUR FOUR)
    for (end += n & 7; v != end; v++, w++) {
        tl_column8(sum, *w, *v);
    }
    return w;
}

TL_INLINE const uint32_t *tl_columns16(uint32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n)
{
    const int16_t *end = v + (n & ~3u);
    LOOP(WIDE_TWO WIDE_TWO)
    for (end += n & 3; v != end; v++, w += 2) {
        tl_column16(sum, w, *v);
    }
    return w;
}

TL_INLINE int32_t tl_interval(int32_t z)
{
    int32_t held;
    __asm__("ssat %0, #8, %1, asr #8" : "=r"(held) : "r"(z) : "cc");
    return held;
}

TL_INLINE int32_t tl_clip16(int32_t v)
{
    int32_t clipped;
    __asm__("ssat %0, #16, %1" : "=r"(clipped) : "r"(v) : "cc");
    return clipped;
}

#endif

void tl_lstm_step_w8a16_v7m(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_v7m *p)
{
    tl_lstm_step_chain(h_new, c, h, x, p);
}

void tl_gru_step_w8a16_v7m(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                           const tl_gru_w8a16_v7m *p)
{
    tl_gru_step_blocks(h_new, reset, h, x, p);
}

void tl_dense_w16a16_v7m(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    tl_dense_unrolled(y, h, p);
}
