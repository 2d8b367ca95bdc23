/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A hand-made stand-in for a generated model: four leaky integrators. Same calls, same save format. */
#ifndef FAKE_H
#define FAKE_H

#include <stdbool.h>
#include <stdint.h>

#ifndef TL_API
#define TL_API
#endif

#define FAKE_INPUTS 2
#define FAKE_OUTPUTS 1
#define FAKE_SAVE_BYTES 48
#define FAKE_STATE_BYTES 28

typedef struct fake_state {
    uint32_t steps;
    uint16_t lost;
    int16_t h[4];
    int16_t c[4];
    int16_t x[FAKE_INPUTS];
} fake_state;

TL_API void fake_reset(fake_state *s);
TL_API void fake_predict(fake_state *s, const int32_t raw[FAKE_INPUTS], int32_t forecast[FAKE_OUTPUTS]);
TL_API void fake_predict_missing(fake_state *s, int32_t forecast[FAKE_OUTPUTS]);
TL_API bool fake_warmed_up(const fake_state *s);
TL_API void fake_save(const fake_state *s, uint8_t out[FAKE_SAVE_BYTES]);
TL_API int fake_restore(fake_state *s, const uint8_t in[FAKE_SAVE_BYTES]);

#endif
