/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* STM32F4 (ST RM0090): USART1, transmit on PA9. Runs from the 16 MHz internal oscillator, which is on and chosen at
   reset, with all bus dividers 1, so nothing is to be switched and no flash wait state is needed. */
#include "hal.h"

#include <stdint.h>

#define RCC_AHB1ENR (*(volatile uint32_t *)0x40023830u)
#define RCC_APB2ENR (*(volatile uint32_t *)0x40023844u)
#define GPIOA_MODER (*(volatile uint32_t *)0x40020000u)
#define GPIOA_AFRH (*(volatile uint32_t *)0x40020024u)
#define USART1_SR (*(volatile uint32_t *)0x40011000u) /* bit 7: TXE, data register empty */
#define USART1_DR (*(volatile uint32_t *)0x40011004u)
#define USART1_BRR (*(volatile uint32_t *)0x40011008u)
#define USART1_CR1 (*(volatile uint32_t *)0x4001100Cu)

void hal_init(void) {
    RCC_AHB1ENR |= 1u;                                                  /* GPIOA */
    RCC_APB2ENR |= 1u << 4;                                             /* USART1 */
    (void)RCC_APB2ENR;                                                  /* two cycles between enabling and use */
    GPIOA_MODER = (GPIOA_MODER & ~(3u << 18)) | (2u << 18);             /* PA9: alternate function */
    GPIOA_AFRH = (GPIOA_AFRH & ~(15u << 4)) | (7u << 4);                /* AF7: USART1 */
    USART1_BRR = (TL_CLOCK_HZ + 115200u / 2u) / 115200u;                /* oversampling by 16: 16 MHz -> 139, -0.08 % */
    USART1_CR1 = (1u << 13) | (1u << 3);                                /* UE, TE */
}

void hal_putc(char c) {
    while ((USART1_SR & (1u << 7)) == 0u) {
    }
    USART1_DR = (uint8_t)c;
}
