/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kernels for Arm cores with the DSP extension. Two identities, exact modulo 2^32:
 *   (w0 + x2)(w2 + x0) = w0 x0 + w2 x2 + w0 w2 + x0 x2: SXTAB16 unpacks and adds in one go; the sum of w0 w2 is part of
 *   a row's start, the sum of x0 x2 is the same for every row;
 *   256 a + (b + 128) in a half-word: SMLAD on the raw word gives T = 256 A + B + 128 sum(x), which yields B.
 * 16 instructions for 16 products. The loop over the units is assembly, made for a layer's shape by tl_dsp_layer.h. */
#include "tl_dsp.h"
#include "tl_tables_packed.h"

#if defined(TL_HOST)
#include "tl_dsp_twin.h"
#elif defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
#include <arm_acle.h>
static inline uint32_t smlad(uint32_t a, uint32_t b, uint32_t sum)
{
    return (uint32_t)__smlad((int16x2_t)a, (int16x2_t)b, (int32_t)sum);
}
#else
#error "tl_dsp.c needs a Cortex-M with the DSP extension, e.g. -mcpu=cortex-m4"
#endif

static inline uint32_t load(const int16_t *v)
{
    uint32_t word;
    __builtin_memcpy(&word, v, 4);
    return word;
}

/* Sums over the groups of four values, the last padded with 0. */
typedef struct sums {
    uint32_t products; /* x0 x2 + x1 x3 */
    uint32_t values;   /* x0 + x1 + x2 + x3 */
} sums;

static inline sums add(sums s, uint32_t v01, uint32_t v23)
{
    s.products = smlad(v01, v23, s.products);
    s.values = smlad(v23, 0x00010001u, smlad(v01, 0x00010001u, s.values));
    return s;
}

static inline void scan(sums *sum, const int16_t *v, uint32_t n)
{
    sums s = *sum;
    for (const int16_t *end = v + (n & ~7u); v != end; v += 8) {
        uint32_t v01 = load(v), v23 = load(v + 2), v45 = load(v + 4), v67 = load(v + 6);
        s = add(add(s, v01, v23), v45, v67);
    }
    if ((n & 4) != 0) {
        s = add(s, load(v), load(v + 2));
        v += 4;
    }
    if ((n & 3) != 0) {
        s = add(s, (n & 3) == 1 ? (uint16_t)v[0] : load(v), (n & 3) == 3 ? (uint16_t)v[2] : 0);
    }
    *sum = s;
}

const uint32_t *tl_dsp_prepare(tl_dsp_context *t, const tl_cell_w8a16_dsp *p)
{
    sums s = {0, 0};
    scan(&s, t->h, p->hidden);
    if (p->kind == 0) {
        scan(&s, t->x, p->inputs);
    }
    t->low = 256u * s.products - 128u * s.values;
    t->high = 0u - s.products;
    t->sigmoid = tl_sigmoid_packed + 128;
    t->tanh = tl_tanh_packed + 128;
    t->c_end = t->c + p->units;
    t->h_new -= (uintptr_t)t->c + 2u;
    if (p->kind == 1) {
        t->x = (const int16_t *)(uintptr_t)*t->x;
    }
    return p->w;
}

#if defined(TL_HOST)
void tl_lstm_step_w8a16_dsp(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_dsp *p)
{
    tl_dsp_context t = {.h_new = (uintptr_t)h_new, .c = c, .h = h, .x = x};
    (void)tl_dsp_prepare(&t, p);
    twin_lstm(h_new, c, &t, p, x);
}
#else
#define UNUSED __attribute__((unused))
/* p->step with the same arguments: gcc would save a register to do so. */
__attribute__((naked)) void tl_lstm_step_w8a16_dsp(UNUSED int16_t *h_new, UNUSED int16_t *c, UNUSED const int16_t *h,
                                                   UNUSED const int16_t *x, UNUSED const tl_lstm_w8a16_dsp *p)
{
    __asm__("ldr r12, [sp]\n ldr r12, [r12, #4]\n bx r12\n");
}
#endif

/* The gate inputs of all units, with v in the place of h, from the weights at w. Returns what stands behind those. */
static const uint32_t *gate_inputs(int16_t *z, const uint32_t *w, const int16_t *v, const int16_t *x,
                                   const tl_gru_w8a16_dsp *p)
{
    tl_gru_w8a16_dsp gate = *p;
    gate.w = w;
#if defined(TL_HOST)
    tl_dsp_context t = {.c = z, .h = v, .x = x};
    return twin_gate(z, &t, tl_dsp_prepare(&t, &gate), &gate, x);
#else
    return gate.step(z, z, v, x, &gate);
#endif
}

/* Same bits as tl_lookup. */
static int16_t look(const uint32_t *packed, int16_t z)
{
    uint32_t word = packed[128 + (z >> 8)];
    return (int16_t)((int32_t)(word + (uint32_t)((int16_t)word * (int16_t)((uint16_t)z << 7))) >> 16);
}

/* z stands in `reset` when n, for which r h was there, is done. */
static void reset_before(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x, const tl_gru_w8a16_dsp *p)
{
    const uint32_t n = p->hidden;
    const uint32_t *w = gate_inputs(reset, p->w, h, x, p);
    for (uint32_t u = 0; u < n; u++) {
        reset[u] = tl_hidden(look(tl_sigmoid_packed, reset[u]), h[u]);
    }
    w = gate_inputs(h_new, w, reset, x, p);
    (void)gate_inputs(reset, w, h, x, p);
    for (uint32_t u = 0; u < n; u++) {
        h_new[u] = tl_blend(look(tl_sigmoid_packed, reset[u]), h[u], look(tl_tanh_packed, h_new[u]));
    }
}

void tl_gru_step_w8a16_dsp(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                           const tl_gru_w8a16_dsp *p)
{
    if (p->reset_after == 0) {
        reset_before(h_new, reset, h, x, p);
        return;
    }
    int16_t *first = (int16_t *)(uintptr_t)(h + p->first); /* only read */
#if defined(TL_HOST)
    tl_dsp_context t = {.h_new = (uintptr_t)h_new, .c = first, .h = h, .x = x};
    (void)tl_dsp_prepare(&t, p);
    twin_gru(h_new, &t, p, x);
#else
    (void)p->step(h_new, first, h, x, p);
#endif
}

/* h may lie on any even address: words are loaded with memcpy. */
void tl_dense_w16a16_dsp(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    const int16_t *w = p->w;
    for (uint32_t row = 0; row < p->outputs; row++) {
        uint32_t sum = (uint32_t)p->b[row];
        const int16_t *v = h, *end = h + (p->inputs & ~3u);
        for (; v != end; w += 4, v += 4) {
            sum = smlad(load(w), load(v), sum);
            sum = smlad(load(w + 2), load(v + 2), sum);
        }
        for (end = h + p->inputs; v != end; w++, v++) {
            sum += (uint32_t)(*w * *v);
        }
        y[row] = (int32_t)sum;
    }
}
