/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* ESP32-C3 (Espressif's Technical Reference Manual 1.1, chapters 9, 12 and 26): clock and UART0 stay as the ROM leaves
   them, 20 MHz and 115200 8N1; the watchdogs that it starts are stopped. */
#include "hal.h"

#include <stdint.h>

#define UART_FIFO (*(volatile uint32_t *)0x60000000u)
#define UART_STATUS (*(volatile uint32_t *)0x6000001Cu) /* bits 9:0: received, 25:16: to be sent, of 128 */
#define RTC_WDT_CONFIG (*(volatile uint32_t *)0x60008090u)
#define RTC_WDT_PROTECT (*(volatile uint32_t *)0x600080A8u)
#define SUPER_WDT_CONFIG (*(volatile uint32_t *)0x600080ACu) /* bit 31: feeds itself */
#define SUPER_WDT_PROTECT (*(volatile uint32_t *)0x600080B0u)
#define TIMER_WDT_CONFIG (*(volatile uint32_t *)0x6001F048u)
#define TIMER_WDT_PROTECT (*(volatile uint32_t *)0x6001F064u)

void hal_init(void) {
    RTC_WDT_PROTECT = 0x50D83AA1u;
    RTC_WDT_CONFIG = 0u;
    SUPER_WDT_PROTECT = 0x8F1D312Au;
    SUPER_WDT_CONFIG |= 1u << 31;
    TIMER_WDT_PROTECT = 0x50D83AA1u;
    TIMER_WDT_CONFIG = 0u;
}

void hal_putc(char c) {
    while ((UART_STATUS >> 16 & 0x3FFu) > 120u) {
    }
    UART_FIFO = (uint8_t)c;
}

int hal_read(void) {
    while ((UART_STATUS & 0x3FFu) == 0u) {
    }
    return (uint8_t)UART_FIFO;
}

_Noreturn void hal_exit(int code) {
    (void)code; /* the EXIT line has said it */
    for (;;) {
        __asm__ volatile("wfi");
    }
}
