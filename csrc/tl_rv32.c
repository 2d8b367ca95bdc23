/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rows share the load of a column's activation: of a GRU eight, 25 instructions for 8 multiply-accumulates; of an LSTM
 * sixteen (tl_rv32_lstm.h), 49 for 16; eight columns a turn. Nothing branches on data, so that a step takes the same
 * instructions whatever the numbers are. */
#include "tl_rv32.h"

#include <stddef.h>

#include "tl_dense_unrolled.h"
#include "tl_tables_packed.h"

#define ROWS 8u
#define TL_STREAM(p) ((tl_stream){(p)->wh, (p)->wx8, (p)->wx16, (p)->bm})
#define TL_INLINE static inline __attribute__((always_inline)) /* or the sums would go to memory */

/* What a block of rows is multiplied with: x and v, as are those below it; x alone; v alone. */
enum { TL_BOTH = 1, TL_OF_X, TL_OF_V };

#if defined(TL_HOST)

/* n columns of `rows` rows; returns what stands behind their weights. */
TL_INLINE const int8_t *columns8_of(uint32_t rows, int32_t sum[], const int8_t *w, const int16_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n * rows; k++) {
        sum[k % rows] += w[k] * v[k / rows];
    }
    return w + n * rows;
}

TL_INLINE const int16_t *columns16_of(uint32_t rows, int32_t sum[], const int16_t *w, const int16_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n * rows; k++) {
        sum[k % rows] += w[k] * v[k / rows];
    }
    return w + n * rows;
}

TL_INLINE const int8_t *columns8(int32_t sum[ROWS], const int8_t *w, const int16_t *v, uint32_t n)
{
    return columns8_of(ROWS, sum, w, v, n);
}

TL_INLINE const int16_t *columns16(int32_t sum[ROWS], const int16_t *w, const int16_t *v, uint32_t n)
{
    return columns16_of(ROWS, sum, w, v, n);
}

TL_INLINE int32_t clip(int32_t v)
{
    return tl_sat16(v) + 32768;
}

#else

#if !defined(__riscv) || __riscv_xlen != 32 || !defined(__riscv_mul)
#error "tl_rv32.c is RV32IM code: compile with -march=rv32im or more, or with -DTL_HOST=1 for its twin in C"
#endif

#define TL_VALUE "lh %[x], 2*k(%[v])\n"
#define TL_VALUE_BYTES "2"
#define TL_VALUE_TYPE const int16_t *
#include "tl_rv32_loop.h"

TL_INLINE const int8_t *columns8(int32_t sum[ROWS], const int8_t *w, const int16_t *v, uint32_t n)
{
    COLUMNS("lb", "1")
}

TL_INLINE const int16_t *columns16(int32_t sum[ROWS], const int16_t *w, const int16_t *v, uint32_t n)
{
    COLUMNS("lh", "2")
}

#endif

/* (a * b) >> 32: one instruction. */
TL_INLINE int32_t high(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b) >> 32);
}

/* Linear interpolation in a packed table; z in Q3.12, saturated here to int16. Same bits as tl_lookup: slope and
 * fraction, int16 both, are multiplied where they stand in the upper halves of their words. */
TL_INLINE int32_t look(const uint32_t table[256], int32_t z)
{
    uint32_t u = (uint32_t)clip(z);
    uint32_t word = table[u >> 8];
    return (int32_t)(word + (uint32_t)high((int32_t)(word << 16), (int32_t)(u << 23))) >> 16;
}

/* What rows of weights are multiplied with: x, then v. */
typedef struct tl_sides {
    const int16_t *x, *v;
    uint32_t inputs, n, f;
} tl_sides;

TL_INLINE void tl_set_x(tl_sides *s, const int16_t *x, const tl_cell_w8a16_rv32 *p)
{
    s->x = x;
    s->inputs = p->inputs;
    s->f = p->f;
}

TL_INLINE void tl_set_v(tl_sides *s, const int16_t *v, uint32_t n)
{
    s->v = v;
    s->n = n;
}

/* Where weights, biases and multipliers are read. */
typedef struct tl_stream {
    const int8_t *wh, *wx8;
    const int16_t *wx16;
    const int32_t *bm;
} tl_stream;

#if defined(TL_HOST)

