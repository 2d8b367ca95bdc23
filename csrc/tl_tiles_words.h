/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The look-ups of processors that have madd (tl_tiles_madd.h). node_pairs(nodes, i): n[i] in the lower, n[i + 1] in the
 * upper word of a lane. */
#ifndef TL_TILES_WORDS_H
#define TL_TILES_WORDS_H

#include "tl_tables.h"

/* tl_lookup: n[i] * (32768 - fraction) + n[i + 1] * fraction >> 15; the coefficients fit int16, as fraction is odd. */
INLINE W lookup(const int16_t nodes[257], W z)
{
    const W half = splat16(-32768);
    const W index = srli16(xor_(z, half), 8);
    const W fraction = or_(srli16(slli16(z, 8), 1), splat16(1)); /* Q0.15 */
    const W rest = sub16(half, fraction);
    const D lo = madd(node_pairs(nodes, interleave_lo(index, ZERO)), interleave_lo(rest, fraction));
    const D hi = madd(node_pairs(nodes, interleave_hi(index, ZERO)), interleave_hi(rest, fraction));
    return narrow(srai32(lo, 15), srai32(hi, 15));
}

INLINE W sigmoid(W z)
{
    return lookup(tl_sigmoid_nodes, z);
}

INLINE W tanh_(W z)
{
    return lookup(tl_tanh_nodes, z);
}

#endif
