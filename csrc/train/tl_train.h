/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Training, float32: what the layers of toolkit/nn compute, forward and backward, over a slice of a batch.
 *
 * Every array is [time][row][batch], its slices aligned to 64 bytes; batch is a multiple of 16, at most 64. The columns
 * that only fill up are computed along and have no gradient. Every member of a struct is a word of the machine, so that
 * Python lays it out as an array of sizes and addresses (toolkit/train/backends/native/calls.py reads this file).
 * Gradients of weights are added to what is there. */
#ifndef TL_TRAIN_H
#define TL_TRAIN_H

#include <stdint.h>

/* What every recurrent layer has. A step multiplies w by the joined column [h; x; 1]. */
typedef struct tl_pass {
    intptr_t hidden, inputs, steps, batch;
    intptr_t dy_first;      /* steps before it have no dy */
    const float *w;         /* [gates * hidden][hidden + inputs + 1] */
    float *dw;              /* like w */
    float *joined;          /* [steps][hidden + inputs + 1][batch]: x and 1 are there, forward writes the rows of h */
    float *h;               /* [steps + 1][hidden][batch]: the state before the first step, then after each */
    const float *dy;        /* [steps][hidden][batch]: of the loss by h after each step */
    float *dx;              /* [steps][inputs][batch], or NULL: nobody asks */
    const float *keep;      /* [steps][batch]: 0 where the state is reset before the step, else 1; NULL: never */
    const float *recurrent; /* [hidden][batch]: times the h that the products see; NULL: 1 */
    float *dh;              /* [2][hidden][batch]: of the loss by the state after the last step -> before the first */
    float *turned;          /* scratch: TL_TURNED(hidden + inputs + 1) */
} tl_pass;

/* LSTM, gates i, f, g, o. */
typedef struct tl_lstm {
    tl_pass pass;
    float *gates;         /* [steps][4 hidden][batch]; backward leaves dz there */
    float *c;             /* [steps + 1][hidden][batch] as h */
    float *tanh_c;        /* [steps][hidden][batch] */
    float *dc;            /* [hidden][batch] as dh */
    const float *p;       /* [3 hidden]: peepholes i, f, o, or NULL */
    float *dp;            /* like p */
    const float *options; /* [3]: preact_clip, cell_clip (0: none), input_forget; or NULL: all 0 */
} tl_lstm;

/* LSTM with layer normalisation (toolkit/nn/lstm_norm.py): z = N_x(W x + b_ih) + U h + b_hh, c' = N_c(f c + i g),
 * h' = N_h(o tanh c'). In `pass`: inputs 0, w [4 hidden][hidden + 1] of h, dx by x. A norm is gain [n], offset [n]. */
typedef struct tl_lstm_norm {
    tl_pass pass;
    intptr_t x_rows;
    const float *w_x;                       /* [4 hidden][x_rows + 1] */
    float *dw_x;                            /* like w_x */
    float *x;                               /* [steps][x_rows + 1][batch]: x and 1 */
    const float *norm_x, *norm_c, *norm_h;  /* [2][4 hidden], [2][hidden], [2][hidden] */
    float *dnorm_x, *dnorm_c, *dnorm_h;     /* the like */
    float *gates;                           /* [steps][4 hidden][batch]; backward leaves dz there */
    float *c;                               /* [steps + 1][hidden][batch] as h, but zeroed by a reset */
    float *tanh_c;                          /* [steps][hidden][batch] */
    float *dc;                              /* [hidden][batch] as dh */
    float *unit_x, *unit_c, *unit_h;        /* [steps][4 hidden or hidden][batch]: normalised; then gradients */
    float *rate_x, *rate_c, *rate_h;        /* [steps][batch]: 1 / sqrt(var + 1e-5) */
    const float *dropped;                   /* [steps][hidden][batch]: times h'; NULL: 1 */
    float *sums;                            /* scratch [12 hidden][16] */
} tl_lstm_norm;

/* GRU, gates r, z, n; reset after when there is a b_hn. */
typedef struct tl_gru {
    tl_pass pass;
    float *gates;      /* [steps][2 hidden][batch]; backward leaves dz there */
    float *n;          /* [steps][hidden][batch]; backward leaves its dz there */
    float *u;          /* [steps][hidden][batch]: U_n times what it is fed, + b_hn; backward leaves du there */
    float *fed;        /* reset before: r h, [steps][hidden][batch] */
    float *d_fed;      /* scratch [hidden][batch] */
    const float *b_hn; /* [hidden] or NULL */
    float *db_hn;      /* like b_hn */
} tl_gru;

