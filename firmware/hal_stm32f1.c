/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* STM32F1 (ST RM0041): USART1, transmit on PA9, receive on PA10 (an input from reset on). Runs from the 8 MHz internal oscillator, which is on and chosen at
   reset, with all bus dividers 1. */
#include "hal.h"
#include "stm32_usart.h"

#include <stdint.h>

#define RCC_APB2ENR (*(volatile uint32_t *)0x40021018u)
#define GPIOA_CRH (*(volatile uint32_t *)0x40010804u)

void hal_init(void) {
    RCC_APB2ENR |= 1u << 2 | 1u << 14;                      /* GPIOA, USART1 */
    (void)RCC_APB2ENR;                                      /* two cycles between enabling and use */
    GPIOA_CRH = (GPIOA_CRH & ~(15u << 4)) | (11u << 4);     /* PA9: alternate function, push-pull */
    usart_init();
}

void hal_putc(char c) { usart_put(c); }

int hal_read(void) { return usart_read(); }
