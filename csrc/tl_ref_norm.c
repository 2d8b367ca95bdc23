/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The LSTM with layer normalisation, portable. The twin of quantize/ops/lstm_norm.py. */
#include "tl_norm.h"
#include "tl_tables.h"

/* m 2^shift; shift at most 15. */
static int32_t shifted(int32_t m, int32_t shift)
{
    return shift >= 0 ? m * (1 << shift) : m >> (shift < -31 ? 31 : -shift);
}

/* Twin of quantize/norm.py: v [n], |v| < 2^30 -> (v - mean) / sqrt(var + epsilon) in Q3.12, saturated to int16, in
 * place. 2^(k-1) < n <= 2^k, and r = 2^(k + 14) / n; epsilon = m 2^e. */
static void normalise(int32_t *v, uint32_t n, uint8_t k, int16_t r, int16_t m, int8_t e)
{
    const int32_t half = (1 << k) >> 1;
    int32_t sum = 0, squares = 0;
    uint32_t top = 1;
    for (uint32_t i = 0; i < n; i++) { /* |sum| <= 2^30 + n */
        sum += (v[i] + half) >> k;
    }
    const int32_t mean = tl_mulw(sum, r) * 4;
    for (uint32_t i = 0; i < n; i++) {
        v[i] -= mean; /* |v| < 2^31 */
        top |= (uint32_t)(v[i] ^ (v[i] >> 31));
    }
    const int32_t bits = (int32_t)tl_bits(top), least = (e + 16) >> 1;
    const int32_t down = (bits > least ? bits : least) - 15; /* after it |v| <= 2^15 and epsilon <= 2^30 */
    for (uint32_t i = 0; i < n; i++) {
        v[i] = down >= 0 ? v[i] >> down : v[i] * (1 << -down);
        squares += (v[i] * v[i] + half) >> k; /* <= 2^30 + n */
    }
    uint32_t w = (uint32_t)(tl_mulw(squares, r) * 4) + (uint32_t)shifted(m, e - 2 * down);
    w = w != 0 ? w : 1;
    const uint32_t j = (32 - tl_bits(w)) >> 1;
    const uint32_t a = (w << (2 * j)) >> 16;  /* Q16 in 1/4 .. 1 */
    uint32_t y = 36045 - ((a * 20480) >> 16); /* Q14: a line near 1 / sqrt(a), then Newton's method */
    for (uint32_t step = 0; step < 3; step++) {
        y = (y * (49152 - ((a * ((y * y) >> 14)) >> 16))) >> 15;
    }
    for (uint32_t i = 0; i < n; i++) { /* |v y| <= 2^30 */
        v[i] = tl_sat16((v[i] * (int32_t)y + (1 << (17 - j))) >> (18 - j));
    }
}

/* u in Q3.12 times a gain, rounded half up. */
static int32_t scaled(int32_t u, int16_t gain, uint8_t shift)
{
    return (u * gain + (1 << (shift - 1))) >> shift;
}

/* Gate input of one row, Q3.12: the normalised input part, in `u`, and the recurrent part. */
static int16_t gate(const tl_lstm_norm_w8a16 *p, uint32_t row, int32_t u, const int16_t *h)
{
    int32_t acc = p->b[row];
    for (uint32_t k = 0; k < p->hidden; k++) {
        acc += p->wh[row * p->hidden + k] * h[k];
    }
    return tl_sat16(scaled(u, p->gx[row], p->sx) + (tl_mulw(acc, p->m[row]) >> p->t));
}

void tl_lstm_norm_step_w8a16_ref(int16_t *h_new, int16_t *c, int32_t *work, const int16_t *h, const int16_t *x,
                                 const tl_lstm_norm_w8a16 *p)
{
    const uint32_t n = p->hidden;
    for (uint32_t row = 0; row < 4 * n; row++) {
        work[row] = p->bx[row];
        for (uint32_t k = 0; k < p->inputs; k++) {
            work[row] += p->wx[row * p->inputs + k] * x[k];
        }
    }
    normalise(work, 4 * n, p->kx, p->rx, p->exm, p->exe);
    for (uint32_t u = 0; u < n; u++) { /* work: then f c + i g in [u], o in [3 n + u] */
        int16_t i = tl_lookup(tl_sigmoid_nodes, gate(p, u, work[u], h));
        int16_t f = tl_lookup(tl_sigmoid_nodes, gate(p, n + u, work[n + u], h));
        int16_t g = tl_lookup(tl_tanh_nodes, gate(p, 2 * n + u, work[2 * n + u], h));
        work[3 * n + u] = tl_lookup(tl_sigmoid_nodes, gate(p, 3 * n + u, work[3 * n + u], h));
        work[u] = (f * c[u] + ((i * g) >> (15 - p->frac))) >> 2; /* Q(frac + 13), |sum| < 2^31 */
    }
    normalise(work, n, p->kh, p->rh, p->ecm, p->ece);
    for (uint32_t u = 0; u < n; u++) {
        c[u] = tl_sat16(scaled(work[u], p->gc[u], p->sc) + p->oc[u]);
        int16_t z = tl_sat16(c[u] * (1 << (12 - p->frac)));      /* Q.frac -> Q3.12 */
        work[u] = work[3 * n + u] * tl_lookup(tl_tanh_nodes, z); /* below 2^30 */
    }
    normalise(work, n, p->kh, p->rh, p->ehm, p->ehe);
    for (uint32_t u = 0; u < n; u++) {
        int32_t v = scaled(work[u], p->gh[u], p->sh) + p->oh[u];
        h_new[u] = (int16_t)(v > 32640 ? 32640 : v < -32640 ? -32640 : v);
    }
}
