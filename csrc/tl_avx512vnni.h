/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* x86-64 with AVX-512 F, BW, VL and VNNI. Layout of the weights: toolkit/codegen/pack_x86.py. */
#ifndef TL_AVX512VNNI_H
#define TL_AVX512VNNI_H

#include "tl_kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM layer in blocks of 32 units; B = blocks, Q = quads of columns, each rounded up and padded with zeros.
 * Lane j of half s of a block: its unit 8 * (j / 4) + 4 * s + j % 4. Arrays are best aligned to 64 bytes. */
typedef struct tl_lstm_w8a16_avx512vnni {
    const int8_t *w8;    /* [B][Q of the inputs, with int8 input weights only, then Q of h][gate][half][16][4] */
    const int16_t *wx16; /* [B][pairs of inputs][gate][half][16][2], or NULL: int8 input weights */
    const int32_t *b;    /* [B][gate][half][16]: bias - 32768 * sum w8 of its row, modulo 2^32 */
    const int32_t *m;    /* [B][gate][half][16], 1 .. 32767 */
    uint16_t inputs, hidden;
    uint8_t t, f, frac; /* as in tl_lstm_w8a16 */
} tl_lstm_w8a16_avx512vnni;

/* The meaning, the ranges and the bits of tl_lstm_step_w8a16_ref. */
TL_KERNEL void tl_lstm_step_w8a16_avx512vnni(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                             const tl_lstm_w8a16_avx512vnni *p);

/* The meaning, the layout and the bits of tl_dense_w16a16_ref. */
TL_KERNEL void tl_dense_w16a16_avx512vnni(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p);

#ifdef __cplusplus
}
#endif
#endif
