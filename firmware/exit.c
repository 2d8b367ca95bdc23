/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "hal.h"

#include <stdint.h>

#if TL_SEMIHOSTING
/* Arm semihosting SYS_EXIT (0x18): ADP_Stopped_ApplicationExit is success, any other reason is a failure. */
static void semihosting_exit(int code) {
    register uint32_t operation __asm__("r0") = 0x18u;
    register uint32_t reason __asm__("r1") = code == 0 ? 0x20026u : 0x20024u;
    __asm__ volatile("bkpt 0xab" : : "r"(operation), "r"(reason) : "memory");
}
#endif

_Noreturn void hal_exit(int code) {
#if TL_SEMIHOSTING
    semihosting_exit(code);
#else
    (void)code; /* the EXIT line has said it; whoever reads the serial line stops here */
#endif
    for (;;) {
        __asm__ volatile("wfi");
    }
}
