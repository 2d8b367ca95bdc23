/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Contracts of the float32 kernels, tl_<op>_f32_<target>: within 1e-5 of float64, not bit for bit. No libm.
 *
 * Everything rests on 2^t = 2^floor(t) p(t - floor(t)). p has positive coefficients, p(0) = 1 and p(1) < 2: each rounded
 * operation is monotone, so 2^t and with it ref's sigmoid and tanh are monotone to the last bit (the fused quotients of the
 * x86 kernels are so within their error). |p(r) / 2^r - 1| < 8.3e-8 (minimax, before rounding), which keeps sigmoid and
 * tanh within 4e-7 for every argument but NaN, and tanh(0) = 0. */
#ifndef TL_F32_H
#define TL_F32_H

#include "tl_kernels.h"

#define TL_EXP2_C1 0x1.62e4bap-1f
#define TL_EXP2_C2 0x1.ebdb56p-3f
#define TL_EXP2_C3 0x1.c91ce6p-5f
#define TL_EXP2_C4 0x1.277856p-7f
#define TL_EXP2_C5 0x1.e974fap-10f
#define TL_EXP2_MOST 29.0f /* |t| counts as this: 2^-29 is nothing beside 1, and a product of three 2^29 is finite */
#define TL_LOG2_E 1.442695041f

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM layer, rows in gate order i, f, g, o: row = gate * hidden + unit. */
typedef struct tl_lstm_f32 {
    const float *w_ih; /* [4 * hidden][inputs] */
    const float *w_hh; /* [4 * hidden][hidden] */
    const float *b;    /* [4 * hidden] */
    uint16_t inputs, hidden;
} tl_lstm_f32;

/* One step. h_new [hidden] <- h [hidden], c [hidden] (updated), x [inputs]. h_new must not overlap h, c or x. */
TL_KERNEL void tl_lstm_step_f32_ref(float *h_new, float *c, const float *h, const float *x, const tl_lstm_f32 *p);

/* A GRU layer, rows r, z, n. */
typedef struct tl_gru_f32 {
    const float *w_ih; /* [3 * hidden][inputs] */
    const float *w_hh; /* [3 * hidden][hidden] */
    const float *b;    /* reset after: [4 * hidden] r, z, n of x, n of h; reset before: [3 * hidden] */
    uint16_t inputs, hidden;
    uint8_t reset_after; /* 1: n = tanh(nx + r nh); 0: n = tanh(nx + W (r h)) */
} tl_gru_f32;

/* One step. h_new [hidden] overlaps nothing. reset [hidden]: scratch of reset before; NULL with reset after. */
TL_KERNEL void tl_gru_step_f32_ref(float *h_new, float *reset, const float *h, const float *x, const tl_gru_f32 *p);

/* A dense layer: y [outputs] = b + w h. y must not overlap h. */
typedef struct tl_dense_f32 {
    const float *w; /* [outputs][inputs] */
    const float *b; /* [outputs] */
    uint16_t inputs, outputs;
} tl_dense_f32;

TL_KERNEL void tl_dense_f32_ref(float *y, const float *h, const tl_dense_f32 *p);

/* All targets but ref: a recurrent layer in blocks of as many units as the target says, the last one padded with zeros.
 * Sections: i, f, g, o of the LSTM; r, z, nx, nh of the GRU (reset after). A row is scaled by -log2(e), those of g, nx and
 * nh by twice that, so that the sum is the exponent of 2. Steps that alternate between two buffers of h go once up and once
 * down the weights (down when h_new lies below h, on cores with caches), and find a part of a large layer still in the
 * cache. The two ways round differently: what a stream gives depends on the buffer that it starts from. */
typedef struct tl_tiles_f32 {
    const float *w; /* [block][bias, inputs, hidden][section][unit of the block]; GRU: only the sections that a column
                       has, r z nx nh for the bias, r z nx for an input, r z nh for h. Aligned to 64 bytes. */
    uint16_t inputs, hidden;
} tl_tiles_f32;

#define TL_F32_STEPS(target)                                                                                           \
    TL_KERNEL void tl_lstm_step_f32_##target(float *h_new, float *c, const float *h, const float *x,                   \
                                             const tl_tiles_f32 *p);                                                   \
    TL_KERNEL void tl_gru_step_f32_##target(float *h_new, float *reset, const float *h, const float *x,                \
                                            const tl_tiles_f32 *p)
#define TL_F32_DENSE(target) TL_KERNEL void tl_dense_f32_##target(float *y, const float *h, const tl_dense_f32 *p)

TL_F32_STEPS(fpv4); /* blocks of 2 units; its dense layer is that of ref */
TL_F32_STEPS(mve);  /* 4 */
TL_F32_DENSE(mve);
TL_F32_STEPS(neon); /* 8 */
TL_F32_DENSE(neon);
TL_F32_STEPS(wasm_simd128); /* 8 */
TL_F32_DENSE(wasm_simd128);
TL_F32_STEPS(avx2); /* 16 */
TL_F32_DENSE(avx2);
TL_F32_STEPS(avx512vnni); /* 32 */
TL_F32_DENSE(avx512vnni);

#ifdef __cplusplus
}
#endif
#endif
