/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Scheme w8a8 on RV32IM: the columns of tl_rv32.c, eight rows of bytes by one byte. */
#include "tl_rv32_w8a8.h"

#if defined(TL_HOST)

#include "tl_unit_w8a8.h"

INLINE const int8_t *columns(int32_t sum[8], const int8_t *w, const int8_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n * 8; k++) {
        sum[k % 8] += w[k] * v[k / 8];
    }
    return w + n * 8;
}

#else

#if !defined(__riscv) || __riscv_xlen != 32 || !defined(__riscv_mul)
#error "tl_rv32_w8a8.c is RV32IM code: compile with -march=rv32im or more, or with -DTL_HOST=1 for its twin in C"
#endif

#define TL_VALUE "lb %[x], k(%[v])\n"
#define TL_VALUE_BYTES "1"
#define TL_VALUE_TYPE const int8_t *
#include "tl_rv32_loop.h"
#define TL_OWN_SCALARS
#include "tl_unit_w8a8.h"

INLINE const int8_t *columns(int32_t sum[8], const int8_t *w, const int8_t *v, uint32_t n)
{
    COLUMNS("lb", "1")
}

INLINE int32_t tl_clip(int32_t v)
{
    return clip(v) - 32768;
}

#endif

/* The sums of eight rows; moves the stream on. */
INLINE const int8_t *eight(int32_t sum[8], const int8_t *w, const int32_t *b, const int8_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < 8; k++) {
        sum[k] = b[k];
    }
    return columns(sum, w, v, n);
}

void tl_lstm_step_w8a8_rv32(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x, const tl_lstm_w8a8_rv32 *p)
{
    const uint32_t inputs = p->inputs, hidden = p->hidden;
    const tl_unit_w8a8 unit = {p->m, p->bits, p->clip, p->h_zero};
    const int8_t *w = p->w;
    const int32_t *b = p->b;
    for (uint32_t u = 0; u < p->units; u += 2, b += 16) {
        int32_t of_x[8], of_h[8];
        w = eight(of_x, w, b, x, inputs);
        w = eight(of_h, w, b + 8, h, hidden);
        tl_finish_w8a8(h_new + u, c + u, of_x, of_h, &unit);
        if (u + 1 < p->units) {
            tl_finish_w8a8(h_new + u + 1, c + u + 1, of_x + 4, of_h + 4, &unit);
        }
    }
}
