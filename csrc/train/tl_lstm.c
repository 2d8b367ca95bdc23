/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A step goes through the units in blocks whose gates stay in a near cache: product, then gates, while they are there. */
#include "tl_pass.h"

enum { I, F, G, O };

/* Units of a block: 4 gates of 4 bytes make 64 KiB. Measured: half as much costs 2 %, no blocks 1 to 4 %. */
static ptrdiff_t block_of(const tl_lstm *p)
{
    return 4096 / p->pass.batch;
}

static ptrdiff_t least(ptrdiff_t a, ptrdiff_t b)
{
    return a < b ? a : b;
}

static V clipped(V v, float most)
{
    if (most > 0.0f) {
        v = limit(v, most);
    }
    return v;
}

/* v, but 0 where x reached the bound. */
static V inside(V v, V x, float low, float high)
{
    return choose((x <= low) | (x >= high), (V){0}, v);
}

/* c before step t, of the row of unit u; 0 after a reset. */
TL_INLINE V c_before(const tl_lstm *p, ptrdiff_t t, ptrdiff_t u, ptrdiff_t b)
{
    V c = load(p->c + (t * p->pass.hidden + u) * p->pass.batch + b);
    if (p->pass.keep) {
        c *= load(p->pass.keep + t * p->pass.batch + b);
    }
    return c;
}

/* The gates' sums of n units -> i, f, g, o, c', tanh c' and h'. */
TL_INLINE void update(const tl_lstm *p, ptrdiff_t t, ptrdiff_t first, ptrdiff_t n, const bool plain)
{
    const ptrdiff_t batch = p->pass.batch, size = p->pass.hidden, units = size * batch;
    float *gates = p->gates + t * 4 * units, *tanh_c = p->tanh_c + t * units, *h = p->pass.h + (t + 1) * units;
    const float preact = plain ? 0.0f : p->options[0], most = plain ? 0.0f : p->options[1];
    for (ptrdiff_t u = first; u < first + n; u++) {
        for (ptrdiff_t at = u * batch; at < (u + 1) * batch; at += TL_LANES) {
            const V c = c_before(p, t, u, at - u * batch);
            V i = load(gates + I * units + at), f = load(gates + F * units + at), o = load(gates + O * units + at);
            if (!plain && p->p) {
                i += p->p[u] * c;
                f += p->p[size + u] * c;
            }
            i = sigmoid(clipped(i, preact));
            f = sigmoid(clipped(f, preact));
            if (!plain && p->options[2] > 0.0f) {
                f = 1.0f - i;
            }
            const V g = tanh_(clipped(load(gates + G * units + at), preact));
            const V cell = clipped(f * c + i * g, most), squashed = tanh_(cell);
            if (!plain && p->p) {
                o += p->p[2 * size + u] * cell;
            }
            o = sigmoid(clipped(o, preact));
            store(gates + I * units + at, i);
            store(gates + F * units + at, f);
            store(gates + G * units + at, g);
            store(gates + O * units + at, o);
            store(p->c + (t + 1) * units + at, cell);
            store(tanh_c + at, squashed);
            store(h + at, o * squashed);
        }
    }
}

void tl_lstm_forward(const tl_lstm *p)
{
    const ptrdiff_t size = p->pass.hidden, batch = p->pass.batch, columns = columns_of(&p->pass);
    for (ptrdiff_t t = 0; t < p->pass.steps; t++) {
        const tl_matrix x = {feed(&p->pass, t), batch, 1, 0};
        for (ptrdiff_t u = 0; u < size; u += block_of(p)) {
            const ptrdiff_t n = least(size - u, block_of(p));
            for (ptrdiff_t gate = I; gate <= O; gate++) {
                const tl_matrix w = {p->pass.w + (gate * size + u) * columns, columns, 1, 0};
                tl_gemm(n, batch, columns, 1, w, x, p->gates + ((t * 4 + gate) * size + u) * batch, batch, false);
            }
            if (p->options) {
                update(p, t, u, n, false);
            } else {
                update(p, t, u, n, true);
            }
        }
    }
}

