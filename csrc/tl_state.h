/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A model's state as bytes: little-endian, canonical order, the same on every target.
 *
 *   0  "TLST"      4  version (1), u16      6  zero, u16      8  model, 8 bytes      16  steps since reset, u32
 *  20  samples lost in a row, u16          22  samples held, u16      24  tensors, int16 or int8
 *  end - 4  CRC-32 (zlib's) */
#ifndef TL_STATE_H
#define TL_STATE_H

#include <stdbool.h>

#include "tl_kernels.h"

#define TL_STATE_HEADER 24u

/* What a model's restore() returns. */
enum tl_restore {
    TL_RESTORE_OK = 0,
    TL_RESTORE_FORMAT = 1,  /* not a saved state, or of another version */
    TL_RESTORE_MODEL = 2,   /* saved by another model */
    TL_RESTORE_DAMAGED = 3, /* CRC-32 does not match */
    TL_RESTORE_VALUE = 4    /* counters or activations that this model cannot have */
};

#ifdef __cplusplus
extern "C" {
#endif

TL_KERNEL uint8_t *tl_put16(uint8_t *out, uint16_t v);
TL_KERNEL uint16_t tl_get16(const uint8_t *in);
TL_KERNEL uint8_t *tl_put_values(uint8_t *out, const int16_t *v, uint32_t n);
TL_KERNEL const uint8_t *tl_get_values(const uint8_t *in, int16_t *v, uint32_t n);
TL_KERNEL uint8_t *tl_put_values8(uint8_t *out, const int8_t *v, uint32_t n);
TL_KERNEL const uint8_t *tl_get_values8(const uint8_t *in, int8_t *v, uint32_t n);

/* Writes the header, TL_STATE_HEADER bytes; returns where the tensors go. */
TL_KERNEL uint8_t *tl_state_begin(uint8_t *out, const uint8_t model[8], uint32_t steps, uint16_t lost, uint16_t held);
/* Writes the CRC-32 of the `size` bytes before `out + size`. */
TL_KERNEL void tl_state_end(uint8_t *out, uint32_t size);
/* Checks a saved state of `size` bytes without the CRC-32. */
TL_KERNEL int tl_state_check(const uint8_t *in, uint32_t size, const uint8_t model[8]);
/* Whether n activations are within +-32640: the kernels' proof against overflow rests on it. */
TL_KERNEL bool tl_activations_fit(const uint8_t *in, uint32_t n);
/* Steps since reset. */
TL_KERNEL uint32_t tl_state_steps(const uint8_t *in);

#ifdef __cplusplus
}
#endif
#endif
