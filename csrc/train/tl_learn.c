/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The update of the weights: clipping by the norm, and the optimisers of toolkit/nn. The arrays are padded with zeros to whole vectors of 16. */
#include "tl_pass.h"

/* The sum of squares: 64 vectors at a time in float, the rest in double. */
static double squares(const float *v, ptrdiff_t n)
{
    double sum = 0.0;
    for (ptrdiff_t first = 0; first < n; first += 64 * TL_LANES) {
        const ptrdiff_t stop = n - first < 64 * TL_LANES ? n : first + 64 * TL_LANES;
        V part = {0};
        for (ptrdiff_t at = first; at < stop; at += TL_LANES) {
            part += load(v + at) * load(v + at);
        }
        sum += (double)total(part);
    }
    return sum;
}

void tl_clip_norm(const tl_clip *p)
{
    double norm = __builtin_sqrt(squares(p->gradient, p->size));
    *p->norm = norm;
    if (norm > *p->most) {
        const float factor = (float)(*p->most / norm);
        TL_EACH(at, p->size) {
            store(p->gradient + at, load(p->gradient + at) * factor);
        }
    }
}

void tl_adam_step(const tl_adam *p)
{
    const float rate = p->numbers[0], grown = p->numbers[1], mean_gain = p->numbers[2], square_gain = p->numbers[3];
    const float epsilon = p->numbers[4], lr = p->numbers[5];
    TL_EACH(at, p->size) {
        const V gradient = load(p->gradient + at);
        const V mean = load(p->mean + at) + mean_gain * (gradient - load(p->mean + at));
        const V square = load(p->square + at) + square_gain * (gradient * gradient - load(p->square + at));
        V flat = load(p->flat + at);
        if (p->decay) {
            flat -= lr * load(p->decay + at) * flat;
        }
        store(p->mean + at, mean);
        store(p->square + at, square);
        store(p->flat + at, flat - rate * mean / (root(square * grown) + epsilon));
    }
}

void tl_sgd_step(const tl_sgd *p)
{
    const float lr = p->numbers[0], momentum = p->numbers[1];
    TL_EACH(at, p->size) {
        const V gradient = load(p->gradient + at), velocity = momentum * load(p->velocity + at) + gradient;
        V step = velocity;
        if (p->nesterov) {
            step = gradient + momentum * velocity;
        }
        store(p->velocity + at, velocity);
        store(p->flat + at, load(p->flat + at) - lr * step);
    }
}

void tl_rms_step(const tl_rms *p)
{
    const float lr = p->numbers[0], gain = p->numbers[1], epsilon = p->numbers[2];
    TL_EACH(at, p->size) {
        const V gradient = load(p->gradient + at);
        const V square = load(p->square + at) + gain * (gradient * gradient - load(p->square + at));
        store(p->square + at, square);
        store(p->flat + at, load(p->flat + at) - lr * gradient / (root(square) + epsilon));
    }
}

void tl_add_to(const tl_add *p)
{
    TL_EACH(at, p->size) {
        store(p->to + at, load(p->to + at) + load(p->from + at));
    }
}
