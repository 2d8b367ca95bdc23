/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* WebAssembly with 128-bit SIMD, which has no fused multiply-add: blocks of 8 units. */
#include <wasm_simd128.h>

#include "tl_inline.h"
#include "tl_kernels.h"

#ifndef __wasm_simd128__
#error "build this file with -msimd128"
#endif

typedef float four __attribute__((vector_size(16)));

#define V four
#define LANES 4u
#define VECTORS 2u
#define BOTH_WAYS 1
#define LEAF static inline
#define fraction(t, n) ((t) - (n))
#define ALL(v) ((four)wasm_f32x4_splat(v))
#define LOAD(p) ((four)wasm_v128_load(p))
#define STORE(p, v) wasm_v128_store(p, (v128_t)(v))
#define X four
#define spread ALL
#define multiply_add(a, b, c) ((a) * (b) + (c))
#define IN_ORDER (void)0
#define multiply_x multiply_add
#define floor_(t) ((four)wasm_f32x4_floor((v128_t)(t)))
#define total(v) (((v)[0] + (v)[1]) + ((v)[2] + (v)[3]))

INLINE V limit(V t, V most)
{
    return (four)wasm_f32x4_pmin((v128_t)most, wasm_f32x4_pmax((v128_t)(-most), (v128_t)t)); /* pmin, pmax: a NaN loses */
}

INLINE V scale(V p, V t, V n)
{
    (void)t;
    return (four)wasm_i32x4_add((v128_t)p, wasm_i32x4_shl(wasm_i32x4_trunc_sat_f32x4((v128_t)n), 23));
}

#include "tl_units_f32.h"

#include "tl_dot_f32.h"
#include "tl_tiles_f32.h"

void tl_lstm_step_f32_wasm_simd128(float *h_new, float *c, const float *h, const float *x, const tl_tiles_f32 *p)
{
    lstm_step(h_new, c, h, x, p);
}

void tl_gru_step_f32_wasm_simd128(float *h_new, float *reset, const float *h, const float *x, const tl_tiles_f32 *p)
{
    (void)reset;
    gru_step(h_new, h, x, p);
}

void tl_dense_f32_wasm_simd128(float *y, const float *h, const tl_dense_f32 *p)
{
    dense(y, h, p);
}
