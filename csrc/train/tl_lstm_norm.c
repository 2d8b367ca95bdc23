/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The LSTM with layer normalisation; a norm runs over the rows of each column. */
#include "tl_pass.h"

enum { I, F, G, O };

#define TL_EPSILON 1e-5f

/* The sum over the rows of x - shift, or of its square, of TL_LANES columns. Four sums hide the latency of the addition. */
TL_INLINE V sum_rows(const float *x, ptrdiff_t rows, ptrdiff_t batch, V shift, const bool squares)
{
    V sum[4] = {{0}, {0}, {0}, {0}};
    for (ptrdiff_t row = 0; row < rows; row++) {
        const V v = load(x + row * batch) - shift;
        if (squares) {
            sum[row % 4] += v * v;
        } else {
            sum[row % 4] += v;
        }
    }
    return sum[0] + sum[1] + (sum[2] + sum[3]);
}

/* x -> unit = (x - mean) rate in its place, y = gain unit + offset (times mask); p: gain [rows], offset [rows]. */
static void norm(float *x, ptrdiff_t rows, ptrdiff_t batch, const float *p, float *rate, const float *mask, float *y)
{
    const float share = 1.0f / (float)rows;
    TL_EACH(b, batch) {
        const V mean = sum_rows(x + b, rows, batch, (V){0}, false) * share;
        const V r = 1.0f / root(sum_rows(x + b, rows, batch, mean, true) * share + TL_EPSILON);
        store(rate + b, r);
        for (ptrdiff_t row = 0; row < rows; row++) {
            const V unit = (load(x + row * batch + b) - mean) * r;
            V out = p[row] * unit + p[rows + row];
            if (mask) {
                out *= load(mask + row * batch + b);
            }
            store(x + row * batch + b, unit);
            store(y + row * batch + b, out);
        }
    }
}

/* unit -> the gradient by x in its place, from that by y; sums [2 * rows][TL_LANES] += the shares of gain and offset. */
static void norm_back(float *unit, ptrdiff_t rows, ptrdiff_t batch, const float *p, const float *rate, const float *dy,
                      float *sums)
{
    const float share = 1.0f / (float)rows;
    TL_EACH(b, batch) {
        V first[2] = {{0}, {0}}, second[2] = {{0}, {0}};
        for (ptrdiff_t row = 0; row < rows; row++) {
            const V d = load(dy + row * batch + b), u = load(unit + row * batch + b), gained = d * p[row];
            first[row % 2] += gained;
            second[row % 2] += gained * u;
            store(sums + row * TL_LANES, load(sums + row * TL_LANES) + d * u);
            store(sums + (rows + row) * TL_LANES, load(sums + (rows + row) * TL_LANES) + d);
        }
        const V mean = (first[0] + first[1]) * share, along = (second[0] + second[1]) * share, r = load(rate + b);
        for (ptrdiff_t row = 0; row < rows; row++) {
            const V gained = load(dy + row * batch + b) * p[row], u = load(unit + row * batch + b);
            store(unit + row * batch + b, (gained - mean - u * along) * r);
        }
    }
}

/* The sums of the gates -> i, f, g, o and f c + i g, which goes where the norm of c leaves its unit. */
static void cell(const tl_lstm_norm *p, ptrdiff_t t)
{
    const ptrdiff_t units = p->pass.hidden * p->pass.batch;
    float *gates = p->gates + t * 4 * units;
    TL_EACH(at, units) {
        const V i = sigmoid(load(gates + I * units + at)), f = sigmoid(load(gates + F * units + at));
        const V g = tanh_(load(gates + G * units + at));
        store(gates + I * units + at, i);
        store(gates + F * units + at, f);
        store(gates + G * units + at, g);
        store(gates + O * units + at, sigmoid(load(gates + O * units + at)));
        store(p->unit_c + t * units + at, f * load(p->c + t * units + at) + i * g);
    }
}

void tl_lstm_norm_forward(const tl_lstm_norm *p)
{
    const ptrdiff_t size = p->pass.hidden, batch = p->pass.batch, units = size * batch, columns = p->x_rows + 1;
    const tl_matrix w_x = {p->w_x, columns, 1, 0}, w_h = {p->pass.w, size + 1, 1, 0};
    for (ptrdiff_t t = 0; t < p->pass.steps; t++) {
        float *gates = p->gates + t * 4 * units, *unit_x = p->unit_x + t * 4 * units, *unit_h = p->unit_h + t * units;
        const tl_matrix fed = {feed(&p->pass, t), batch, 1, 0}, x = {p->x + t * columns * batch, batch, 1, 0};
        masked(p->c + t * units, p->c + t * units, size, batch, keep_of(&p->pass, t), NULL);
        tl_gemm(4 * size, batch, columns, 1, w_x, x, unit_x, batch, false);
        norm(unit_x, 4 * size, batch, p->norm_x, p->rate_x + t * batch, NULL, gates);
        tl_gemm(4 * size, batch, size + 1, 1, w_h, fed, gates, batch, true);
        cell(p, t);
        norm(p->unit_c + t * units, size, batch, p->norm_c, p->rate_c + t * batch, NULL, p->c + (t + 1) * units);
        TL_EACH(at, units) {
            const V squashed = tanh_(load(p->c + (t + 1) * units + at));
            store(p->tanh_c + t * units + at, squashed);
            store(unit_h + at, load(gates + O * units + at) * squashed);
        }
        norm(unit_h, size, batch, p->norm_h, p->rate_h + t * batch, p->dropped ? p->dropped + t * units : NULL,
             p->pass.h + (t + 1) * units);
    }
}

