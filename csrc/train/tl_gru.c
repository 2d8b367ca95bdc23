/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "tl_pass.h"

enum { R, Z, N };

/* The sums of r and z -> r, z; with reset before also what U_n is fed. */
static void gates_of(const tl_gru *p, float *gates, const float *joined, float *fed)
{
    const ptrdiff_t units = p->pass.hidden * p->pass.batch;
    TL_EACH(at, units) {
        const V r = sigmoid(load(gates + R * units + at));
        store(gates + R * units + at, r);
        store(gates + Z * units + at, sigmoid(load(gates + Z * units + at)));
        if (!p->b_hn) {
            store(fed + at, r * load(joined + at));
        }
    }
}

/* h before step t that z blends in: of the row that begins at `at`. */
TL_INLINE V blended(const tl_gru *p, ptrdiff_t t, ptrdiff_t at, ptrdiff_t b)
{
    V h = load(p->pass.h + t * p->pass.hidden * p->pass.batch + at + b);
    if (p->pass.keep) {
        h *= load(keep_of(&p->pass, t) + b);
    }
    return h;
}

/* The sums of n -> n and h'. */
static void update(const tl_gru *p, ptrdiff_t t)
{
    const ptrdiff_t batch = p->pass.batch, units = p->pass.hidden * batch;
    const float *gates = p->gates + t * 2 * units;
    float *new = p->n + t * units, *u = p->u + t * units, *h = p->pass.h + (t + 1) * units;
    for (ptrdiff_t row = 0; row < p->pass.hidden; row++) {
        const ptrdiff_t at = row * batch;
        TL_EACH(b, batch) {
            V sum = load(u + at + b);
            if (p->b_hn) {
                sum += p->b_hn[row];
                store(u + at + b, sum);
                sum *= load(gates + R * units + at + b);
            }
            const V n = tanh_(load(new + at + b) + sum), z = load(gates + Z * units + at + b);
            store(new + at + b, n);
            store(h + at + b, n + z * (blended(p, t, at, b) - n));
        }
    }
}

void tl_gru_forward(const tl_gru *p)
{
    const ptrdiff_t size = p->pass.hidden, batch = p->pass.batch, units = size * batch, columns = columns_of(&p->pass);
    const float *w_n = p->pass.w + N * size * columns;
    const tl_matrix w_rz = {p->pass.w, columns, 1, 0}, u_n = {w_n, columns, 1, 0}, w_nx = {w_n + size, columns, 1, 0};
    for (ptrdiff_t t = 0; t < p->pass.steps; t++) {
        const float *joined = feed(&p->pass, t);
        float *fed = p->b_hn ? NULL : p->fed + t * units;
        const tl_matrix all_rows = {joined, batch, 1, 0}, x = {joined + units, batch, 1, 0};
        tl_gemm(2 * size, batch, columns, 1, w_rz, all_rows, p->gates + t * 2 * units, batch, false);
        gates_of(p, p->gates + t * 2 * units, joined, fed);
        const tl_matrix h = {p->b_hn ? joined : fed, batch, 1, 0};
        tl_gemm(size, batch, size, 1, u_n, h, p->u + t * units, batch, false);
        tl_gemm(size, batch, columns - size, 1, w_nx, x, p->n + t * units, batch, false);
        update(p, t);
    }
}

/* dh after step t -> dz of z in place of z, dz of n in place of n, z dh in `before`; with reset after also du and dz of r. */
static void slopes(const tl_gru *p, ptrdiff_t t, const float *dh, float *before)
{
    const ptrdiff_t batch = p->pass.batch, units = p->pass.hidden * batch;
    float *gates = p->gates + t * 2 * units, *new = p->n + t * units, *u = p->u + t * units;
    const float *dy = dy_of(&p->pass, t);
    for (ptrdiff_t at = 0; at < units; at += batch) {
        TL_EACH(b, batch) {
            const V d = plus(dh, dy, at + b), r = load(gates + R * units + at + b);
            const V z = load(gates + Z * units + at + b), n = load(new + at + b);
            const V dn = d * (1.0f - z) * (1.0f - n * n);
            store(new + at + b, dn);
            store(gates + Z * units + at + b, d * (blended(p, t, at, b) - n) * z * (1.0f - z));
            store(before + at + b, z * d);
            if (p->b_hn) {
                store(gates + R * units + at + b, dn * load(u + at + b) * r * (1.0f - r));
                store(u + at + b, r * dn);
            }
        }
    }
}

