/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "wire.h"

/* CRC-32 of zlib and Ethernet (reflected 0x04C11DB7), bit by bit: a frame waits for the serial line, not for this. */
static uint32_t crc32(const uint8_t *bytes, uint32_t size) {
    uint32_t crc = 0xFFFFFFFFu;
    for (uint32_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (uint32_t bit = 0; bit < 8u; bit++) {
            crc = (crc >> 1) ^ ((crc & 1u) != 0u ? 0xEDB88320u : 0u);
        }
    }
    return ~crc;
}

static void keep(struct tl_wire *wire, uint8_t byte) {
    if (wire->size < wire->capacity) {
        wire->bytes[wire->size++] = byte;
    } else {
        wire->too_long = true;
    }
}

/* What the bytes since the last zero are worth. */
static enum tl_wire_result judge(struct tl_wire *wire) {
    if (wire->code == 0u) {
        return TL_WIRE_MORE; /* zeros in a row: the line is idle */
    }
    if (wire->too_long) {
        return TL_WIRE_TOO_LONG;
    }
    if (wire->left != 0u || wire->size < TL_WIRE_CRC) {
        return TL_WIRE_DAMAGED;
    }
    wire->size -= TL_WIRE_CRC;
    const uint8_t *end = wire->bytes + wire->size;
    wire->crc = (uint32_t)end[0] | (uint32_t)end[1] << 8 | (uint32_t)end[2] << 16 | (uint32_t)end[3] << 24;
    return crc32(wire->bytes, wire->size) == wire->crc ? TL_WIRE_GOOD : TL_WIRE_DAMAGED;
}

enum tl_wire_result tl_wire_take(struct tl_wire *wire, uint8_t byte) {
    if (wire->whole) {
        wire->whole = false;
        wire->too_long = false;
        wire->size = 0;
        wire->code = 0;
        wire->left = 0;
    }
    if (byte == 0u) {
        wire->whole = true;
        return judge(wire);
    }
    if (wire->left > 0u) {
        keep(wire, byte);
        wire->left--;
        return TL_WIRE_MORE;
    }
    if (wire->code != 0u && wire->code != 255u) {
        keep(wire, 0u); /* between two blocks, but for one of 254 bytes */
    }
    wire->code = byte;
    wire->left = (uint8_t)(byte - 1u);
    return TL_WIRE_MORE;
}

void tl_wire_send(uint8_t *bytes, uint32_t size, void (*put)(uint8_t byte)) {
    uint32_t crc = crc32(bytes, size);
    for (uint32_t shift = 0; shift < 32u; shift += 8u) {
        bytes[size++] = (uint8_t)(crc >> shift);
    }
    put(0u);
    uint32_t at = 0;
    bool more = true;
    while (more) {
        uint32_t end = at;
        while (end < size && bytes[end] != 0u && end - at < 254u) {
            end++;
        }
        put((uint8_t)(end - at + 1u));
        for (uint32_t i = at; i < end; i++) {
            put(bytes[i]);
        }
        bool zero = end < size && end - at < 254u; /* it ended the block, which stands for it */
        at = zero ? end + 1u : end;
        more = zero || at < size;
    }
    put(0u);
}
