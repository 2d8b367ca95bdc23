/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Arm MPS2 FPGA images: CMSDK APB UART 0 (Arm DDI 0479, section 4.3). The clock is fixed. TL_UART comes from the board's
   cflags: the address differs between the images, and between the secure and the other state. */
#include "hal.h"

#include <stdint.h>

#define UART_DATA (*(volatile uint32_t *)(TL_UART + 0x00u))
#define UART_STATE (*(volatile uint32_t *)(TL_UART + 0x04u))   /* bit 0: transmit buffer full; bit 1: a byte received */
#define UART_CTRL (*(volatile uint32_t *)(TL_UART + 0x08u))    /* bits 0 and 1: transmit, receive */
#define UART_BAUDDIV (*(volatile uint32_t *)(TL_UART + 0x10u)) /* at least 16 */

void hal_init(void) {
    UART_BAUDDIV = TL_CLOCK_HZ / 115200u;
    UART_CTRL = 3u;
}

void hal_putc(char c) {
    while ((UART_STATE & 1u) != 0u) {
    }
    UART_DATA = (uint8_t)c;
}

int hal_read(void) {
    while ((UART_STATE & 2u) == 0u) {
    }
    return (uint8_t)UART_DATA;
}
