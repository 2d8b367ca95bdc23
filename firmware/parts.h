/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What main.c is made of, as the build asks: -DTL_REPLAY=1 with replay.c, -DTL_SERVE=1 with serve.c and wire.c. */
#ifndef TL_PARTS_H
#define TL_PARTS_H

#include "model.h"

#include <stdbool.h>

extern tl_model_state tl_stream; /* the one stream of the image */

bool tl_replay(void); /* false where the board differs from the oracle */
void tl_serve(void);  /* returns when the serial line has ended, which a board's never does */

#endif