void tl_lstm_step_w8a16_rv32(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                             const tl_lstm_w8a16_rv32 *p)
{
    tl_stream w = TL_STREAM(p);
    for (uint32_t u = 0; u < p->units; u += 4, w.bm += 32) {
        int32_t sum[16] = {0};
        if (w.wx16 != NULL) {
            w.wx16 = columns16_of(16, sum, w.wx16, x, p->inputs);
        } else {
            w.wx8 = columns8_of(16, sum, w.wx8, x, p->inputs);
        }
        for (uint32_t k = 0; k < 16; k++) {
            sum[k] = (sum[k] >> p->f) + w.bm[k];
        }
        w.wh = columns8_of(16, sum, w.wh, h, p->hidden);
        for (uint32_t k = 0; k < 16; k++) {
            sum[k] = high(sum[k], w.bm[16 + k]); /* m * 2^(16 - t): tl_mulw(acc, m) >> t */
        }
        for (uint32_t k = 0; k < 4 && u + k < p->units; k++) {
            const int32_t *z = sum + 4 * k;
            int16_t i = (int16_t)look(tl_sigmoid_packed, z[0]), f = (int16_t)look(tl_sigmoid_packed, z[1]);
            int16_t g = (int16_t)look(tl_tanh_packed, z[2]), o = (int16_t)look(tl_sigmoid_packed, z[3]);
            c[u + k] = tl_cell(f, c[u + k], i, g, p->frac);
            h_new[u + k] = tl_hidden(o, (int16_t)look(tl_tanh_packed, c[u + k] * (1 << (12 - p->frac))));
        }
    }
}

#else

#include "tl_rv32_lstm.h"

#endif

/* Eight rows -> their gate inputs, for high(acc, m * 2^(16 - t)) is tl_mulw(acc, m) >> t; returns what stands behind
 * them. */
TL_INLINE tl_stream tl_rows(int32_t z[ROWS], tl_stream w, const tl_sides *s, uint32_t part)
{
    int32_t sum[ROWS] = {0, 0, 0, 0, 0, 0, 0, 0};
    if (part != TL_OF_V && w.wx16 != NULL) {
        w.wx16 = columns16(sum, w.wx16, s->x, s->inputs);
    } else if (part != TL_OF_V) {
        w.wx8 = columns8(sum, w.wx8, s->x, s->inputs);
    }
    sum[0] = (sum[0] >> s->f) + w.bm[0];
    sum[1] = (sum[1] >> s->f) + w.bm[1];
    sum[2] = (sum[2] >> s->f) + w.bm[2];
    sum[3] = (sum[3] >> s->f) + w.bm[3];
    sum[4] = (sum[4] >> s->f) + w.bm[4];
    sum[5] = (sum[5] >> s->f) + w.bm[5];
    sum[6] = (sum[6] >> s->f) + w.bm[6];
    sum[7] = (sum[7] >> s->f) + w.bm[7];
    if (part != TL_OF_X) {
        w.wh = columns8(sum, w.wh, s->v, s->n);
    }
    z[0] = high(sum[0], w.bm[8]);
    z[1] = high(sum[1], w.bm[9]);
    z[2] = high(sum[2], w.bm[10]);
    z[3] = high(sum[3], w.bm[11]);
    z[4] = high(sum[4], w.bm[12]);
    z[5] = high(sum[5], w.bm[13]);
    z[6] = high(sum[6], w.bm[14]);
    z[7] = high(sum[7], w.bm[15]);
    w.bm += 2 * ROWS;
    return w;
}

TL_INLINE int32_t tl_gate(int32_t a, int16_t gate)
{
    return high(a, gate * 65536);
}

TL_INLINE int16_t tl_sigmoid_of(int32_t z)
{
    return (int16_t)look(tl_sigmoid_packed, z);
}

TL_INLINE int16_t tl_tanh_of(int32_t z)
{
    return (int16_t)look(tl_tanh_packed, z);
}

#define TL_ROWS ROWS
typedef tl_cell_w8a16_rv32 tl_gru_blocks;
#include "tl_gru_blocks.h"

void tl_gru_step_w8a16_rv32(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                            const tl_gru_w8a16_rv32 *p)
{
    tl_gru_step_blocks(h_new, reset, h, x, p);
}

void tl_dense_w16a16_rv32(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    tl_dense_unrolled(y, h, p);
}
