/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Training, float32: what the layers of toolkit/nn compute, forward and backward, over a slice of a batch.
 *
 * Every array is [time][row][batch], aligned to 64 bytes, and batch is a multiple of 16 of at most 64: the columns that
 * fill up are computed along, and have no gradient. A layer reads `joined [steps + 1][hidden + inputs + 1][batch]`: h
 * before each step, x, and 1; w [.][hidden + inputs + 1] is the matrix that multiplies it. Members are words of the
 * machine, all of them, so that Python may lay a struct out as an array of addresses and sizes. */
#ifndef TL_TRAIN_H
#define TL_TRAIN_H

#include <stdint.h>

/* An LSTM layer, rows i, f, g, o. */
typedef struct tl_lstm {
    intptr_t hidden, inputs, steps, batch;
    const float *w;    /* [4 hidden][hidden + inputs + 1] */
    float *dw;         /* the like: the gradient is added */
    float *joined;     /* h of step 0 is the state before the first; h of `steps` becomes that after the last */
    float *gates;      /* [steps][4 hidden][batch]: i, f, g, o; backward leaves dz there */
    float *c;          /* [steps + 1][hidden][batch]: c before each step, after a reset */
    float *c_tanh;     /* [steps][hidden][batch] */
    float *y;          /* h after each step, before a reset */
    const float *dy;   /* gradient of the loss by y, for steps >= dy_first */
    float *dx;         /* [steps][inputs][batch], or NULL: nobody asks */
    const float *keep; /* [steps][batch]: 0 where the state is reset before a step, else 1; or NULL */
    float *dh;         /* scratch [2][hidden][batch] */
    float *dc;         /* scratch [hidden][batch] */
    float *turned;     /* scratch TL_TURNED(hidden + inputs + 1) */
    intptr_t y_step, dy_step, dx_step; /* floats from a step to the next, negative for a layer that runs backwards */
    intptr_t dy_first;
} tl_lstm;

void tl_lstm_forward(const tl_lstm *p);
void tl_lstm_backward(const tl_lstm *p);

#endif
