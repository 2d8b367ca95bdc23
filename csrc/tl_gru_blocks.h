/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The GRU step of the cores without DSP instructions, TL_ROWS units at a time. The file that includes this one defines
 *   TL_ROWS                  the rows of a block, which are one gate of as many units
 *   tl_gru_blocks            the parameters of a layer
 *   tl_stream, TL_STREAM     where its weights are read
 *   tl_sides                 what rows are multiplied with, x and v; tl_set_x, tl_set_v
 *   tl_rows                  a block -> its gate inputs
 *   tl_gate                  tl_mulw
 *   tl_sigmoid_of, tl_tanh_of the functions of a gate input, saturated here */

/* Per block of units the gates r, z, n over x, n over h: both parts of n in Q(12 + t), each below 2^30. */
TL_INLINE void tl_gru_after(int16_t *h_new, const int16_t *h, const int16_t *x, const tl_gru_blocks *p)
{
    const uint32_t units = p->units, t = p->t;
    const int16_t *own = h + p->first;
    tl_stream w = TL_STREAM(p);
    tl_sides s;
    tl_set_x(&s, x, p);
    tl_set_v(&s, h, p->hidden);
    for (uint32_t u = 0; u < units;) {
        int32_t z[4 * TL_ROWS];
        for (uint32_t part = 0; part <= TL_OF_V; part++) {
            w = tl_rows(z + part * TL_ROWS, w, &s, part);
        }
        const uint32_t end = units - u < TL_ROWS ? units : u + TL_ROWS;
        for (const int32_t *of = z; u < end; u++, of++) {
            int32_t gated = tl_gate(of[3 * TL_ROWS], tl_sigmoid_of(of[0]));
            int16_t n = tl_tanh_of((of[2 * TL_ROWS] + 2 * gated) >> t);
            h_new[u] = tl_blend(tl_sigmoid_of(of[TL_ROWS]), own[u], n);
        }
    }
}

/* Blocks of r for all units, then of n, then of z. */
TL_INLINE void tl_gru_before(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x, const tl_gru_blocks *p)
{
    const uint32_t n = p->hidden;
    tl_stream w = TL_STREAM(p);
    tl_sides s;
    tl_set_x(&s, x, p);
    for (uint32_t gate = 0; gate < 3; gate++) {
        tl_set_v(&s, gate == 1 ? reset : h, n);
        for (uint32_t u = 0; u < n;) {
            int32_t z[TL_ROWS];
            w = tl_rows(z, w, &s, TL_BOTH);
            const uint32_t end = n - u < TL_ROWS ? n : u + TL_ROWS;
            for (const int32_t *of = z; u < end; u++, of++) {
                if (gate == 0) {
                    reset[u] = tl_hidden(tl_sigmoid_of(*of), h[u]);
                } else if (gate == 1) {
                    h_new[u] = tl_tanh_of(*of);
                } else {
                    h_new[u] = tl_blend(tl_sigmoid_of(*of), h[u], h_new[u]);
                }
            }
        }
    }
}

TL_INLINE void tl_gru_step_blocks(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                  const tl_gru_blocks *p)
{
    if (p->reset_after != 0) {
        tl_gru_after(h_new, h, x, p);
    } else {
        tl_gru_before(h_new, reset, h, x, p);
    }
}
