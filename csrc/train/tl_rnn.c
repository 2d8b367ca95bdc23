/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "tl_pass.h"

void tl_rnn_forward(const tl_rnn *p)
{
    const ptrdiff_t size = p->pass.hidden, batch = p->pass.batch, columns = columns_of(&p->pass);
    for (ptrdiff_t t = 0; t < p->pass.steps; t++) {
        const tl_matrix w = {p->pass.w, columns, 1, 0}, x = {feed(&p->pass, t), batch, 1, 0};
        float *h = p->pass.h + (t + 1) * size * batch;
        tl_gemm(size, batch, columns, 1, w, x, h, batch, false);
        TL_EACH(at, size * batch) {
            const V z = load(h + at);
            if (p->relu) {
                store(h + at, choose(z < 0.0f, (V){0}, z));
            } else {
                store(h + at, tanh_(z));
            }
        }
    }
}

void tl_rnn_backward(const tl_rnn *p)
{
    const ptrdiff_t size = p->pass.hidden, batch = p->pass.batch, columns = columns_of(&p->pass);
    for (ptrdiff_t t = p->pass.steps - 1; t >= 0; t--) {
        const float *h = p->pass.h + (t + 1) * size * batch, *dy = dy_of(&p->pass, t);
        float *dz = p->dz + t * size * batch;
        TL_EACH(at, size * batch) {
            const V y = load(h + at), d = plus(p->pass.dh, dy, at);
            if (p->relu) {
                store(dz + at, choose(y > 0.0f, d, (V){0}));
            } else {
                store(dz + at, d * (1.0f - y * y));
            }
        }
        const tl_matrix b = {dz, batch, 1, 0};
        tl_gemm(size, batch, size, 1, (tl_matrix){p->pass.w, 1, columns, 0}, b, p->pass.dh, batch, false);
        if (p->pass.dx) {
            float *dx = p->pass.dx + t * p->pass.inputs * batch;
            tl_gemm(p->pass.inputs, batch, size, 1, (tl_matrix){p->pass.w + size, 1, columns, 0}, b, dx, batch, false);
        }
        weights_of(&p->pass, t, p->dz, size, p->pass.joined, columns, columns, p->pass.dw, columns);
        masked(p->pass.dh, p->pass.dh, size, batch, keep_of(&p->pass, t), p->pass.recurrent);
    }
}
