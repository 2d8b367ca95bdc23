/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The recurrent layers with all their options, float32, portable; formulas: quantize/float_ops.py. One step each:
 * h_new [hidden] <- h [hidden], x [inputs]; c [hidden] is updated. h_new overlaps nothing. `room` is scratch. */
#ifndef TL_CELLS_F32_H
#define TL_CELLS_F32_H

#include "tl_activation_f32.h"
#include "tl_layers_f32.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM with peepholes, clipping, coupled gates or other activations. Rows i, f, g, o: row = gate * hidden + unit. */
typedef struct tl_lstm_full_f32 {
    const float *w_ih;                       /* [4 * hidden][inputs] */
    const float *w_hh;                       /* [4 * hidden][hidden] */
    const float *b;                          /* [4 * hidden] */
    const float *peepholes;                  /* [3 * hidden] i, f, o; NULL: none */
    tl_activation_f32 gates, candidate, out; /* of i, f and o; of g; of the cell that h is made from */
    float clip;                              /* bounds what the activations are given; 0: nothing does */
    float cell_clip;                         /* likewise c */
    uint16_t inputs, hidden;
    uint8_t input_forget; /* 1: f = 1 - i */
} tl_lstm_full_f32;

/* room [4 * hidden] */
TL_KERNEL void tl_lstm_full_step_f32_ref(float *h_new, float *c, float *room, const float *h, const float *x,
                                         const tl_lstm_full_f32 *p);

/* A GRU with other activations or clipping. Rows r, z, n. */
typedef struct tl_gru_full_f32 {
    const float *w_ih;                  /* [3 * hidden][inputs] */
    const float *w_hh;                  /* [3 * hidden][hidden] */
    const float *b;                     /* reset after: [4 * hidden] r, z, n of x, n of h; before: [3 * hidden] */
    tl_activation_f32 gates, candidate; /* of r and z, of n */
    float clip;                         /* bounds what the activations are given; 0: nothing does */
    uint16_t inputs, hidden;
    uint8_t reset_after;
} tl_gru_full_f32;

/* room [4 * hidden] */
TL_KERNEL void tl_gru_full_step_f32_ref(float *h_new, float *room, const float *h, const float *x,
                                        const tl_gru_full_f32 *p);

/* The plain recurrent layer: h' = activation(W x + U h + b). */
typedef struct tl_rnn_f32 {
    const float *w_ih; /* [hidden][inputs] */
    const float *w_hh; /* [hidden][hidden] */
    const float *b;    /* [hidden] */
    tl_activation_f32 activation;
    float clip; /* bounds what the activation is given; 0: nothing does */
    uint16_t inputs, hidden;
} tl_rnn_f32;

TL_KERNEL void tl_rnn_step_f32_ref(float *h_new, const float *h, const float *x, const tl_rnn_f32 *p);

/* The LSTM with layer normalisation. Rows i, f, g, o. */
typedef struct tl_lstm_norm_f32 {
    const float *w_ih;                   /* [4 * hidden][inputs] */
    const float *w_hh;                   /* [4 * hidden][hidden] */
    const float *b_ih, *b_hh;            /* [4 * hidden] */
    tl_norm_f32 norm_x, norm_c, norm_h; /* over W x + b_ih [4 * hidden], c' and h' [hidden] */
    uint16_t inputs, hidden;
} tl_lstm_norm_f32;

/* room [4 * hidden] */
TL_KERNEL void tl_lstm_norm_step_f32_ref(float *h_new, float *c, float *room, const float *h, const float *x,
                                         const tl_lstm_norm_f32 *p);

#ifdef __cplusplus
}
#endif
#endif
