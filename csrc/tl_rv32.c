/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Eight rows share the load of a column's activation: 25 instructions for 8 multiply-accumulates, eight columns a turn.
 * Nothing branches on data, so that a step takes the same instructions whatever the
 * numbers are. */
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

/* n columns; returns what stands behind their weights. */
TL_INLINE const int8_t *columns8(int32_t sum[ROWS], const int8_t *w, const int16_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n * ROWS; k++) {
        sum[k % ROWS] += w[k] * v[k / ROWS];
    }
    return w + n * ROWS;
}

TL_INLINE const int16_t *columns16(int32_t sum[ROWS], const int16_t *w, const int16_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n * ROWS; k++) {
        sum[k % ROWS] += w[k] * v[k / ROWS];
    }
    return w + n * ROWS;
}

TL_INLINE int32_t clip(int32_t v)
{
    return tl_sat16(v) + 32768;
}

#else

#if !defined(__riscv) || __riscv_xlen != 32 || !defined(__riscv_mul)
#error "tl_rv32.c is RV32IM code: compile with -march=rv32im or more, or with -DTL_HOST=1 for its twin in C"
#endif

/* Four rows of column k of a turn: weights of `size` bytes from `at` on, loaded by `load`. */
#define QUAD(load, size, at, a, b, c, d)                                                                               \
    load " %[t0], " size "*(8*k+" at ")(%[w])\n" load " %[t1], " size "*(8*k+1+" at ")(%[w])\n"                        \
    load " %[t2], " size "*(8*k+2+" at ")(%[w])\n" load " %[t3], " size "*(8*k+3+" at ")(%[w])\n"                      \
    "mul %[t0], %[t0], %[x]\n mul %[t1], %[t1], %[x]\n mul %[t2], %[t2], %[x]\n mul %[t3], %[t3], %[x]\n"              \
    "add %[" a "], %[" a "], %[t0]\n add %[" b "], %[" b "], %[t1]\n"                                                  \
    "add %[" c "], %[" c "], %[t2]\n add %[" d "], %[" d "], %[t3]\n"
/* The loop over v .. end, `count` columns a turn. */
#define LOOP(load, size, count)                                                                                        \
    if (v != end) {                                                                                                    \
        int32_t x, t0, t1, t2, t3;                                                                                     \
        __asm__("1:\n .set k, 0\n .rept " count "\n lh %[x], 2*k(%[v])\n"                                             \
                QUAD(load, size, "0", "s0", "s1", "s2", "s3") QUAD(load, size, "4", "s4", "s5", "s6", "s7")            \
                ".set k, k+1\n .endr\n addi %[v], %[v], 2*" count "\n addi %[w], %[w], 8*" size "*" count "\n"        \
                "bne %[v], %[end], 1b\n"                                                                               \
                : [s0] "+r"(sum[0]), [s1] "+r"(sum[1]), [s2] "+r"(sum[2]), [s3] "+r"(sum[3]), [s4] "+r"(sum[4]),       \
                  [s5] "+r"(sum[5]), [s6] "+r"(sum[6]), [s7] "+r"(sum[7]), [w] "+r"(w), [v] "+r"(v), [x] "=&r"(x),     \
                  [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3)                                       \
                : [end] "r"(end)                                                                                       \
                : "memory");                                                                                           \
    }
#define COLUMNS(load, size)                                                                                            \
    const int16_t *end = v + (n & ~7u);                                                                                \
    LOOP(load, size, "8")                                                                                              \
    end += n & 7;                                                                                                      \
    LOOP(load, size, "1")                                                                                              \
    return w;

TL_INLINE const int8_t *columns8(int32_t sum[ROWS], const int8_t *w, const int16_t *v, uint32_t n)
{
    COLUMNS("lb", "1")
}

TL_INLINE const int16_t *columns16(int32_t sum[ROWS], const int16_t *w, const int16_t *v, uint32_t n)
{
    COLUMNS("lh", "2")
}

