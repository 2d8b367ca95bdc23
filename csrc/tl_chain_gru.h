/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The GRU step of the cores without DSP instructions: a block of tl_chain.h is one gate of four units. */
#ifndef TL_CHAIN_GRU_H
#define TL_CHAIN_GRU_H

#include "tl_chain.h"

#define TL_ROWS 4u
#define tl_rows tl_four

TL_INLINE int16_t tl_sigmoid_of(int32_t z)
{
    return tl_look(tl_sigmoid_lines, z);
}

TL_INLINE int16_t tl_tanh_of(int32_t z)
{
    return tl_look(tl_tanh_lines, z);
}

typedef const uint32_t *tl_stream;
typedef tl_cell_w8a16_v6m tl_gru_blocks;
#define TL_STREAM(p) ((p)->w)

#include "tl_gru_blocks.h"

#endif
