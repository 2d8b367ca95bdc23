/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Primitives of tl_tiles.h for processors that multiply and add pairs of int16: madd(a, b) is
 * a[2 j] * b[2 j] + a[2 j + 1] * b[2 j + 1] in int32 lane j. Used by x86 and wasm; interleave_lo and interleave_hi give
 * the two halves of a block, and narrow puts them together again. */
#ifndef TL_TILES_MADD_H
#define TL_TILES_MADD_H

#define X W
#define X_COLUMNS 2u
#define dot_x(acc, w, x) dot_words(acc, LOAD16(w), x)

/* f c + (i g >> (15 - frac)) + 2^14 >> 15 in int32, |result| <= 2^16, for one half.
 * The words are f, 128 and c, 128: the rounding, 2^14 = 128 * 128, is the second product of each pair. */
INLINE D cell_sum(W f, W c, D ig, uint8_t frac)
{
    return srai32(add32(madd(f, c), shr32(ig, 15 - frac)), 15);
}

INLINE W cell(W *c, W i, W f, W g, uint8_t frac)
{
    const W root = splat16(128);
    D ig[2];
    products(i, g, &ig[0], &ig[1]);
    const D lo = cell_sum(interleave_lo(f, root), interleave_lo(*c, root), ig[0], frac);
    const D hi = cell_sum(interleave_hi(f, root), interleave_hi(*c, root), ig[1], frac);
    *c = narrow(lo, hi);
    /* Q.frac -> Q3.12: sat16(sat16(v) << s) = sat16(v << s), and |v << s| <= 2^28 */
    return narrow(shl32(lo, 12 - frac), shl32(hi, 12 - frac));
}

/* 32768 - z fits int16. */
INLINE W blend(W z, W h, W n)
{
    const W rest = sub16(splat16(-32768), z);
    const D half = splat32(1 << 14);
    const D lo = add32(madd(interleave_lo(z, rest), interleave_lo(h, n)), half);
    const D hi = add32(madd(interleave_hi(z, rest), interleave_hi(h, n)), half);
    return narrow(srai32(lo, 15), srai32(hi, 15));
}

#endif
