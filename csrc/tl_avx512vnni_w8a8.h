/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* x86-64 with AVX-512 F, BW, VL and VNNI, scheme w8a8. Layout of the weights: toolkit/codegen/pack_w8a8.py. */
#ifndef TL_AVX512VNNI_W8A8_H
#define TL_AVX512VNNI_W8A8_H

#include "tl_w8a8.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An LSTM layer in blocks of 32 units, as tl_lstm_w8a16_avx512vnni; the activations are those of the table. */
typedef struct tl_lstm_w8a8_avx512vnni {
    const int8_t *w;  /* [B][quads of x, then of h][gate][half][16][4] */
    const int32_t *b; /* [B][of x, of h][gate][half][16]: bias - 128 * sum w of its row, modulo 2^32 */
    const int32_t *m; /* the rest as in tl_lstm_w8a8 */
    const int8_t *s;
    uint16_t inputs, hidden;
    int16_t clip;
    int8_t h_zero;
    uint8_t bits;
} tl_lstm_w8a8_avx512vnni;

/* The meaning, the ranges and the bits of tl_lstm_step_w8a8_ref. */
TL_KERNEL void tl_lstm_step_w8a8_avx512vnni(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x,
                                            const tl_lstm_w8a8_avx512vnni *p);

#ifdef __cplusplus
}
#endif
#endif
