/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One sample in, one forecast out, for ever. `room` is the model's name: put yours in its place. */
#include "room.h"

bool read_sample(int32_t raw[ROOM_INPUTS]);            /* yours: waits for the next sample; false: it was lost */
void use(const int32_t forecast[ROOM_OUTPUTS]);        /* yours: fixed point, with the decimals that room.h states */

int main(void) {
    static room_state state;
    room_reset(&state);
    for (;;) {
        int32_t raw[ROOM_INPUTS];
        int32_t forecast[ROOM_OUTPUTS];
        if (read_sample(raw)) {
            room_predict(&state, raw, forecast);
        } else {
            room_predict_missing(&state, forecast);
        }
        if (room_warmed_up(&state)) {
            use(forecast);
        }
    }
}