/* Elman's layer: tanh, or ReLU. */
typedef struct tl_rnn {
    tl_pass pass;
    float *dz; /* [steps][hidden][batch] */
    intptr_t relu;
} tl_rnn;

typedef struct tl_dense {
    intptr_t outputs, inputs, steps, batch;
    const float *w;  /* [outputs][inputs + 1] */
    float *dw;       /* like w */
    float *joined;   /* [steps][inputs + 1][batch]: x and 1 */
    float *y;        /* [steps][outputs][batch] */
    const float *dy; /* like y */
    float *dx;       /* [steps][inputs][batch] or NULL */
    float *turned;   /* scratch: TL_TURNED(inputs + 1) */
} tl_dense;

/* to = from, or to += from, times `mask` and `scale` where they are not NULL. A step of 0 stays, a negative one goes back. */
typedef struct tl_copy {
    intptr_t floats, steps, add;
    const float *from;
    float *to;
    const float *mask;
    const float *scale; /* [1] */
    intptr_t from_step, to_step, mask_step;
} tl_copy;

/* Mean squared error: dy = 2 scale weight (y - target), sum += weight (y - target)^2. */
typedef struct tl_mse {
    intptr_t floats;          /* of each array */
    const float *y, *target;
    const float *weight;
    const float *scale;       /* [1] */
    float *dy;
    double *sum;              /* [1] */
} tl_mse;

/* gradient *= most / norm where its norm is above `most`. size: a multiple of 16, as of all that follow. */
typedef struct tl_clip {
    intptr_t size;
    float *gradient;
    const double *most; /* [1] */
    double *norm;       /* [1]: what it was */
} tl_clip;

/* Adam (Kingma & Ba 2015). */
typedef struct tl_adam {
    intptr_t size;
    float *flat, *mean, *square;
    const float *gradient;
    const float *decay;   /* [size]: AdamW's, of each element; or NULL */
    const float *numbers; /* [6]: lr / (1 - beta1^n), 1 / (1 - beta2^n), 1 - beta1, 1 - beta2, epsilon, lr */
} tl_adam;

/* Stochastic gradient descent with momentum, Nesterov's if `nesterov`. */
typedef struct tl_sgd {
    intptr_t size, nesterov;
    float *flat, *velocity;
    const float *gradient;
    const float *numbers; /* [2]: lr, momentum */
} tl_sgd;

/* RMSprop (Tieleman & Hinton 2012). */
typedef struct tl_rms {
    intptr_t size;
    float *flat, *square;
    const float *gradient;
    const float *numbers; /* [3]: lr, 1 - alpha, epsilon */
} tl_rms;

typedef struct tl_add {
    intptr_t size;
    const float *from;
    float *to;
} tl_add;

/* The processor's peak: 12 multiply-adds of a vector a round, on numbers [14] = 12 sums, factor, summand. */
typedef struct tl_peak {
    intptr_t rounds;
    float *numbers;
} tl_peak;

#define TL_CALLS(call)                                                                                                  \
    call(lstm_forward, tl_lstm)                                                                                         \
    call(lstm_backward, tl_lstm)                                                                                        \
    call(lstm_norm_forward, tl_lstm_norm)                                                                               \
    call(lstm_norm_backward, tl_lstm_norm)                                                                              \
    call(gru_forward, tl_gru)                                                                                           \
    call(gru_backward, tl_gru)                                                                                          \
    call(rnn_forward, tl_rnn)                                                                                           \
    call(rnn_backward, tl_rnn)                                                                                          \
    call(dense_forward, tl_dense)                                                                                       \
    call(dense_backward, tl_dense)                                                                                      \
    call(copy_rows, tl_copy)                                                                                            \
    call(mean_square, tl_mse)                                                                                           \
    call(clip_norm, tl_clip)                                                                                            \
    call(adam_step, tl_adam)                                                                                            \
    call(sgd_step, tl_sgd)                                                                                              \
    call(rms_step, tl_rms)                                                                                              \
    call(add_to, tl_add)                                                                                                \
    call(multiply_add, tl_peak)

#define TL_DECLARE(name, type) void tl_##name(const type *p);
TL_CALLS(TL_DECLARE)

typedef struct tl_call {
    intptr_t function; /* its place in TL_CALLS */
    const void *arguments;
} tl_call;

/* Everything above, one call after the other. */
void tl_train_run(const tl_call *calls, intptr_t n);

#endif
