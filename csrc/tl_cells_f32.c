/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The recurrent layers with all their options: a gate at a time over all units. */
#include "tl_cells_f32.h"
#include "tl_math_f32.h"
#include "tl_sums_f32.h"

/* sum [rows] += w [rows][n] v */
static void add_products(float *sum, const float *w, const float *v, uint32_t rows, uint32_t n)
{
    for (uint32_t row = 0; row < rows; row++) {
        sum[row] += tl_sum_of_products(w + row * n, v, n);
    }
}

static void clip(float *v, float bound, uint32_t n)
{
    for (uint32_t k = 0; bound > 0.0f && k < n; k++) {
        v[k] = tl_within(v[k], -bound, bound);
    }
}

static void activate(float *y, const float *x, uint32_t n, const tl_activation_f32 *p)
{
    p->function(y, x, n, p->a, p->b);
}

/* v [hidden], a gate's sum, sees c through its peepholes, is clipped and activated. */
static void gate(float *v, const float *c, uint32_t peepholes, const tl_lstm_full_f32 *p)
{
    for (uint32_t u = 0; p->peepholes && u < p->hidden; u++) {
        v[u] += p->peepholes[peepholes * p->hidden + u] * c[u];
    }
    clip(v, p->clip, p->hidden);
    activate(v, v, p->hidden, &p->gates);
}

void tl_lstm_full_step_f32_ref(float *h_new, float *c, float *room, const float *h, const float *x,
                               const tl_lstm_full_f32 *p)
{
    const uint32_t n = p->hidden;
    float *const i = room, *const f = room + n, *const g = room + 2 * n, *const o = room + 3 * n;
    tl_copy_f32_ref(room, p->b, 4 * n);
    add_products(room, p->w_ih, x, 4 * n, p->inputs);
    add_products(room, p->w_hh, h, 4 * n, n);
    gate(i, c, 0, p);
    if (!p->input_forget) {
        gate(f, c, 1, p);
    }
    clip(g, p->clip, n);
    activate(g, g, n, &p->candidate);
    for (uint32_t u = 0; u < n; u++) {
        const float kept = p->input_forget ? 1.0f - i[u] : f[u];
        c[u] = kept * c[u] + i[u] * g[u];
    }
    clip(c, p->cell_clip, n);
    gate(o, c, 2, p);
    activate(h_new, c, n, &p->out);
    tl_mul_f32_ref(h_new, h_new, o, n);
}

void tl_gru_full_step_f32_ref(float *h_new, float *room, const float *h, const float *x, const tl_gru_full_f32 *p)
{
    const uint32_t n = p->hidden;
    float *const r = room, *const z = room + n, *const new = room + 2 * n, *const from_h = room + 3 * n;
    const float *const w_hn = p->w_hh + 2 * n * n;
    tl_copy_f32_ref(room, p->b, 3 * n);
    add_products(room, p->w_ih, x, 3 * n, p->inputs);
    add_products(room, p->w_hh, h, 2 * n, n);
    clip(room, p->clip, 2 * n);
    activate(r, r, n, &p->gates);
    activate(z, z, n, &p->gates);
    if (p->reset_after) {
        tl_copy_f32_ref(from_h, p->b + 3 * n, n);
        add_products(from_h, w_hn, h, n, n);
        tl_mul_f32_ref(from_h, from_h, r, n);
        tl_add_f32_ref(new, new, from_h, n);
    } else {
        tl_mul_f32_ref(from_h, r, h, n);
        add_products(new, w_hn, from_h, n, n);
    }
    clip(new, p->clip, n);
    activate(new, new, n, &p->candidate);
    for (uint32_t u = 0; u < n; u++) {
        h_new[u] = new[u] + z[u] * (h[u] - new[u]);
    }
}

void tl_rnn_step_f32_ref(float *h_new, const float *h, const float *x, const tl_rnn_f32 *p)
{
    tl_copy_f32_ref(h_new, p->b, p->hidden);
    add_products(h_new, p->w_ih, x, p->hidden, p->inputs);
    add_products(h_new, p->w_hh, h, p->hidden, p->hidden);
    clip(h_new, p->clip, p->hidden);
    activate(h_new, h_new, p->hidden, &p->activation);
}

void tl_lstm_norm_step_f32_ref(float *h_new, float *c, float *room, const float *h, const float *x,
                               const tl_lstm_norm_f32 *p)
{
    const uint32_t n = p->hidden;
    tl_copy_f32_ref(room, p->b_ih, 4 * n);
    add_products(room, p->w_ih, x, 4 * n, p->inputs);
    tl_norm_f32_ref(room, room, &p->norm_x);
    tl_add_f32_ref(room, room, p->b_hh, 4 * n);
    add_products(room, p->w_hh, h, 4 * n, n);
    for (uint32_t u = 0; u < n; u++) {
        c[u] = tl_sigmoid(room[n + u]) * c[u] + tl_sigmoid(room[u]) * tl_tanh(room[2 * n + u]);
    }
    tl_norm_f32_ref(c, c, &p->norm_c);
    for (uint32_t u = 0; u < n; u++) {
        h_new[u] = tl_sigmoid(room[3 * n + u]) * tl_tanh(c[u]);
    }
    tl_norm_f32_ref(h_new, h_new, &p->norm_h);
}