/* dh, dc after step t -> dz in place of the gates, dc before the step. */
static void slopes(const tl_lstm_norm *p, ptrdiff_t t, float *dh)
{
    const ptrdiff_t size = p->pass.hidden, batch = p->pass.batch, units = size * batch;
    float *gates = p->gates + t * 4 * units, *d = p->unit_h + t * units, *dc = p->unit_c + t * units;
    const float *dy = dy_of(&p->pass, t), *tanh_c = p->tanh_c + t * units;
    TL_EACH(at, units) {
        store(dh + at, plus(dh, dy, at));
    }
    masked(dh, dh, size, batch, NULL, p->dropped ? p->dropped + t * units : NULL);
    norm_back(d, size, batch, p->norm_h, p->rate_h + t * batch, dh, p->sums + 10 * size * TL_LANES);
    TL_EACH(at, units) {
        const V o = load(gates + O * units + at), squashed = load(tanh_c + at), by_h = load(d + at);
        store(gates + O * units + at, by_h * squashed * o * (1.0f - o));
        store(p->dc + at, load(p->dc + at) + by_h * o * (1.0f - squashed * squashed));
    }
    norm_back(dc, size, batch, p->norm_c, p->rate_c + t * batch, p->dc, p->sums + 8 * size * TL_LANES);
    TL_EACH(at, units) {
        const V i = load(gates + I * units + at), f = load(gates + F * units + at), g = load(gates + G * units + at);
        const V by_c = load(dc + at);
        store(gates + I * units + at, by_c * g * i * (1.0f - i));
        store(gates + F * units + at, by_c * load(p->c + t * units + at) * f * (1.0f - f));
        store(gates + G * units + at, by_c * i * (1.0f - g * g));
        store(p->dc + at, by_c * f);
    }
}

void tl_lstm_norm_backward(const tl_lstm_norm *p)
{
    const ptrdiff_t size = p->pass.hidden, batch = p->pass.batch, units = size * batch, columns = p->x_rows + 1;
    for (ptrdiff_t at = 0; at < 12 * size * TL_LANES; at++) {
        p->sums[at] = 0.0f;
    }
    for (ptrdiff_t t = p->pass.steps - 1; t >= 0; t--) {
        float *gates = p->gates + t * 4 * units, *dz_x = p->unit_x + t * 4 * units;
        const tl_matrix dz = {gates, batch, 1, 0}, by_x = {dz_x, batch, 1, 0};
        slopes(p, t, p->pass.dh);
        tl_gemm(size, batch, 4 * size, 1, (tl_matrix){p->pass.w, 1, size + 1, 0}, dz, p->pass.dh, batch, false);
        norm_back(dz_x, 4 * size, batch, p->norm_x, p->rate_x + t * batch, gates, p->sums);
        if (p->pass.dx) {
            float *dx = p->pass.dx + t * p->x_rows * batch;
            tl_gemm(p->x_rows, batch, 4 * size, 1, (tl_matrix){p->w_x, 1, columns, 0}, by_x, dx, batch, false);
        }
        weights_of(&p->pass, t, p->gates, 4 * size, p->pass.joined, size + 1, size + 1, p->pass.dw, size + 1);
        weights_of(&p->pass, t, p->unit_x, 4 * size, p->x, columns, columns, p->dw_x, columns);
        masked(p->pass.dh, p->pass.dh, size, batch, keep_of(&p->pass, t), p->pass.recurrent);
        masked(p->dc, p->dc, size, batch, keep_of(&p->pass, t), NULL);
    }
    float *const to[] = {p->dnorm_x, p->dnorm_c, p->dnorm_h};
    const ptrdiff_t rows[] = {8 * size, 2 * size, 2 * size};
    const float *sums = p->sums;
    for (int k = 0; k < 3; k++) {
        for (ptrdiff_t row = 0; row < rows[k]; row++, sums += TL_LANES) {
            to[k][row] += total(load(sums));
        }
    }
}