/* v + 32768, held to 0 .. 65535, without a branch: first the upper end, then the lower. */
TL_INLINE int32_t clip(int32_t v)
{
    int32_t u, t;
    __asm__("sub %[u], %[v], %[top]\n srai %[t], %[u], 31\n and %[u], %[u], %[t]\n add %[u], %[u], %[span]\n"
            "slt %[t], zero, %[u]\n mul %[u], %[u], %[t]\n"
            : [u] "=&r"(u), [t] "=&r"(t)
            : [v] "r"(v), [top] "r"(32767), [span] "r"(65535));
    return u;
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

/* The sums of eight rows; the multipliers stand at w->bm. */
TL_INLINE void sums(int32_t sum[ROWS], tl_stream *w, const tl_sides *s, uint32_t part)
{
    const int32_t *b = w->bm;
    if (part != TL_OF_V && w->wx16 != NULL) {
        w->wx16 = columns16(sum, w->wx16, s->x, s->inputs);
    } else if (part != TL_OF_V) {
        w->wx8 = columns8(sum, w->wx8, s->x, s->inputs);
    }
    sum[0] = (sum[0] >> s->f) + b[0];
    sum[1] = (sum[1] >> s->f) + b[1];
    sum[2] = (sum[2] >> s->f) + b[2];
    sum[3] = (sum[3] >> s->f) + b[3];
    sum[4] = (sum[4] >> s->f) + b[4];
    sum[5] = (sum[5] >> s->f) + b[5];
    sum[6] = (sum[6] >> s->f) + b[6];
    sum[7] = (sum[7] >> s->f) + b[7];
    if (part != TL_OF_X) {
        w->wh = columns8(sum, w->wh, s->v, s->n);
    }
    w->bm += ROWS;
}

/* A unit from its four accumulators; high(acc, m * 2^(16 - t)) is tl_mulw(acc, m) >> t. */
TL_INLINE void unit(int16_t *h_new, int16_t *c, const int32_t acc[4], const int32_t m[4], uint32_t frac)
{
    int32_t i = look(tl_sigmoid_packed, high(acc[0], m[0]));
    int32_t f = look(tl_sigmoid_packed, high(acc[1], m[1]));
    int32_t g = look(tl_tanh_packed, high(acc[2], m[2]));
    int32_t o = look(tl_sigmoid_packed, high(acc[3], m[3]));
    int32_t cell = clip((f * *c + ((i * g) >> (15 - frac)) + (1 << 14)) >> 15) - 32768; /* tl_cell */
    *c = (int16_t)cell;
    *h_new = tl_hidden((int16_t)o, (int16_t)look(tl_tanh_packed, cell * (1 << (12 - frac))));
}

void tl_lstm_step_w8a16_rv32(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                             const tl_lstm_w8a16_rv32 *p)
{
    const tl_sides s = {x, h, p->inputs, p->hidden, p->f};
    const uint32_t units = p->units, frac = p->frac;
    tl_stream w = TL_STREAM(p);
    for (uint32_t u = 0; u < units; u += 2) {
        int32_t sum[ROWS] = {0, 0, 0, 0, 0, 0, 0, 0};
        sums(sum, &w, &s, TL_BOTH);
        unit(h_new + u, c + u, sum, w.bm, frac);
        if (u + 1 < units) {
            unit(h_new + u + 1, c + u + 1, sum + 4, w.bm + 4, frac);
        }
        w.bm += ROWS;
    }
}

/* Eight rows -> their gate inputs; returns what stands behind them. */
TL_INLINE tl_stream tl_rows(int32_t z[ROWS], tl_stream w, const tl_sides *s, uint32_t part)
{
    int32_t sum[ROWS] = {0, 0, 0, 0, 0, 0, 0, 0};
    sums(sum, &w, s, part);
    z[0] = high(sum[0], w.bm[0]);
    z[1] = high(sum[1], w.bm[1]);
    z[2] = high(sum[2], w.bm[2]);
    z[3] = high(sum[3], w.bm[3]);
    z[4] = high(sum[4], w.bm[4]);
    z[5] = high(sum[5], w.bm[5]);
    z[6] = high(sum[6], w.bm[6]);
    z[7] = high(sum[7], w.bm[7]);
    w.bm += ROWS;
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
