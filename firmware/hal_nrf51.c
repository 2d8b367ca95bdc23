/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* nRF51 (Nordic nRF51 Series Reference Manual 3.0, chapters 13 and 29) and nRF52, which has the same registers at the
   same addresses: UART0, the clock from the crystal.
   TL_UART_TX_PIN and TL_UART_RX_PIN come from the board's cflags: the micro:bit has its USB bridge on P0.24 and P0.25. */
#include "hal.h"

#include <stdint.h>

#define CLOCK_HFCLKSTART (*(volatile uint32_t *)0x40000000u)
#define CLOCK_HFCLKSTARTED (*(volatile uint32_t *)0x40000100u)
#define UART_STARTRX (*(volatile uint32_t *)0x40002000u)
#define UART_STARTTX (*(volatile uint32_t *)0x40002008u)
#define UART_RXDRDY (*(volatile uint32_t *)0x40002108u)
#define UART_TXDRDY (*(volatile uint32_t *)0x4000211Cu)
#define UART_ENABLE (*(volatile uint32_t *)0x40002500u)
#define UART_PSELTXD (*(volatile uint32_t *)0x4000250Cu)
#define UART_PSELRXD (*(volatile uint32_t *)0x40002514u)
#define UART_RXD (*(volatile uint32_t *)0x40002518u)
#define UART_TXD (*(volatile uint32_t *)0x4000251Cu)
#define UART_BAUDRATE (*(volatile uint32_t *)0x40002524u)
#define GPIO_OUTSET (*(volatile uint32_t *)0x50000508u)
#define GPIO_PIN_CNF(pin) (*(volatile uint32_t *)(0x50000700u + 4u * (pin)))
#define GPIO_DIRSET (*(volatile uint32_t *)0x50000518u)

void hal_init(void) {
    CLOCK_HFCLKSTARTED = 0u;
    CLOCK_HFCLKSTART = 1u;
    while (CLOCK_HFCLKSTARTED == 0u) {
    }
    GPIO_OUTSET = 1u << TL_UART_TX_PIN; /* idle is high */
    GPIO_DIRSET = 1u << TL_UART_TX_PIN;
    UART_PSELTXD = TL_UART_TX_PIN;
    GPIO_PIN_CNF(TL_UART_RX_PIN) = 0u; /* input, connected */
    UART_PSELRXD = TL_UART_RX_PIN;
    UART_BAUDRATE = 0x01D7E000u; /* 115200 */
    UART_ENABLE = 4u;
    UART_STARTTX = 1u;
    UART_RXDRDY = 0u;
    UART_STARTRX = 1u;
}

void hal_putc(char c) {
    UART_TXDRDY = 0u;
    UART_TXD = (uint8_t)c;
    while (UART_TXDRDY == 0u) {
    }
}

/* The event before the byte: of six bytes that wait, each raises it anew once the one before was taken. */
int hal_read(void) {
    while (UART_RXDRDY == 0u) {
    }
    UART_RXDRDY = 0u;
    return (uint8_t)UART_RXD;
}
