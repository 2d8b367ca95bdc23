/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* RP2040 and RP2350 (their data sheets, the chapters on clocks, resets, PLL, GPIO and boot), TL_RP in the board's cflags
   says which: UART0 on GPIO 0 and 1. Runs at 125 MHz from the 12 MHz crystal. */
#include "hal.h"
#include "pl011.h"

#include <stdint.h>

#define REG(address) (*(volatile uint32_t *)(address))

#if TL_RP == 2040
#define RESETS 0x4000C000u
#define CLOCKS 0x40008000u
#define XOSC 0x40024000u
#define PLL_SYS 0x40028000u
#define GPIO_CTRL(pin) REG(0x40014004u + 8u * (pin))
#define GPIO_PAD(pin) REG(0x4001C004u + 4u * (pin))
#define USED_BLOCKS (1u << 5 | 1u << 8 | 1u << 12 | 1u << 22) /* IO_BANK0, PADS_BANK0, PLL_SYS, UART0 */
#else
#define RESETS 0x40020000u
#define CLOCKS 0x40010000u
#define XOSC 0x40048000u
#define PLL_SYS 0x40050000u
#define GPIO_CTRL(pin) REG(0x40028004u + 8u * (pin))
#define GPIO_PAD(pin) REG(0x40038004u + 4u * (pin))
#define USED_BLOCKS (1u << 6 | 1u << 9 | 1u << 14 | 1u << 26)
#endif

#define RESET REG(RESETS)
#define RESET_DONE REG(RESETS + 0x08u)
#define XOSC_CTRL REG(XOSC)
#define XOSC_STATUS REG(XOSC + 0x04u) /* bit 31: stable */
#define XOSC_STARTUP REG(XOSC + 0x0Cu)
#define PLL_CS REG(PLL_SYS) /* bit 31: locked */
#define PLL_PWR REG(PLL_SYS + 0x04u)
#define PLL_FBDIV REG(PLL_SYS + 0x08u)
#define PLL_PRIM REG(PLL_SYS + 0x0Cu)
#define CLK_REF_CTRL REG(CLOCKS + 0x30u)
#define CLK_REF_SELECTED REG(CLOCKS + 0x38u)
#define CLK_SYS_CTRL REG(CLOCKS + 0x3Cu)
#define CLK_SYS_SELECTED REG(CLOCKS + 0x44u)
#define CLK_PERI_CTRL REG(CLOCKS + 0x48u)

#if TL_RP == 2040
/* The second stage of the boot, ours: the ROM copies these 256 bytes to RAM and runs them when the last word is their
   CRC-32 (MSB first, no inversion at the end). They let the flash appear at 0x10000000 by its plain read command 03h, at
   a quarter of the clock, which every SPI flash knows, and start the program behind them by its vector table. */
__asm__(".section .boot2, \"ax\"\n\t"
        ".syntax unified\n\t"
        ".thumb\n\t"
        "ldr r3, boot2_ssi\n\t"
        "movs r0, #0\n\t"
        "str r0, [r3, #0x08]\n\t" /* SSIENR: off */
        "str r0, [r3, #0x04]\n\t" /* CTRLR1: one word a read */
        "movs r0, #4\n\t"
        "str r0, [r3, #0x14]\n\t" /* BAUDR */
        "ldr r0, boot2_frame\n\t"
        "str r0, [r3]\n\t" /* CTRLR0 */
        "ldr r0, boot2_read\n\t"
        "adds r3, #0x7C\n\t"
        "str r0, [r3, #0x78]\n\t" /* SPI_CTRLR0, at 0xF4 */
        "subs r3, #0x7C\n\t"
        "movs r0, #1\n\t"
        "str r0, [r3, #0x08]\n\t"
        "ldr r0, boot2_vectors\n\t"
        "ldr r1, boot2_vtor\n\t"
        "str r0, [r1]\n\t"
        "ldr r1, [r0]\n\t"
        "msr msp, r1\n\t"
        "ldr r1, [r0, #4]\n\t"
        "bx r1\n\t"
        ".balign 4\n"
        "boot2_ssi: .word 0x18000000\n"
        "boot2_frame: .word 31 << 16 | 3 << 8\n"          /* 32 bits, a read begins with a write */
        "boot2_read: .word 3 << 24 | 2 << 8 | 6 << 2\n"   /* command 03h of 8 bits, address of 24 */
        "boot2_vectors: .word 0x10000100\n"
        "boot2_vtor: .word 0xE000ED08\n\t"
        ".org 252\n\t"
        ".word 0x6C2E8D97\n\t"
        ".text");
#else
/* What the ROM looks for in the first 4 KB: a program for the Arm cores, secure; one block, which names itself next. */
__attribute__((section(".image_definition"), used)) static const uint32_t image_definition[] = {0xFFFFDED3u, 0x10210142u, 0x000001FFu,
                                                                                     0u, 0xAB123579u};
#endif

static void start_clock(void) {
    XOSC_STARTUP = 47u; /* 1 ms */
    XOSC_CTRL = 0xFABu << 12 | 0xAA0u;
    while ((XOSC_STATUS & 1u << 31) == 0u) {
    }
    CLK_REF_CTRL = 2u; /* the crystal */
    while ((CLK_REF_SELECTED & 1u << 2) == 0u) {
    }
    PLL_CS = 1u;
    PLL_FBDIV = 125u; /* 1500 MHz */
    PLL_PWR = 1u << 3; /* on, but for the dividers behind it */
    while ((PLL_CS & 1u << 31) == 0u) {
    }
    PLL_PRIM = 6u << 16 | 2u << 12;
    PLL_PWR = 0u;
    CLK_SYS_CTRL = 1u; /* the PLL */
    while ((CLK_SYS_SELECTED & 2u) == 0u) {
    }
    CLK_PERI_CTRL = 1u << 11; /* the system's clock */
}

void hal_init(void) {
    RESET &= ~USED_BLOCKS;
    while ((RESET_DONE & USED_BLOCKS) != USED_BLOCKS) {
    }
    start_clock();
    for (uint32_t pin = 0; pin < 2u; pin++) {
        GPIO_PAD(pin) = 1u << 6 | 1u << 4; /* input on, 4 mA; on the RP2350 no longer isolated */
        GPIO_CTRL(pin) = 2u;               /* UART0 */
    }
    pl011_init();
}

void hal_putc(char c) { pl011_put(c); }

int hal_read(void) { return pl011_read(); }
