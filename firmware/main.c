/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The one main of all boards. Says who it is, replays the vectors that the image has, and serves the serial line where
   the image was built to (TL_SERVE): docs/protocol.md. The last line of text is EXIT:0 or EXIT:1. */
#include "parts.h"
#include "print.h"

tl_model_state tl_stream;

int main(void) {
    bool good = true;
    print_text("model=" TL_MODEL_NAME "\nboard=" TL_BOARD_NAME "\n");
#if TL_REPLAY
    good = tl_replay();
    print_text(good ? "EXIT:0\n" : "EXIT:1\n");
#endif
#if TL_SERVE
    tl_serve();
#endif
    return good ? 0 : 1;
}
