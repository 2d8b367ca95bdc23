/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Scheme w8a8 for the targets that hold hidden units side by side in the lanes of vectors. Blocks, halves and lanes as
 * in tl_tiled.h. Packer: toolkit/codegen/pack_w8a8.py. */
#ifndef TL_TILED_W8A8_H
#define TL_TILED_W8A8_H

#include "tl_w8a8.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM layer. A tile of w is a gate's weights for
 *   avx2, avx512vnni, neon_dotprod  four columns: [half][lane][column]
 *   neon                            four columns: [half][pair][lane][column]
 *   wasm_simd128                    two columns, words as in tl_wasm_simd128.h
 * Weights are -127 .. 127 for avx2 and neon. */
typedef struct tl_lstm_w8a8_tiled {
    const int8_t *w;  /* [B][groups of x, then of h][gate][tile] */
    const int32_t *b; /* [B][of x, of h][gate][half][lane]: bias; avx512vnni: less 128 * sum w of its row, mod 2^32 */
    const int32_t *m; /* [9][multiplier, shift to the left, shift to the right], from m and s of tl_lstm_w8a8 */
    uint16_t inputs, hidden; /* this and the rest as there */
    uint16_t units; /* of a slice: whole blocks, or all that are left */
    int16_t clip;
    int8_t h_zero;
    uint8_t bits, table;
} tl_lstm_w8a8_tiled;

/* The meaning, the ranges and the bits of tl_<op>_ref. The dense layer has ref's layout. */
#define TL_TILED_W8A8(target)                                                                                          \
    TL_KERNEL void tl_lstm_step_w8a8_##target(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x,             \
                                              const tl_lstm_w8a8_tiled *p);                                            \
    TL_KERNEL void tl_dense_w16a8_##target(int32_t *y, const int8_t *h, const tl_dense_w16a8 *p)

TL_TILED_W8A8(avx2);
TL_TILED_W8A8(avx512vnni);
TL_TILED_W8A8(neon);
TL_TILED_W8A8(neon_dotprod);
TL_TILED_W8A8(wasm_simd128);

#undef TL_TILED_W8A8

#ifdef __cplusplus
}
#endif

/* The first four of n activations as the bytes of a word, zeros behind the last. */
static inline uint32_t tl_quad(const int8_t *v, uint32_t n)
{
    uint32_t quad = (uint8_t)v[0];
    if (n >= 4) {
        __builtin_memcpy(&quad, v, 4);
    } else {
        quad |= n > 1 ? (uint32_t)(uint8_t)v[1] << 8 : 0;
        quad |= n > 2 ? (uint32_t)(uint8_t)v[2] << 16 : 0;
    }
    return quad;
}

#endif