/* dh and dc of n units after step t -> dz in place of the gates, dc before the step. */
TL_INLINE void slopes(const tl_lstm *p, ptrdiff_t t, const float *dh, ptrdiff_t first, ptrdiff_t n, const bool plain)
{
    const ptrdiff_t batch = p->pass.batch, size = p->pass.hidden, units = size * batch;
    float *gates = p->gates + t * 4 * units;
    const float *tanh_c = p->tanh_c + t * units, *after = p->c + (t + 1) * units, *dy = dy_of(&p->pass, t);
    const bool coupled = !plain && p->options[2] > 0.0f, peep = !plain && p->p;
    for (ptrdiff_t u = first; u < first + n; u++) {
        V seen[3] = {{0}, {0}, {0}};
        for (ptrdiff_t at = u * batch; at < (u + 1) * batch; at += TL_LANES) {
            const V i = load(gates + I * units + at), f = load(gates + F * units + at);
            const V c = c_before(p, t, u, at - u * batch);
            const V g = load(gates + G * units + at), o = load(gates + O * units + at);
            const V squashed = load(tanh_c + at), d = plus(dh, dy, at);
            V dz_i = i * (1.0f - i), dz_f = f * (1.0f - f), dz_g = 1.0f - g * g, dz_o = d * squashed * o * (1.0f - o);
            V cell = load(p->dc + at) + d * o * (1.0f - squashed * squashed);
            if (!plain && p->options[0] > 0.0f) {
                const float high = sigmoid(all(p->options[0]))[0], low = sigmoid(all(-p->options[0]))[0];
                const float most = tanh_(all(p->options[0]))[0];
                dz_i = inside(dz_i, i, low, high);
                dz_f = inside(dz_f, f, low, high);
                dz_g = inside(dz_g, g, -most, most);
                dz_o = inside(dz_o, o, low, high);
            }
            if (peep) {
                cell += p->p[2 * size + u] * dz_o;
            }
            if (!plain && p->options[1] > 0.0f) {
                cell = inside(cell, load(after + at), -p->options[1], p->options[1]);
            }
            dz_i *= cell * (g - (coupled ? 1.0f : 0.0f) * c);
            dz_f *= cell * c * (coupled ? 0.0f : 1.0f);
            dz_g *= cell * i;
            store(gates + I * units + at, dz_i);
            store(gates + F * units + at, dz_f);
            store(gates + G * units + at, dz_g);
            store(gates + O * units + at, dz_o);
            cell *= f;
            if (peep) {
                cell += p->p[u] * dz_i + p->p[size + u] * dz_f;
                seen[0] += dz_i * c;
                seen[1] += dz_f * c;
                seen[2] += dz_o * load(after + at);
            }
            store(p->dc + at, cell);
        }
        for (int k = 0; peep && k < 3; k++) {
            p->dp[k * size + u] += total(seen[k]);
        }
    }
}

void tl_lstm_backward(const tl_lstm *p)
{
    const ptrdiff_t size = p->pass.hidden, batch = p->pass.batch, columns = columns_of(&p->pass);
    float *dh = p->pass.dh, *before = dh + size * batch;
    for (ptrdiff_t t = p->pass.steps - 1; t >= 0; t--) {
        float *dz = p->gates + t * 4 * size * batch;
        for (ptrdiff_t u = 0; u < size; u += block_of(p)) {
            const ptrdiff_t n = least(size - u, block_of(p));
            if (p->options) {
                slopes(p, t, dh, u, n, false);
            } else {
                slopes(p, t, dh, u, n, true);
            }
            const tl_matrix w_h = {p->pass.w + u * columns, 1, columns, size * columns};
            const tl_matrix w_x = {w_h.at + size, 1, columns, size * columns};
            const tl_matrix b = {dz + u * batch, batch, 1, size * batch};
            tl_gemm(size, batch, n, 4, w_h, b, before, batch, u > 0);
            if (p->pass.dx) {
                float *dx = p->pass.dx + t * p->pass.inputs * batch;
                tl_gemm(p->pass.inputs, batch, n, 4, w_x, b, dx, batch, u > 0);
            }
        }
        weights_of(&p->pass, t, p->gates, 4 * size, p->pass.joined, columns, columns, p->pass.dw, columns);
        if (p->pass.keep || p->pass.recurrent) {
            masked(before, before, size, batch, keep_of(&p->pass, t), p->pass.recurrent);
            masked(p->dc, p->dc, size, batch, keep_of(&p->pass, t), NULL);
        }
        swap(&dh, &before);
    }
    if (dh != p->pass.dh) {
        masked(before, dh, size, batch, NULL, NULL);
    }
}
