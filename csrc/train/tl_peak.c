/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "tl_simd.h"
#include "tl_train.h"

#define TL_SUMS 12 /* chains that do not wait for one another: enough for two units with a latency of 4 to 5 */

void tl_multiply_add(const tl_peak *p)
{
    V sum[TL_SUMS];
    TL_UNROLL for (int i = 0; i < TL_SUMS; i++) {
        sum[i] = all(p->numbers[i]);
    }
    const V factor = all(p->numbers[TL_SUMS]), more = all(p->numbers[TL_SUMS + 1]);
    for (intptr_t k = 0; k < p->rounds; k++) {
        TL_UNROLL for (int i = 0; i < TL_SUMS; i++) {
            sum[i] = sum[i] * factor + more;
        }
        __asm__ volatile("");
    }
    TL_UNROLL for (int i = 0; i < TL_SUMS; i++) {
        p->numbers[i] = sum[i][0];
    }
}
