/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Every function of tl_math.h and tl_features.h over arrays, so that a test can compare it with its twin in
   quantize/fixedpoint.py and quantize/features.py. */
#include "tl_features.h"
#include "tl_math.h"
#include "tl_tables.h"

void twin_sat16(int16_t *y, const int32_t *v, uint32_t n);
void twin_mulw(int32_t *y, const int32_t *a, const int16_t *m, uint32_t n);
void twin_requantize(int16_t *y, const int32_t *acc, const int16_t *m, const uint8_t *t, uint32_t n);
void twin_sigmoid(int16_t *y, const int16_t *z, uint32_t n);
void twin_tanh(int16_t *y, const int16_t *z, uint32_t n);
void twin_cell(int16_t *y, const int16_t *f, const int16_t *c, const int16_t *i, const int16_t *g, const uint8_t *frac,
               uint32_t n);
void twin_hidden(int16_t *y, const int16_t *o, const int16_t *tanh_c, uint32_t n);
void twin_scale_in(int16_t *y, const int32_t *raw, const tl_input *p, uint32_t n);
void twin_scale_out(int32_t *y, const int32_t *v, const tl_output *p, uint32_t n);
void twin_log2(int32_t *y, const int32_t *v, uint32_t n);
void twin_log_return(int32_t *y, const int32_t *now, const int32_t *before, uint32_t n);
void twin_price(int32_t *y, const int32_t *last, const int32_t *change, uint32_t n);
void twin_difference(int32_t *y, const int32_t *now, const int32_t *before, uint32_t n);
void twin_add_sat(int32_t *y, const int32_t *a, const int32_t *b, uint32_t n);
void twin_interpolate(int16_t *y, const int16_t *last, const int16_t *next, const int32_t *k, const int16_t *reciprocal,
                      uint32_t n);

void twin_sat16(int16_t *y, const int32_t *v, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_sat16(v[j]);
    }
}

void twin_mulw(int32_t *y, const int32_t *a, const int16_t *m, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_mulw(a[j], m[j]);
    }
}

void twin_requantize(int16_t *y, const int32_t *acc, const int16_t *m, const uint8_t *t, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_requantize(acc[j], m[j], t[j]);
    }
}

void twin_sigmoid(int16_t *y, const int16_t *z, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_lookup(tl_sigmoid_nodes, z[j]);
    }
}

void twin_tanh(int16_t *y, const int16_t *z, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_lookup(tl_tanh_nodes, z[j]);
    }
}

void twin_cell(int16_t *y, const int16_t *f, const int16_t *c, const int16_t *i, const int16_t *g, const uint8_t *frac,
               uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_cell(f[j], c[j], i[j], g[j], frac[j]);
    }
}

void twin_hidden(int16_t *y, const int16_t *o, const int16_t *tanh_c, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_hidden(o[j], tanh_c[j]);
    }
}

void twin_scale_in(int16_t *y, const int32_t *raw, const tl_input *p, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_scale_in(raw[j], &p[j]);
    }
}

void twin_scale_out(int32_t *y, const int32_t *v, const tl_output *p, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_scale_out(v[j], &p[j]);
    }
}

void twin_interpolate(int16_t *y, const int16_t *last, const int16_t *next, const int32_t *k, const int16_t *reciprocal,
                      uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_interpolate(last[j], next[j], k[j], reciprocal[j]);
    }
}

void twin_log2(int32_t *y, const int32_t *v, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_log2(v[j]);
    }
}

void twin_log_return(int32_t *y, const int32_t *now, const int32_t *before, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_log_return(now[j], before[j]);
    }
}

void twin_price(int32_t *y, const int32_t *last, const int32_t *change, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_price(last[j], change[j]);
    }
}

void twin_difference(int32_t *y, const int32_t *now, const int32_t *before, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_difference(now[j], before[j]);
    }
}

void twin_add_sat(int32_t *y, const int32_t *a, const int32_t *b, uint32_t n)
{
    for (uint32_t j = 0; j < n; j++) {
        y[j] = tl_add_sat(a[j], b[j]);
    }
}
