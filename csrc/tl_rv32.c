/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Eight rows share the load of a column's activation: 25 instructions for 8 multiply-accumulates, eight columns a turn.
 * Six rows of a GRU take 19 for 6. Nothing branches on data, so that a step takes the same instructions whatever the
 * numbers are. */
#include "tl_rv32.h"

#include <stddef.h>

#include "tl_dense_unrolled.h"
#include "tl_tables_packed.h"

#define ROWS 8u
#define SIX 6u
#define TL_INLINE static inline __attribute__((always_inline)) /* or the sums would go to memory */

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

/* The same for the six rows of a GRU. */
TL_INLINE const int8_t *sixes8(int32_t sum[SIX], const int8_t *w, const int16_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n * SIX; k++) {
        sum[k % SIX] += w[k] * v[k / SIX];
    }
    return w + n * SIX;
}

TL_INLINE const int16_t *sixes16(int32_t sum[SIX], const int16_t *w, const int16_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n * SIX; k++) {
        sum[k % SIX] += w[k] * v[k / SIX];
    }
    return w + n * SIX;
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

/* Six rows: the same, three at a time. */
#define THREE(load, size, at, a, b, c)                                                                                 \
    load " %[t0], " size "*(6*k+" at ")(%[w])\n" load " %[t1], " size "*(6*k+1+" at ")(%[w])\n"                        \
    load " %[t2], " size "*(6*k+2+" at ")(%[w])\n"                                                                     \
    "mul %[t0], %[t0], %[x]\n mul %[t1], %[t1], %[x]\n mul %[t2], %[t2], %[x]\n"                                      \
    "add %[" a "], %[" a "], %[t0]\n add %[" b "], %[" b "], %[t1]\n add %[" c "], %[" c "], %[t2]\n"
#define LOOP_SIX(load, size, count)                                                                                    \
    if (v != end) {                                                                                                    \
        int32_t x, t0, t1, t2;                                                                                         \
        __asm__("1:\n .set k, 0\n .rept " count "\n lh %[x], 2*k(%[v])\n"                                             \
                THREE(load, size, "0", "s0", "s1", "s2") THREE(load, size, "3", "s3", "s4", "s5")                      \
                ".set k, k+1\n .endr\n addi %[v], %[v], 2*" count "\n addi %[w], %[w], 6*" size "*" count "\n"        \
                "bne %[v], %[end], 1b\n"                                                                               \
                : [s0] "+r"(sum[0]), [s1] "+r"(sum[1]), [s2] "+r"(sum[2]), [s3] "+r"(sum[3]), [s4] "+r"(sum[4]),       \
                  [s5] "+r"(sum[5]), [w] "+r"(w), [v] "+r"(v), [x] "=&r"(x), [t0] "=&r"(t0), [t1] "=&r"(t1),           \
                  [t2] "=&r"(t2)                                                                                       \
                : [end] "r"(end)                                                                                       \
                : "memory");                                                                                           \
    }
#define SIXES(load, size)                                                                                              \
    const int16_t *end = v + (n & ~7u);                                                                                \
    LOOP_SIX(load, size, "8")                                                                                          \
    end += n & 7;                                                                                                      \
    LOOP_SIX(load, size, "1")                                                                                          \
    return w;

TL_INLINE const int8_t *sixes8(int32_t sum[SIX], const int8_t *w, const int16_t *v, uint32_t n)
{
    SIXES("lb", "1")
}

TL_INLINE const int16_t *sixes16(int32_t sum[SIX], const int16_t *w, const int16_t *v, uint32_t n)
{
    SIXES("lh", "2")
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

/* The sums of the inputs -> what the recurrent columns go on with. */
TL_INLINE void begin(int32_t sum[4], const int32_t *b, uint32_t f)
{
    sum[0] = (sum[0] >> f) + b[0];
    sum[1] = (sum[1] >> f) + b[1];
    sum[2] = (sum[2] >> f) + b[2];
    sum[3] = (sum[3] >> f) + b[3];
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
    const uint32_t n = p->hidden, inputs = p->inputs, f = p->f, frac = p->frac;
    const int8_t *wh = p->wh, *wx8 = p->wx8;
    const int16_t *wx16 = p->wx16;
    const int32_t *bm = p->bm;
    for (uint32_t u = 0; u < p->units; u += 2) {
        int32_t sum[ROWS] = {0, 0, 0, 0, 0, 0, 0, 0};
        if (wx16 != NULL) {
            wx16 = columns16(sum, wx16, x, inputs);
        } else {
            wx8 = columns8(sum, wx8, x, inputs);
        }
        begin(sum, bm, f);
        begin(sum + 4, bm + ROWS, f);
        wh = columns8(sum, wh, h, n);
        unit(h_new + u, c + u, sum, bm + 4, frac);
        if (u + 1 < p->units) {
            unit(h_new + u + 1, c + u + 1, sum + 4, bm + 12, frac);
        }
        bm += 2 * ROWS;
    }
}

/* The sums of r, z, n over the inputs -> what the recurrent columns go on with. Returns the accumulator of nx. */
TL_INLINE int32_t begin_gru(int32_t sum[3], const int32_t *b, uint32_t f)
{
    int32_t from_x = (sum[2] >> f) + b[2];
    sum[0] = (sum[0] >> f) + b[0];
    sum[1] = (sum[1] >> f) + b[1];
    sum[2] = b[3];
    return from_x;
}

/* A unit from its four accumulators. Both parts of n are in Q(12 + t), each below 2^30. */
TL_INLINE int16_t unit_gru(int32_t from_x, const int32_t acc[3], const int32_t m[3], uint32_t t, int16_t h)
{
    int32_t r = look(tl_sigmoid_packed, high(acc[0], m[0]));
    int32_t z = look(tl_sigmoid_packed, high(acc[1], m[1]));
    int32_t gated = high(high(acc[2], m[2]), r * 65536); /* tl_mulw of both */
    int32_t n = look(tl_tanh_packed, (high(from_x, m[2]) + 2 * gated) >> t);
    return tl_blend((int16_t)z, h, (int16_t)n);
}

void tl_gru_step_w8a16_rv32(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                            const tl_gru_w8a16_rv32 *p)
{
    const uint32_t n = p->hidden, inputs = p->inputs, f = p->f, t = p->t;
    const int8_t *wh = p->wh, *wx8 = p->wx8;
    const int16_t *wx16 = p->wx16, *own = h + p->first;
    const int32_t *bm = p->bm;
    (void)reset;
    for (uint32_t u = 0; u < p->units; u += 2) {
        int32_t sum[SIX] = {0, 0, 0, 0, 0, 0};
        if (wx16 != NULL) {
            wx16 = sixes16(sum, wx16, x, inputs);
        } else {
            wx8 = sixes8(sum, wx8, x, inputs);
        }
        int32_t from_x0 = begin_gru(sum, bm, f);
        int32_t from_x1 = begin_gru(sum + 3, bm + 7, f);
        wh = sixes8(sum, wh, h, n);
        h_new[u] = unit_gru(from_x0, sum, bm + 4, t, own[u]);
        if (u + 1 < p->units) {
            h_new[u + 1] = unit_gru(from_x1, sum + 3, bm + 11, t, own[u + 1]);
        }
        bm += 14;
    }
}

void tl_dense_w16a16_rv32(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    tl_dense_unrolled(y, h, p);
}
