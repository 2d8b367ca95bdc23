/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Arm's UART PL011 (Arm DDI 0183), which several chips have. TL_UART: its address; TL_UART_HZ: its clock. */
#ifndef TL_PL011_H
#define TL_PL011_H

#include <stdint.h>

#define PL011_DR (*(volatile uint32_t *)(TL_UART + 0x00u))
#define PL011_FR (*(volatile uint32_t *)(TL_UART + 0x18u)) /* bit 4: nothing received; bit 5: transmit FIFO full */
#define PL011_IBRD (*(volatile uint32_t *)(TL_UART + 0x24u))
#define PL011_FBRD (*(volatile uint32_t *)(TL_UART + 0x28u))
#define PL011_LCRH (*(volatile uint32_t *)(TL_UART + 0x2Cu))
#define PL011_CR (*(volatile uint32_t *)(TL_UART + 0x30u))

static inline void pl011_init(void) {
    uint32_t divider = (TL_UART_HZ * 4u + 115200u / 2u) / 115200u; /* of the clock / 16, in 1/64 */
    PL011_CR = 0u;
    PL011_IBRD = divider / 64u;
    PL011_FBRD = divider % 64u;
    PL011_LCRH = 3u << 5 | 1u << 4; /* 8 bits, FIFOs; takes the divider over */
    PL011_CR = 3u << 8 | 1u;        /* receive, transmit, enable */
}

static inline void pl011_put(char c) {
    while ((PL011_FR & (1u << 5)) != 0u) {
    }
    PL011_DR = (uint8_t)c;
}

static inline int pl011_read(void) {
    while ((PL011_FR & (1u << 4)) != 0u) {
    }
    return (uint8_t)PL011_DR;
}

#endif
