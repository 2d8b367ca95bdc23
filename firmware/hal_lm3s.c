/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Stellaris LM3S (TI LM3S6965 data sheet, chapters 5, 8 and 12): UART0 on PA0 and PA1, the USB bridge. Runs from the
   8 MHz crystal, past the PLL; the internal oscillator is too far off for a UART. */
#include "hal.h"
#include "pl011.h"

#include <stdint.h>

#define SYSCTL_RCC (*(volatile uint32_t *)0x400FE060u)
#define SYSCTL_RCGC1 (*(volatile uint32_t *)0x400FE104u)
#define SYSCTL_RCGC2 (*(volatile uint32_t *)0x400FE108u)
#define GPIOA_AFSEL (*(volatile uint32_t *)0x40004420u)
#define GPIOA_DEN (*(volatile uint32_t *)0x4000451Cu)

void hal_init(void) {
    uint32_t rcc = (SYSCTL_RCC & ~(1u | 15u << 6)) | 14u << 6 | 1u << 11; /* crystal on, 8 MHz; past the PLL */
    SYSCTL_RCC = rcc;
    for (volatile uint32_t wait = 0; wait < 20000u; wait++) { /* the crystal starts within 20 ms */
    }
    SYSCTL_RCC = rcc & ~(3u << 4 | 1u << 22); /* run from it, undivided */
    SYSCTL_RCGC1 |= 1u;                       /* UART0 */
    SYSCTL_RCGC2 |= 1u;                       /* GPIOA */
    (void)SYSCTL_RCGC2;                       /* a few cycles between enabling and use */
    GPIOA_AFSEL |= 3u;
    GPIOA_DEN |= 3u;
    pl011_init();
}

void hal_putc(char c) { pl011_put(c); }

int hal_read(void) { return pl011_read(); }
