/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kernels for Armv6-M: Cortex-M0, M0+, M1. No DSP instructions, no long multiply, eight registers that can compute.
 * tl_v7m.h takes the same layout. */
#ifndef TL_V6M_H
#define TL_V6M_H

#include "tl_kernels.h"

/* An LSTM layer, four rows of a hidden unit in one word. `w` is one stream, read forwards; per hidden unit:
 *     an int16 input column  (wide)      i << 16 | (f + 32768), g << 16 | (o + 32768)
 *     an int8 input column   (not wide)  i << 24 | (f + 128) << 16 | (g + 128) << 8 | (o + 128)
 *     a recurrent column                 the same
 *     b and m of i, of f, of o, of g: a word each
 * Fields, ranges and the proof that no row's sum overflows: tl_lstm_w8a16 in tl_kernels.h. */
typedef struct tl_lstm_w8a16_v6m {
    const uint32_t *w; /* [hidden][(wide ? 2 : 1) * inputs + hidden + 8] */
    uint16_t inputs, hidden;
    uint16_t units; /* that a call computes, as in tl_lstm_w8a16 */
    uint8_t wide; /* 1: int16 input weights */
    uint8_t t, f, frac;
} tl_lstm_w8a16_v6m;

/* A GRU layer with reset after, three rows of a hidden unit in one word. `w` is one stream; per hidden unit:
 *     an int16 input column  (wide)      r << 16 | (z + 32768), n
 *     an int8 input column   (not wide)  r << 16 | (z + 128) << 8 | (n + 128)
 *     four biases b of r, z, nx, nh
 *     a recurrent column                 as the int8 one
 *     two words of multipliers: m of z << 16 | m of r, m of n
 * Fields, ranges and the proof that no row's sum overflows: tl_gru_w8a16 in tl_kernels.h. */
typedef struct tl_gru_w8a16_v6m {
    const uint32_t *w; /* [hidden][(wide ? 2 : 1) * inputs + hidden + 6] */
    uint16_t inputs, hidden;
    uint16_t units, first; /* that a call computes, as in tl_gru_w8a16 */
    uint8_t wide; /* 1: int16 input weights */
    uint8_t t, f;
} tl_gru_w8a16_v6m;

#ifdef __cplusplus
extern "C" {
#endif

/* One step, the bits of tl_lstm_step_w8a16_ref. h_new must not overlap h, c or x. No alignment beyond int16_t's. */
TL_KERNEL void tl_lstm_step_w8a16_v6m(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                      const tl_lstm_w8a16_v6m *p);

/* One step, the bits of tl_gru_step_w8a16_ref with reset_after. h_new must not overlap h or x; `reset` is not touched.
 * The same instructions whatever the numbers are. */
TL_KERNEL void tl_gru_step_w8a16_v6m(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                     const tl_gru_w8a16_v6m *p);

#ifdef __cplusplus
}
#endif
#endif
