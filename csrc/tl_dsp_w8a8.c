/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Scheme w8a8 on Arm cores with the DSP extension: the sums of tl_dsp.c, of x and of h apart. Twice a sum times m, the
 * upper word, rounded, is tl_high_mul: SMMULR. The loop over the units is made for a layer by tl_dsp_w8a8_layer.h. */
#include "tl_dsp_w8a8.h"

#include "tl_dsp_groups.h"
#include "tl_lines_w8a8.h"

#if !defined(TL_HOST)
#if !defined(__ARM_FEATURE_DSP) || !defined(__thumb2__)
#error "tl_dsp_w8a8.c needs a Cortex-M with the DSP extension, e.g. -mcpu=cortex-m4"
#endif
#include <arm_acle.h>
static inline uint32_t smlad(uint32_t a, uint32_t b, uint32_t sum)
{
    return (uint32_t)__smlad((int16x2_t)a, (int16x2_t)b, (int32_t)sum);
}
#endif

/* Sums over groups of four values: x0 x2 + x1 x3, and of the values. */
typedef struct sums {
    uint32_t products, values;
} sums;

static inline sums add(sums s, uint32_t *to, int32_t v0, int32_t v1, int32_t v2, int32_t v3)
{
    to[0] = ((uint32_t)v0 * 2u & 0xFFFFu) | (uint32_t)v2 << 17;
    to[1] = ((uint32_t)v1 * 2u & 0xFFFFu) | (uint32_t)v3 << 17;
    s.products = smlad(to[0], to[1], s.products);
    s.values += (uint32_t)(v0 + v1 + v2 + v3) * 2u;
    return s;
}

/* int8 -> twice as much in groups of int16, the last one padded with 0. */
static inline sums widen(uint32_t *to, const int8_t *v, uint32_t n)
{
    sums s = {0, 0};
    for (const int8_t *end = v + (n & ~3u); v != end; v += 4, to += 2) {
        s = add(s, to, v[0], v[1], v[2], v[3]);
    }
    n &= 3;
    return n == 0 ? s : add(s, to, v[0], n > 1 ? v[1] : 0, n > 2 ? v[2] : 0, 0);
}

const uint32_t *tl_dsp_prepare_w8a8(tl_dsp_context_w8a8 *t, const tl_lstm_w8a8_dsp *p)
{
    uint32_t *x = (uint32_t *)(t + 1), *h = x + (p->inputs + 3u) / 4u * 2u;
    const sums of_x = widen(x, (const int8_t *)t->x, p->inputs), of_h = widen(h, (const int8_t *)t->h, p->hidden);
    t->low_x = 256u * of_x.products - 128u * of_x.values;
    t->high_x = 0u - of_x.products;
    t->low_h = 256u * of_h.products - 128u * of_h.values;
    t->high_h = 0u - of_h.products;
    for (uint32_t k = 0; k < 9; k++) {
        t->m[k] = p->m[k];
    }
    t->table = tl_24ths_lines + 256;
    t->tanh = TL_TO_TANH;
    t->c_end = t->c + p->units;
    t->h_new = (uintptr_t)t->new - ((uintptr_t)t->c >> 1) - 1u;
    t->x = x;
    t->h = h;
    return p->w;
}

#if defined(TL_HOST)

/* The sums of a unit's rows, doubled; moves the stream on. */
static const uint32_t *rows(int32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t columns, uint32_t low,
                            uint32_t high)
{
    uint32_t s[4] = {w[0], w[1], w[2], w[3]};
    w = groups(s, NULL, w + 4, v, (columns + 3u) & ~3u);
    for (uint32_t k = 0; k < 4; k += 2) {
        sum[k] = (int32_t)(s[k] - (s[k + 1] << 8) + low);
        sum[k + 1] = (int32_t)(s[k + 1] + high);
    }
    return w;
}

/* tl_multiply of half a number. */
static int32_t scale(int32_t twice, int32_t m, int32_t s)
{
    const int64_t shifted = (int64_t)twice * (1 << (s > 0 ? s : 0));
    const int32_t v = (int32_t)((shifted * m + ((int64_t)1 << 31)) >> 32);
    return s < 0 ? tl_round(v, (uint32_t)-s) : v;
}

void tl_lstm_step_w8a8_dsp(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x, const tl_lstm_w8a8_dsp *p)
{
    struct {
        tl_dsp_context_w8a8 t;
        uint32_t groups[2048];
    } on_stack = {.t = {.new = h_new, .c = c, .h = h, .x = x}};
    const tl_dsp_context_w8a8 *t = &on_stack.t;
    const uint32_t *w = tl_dsp_prepare_w8a8(&on_stack.t, p);
    for (uint32_t u = 0; u < p->units; u++) {
        int32_t of_x[4], of_h[4], z[4];
        w = rows(of_x, w, (const int16_t *)t->x, p->inputs, t->low_x, t->high_x);
        w = rows(of_h, w, (const int16_t *)t->h, p->hidden, t->low_h, t->high_h);
        for (uint32_t k = 0; k < 4; k++) {
            z[k] = tl_sat16(tl_sat16(scale(of_x[k], p->m[k], p->s[k])) + scale(of_h[k], p->m[4 + k], p->s[4 + k]));
        }
        const int32_t i = tl_line_sigmoid(z[0]), f = tl_line_sigmoid(z[1]), o = tl_line_sigmoid(z[3]);
        const int32_t g = tl_line_tanh(3 * z[2], tl_sat16(3 * z[2] >> 1) >> 7);
        c[u] = tl_cell_w8a8((int16_t)f, c[u], (int16_t)i, (int16_t)g, p->bits, p->clip);
        const int32_t three = tl_three(c[u], p->bits);
        const int32_t v = scale(2 * o * tl_line_tanh(three, tl_sat16(three >> 1) >> 7), p->m[8], p->s[8]) + p->h_zero;
        h_new[u] = (int8_t)(v > 127 ? 127 : v < -128 ? -128 : v);
    }
}

#else

/* p->step with the same arguments: gcc would save a register to do so. */
__attribute__((naked)) void tl_lstm_step_w8a8_dsp(TL_UNUSED int8_t *h_new, TL_UNUSED int16_t *c,
                                                  TL_UNUSED const int8_t *h, TL_UNUSED const int8_t *x,
                                                  TL_UNUSED const tl_lstm_w8a8_dsp *p)
{
    __asm__("ldr r12, [sp]\n ldr r12, [r12, #4]\n bx r12\n");
}

#endif
