/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* STM32 with a mode register per pin, all but the F1 (ST RM0090, RM0433, RM0456). Runs from the internal oscillator that
   is on and chosen at reset, with all bus dividers 1, so nothing is to be switched. From the board's cflags: TL_GPIO, the
   port of the pins; TL_TX_PIN, TL_RX_PIN; TL_GPIO_ENR and TL_USART_ENR, the registers that give both a clock, and the bits there. */
#include "hal.h"
#include "stm32_usart.h"

#include <stdint.h>

#define GPIO_ENR (*(volatile uint32_t *)TL_GPIO_ENR)
#define USART_ENR (*(volatile uint32_t *)TL_USART_ENR)
#define GPIO_MODER (*(volatile uint32_t *)TL_GPIO)
#define GPIO_AFR(pin) (*(volatile uint32_t *)(TL_GPIO + 0x20u + ((pin) / 8u) * 4u))

/* The pin to the USART: alternate function 7. */
static void give(uint32_t pin) {
    uint32_t at = (pin % 8u) * 4u;
    GPIO_AFR(pin) = (GPIO_AFR(pin) & ~(15u << at)) | (7u << at);
    GPIO_MODER = (GPIO_MODER & ~(3u << (pin * 2u))) | (2u << (pin * 2u));
}

void hal_init(void) {
    GPIO_ENR |= 1u << TL_GPIO_BIT;
    USART_ENR |= 1u << TL_USART_BIT;
    (void)USART_ENR; /* two cycles between enabling and use */
    give(TL_TX_PIN);
    give(TL_RX_PIN);
    usart_init();
}

void hal_putc(char c) { usart_put(c); }

int hal_read(void) { return usart_read(); }
