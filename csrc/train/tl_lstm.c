/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A step goes through the units in blocks whose gates fit the first cache: product, then gates, while they are there. */
#include "tl_gemm.h"
#include "tl_simd.h"
#include "tl_train.h"

enum { I, F, G, O };

static ptrdiff_t block_of(const tl_lstm *p)
{
    return 1536 / p->batch; /* 4 gates of 4 bytes: 24 KiB; a multiple of 6 and of 8 */
}

/* The gates' sums -> i, f, g, o, c', tanh c' and h' of n units. */
static void update(const tl_lstm *p, ptrdiff_t t, ptrdiff_t u, ptrdiff_t n)
{
    const ptrdiff_t units = p->hidden * p->batch, k = (p->hidden + p->inputs + 1) * p->batch;
    float *gates = p->gates + t * 4 * units, *tanh_c = p->c_tanh + t * units, *h = p->joined + (t + 1) * k;
    const float *c = p->c + t * units;
    float *c_new = p->c + (t + 1) * units, *y = p->y + t * p->y_step;
    for (ptrdiff_t at = u * p->batch; at < (u + n) * p->batch; at += TL_LANES) {
        const V i = sigmoid(load(gates + I * units + at)), f = sigmoid(load(gates + F * units + at));
        const V g = tanh_(load(gates + G * units + at)), o = sigmoid(load(gates + O * units + at));
        const V cell = f * load(c + at) + i * g, squashed = tanh_(cell), out = o * squashed;
        store(gates + I * units + at, i);
        store(gates + F * units + at, f);
        store(gates + G * units + at, g);
        store(gates + O * units + at, o);
        store(c_new + at, cell);
        store(tanh_c + at, squashed);
        store(h + at, out);
        store(y + at, out);
    }
}

/* rows [rows][batch] *= keep [batch] */
static void cut(float *rows, ptrdiff_t n, const float *keep, ptrdiff_t batch)
{
    for (ptrdiff_t at = 0; at < n * batch; at += batch) {
        for (ptrdiff_t b = 0; b < batch; b += TL_LANES) {
            store(rows + at + b, load(rows + at + b) * load(keep + b));
        }
    }
}

void tl_lstm_forward(const tl_lstm *p)
{
    const ptrdiff_t size = p->hidden, batch = p->batch, columns = size + p->inputs + 1;
    for (ptrdiff_t t = 0; t < p->steps; t++) {
        float *joined = p->joined + t * columns * batch;
        if (p->keep) {
            cut(joined, size, p->keep + t * batch, batch);
            cut(p->c + t * size * batch, size, p->keep + t * batch, batch);
        }
        for (ptrdiff_t u = 0; u < size; u += block_of(p)) {
            const ptrdiff_t n = size - u < block_of(p) ? size - u : block_of(p);
            for (ptrdiff_t gate = I; gate <= O; gate++) {
                const tl_matrix w = {p->w + (gate * size + u) * columns, columns, 1, 0}, x = {joined, batch, 1, 0};
                tl_gemm(n, batch, columns, 1, w, x, p->gates + ((t * 4 + gate) * size + u) * batch, batch, false);
            }
            update(p, t, u, n);
        }
    }
}

/* dh, dc and the gates of step t -> dz in place of the gates, dc of the step before, for n units. */
static void slopes(const tl_lstm *p, ptrdiff_t t, const float *dh, ptrdiff_t u, ptrdiff_t n)
{
    const ptrdiff_t units = p->hidden * p->batch;
    float *gates = p->gates + t * 4 * units, *dc = p->dc;
    const float *tanh_c = p->c_tanh + t * units, *c = p->c + t * units;
    const float *dy = t >= p->dy_first ? p->dy + t * p->dy_step : NULL;
    for (ptrdiff_t at = u * p->batch; at < (u + n) * p->batch; at += TL_LANES) {
        const V i = load(gates + I * units + at), f = load(gates + F * units + at);
        const V g = load(gates + G * units + at), o = load(gates + O * units + at);
        const V squashed = load(tanh_c + at), d = load(dh + at) + (dy ? load(dy + at) : (V){0});
        const V cell = load(dc + at) + d * o * (1.0f - squashed * squashed);
        store(gates + I * units + at, cell * g * i * (1.0f - i));
        store(gates + F * units + at, cell * load(c + at) * f * (1.0f - f));
        store(gates + G * units + at, cell * i * (1.0f - g * g));
        store(gates + O * units + at, d * squashed * o * (1.0f - o));
        store(dc + at, cell * f);
    }
}

void tl_lstm_backward(const tl_lstm *p)
{
    const ptrdiff_t size = p->hidden, batch = p->batch, columns = size + p->inputs + 1;
    const ptrdiff_t together = TL_DEPTH / batch;
    float *dh = p->dh, *before = p->dh + size * batch;
    for (ptrdiff_t at = 0; at < size * batch; at++) {
        dh[at] = p->dc[at] = 0.0f;
    }
    for (ptrdiff_t t = p->steps - 1; t >= 0; t--) {
        float *dz = p->gates + t * 4 * size * batch;
        for (ptrdiff_t u = 0; u < size; u += block_of(p)) {
            const ptrdiff_t n = size - u < block_of(p) ? size - u : block_of(p);
            slopes(p, t, dh, u, n);
            const tl_matrix w = {p->w + u * columns, 1, columns, size * columns};
            const tl_matrix b = {dz + u * batch, batch, 1, size * batch};
            if (t > 0) {
                tl_gemm(size, batch, n, 4, w, b, before, batch, u > 0);
            }
            if (p->dx) {
                const tl_matrix w_x = {w.at + size, 1, columns, size * columns};
                tl_gemm(p->inputs, batch, n, 4, w_x, b, p->dx + t * p->dx_step, batch, u > 0);
            }
        }
        if (t % together == 0) {
            const ptrdiff_t now = p->steps - t < together ? p->steps - t : together;
            const tl_matrix x = {p->joined + t * columns * batch, batch, 1, columns * batch};
            tl_outer(4 * size, columns, batch, now, (tl_matrix){dz, batch, 1, 4 * size * batch}, x, p->dw, columns,
                     p->turned);
        }
        if (p->keep) {
            cut(before, size, p->keep + t * batch, batch);
            cut(p->dc, size, p->keep + t * batch, batch);
        }
        float *other = dh;
        dh = before;
        before = other;
    }
}
