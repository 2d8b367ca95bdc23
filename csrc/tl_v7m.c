/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The step of tl_chain.h as it is: MLA with the shifted word. */
#include "tl_v7m.h"

#include "tl_chain.h"

void tl_lstm_step_w8a16_v7m(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_v7m *p)
{
    tl_lstm_step_chain(h_new, c, h, x, p);
}
