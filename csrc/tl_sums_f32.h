/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Dot products of the portable float32 layers: four sums side by side round less than one, and take less time. */
#ifndef TL_SUMS_F32_H
#define TL_SUMS_F32_H

#include <stdint.h>

static inline float tl_sum_of_products(const float *a, const float *b, uint32_t n)
{
    float s0 = 0.0f, s1 = 0.0f, s2 = 0.0f, s3 = 0.0f;
    uint32_t k = 0;
    for (; k + 4 <= n; k += 4) {
        s0 += a[k] * b[k];
        s1 += a[k + 1] * b[k + 1];
        s2 += a[k + 2] * b[k + 2];
        s3 += a[k + 3] * b[k + 3];
    }
    for (; k < n; k++) {
        s0 += a[k] * b[k];
    }
    return (s0 + s1) + (s2 + s3);
}

#endif
