/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Frames on the serial line (docs/protocol.md): COBS between zero bytes, a CRC-32 at the end. No state but what is given:
   the same file is fuzzed on a computer. */
#ifndef TL_WIRE_H
#define TL_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#define TL_WIRE_CRC 4u

enum tl_wire_result { TL_WIRE_MORE, TL_WIRE_GOOD, TL_WIRE_DAMAGED, TL_WIRE_TOO_LONG };

/* A receiver; all zero but `bytes` and `capacity` is its start. */
struct tl_wire {
    uint8_t *bytes;    /* what is decoded; after TL_WIRE_GOOD the frame without its CRC-32 */
    uint32_t capacity; /* bytes there, the CRC-32's with them */
    uint32_t size;     /* decoded; after TL_WIRE_GOOD without the CRC-32, which `crc` has */
    uint32_t crc;
    uint8_t code; /* of the block that is read, 0 before the first */
    uint8_t left; /* bytes of the block that are to come */
    bool whole;   /* a result was given: the next byte begins a frame */
    bool too_long;
};

/* Takes one byte of the line. Whatever came before, a zero byte begins a new frame. */
enum tl_wire_result tl_wire_take(struct tl_wire *wire, uint8_t byte);

/* Sends `size` bytes and their CRC-32, which it writes behind them. */
void tl_wire_send(uint8_t *bytes, uint32_t size, void (*put)(uint8_t byte));

#endif
