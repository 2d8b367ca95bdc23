/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reset and faults for an RV32 core in machine mode. No interrupt is ever enabled. */
#include "hal.h"
#include "memory_map.h"
#include "print.h"

#include <stdint.h>

int main(void);
void tl_reset(void);
void tl_start(void);
void tl_fault(void);
void tl_fault_report(const uint32_t *sp, uint32_t ra);

#ifndef TL_TRAP_ALIGN
#define TL_TRAP_ALIGN 4 /* mtvec; a core that only knows a table of vectors wants 256 */
#endif

#define READ_CSR(name, to) __asm__ volatile("csrr %0, " name : "=r"(to))
#define WRITE_CSR(name, value) __asm__ volatile("csrw " name ", %0" : : "r"(value) : "memory")

/* At the start of flash, where the core begins. */
__attribute__((naked, used, section(".vectors"))) void tl_reset(void) {
    __asm__ volatile("la sp, __tl_stack_top\n\t"
                     "j tl_start");
}

/* From flash's start to the stack's end nothing may be written: an overflow of the stack faults, as it does where RAM
   begins at the stack. PMP entry 1: top of range (TOR), read, execute, locked, which binds machine mode, too. */
static void protect(void) {
    WRITE_CSR("pmpaddr0", (uint32_t)(uintptr_t)tl_reset >> 2);
    WRITE_CSR("pmpaddr1", (uint32_t)(uintptr_t)tl_stack_limit >> 2);
    WRITE_CSR("pmpcfg0", 0x8Du << 8);
}

__attribute__((used)) void tl_start(void) {
    WRITE_CSR("mtvec", tl_fault);
    protect();
    tl_paint_stack(tl_stack_pointer());
    const uint32_t *from = tl_data_load;
    for (uint32_t *to = tl_data_start; to < tl_data_end; to++, from++) {
        *to = *from;
    }
    for (uint32_t *to = tl_bss_start; to < tl_bss_end; to++) {
        *to = 0u;
    }
    hal_init();
    hal_exit(main());
}

/* The stack pointer may be the fault, so the handler takes a fresh stack and hands the old one on. */
__attribute__((naked, aligned(TL_TRAP_ALIGN))) void tl_fault(void) {
    __asm__ volatile("mv a0, sp\n\t"
                     "mv a1, ra\n\t"
                     "la sp, __tl_stack_top\n\t"
                     "j tl_fault_report");
}

__attribute__((used)) void tl_fault_report(const uint32_t *sp, uint32_t ra) {
    uint32_t pc;
    uint32_t cause;
    READ_CSR("mepc", pc);
    READ_CSR("mcause", cause);
    print_text("FAULT pc=");
    print_hex(pc);
    print_text(" ra=");
    print_hex(ra);
    print_text(" cause=");
    print_unsigned(cause);
    if (sp < tl_stack_limit || sp > tl_stack_top) {
        print_text(" (stack overflow) sp=");
        print_hex((uint32_t)(uintptr_t)sp);
    }
    print_text("\nEXIT:1\n");
    hal_exit(1);
}
