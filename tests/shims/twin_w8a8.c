/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The functions of tl_w8a8.h over arrays, so that a test can compare them with their twins in quantize/gemmlowp.py. */
#include "tl_lines_w8a8.h"
#include "tl_tables_w8a8.h"
#include "tl_w8a8.h"

void twin_high_mul(int32_t *y, const int32_t *x, const int32_t *m, uint32_t n);
void twin_rounding_shift(int32_t *y, const int32_t *x, const int8_t *s, uint32_t n);
void twin_activation(int16_t *y, int tanh, int table, uint8_t bits);

void twin_high_mul(int32_t *y, const int32_t *x, const int32_t *m, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_high_mul(x[j], m[j]);
    }
}

void twin_rounding_shift(int32_t *y, const int32_t *x, const int8_t *s, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_rounding_shift(x[j], (uint32_t)s[j]);
    }
}

static int16_t line(int32_t z, int tanh, uint8_t bits)
{
    const int32_t three = tl_three(z, bits);
    return (int16_t)(tanh ? tl_line_tanh(three, tl_sat16(three >> 1) >> 7) : tl_line_sigmoid(z));
}

/* y [65536]: of every z, -32768 first. table: 2 in the form of tl_lines_w8a8.h. */
void twin_activation(int16_t *y, int tanh, int table, uint8_t bits)
{
    for (int32_t v = -32768; v <= 32767; v++) {
        const int16_t z = (int16_t)v;
        const int16_t s = table ? tl_table_sigmoid(tl_sigmoid_24ths, z) : tl_gemmlowp_sigmoid(z);
        const int16_t t = table ? tl_table_tanh(tl_sigmoid_24ths, z, bits) : tl_gemmlowp_tanh(z, bits);
        y[v + 32768] = table == 2 ? line(v, tanh, bits) : tanh ? t : s;
    }
}
