/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Kernels for Arm cores with the DSP extension. Two identities, exact modulo 2^32:
 *   (w0 + x2)(w2 + x0) = w0 x0 + w2 x2 + w0 w2 + x0 x2: SXTAB16 unpacks and adds in one go; the sum of w0 w2 is part of
 *   a row's start, the sum of x0 x2 is the same for every row;
 *   256 a + (b + 128) in a half-word: SMLAD on the raw word gives T = 256 A + B + 128 sum(x), which yields B.
 * 16 instructions for 16 products. The loop over the units is one piece of assembly, tl_dsp_units.h. */
#include "tl_dsp.h"
#include "tl_dsp_units.h"
#include "tl_tables_packed.h"

/* The first group: the values beyond a multiple of `size`, padded with 0, or the first `size`. */
static __attribute__((noinline)) void first(uint32_t out[2], const int16_t *v, uint32_t n, uint32_t size)
{
    uint32_t rest = n & (size - 1);
    v += rest != 0 ? n - rest : 0;
    out[0] = rest == 1 ? (uint16_t)v[0] : load(v);
    out[1] = rest == 3 ? (uint16_t)v[2] : rest != 0 || size == 2 ? 0 : load(v + 2);
}

/* Base of the first pass over the groups behind the first. It may lie before v; only what is in v is read. */
static inline uintptr_t base(const int16_t *v, uint32_t n, uint32_t size, uint32_t skip)
{
    return (uintptr_t)((n & (size - 1)) != 0 ? v : v + size) - skip * size * 2u;
}

/* Takes sum(x0 x2 + x1 x3) over the groups from t->high, and 128 sum(x) from t->low. */
static __attribute__((noinline)) void scan(context *t, const int16_t *v, uint32_t n, const uint32_t group[2])
{
    uint32_t products = smlad(group[0], group[1], 0);
    uint32_t values = smlad(group[1], 0x00010001u, smlad(group[0], 0x00010001u, 0));
    for (const int16_t *end = v + (n & ~3u), *at = v + ((n & 3) != 0 ? 0 : 4); at != end; at += 4) {
        uint32_t v01 = load(at), v23 = load(at + 2);
        products = smlad(v01, v23, products);
        values = smlad(v23, 0x00010001u, smlad(v01, 0x00010001u, values));
    }
    t->high -= products;
    t->low -= 128u * values;
}

/* Apart from the step, so that the stack holds its registers and those of `units` one after the other. */
static __attribute__((noinline)) void prepare(context *t, const int16_t *h, const int16_t *x,
                                              const tl_lstm_w8a16_dsp *p)
{
    uint32_t size = p->kind != 0 ? 2 : 4;
    first(t->h, h, p->hidden, 4);
    t->h_at = base(h, p->hidden, 4, p->h_skip);
    t->h_last = t->h_at + p->h_more;
    t->h_skip = 64u * p->h_skip;
    first(t->x, x, p->inputs, size);
    t->x_at = base(x, p->inputs, size, p->x_skip);
    t->x_last = t->x_at + p->x_more;
    t->x_skip = 16u * size * p->x_skip; /* bytes of code of a pair or a group */
    t->low = t->high = 0;
    scan(t, h, p->hidden, t->h);
    if (p->kind != 0) {
        t->low -= 256u * t->high; /* the sums of I and G start with 256 times those of F and O */
    } else {
        scan(t, x, p->inputs, t->x);
    }
    t->k = p->f != 0 ? (int32_t)((uint32_t)1 << (32 - p->f)) : 0;
    t->shift = 15 - p->frac;
    t->sigmoid = tl_sigmoid_packed + 128;
    t->tanh = tl_tanh_packed + 128;
    t->w = p->w;
    t->w_end = p->w + p->words;
    t->kind = p->kind;
}

void tl_lstm_step_w8a16_dsp(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_dsp *p)
{
    context t;
    t.c = c;
    t.to_h_new = (uintptr_t)h_new - (uintptr_t)c - 2u;
    prepare(&t, h, x, p);
    units(&t);
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
