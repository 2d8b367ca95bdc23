/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The core's own counter of cycles, for every core that has a firmware. */
#ifndef TL_CYCLES_H
#define TL_CYCLES_H

#include <stdint.h>

/* What counts, as `info` tells it: nothing, DWT.CYCCNT, SysTick, mcycle, the time stamp counter, CNTVCT. */
enum tl_counter { TL_COUNTER_NONE, TL_COUNTER_DWT, TL_COUNTER_SYSTICK, TL_COUNTER_MCYCLE, TL_COUNTER_TSC, TL_COUNTER_CNTVCT };

#if defined(__ARM_ARCH_6M__)
#define TL_CYCLES_MASK 0xFFFFFFu /* SysTick has 24 bits */
#else
#define TL_CYCLES_MASK 0xFFFFFFFFu
#endif

enum tl_counter tl_cycles_start(void);
uint32_t tl_cycles(void); /* counts up, modulo TL_CYCLES_MASK + 1 */

#endif
