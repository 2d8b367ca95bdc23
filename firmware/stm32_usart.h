/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The USART of all STM32: TL_USART is its address, TL_USART_KIND 1 (F1, F2, F4, L1: SR, DR) or 2 (all later ones: ISR,
   TDR, RDR). Bits 5 and 7 of the status are the same in both: received, and ready to send. */
#ifndef TL_STM32_USART_H
#define TL_STM32_USART_H

#include <stdint.h>

#define TL_USART_REG(offset) (*(volatile uint32_t *)(TL_USART + (offset)))

#if TL_USART_KIND == 1
#define USART_STATUS TL_USART_REG(0x00u)
#define USART_SEND TL_USART_REG(0x04u)
#define USART_RECEIVED USART_SEND
#define USART_BRR TL_USART_REG(0x08u)
#define USART_CR1 TL_USART_REG(0x0Cu)
#define USART_ENABLE (1u << 13)
#else
#define USART_CR1 TL_USART_REG(0x00u)
#define USART_BRR TL_USART_REG(0x0Cu)
#define USART_STATUS TL_USART_REG(0x1Cu)
#define USART_RECEIVED TL_USART_REG(0x24u)
#define USART_SEND TL_USART_REG(0x28u)
#define USART_ICR TL_USART_REG(0x20u)
#define USART_ENABLE 1u
#endif

static inline void usart_init(void) {
    USART_BRR = (TL_CLOCK_HZ + 115200u / 2u) / 115200u; /* oversampling by 16: 4 MHz -> 35, -0.8 %, the worst here */
    USART_CR1 = USART_ENABLE | 1u << 3 | 1u << 2;       /* transmit, receive */
}

static inline void usart_put(char c) {
    while ((USART_STATUS & (1u << 7)) == 0u) {
    }
    USART_SEND = (uint8_t)c;
}

/* After an overrun bytes are missing, which the frame's CRC-32 finds; the flag must go, or nothing comes any more. */
static inline int usart_read(void) {
    while ((USART_STATUS & (1u << 5)) == 0u) {
#if TL_USART_KIND == 2
        USART_ICR = 1u << 3; /* in the older ones reading status and data clears it */
#endif
    }
    return (uint8_t)USART_RECEIVED;
}

#endif
