/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Vector table, reset and faults for any Cortex-M. No interrupt is ever enabled. */
#include "hal.h"
#include "memory_map.h"
#include "print.h"

#include <stdint.h>

int main(void);
void tl_reset(void);
void tl_fault(void);
void tl_fault_report(const uint32_t *frame);

struct vector_table {
    uint32_t *stack;
    void (*handler[15])(void);
};

__attribute__((section(".vectors"), used)) const struct vector_table tl_vectors = {
    tl_stack_top,
    {tl_reset, tl_fault, tl_fault, tl_fault, tl_fault, tl_fault, tl_fault, tl_fault, tl_fault, tl_fault, tl_fault,
     tl_fault, tl_fault, tl_fault, tl_fault},
};

void tl_reset(void) {
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: full access to CP10 and CP11, the FPU and Helium */
#if defined(__ARM_FEATURE_MVE)
    *(volatile uint32_t *)0xE000ED14u |= 1u << 19; /* CCR.LOB: the branch of a low-overhead loop takes no time */
#endif
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
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
__attribute__((naked)) void tl_fault(void) {
    __asm__ volatile("mrs r0, msp\n\t"
                     "ldr r1, =__tl_stack_top\n\t"
                     "mov sp, r1\n\t"
                     "bl tl_fault_report\n\t"
                     ".ltorg");
}

/* frame: r0 r1 r2 r3 r12 lr pc xpsr, as the core stacked them. */
__attribute__((used)) void tl_fault_report(const uint32_t *frame) {
    print_text("FAULT pc=");
    if (frame >= tl_stack_limit && frame + 8 <= tl_stack_top) {
        print_hex(frame[6]);
        print_text(" lr=");
        print_hex(frame[5]);
    } else {
        print_text("unknown (stack overflow) sp=");
        print_hex((uint32_t)(uintptr_t)frame);
    }
    print_text("\nEXIT:1\n");
    hal_exit(1);
}
