/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "tl_state.h"

static const uint8_t magic[8] = {'T', 'L', 'S', 'T', 1, 0, 0, 0};

uint8_t *tl_put16(uint8_t *out, uint16_t v)
{
    out[0] = (uint8_t)(v & 0xFFu);
    out[1] = (uint8_t)(v >> 8);
    return out + 2;
}

uint16_t tl_get16(const uint8_t *in)
{
    return (uint16_t)(in[0] | (in[1] << 8));
}

static uint8_t *put32(uint8_t *out, uint32_t v)
{
    return tl_put16(tl_put16(out, (uint16_t)(v & 0xFFFFu)), (uint16_t)(v >> 16));
}

static uint32_t get32(const uint8_t *in)
{
    return (uint32_t)tl_get16(in) | ((uint32_t)tl_get16(in + 2) << 16);
}

uint8_t *tl_put_values(uint8_t *out, const int16_t *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        out = tl_put16(out, (uint16_t)v[i]);
    }
    return out;
}

const uint8_t *tl_get_values(const uint8_t *in, int16_t *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, in += 2) {
        v[i] = (int16_t)tl_get16(in);
    }
    return in;
}

uint8_t *tl_put_values8(uint8_t *out, const int8_t *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        *out++ = (uint8_t)v[i];
    }
    return out;
}

const uint8_t *tl_get_values8(const uint8_t *in, int8_t *v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        v[i] = (int8_t)*in++;
    }
    return in;
}

/* CRC-32 of zlib and Ethernet (reflected 0x04C11DB7), four bits at a time: 64 bytes of table. */
static uint32_t crc32(const uint8_t *bytes, uint32_t n)
{
    static const uint32_t nibble[16] = {
        0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
        0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu};
    uint32_t crc = 0xFFFFFFFFu;
    for (uint32_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        crc = (crc >> 4) ^ nibble[crc & 15u];
        crc = (crc >> 4) ^ nibble[crc & 15u];
    }
    return ~crc;
}

uint8_t *tl_state_begin(uint8_t *out, const uint8_t model[8], uint32_t steps, uint16_t lost, uint16_t held)
{
    for (uint32_t i = 0; i < 8; i++) {
        out[i] = magic[i];
        out[8 + i] = model[i];
    }
    return tl_put16(tl_put16(put32(out + 16, steps), lost), held);
}

void tl_state_end(uint8_t *out, uint32_t size)
{
    (void)put32(out + size, crc32(out, size));
}

int tl_state_check(const uint8_t *in, uint32_t size, const uint8_t model[8])
{
    for (uint32_t i = 0; i < 8; i++) {
        if (in[i] != magic[i]) {
            return TL_RESTORE_FORMAT;
        }
    }
    for (uint32_t i = 0; i < 8; i++) {
        if (in[8 + i] != model[i]) {
            return TL_RESTORE_MODEL;
        }
    }
    return crc32(in, size) == get32(in + size) ? TL_RESTORE_OK : TL_RESTORE_DAMAGED;
}

bool tl_activations_fit(const uint8_t *in, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        int16_t v = (int16_t)tl_get16(in + 2 * i);
        if (v > 32640 || v < -32640) {
            return false;
        }
    }
    return true;
}

uint32_t tl_state_steps(const uint8_t *in)
{
    return get32(in + 16);
}