/* Reset before: d_fed = d(r h) -> dz of r in place of r, its share of dh in d_fed. */
static void slopes_before(const tl_gru *p, ptrdiff_t t)
{
    const ptrdiff_t units = p->pass.hidden * p->pass.batch;
    float *gates = p->gates + t * 2 * units;
    const float *h = p->pass.joined + t * columns_of(&p->pass) * p->pass.batch;
    TL_EACH(at, units) {
        const V r = load(gates + R * units + at), d = load(p->d_fed + at);
        store(gates + R * units + at, d * load(h + at) * r * (1.0f - r));
        store(p->d_fed + at, d * r);
    }
}

/* The gradients of U_n, W_n, b_n and b_hn, and of r and z. */
static void weights(const tl_gru *p, ptrdiff_t t, const float *du)
{
    const tl_pass *pass = &p->pass;
    const ptrdiff_t size = pass->hidden, columns = columns_of(pass);
    const float *x = pass->joined + size * pass->batch, *fed = p->b_hn ? pass->joined : p->fed;
    float *dw_n = pass->dw + N * size * columns;
    weights_of(pass, t, p->gates, 2 * size, pass->joined, columns, columns, pass->dw, columns);
    weights_of(pass, t, p->n, size, x, columns, columns - size, dw_n + size, columns);
    weights_of(pass, t, du, size, fed, p->b_hn ? columns : size, size, dw_n, columns);
    for (ptrdiff_t row = 0; p->b_hn && row < size; row++) {
        V sum = {0};
        TL_EACH(b, pass->batch) {
            sum += load(du + (t * size + row) * pass->batch + b);
        }
        p->db_hn[row] += total(sum);
    }
}

void tl_gru_backward(const tl_gru *p)
{
    const ptrdiff_t size = p->pass.hidden, batch = p->pass.batch, units = size * batch, columns = columns_of(&p->pass);
    const float *w = p->pass.w, *w_n = w + N * size * columns, *du = p->b_hn ? p->u : p->n;
    float *dh = p->pass.dh, *before = dh + units;
    for (ptrdiff_t t = p->pass.steps - 1; t >= 0; t--) {
        const tl_matrix rz = {p->gates + t * 2 * units, batch, 1, 0}, n = {p->n + t * units, batch, 1, 0};
        slopes(p, t, dh, before);
        tl_gemm(size, batch, size, 1, (tl_matrix){w_n, 1, columns, 0}, (tl_matrix){du + t * units, batch, 1, 0}, p->d_fed,
                batch, false);
        if (!p->b_hn) {
            slopes_before(p, t);
        }
        tl_gemm(size, batch, 2 * size, 1, (tl_matrix){w, 1, columns, 0}, rz, p->d_fed, batch, true);
        if (p->pass.dx) {
            float *dx = p->pass.dx + t * p->pass.inputs * batch;
            tl_gemm(p->pass.inputs, batch, 2 * size, 1, (tl_matrix){w + size, 1, columns, 0}, rz, dx, batch, false);
            tl_gemm(p->pass.inputs, batch, size, 1, (tl_matrix){w_n + size, 1, columns, 0}, n, dx, batch, true);
        }
        weights(p, t, du);
        masked(p->d_fed, p->d_fed, size, batch, NULL, p->pass.recurrent);
        TL_EACH(at, units) {
            store(before + at, load(before + at) + load(p->d_fed + at));
        }
        masked(before, before, size, batch, keep_of(&p->pass, t), NULL);
        swap(&dh, &before);
    }
    if (dh != p->pass.dh) {
        masked(before, dh, size, batch, NULL, NULL);
    }
}
