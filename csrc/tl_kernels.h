/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Contracts of the kernels. A name is tl_<op>_<scheme>_<target>; every target returns the bits of `ref`. */
#ifndef TL_KERNELS_H
#define TL_KERNELS_H

#include "tl_math.h"

/* Kernels are not part of a model's API: hidden from a shared library unless a test asks for them. */
#ifndef TL_KERNEL
#ifdef __GNUC__
#define TL_KERNEL __attribute__((visibility("hidden")))
#else
#define TL_KERNEL
#endif
#endif

static inline void tl_copy(int16_t *to, const int16_t *from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        to[i] = from[i];
    }
}

static inline void tl_zero(int16_t *to, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        to[i] = 0;
    }
}

/* How many of `size` units from `first` on a slice computes: whole blocks within the budget, at least one. */
static inline uint32_t tl_slice(uint32_t first, uint32_t size, uint32_t block, uint32_t budget)
{
    uint32_t units = budget < block ? block : budget - budget % block;
    return units < size - first ? units : size - first;
}

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM layer: int8 recurrent weights, int16 activations. Rows in gate order i, f, g, o: row = gate * hidden + unit. */
typedef struct tl_lstm_w8a16 {
    const int8_t *wh;    /* [4 * hidden][hidden] */
    const int16_t *wx16; /* [4 * hidden][inputs], or NULL */
    const int8_t *wx8;   /* [4 * hidden][inputs], or NULL: exactly one of the two */
    const int32_t *b;    /* [4 * hidden], carries the rounding of the requantization */
    const int16_t *m;    /* [4 * hidden], 1 .. 32767 */
    uint16_t inputs, hidden;
    uint16_t units; /* that a call computes: hidden; fewer in a slice, whose pointers point to its first unit */
    uint8_t t;    /* shift of the requantization, 0 .. 15 */
    uint8_t f;    /* shift of the input sum, 0 .. 15; 0 with wx8 */
    uint8_t frac; /* fractional bits of c, 0 .. 12 */
} tl_lstm_w8a16;

/* One step. h_new [units] <- h [hidden], c [units] (updated), x [inputs]. h and x in 1/32640, |h|, |x| <= 32640.
 * h_new must not overlap h, c or x. The generator has proven, per row,
 *     32640 * sum|wh| + (32640 * sum|wx| >> f) + 1 + |b| < 2^31   and   32640 * sum|wx| < 2^31,
 * so that no partial sum overflows int32. */
TL_KERNEL void tl_lstm_step_w8a16_ref(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                      const tl_lstm_w8a16 *p);

/* A GRU layer: as an LSTM layer, but rows in gate order r, z, n. Biases r, z, nx, nh with reset_after, else r, z, n. */
typedef struct tl_gru_w8a16 {
    const int8_t *wh;    /* [3 * hidden][hidden] */
    const int16_t *wx16; /* [3 * hidden][inputs], or NULL */
    const int8_t *wx8;   /* [3 * hidden][inputs], or NULL: exactly one of the two */
    const int32_t *b;    /* [4 * hidden] or [3 * hidden]; r, z, nx or n carry the rounding of the requantization */
    const int16_t *m;    /* [3 * hidden], 1 .. 32767 */
    uint16_t inputs, hidden;
    uint16_t units;      /* as in tl_lstm_w8a16; hidden without reset_after */
    uint16_t first;      /* the first of these units: 0 but in a slice */
    uint8_t t;           /* shift of the requantization, 0 .. 15 */
    uint8_t f;           /* shift of the input sum, 0 .. 15; 0 with wx8 */
    uint8_t reset_after; /* 1: n = tanh(W x + b_nx + r (U h + b_nh)); 0: n = tanh(W x + U (r h) + b) */
} tl_gru_w8a16;

/* One step. h_new [units] <- h [hidden], x [inputs], both in 1/32640, |h|, |x| <= 32640. h_new overlaps none of the others.
 * reset [hidden]: scratch, for r h; not touched with reset_after, and may then be NULL.
 * Proven as for the LSTM, with reset_after for W x + b_nx and for U h + b_nh apart. */
TL_KERNEL void tl_gru_step_w8a16_ref(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                                     const tl_gru_w8a16 *p);

/* A dense layer: int16 weights, int16 activations, int32 output. */
typedef struct tl_dense_w16a16 {
    const int16_t *w; /* [outputs][inputs] */
    const int32_t *b; /* [outputs] */
    uint16_t inputs, outputs;
} tl_dense_w16a16;

/* y [outputs] = b + w h. Proven: 32640 * sum|w| + |b| < 2^31 per row. y must not overlap h. */
TL_KERNEL void tl_dense_w16a16_ref(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
