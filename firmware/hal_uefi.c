/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A UEFI application without any library: its start, the serial line COM1 (a 16550 UART)
   where there is one, else the screen, and the stack of link.ld, so that its use is measured as on a board. */
#include "hal.h"
#include "memory_map.h"
#include "uefi.h"

#include <stdbool.h>
#include <stdint.h>

#define COM1 0x3F8u

int main(void);
void tl_start(const struct system_table *table);
UEFI uint64_t tl_reset(void *image, const struct system_table *table);

static struct text_output *console; /* NULL: the serial line is there */

static void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }

static uint8_t in8(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* The firmware leaves the registers of AVX off: CR4.OSXSAVE lets XCR0 be written, which turns on all that we use. */
static void enable_avx(void) {
    if ((cpuid(1).ecx & (1u << 26 | 1u << 28)) != (1u << 26 | 1u << 28)) { /* XSAVE, AVX */
        return;
    }
    uint64_t cr4;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 1u << 18));
    uint32_t parts = 7u | ((cpuid(7).ebx & 1u << 16) != 0u ? 7u << 5 : 0u); /* x87, SSE, AVX; AVX-512 */
    __asm__ volatile("xsetbv" : : "a"(parts), "d"(0u), "c"(0u));
}

/* The UART's scratch register keeps what is written to it; no UART reads as 255. */
static bool serial_there(void) {
    out8(COM1 + 7u, 0x5A);
    return in8(COM1 + 7u) == 0x5Au;
}

void hal_init(void) {
    enable_avx();
    out8(COM1 + 1u, 0);    /* no interrupts */
    out8(COM1 + 3u, 0x80); /* the divider: 115200 */
    out8(COM1 + 0u, 1);
    out8(COM1 + 1u, 0);
    out8(COM1 + 3u, 3); /* 8N1 */
    out8(COM1 + 2u, 7); /* FIFOs, emptied */
    hal_putc('\n');     /* the firmware may have left a line unfinished */
}

void hal_putc(char c) {
    if (console != 0) {
        uint16_t text[3] = {(uint8_t)c, 0, 0};
        if (c == '\n') {
            text[0] = '\r';
            text[1] = '\n';
        }
        (void)console->output_string(console, text);
        return;
    }
    while ((in8(COM1 + 5u) & 0x20u) == 0u) {
    }
    out8(COM1, (uint8_t)c);
}

int hal_read(void) {
    if (console != 0) {
        return -1;
    }
    while ((in8(COM1 + 5u) & 1u) == 0u) {
    }
    return in8(COM1);
}

_Noreturn void hal_exit(int code) {
    (void)code; /* the EXIT line has said it */
    for (;;) {
        __asm__ volatile("hlt");
    }
}

/* No interrupts: the firmware's would use our stack, which is measured. Its text output may turn them on again. */
__attribute__((used)) void tl_start(const struct system_table *table) {
    __asm__ volatile("cli");
    (void)table->boot->set_watchdog_timer(0, 0, 0, 0);
    __asm__ volatile("cli");
    console = serial_there() ? 0 : table->console;
    tl_paint_stack(tl_stack_pointer());
    hal_init();
    hal_exit(main());
}

__asm__(".text\n\t"
        ".global tl_reset\n\t"
        ".type tl_reset, @function\n"
        "tl_reset:\n\t"
        "lea __tl_stack_top(%rip), %rsp\n\t"
        "and $-16, %rsp\n\t"
        "mov %rdx, %rdi\n\t"
        "call tl_start\n\t"
        ".size tl_reset, . - tl_reset");
