/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* AVX2: two rows of int8 weights share a 16-bit word and meet pairs of activations in VPMADDWD. */
#include "tl_avx2.h"
#include "tl_x86_256.h"

#define ACTIVATION int16_t

INLINE W load_x(const int16_t *p, uint32_t n)
{
    int32_t pair = (uint16_t)p[0];
    if (n > 1) {
        __builtin_memcpy(&pair, p, 4);
    }
    return _mm256_set1_epi32(pair);
}

#include "tl_tiles_madd.h"
#include "tl_tiles_words.h"
#include "tl_words.h"
#include "tl_tiles.h"

void tl_lstm_step_w8a16_avx2(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                             const tl_lstm_w8a16_avx2 *p)
{
    lstm_step(h_new, c, h, x, p);
}

void tl_gru_step_w8a16_avx2(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                            const tl_gru_w8a16_avx2 *p)
{
    gru_step(h_new, reset, h, x, p);
}

void tl_dense_w16a16_avx2(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    dense(y, h, p);
}
