/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "tl_train.h"

#define TL_NUMBER(name, type) NUMBER_##name,
enum { TL_CALLS(TL_NUMBER) };

void tl_train_run(const tl_call *calls, intptr_t n)
{
    for (intptr_t i = 0; i < n; i++) {
        switch (calls[i].function) {
#define TL_CASE(name, type)                                                                                             \
    case NUMBER_##name:                                                                                                 \
        tl_##name((const type *)calls[i].arguments);                                                                    \
        break;
            TL_CALLS(TL_CASE)
        }
    }
}
