/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Contracts of the target `dsp`, scheme w8a8. */
#ifndef TL_DSP_W8A8_H
#define TL_DSP_W8A8_H

#include "tl_w8a8.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM layer as one stream of words; toolkit/codegen/pack_dsp_w8a8.py writes it. Per unit: 4 starts of x, groups of
 * x, 4 starts of h, groups of h. A group is that of tl_dsp.h with its columns in the order k, k+2, k+1, k+3. The kernel
 * doubles x and h, so the sums are twice what they are in tl_w8a8.h and so are the biases; each row of it must satisfy
 * 128 sum|w| + |b| < 2^30. The activations are those of the table. */
typedef struct tl_lstm_w8a8_dsp {
    const uint32_t *w;
    /* made for the layer by tl_dsp_w8a8_layer.h; NULL on a host, which has a twin for every layer */
    void (*step)(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x, const struct tl_lstm_w8a8_dsp *p);
    const int32_t *m; /* the rest as in tl_lstm_w8a8 */
    const int8_t *s;
    uint16_t inputs, hidden, units;
    int16_t clip;
    int8_t h_zero;
    uint8_t bits;
} tl_lstm_w8a8_dsp;

/* The meaning, the ranges and the bits of tl_lstm_step_w8a8_ref. x and h may lie on any address. */
TL_KERNEL void tl_lstm_step_w8a8_dsp(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x,
                                     const tl_lstm_w8a8_dsp *p);

/* What `step` keeps on its stack, and behind it x and h in whole groups of 4 int16; tl_dsp_w8a8_layer.h knows the
 * offsets. The last four are its arguments; x and h then those in groups. */
typedef struct tl_dsp_context_w8a8 {
    uint32_t low_x, high_x; /*  0  4  added to the sums of I, G and of F, O */
    uint32_t low_h, high_h; /*  8 12 */
    int32_t m[9];           /* 16 */
    const uint32_t *table;  /* 52  its middle */
    uint32_t tanh;          /* 56  from a sigmoid's line to its tanh's */
    const int16_t *c_end;   /* 60 */
    uintptr_t h_new;        /* 64  less half the address of c */
    int8_t *new;            /* 68 */
    int16_t *c;             /* 72 */
    const void *h, *x;      /* 76 80 */
} tl_dsp_context_w8a8;

/* Fills the context from its last four. Returns the weights. `used`: only assembly calls it. */
__attribute__((used)) TL_KERNEL const uint32_t *tl_dsp_prepare_w8a8(tl_dsp_context_w8a8 *t, const tl_lstm_w8a8_dsp *p);

#ifdef __cplusplus
}
#endif
#endif
