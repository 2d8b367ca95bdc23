/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The scalar steps of tl_w8a8.h behind the sums, with the table's activations, in the form of the small cores: no
 * branch and no comparison depends on data. Same bits. */
#ifndef TL_LINES_W8A8_H
#define TL_LINES_W8A8_H

#include "tl_inline.h"
#include "tl_tables_w8a8_lines.h"
#include "tl_w8a8.h"

#define TL_TO_TANH (0x8000u - (32769u << 16)) /* from a sigmoid's line to its tanh's, with the half that rounds it */

/* The line of an interval at a fraction; of ~fraction and a slope of -2 steps, slope and line share a word. */
INLINE uint32_t tl_line_w8a8(const uint32_t *word, int32_t fraction)
{
    return *word + (uint32_t)((int16_t)*word * (int16_t)~fraction);
}

/* tl_table_sigmoid. What is rounded towards the other side where t < 0 is one less there. */
INLINE int32_t tl_line_sigmoid(int32_t z)
{
    const int32_t t = 3 * z;
    return (int32_t)((tl_line_w8a8(tl_24ths_lines + 256 + (t >> 9), t * 64) + (uint32_t)(t >> 31)) >> 17);
}

/* tl_table_tanh from 3 z in units of 2^-12. The outermost intervals are flat: only the index is saturated. */
INLINE int32_t tl_line_tanh(int32_t t, int32_t interval)
{
    const uint32_t line = tl_line_w8a8(tl_24ths_lines + 256 + interval, (int32_t)((uint32_t)t << 7));
    return (int32_t)(line + TL_TO_TANH + (uint32_t)(t >> 31)) >> 16;
}

/* 3 c in units of 2^-12, of a cell with `bits` integer bits. */
INLINE int32_t tl_three(int32_t c, uint32_t bits)
{
    return bits < 3 ? (3 * c + (1 << (2 - bits))) >> (3 - bits) : 3 * c * (1 << (bits - 3));
}

/* tl_rounding_shift by n > 0. */
INLINE int32_t tl_round(int32_t v, uint32_t n)
{
    return (v + (v >> 31) + (int32_t)((uint32_t)1 << (n - 1))) >> n;
}

#endif
