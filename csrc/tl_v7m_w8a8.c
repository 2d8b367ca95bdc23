/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The step of tl_chain_w8a8.h with the columns of tl_v7m.c: 8.25 instructions for four rows. */
#if defined(TL_HOST)

#include "tl_chain_w8a8.h"

#else

#if !defined(__thumb2__)
#error "tl_v7m_w8a8.c is Thumb-2 code: compile with -mcpu=cortex-m3 -mthumb, or with -DTL_HOST=1 for its twin in C"
#endif

#define TL_OWN_COLUMNS
#define TL_OWN_SCALARS
#include "tl_chain_w8a8.h"
#define TL_VALUE "ldrsb %[x], [%[v]], #1\n"
#include "tl_v7m_loop.h"

INLINE const uint32_t *tl_bytes(uint32_t sum[4], const uint32_t *w, const int8_t *v, uint32_t n)
{
    const int8_t *end = v + (n & ~7u);
    LOOP(FOUR FOUR)
    for (end += n & 7; v != end; v++, w++) {
        tl_column8(sum, *w, *v);
    }
    return w;
}

INLINE int32_t tl_clip(int32_t v)
{
    int32_t clipped;
    __asm__("ssat %0, #16, %1" : "=r"(clipped) : "r"(v) : "cc");
    return clipped;
}

#endif

void tl_lstm_step_w8a8_v7m(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x, const tl_lstm_w8a8_v6m *p)
{
    tl_lstm_step_chain_w8a8(h_new, c, h, x, p);
}
