/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A Linux program on AArch64 without a C library: its start, its end, and standard input and output as the serial line. The system
   has loaded .data and cleared .bss; the stack is the one of link.ld, so that its use is measured as on a board. */
#include "hal.h"
#include "memory_map.h"

#include <stdint.h>

enum { SYSCALL_READ = 63, SYSCALL_WRITE = 64, SYSCALL_EXIT = 93 };

int main(void);
void tl_reset(void);
void tl_start(void);

static uint64_t system_call(uint64_t number, uint64_t a, uint64_t b, uint64_t c) {
    register uint64_t x8 __asm__("x8") = number;
    register uint64_t x0 __asm__("x0") = a;
    register uint64_t x1 __asm__("x1") = b;
    register uint64_t x2 __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
}

void hal_init(void) {}

void hal_putc(char c) { (void)system_call(SYSCALL_WRITE, 1u, (uint64_t)(uintptr_t)&c, 1u); }

int hal_read(void) {
    uint8_t byte = 0;
    return system_call(SYSCALL_READ, 0u, (uint64_t)(uintptr_t)&byte, 1u) == 1u ? byte : -1;
}

_Noreturn void hal_exit(int code) {
    for (;;) {
        (void)system_call(SYSCALL_EXIT, (uint64_t)code, 0u, 0u);
    }
}

__attribute__((used)) void tl_start(void) {
    tl_paint_stack(tl_stack_pointer());
    hal_init();
    hal_exit(main());
}

__asm__(".section .stack, \"aw\", %nobits\n\t"
        ".text");

/* GCC knows no naked function here. */
__asm__(".global tl_reset\n\t"
        ".type tl_reset, %function\n"
        "tl_reset:\n\t"
        "adrp x0, __tl_stack_top\n\t"
        "add x0, x0, :lo12:__tl_stack_top\n\t"
        "mov sp, x0\n\t"
        "b tl_start\n\t"
        ".size tl_reset, . - tl_reset");
