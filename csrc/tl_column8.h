/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One column of four rows that share a word: tl_chain.h. */
#ifndef TL_COLUMN8_H
#define TL_COLUMN8_H

#include "tl_kernels.h"

#define TL_INLINE static inline __attribute__((always_inline)) /* or the sums would go to memory */

/* sum[j] += (w >> (24 - 8 j)) x. */
TL_INLINE void tl_column8(uint32_t sum[4], uint32_t w, int32_t x)
{
    sum[0] += (uint32_t)((int32_t)w >> 24) * (uint32_t)x;
    sum[1] += (uint32_t)((int32_t)w >> 16) * (uint32_t)x;
    sum[2] += (uint32_t)((int32_t)w >> 8) * (uint32_t)x;
    sum[3] += w * (uint32_t)x;
}

#endif
