/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* WebAssembly with 128-bit SIMD, scheme w8a8: words of two weights, as in tl_wasm_simd128.c. */
#include "tl_tiled_w8a8.h"
#include "tl_wasm.h"

#define ACTIVATION int8_t

INLINE W load_bytes(const int8_t *p, uint32_t n)
{
    int8_t part[8] = {0};
    if (n < 8) {
        tl_copy8(part, p, n);
    }
    return wasm_i16x8_load8x8(n >= 8 ? p : part);
}

INLINE void store_bytes(int8_t *p, W v, uint32_t n)
{
    int8_t all[8];
    wasm_v128_store64_lane(n >= 8 ? p : all, wasm_i8x16_narrow_i16x8(v, v), 0);
    if (n < 8) {
        tl_copy8(p, all, n);
    }
}

INLINE W load_x(const int8_t *p, uint32_t n)
{
    return splat32((uint16_t)p[0] | (n > 1 ? p[1] * 65536 : 0));
}

#include "tl_pairs_w8a8.h"
#include "tl_words.h"
#include "tl_tiles_w8a8.h"

KERNELS(wasm_simd128)
