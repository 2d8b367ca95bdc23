/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "fake.h"

#include "fake_weights.h"

#include <string.h>

static int16_t clamp(int32_t value) { return (int16_t)(value > 32767 ? 32767 : value < -32768 ? -32768 : value); }

void fake_reset(fake_state *s) { memset(s, 0, sizeof *s); }

static void step(fake_state *s, int32_t forecast[FAKE_OUTPUTS]) {
    forecast[0] = dense0_b[0];
    for (int i = 0; i < 4; i++) {
        int32_t drive = s->x[0] * lstm0_wx[i][0] + s->x[1] * lstm0_wx[i][1];
        s->c[i] = clamp(s->c[i] - (s->c[i] >> 3) + (drive >> 4));
        s->h[i] = (int16_t)(s->c[i] >> 1);
        forecast[0] += s->h[i] * dense0_w[i];
    }
    s->steps++;
}

void fake_predict(fake_state *s, const int32_t raw[FAKE_INPUTS], int32_t forecast[FAKE_OUTPUTS]) {
    s->x[0] = clamp(raw[0]);
    s->x[1] = clamp(raw[1]);
    s->lost = 0;
    step(s, forecast);
}

void fake_predict_missing(fake_state *s, int32_t forecast[FAKE_OUTPUTS]) {
    s->lost++;
    step(s, forecast);
}

bool fake_warmed_up(const fake_state *s) { return s->steps >= 4u; }

static uint32_t crc32(const uint8_t *bytes, uint32_t count) {
    uint32_t crc = 0xFFFFFFFFu;
    for (uint32_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
        }
    }
    return ~crc;
}

static uint8_t *put16(uint8_t *out, int32_t value) {
    out[0] = (uint8_t)((uint32_t)value & 255u);
    out[1] = (uint8_t)(((uint32_t)value >> 8) & 255u);
    return out + 2;
}

static uint8_t *put32(uint8_t *out, uint32_t value) {
    return put16(put16(out, (int32_t)(value & 0xFFFFu)), (int32_t)(value >> 16));
}

static int16_t get16(const uint8_t *in) { return (int16_t)(uint16_t)((uint32_t)in[0] | (uint32_t)in[1] << 8); }

void fake_save(const fake_state *s, uint8_t out[FAKE_SAVE_BYTES]) {
    memcpy(out, "TLST\1\0\0\0FAKEFAKE", 16);
    uint8_t *to = put16(put16(put32(out + 16, s->steps), s->lost), 0);
    for (int i = 0; i < 4; i++) {
        to = put16(to, s->h[i]);
    }
    for (int i = 0; i < 4; i++) {
        to = put16(to, s->c[i]);
    }
    to = put16(put16(to, s->x[0]), s->x[1]);
    put32(to, crc32(out, FAKE_SAVE_BYTES - 4));
}

int fake_restore(fake_state *s, const uint8_t in[FAKE_SAVE_BYTES]) {
    uint8_t crc[4];
    put32(crc, crc32(in, FAKE_SAVE_BYTES - 4));
    if (memcmp(in, "TLST\1\0\0\0FAKEFAKE", 16) != 0) {
        return 1;
    }
    if (memcmp(in + FAKE_SAVE_BYTES - 4, crc, 4) != 0) {
        return 2;
    }
    s->steps = (uint32_t)(uint16_t)get16(in + 16) | (uint32_t)(uint16_t)get16(in + 18) << 16;
    s->lost = (uint16_t)get16(in + 20);
    for (int i = 0; i < 4; i++) {
        s->h[i] = get16(in + 24 + 2 * i);
        s->c[i] = get16(in + 32 + 2 * i);
    }
    s->x[0] = get16(in + 40);
    s->x[1] = get16(in + 42);
    return 0;
}
