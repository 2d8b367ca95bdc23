/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "probe.h"

__attribute__((noinline)) void tl_probe_begin(void) { __asm__ volatile("" ::: "memory"); }
__attribute__((noinline)) void tl_probe_end(void) { __asm__ volatile("" ::: "memory"); }
