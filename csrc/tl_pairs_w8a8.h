/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The look-ups of tl_tiles_w8a8.h for processors that have madd (tl_tiles_madd.h), and node_pairs. */
#ifndef TL_PAIRS_W8A8_H
#define TL_PAIRS_W8A8_H

#include "tl_tables_w8a8.h"

/* (2^bits n[i] + (n[i + 1] - n[i]) rest) / 2^shift, rounded half up, less 2^(16 + bits - shift): the nodes are 32768 to
 * 65535, which a signed word holds less 65536. rest: the upper `bits` bits of f. */
INLINE W node(W index, W f, uint32_t bits, uint32_t shift)
{
    const int16_t *nodes = (const int16_t *)tl_sigmoid_24ths;
    const W rest = shr16(f, 16 - bits), left = sub16(splat16((int16_t)(1 << bits)), rest);
    const D half = splat32(1 << (shift - 1));
    const D lo = madd(node_pairs(nodes, interleave_lo(index, ZERO)), interleave_lo(left, rest));
    const D hi = madd(node_pairs(nodes, interleave_hi(index, ZERO)), interleave_hi(left, rest));
    return narrow(shr32(add32(lo, half), shift), shr32(add32(hi, half), shift));
}

INLINE W sigmoid_node(W index, W f)
{
    return add16(node(index, f, 9, 10), splat16(-32768)); /* + 32768, modulo 2^16 */
}

INLINE W tanh_node(W index, W f)
{
    return add16(node(index, f, 8, 8), splat16(-32768)); /* + 65536 - 32768 */
}

#endif
