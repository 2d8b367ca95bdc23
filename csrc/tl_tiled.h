/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Layers as the targets of tl_tiles.h take them: hidden units side by side in the lanes of vectors.
 *
 * A block is 2 * LANES units, B blocks, the last padded with zeros. Half s of a block holds in lane j its unit
 * 8 * (j / 4) + 4 * s + j % 4: the order in which two vectors of int32 become one of int16. Each array is one stream,
 * read forwards; what a target's header leaves open is said there. Packers: toolkit/codegen/pack_tiles.py. */
#ifndef TL_TILED_H
#define TL_TILED_H

#include "tl_kernels.h"

typedef struct tl_lstm_w8a16_tiled {
    const int8_t *w8;    /* [B][groups of inputs, with int8 input weights only, then groups of h][gate][tile] */
    const int16_t *wx16; /* [B][groups of inputs][gate][half][lane][column], or NULL: int8 input weights */
    const int32_t *b;    /* [B][gate][half][lane]: bias of the row, with the target's correction, modulo 2^32 */
    const int32_t *m;    /* [B][gate][half][lane]: multiplier of the row in the target's form */
    uint16_t inputs, hidden, units; /* units of a slice: whole blocks, or all that are left */
    uint8_t t, f, frac;             /* as in tl_lstm_w8a16 */
} tl_lstm_w8a16_tiled;

/* Gates r, z, n. Reset after: b has r, z, nx, nh, and m of n is without the shift t in every form. Reset before: all
 * blocks of the gates r and z, then all blocks of n, as if they were two layers. */
typedef struct tl_gru_w8a16_tiled {
    const int8_t *w8;
    const int16_t *wx16;
    const int32_t *b;
    const int32_t *m;
    uint16_t inputs, hidden, units, first;
    uint8_t t, f, reset_after; /* as in tl_gru_w8a16 */
} tl_gru_w8a16_tiled;

#endif
