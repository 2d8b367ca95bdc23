/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Names that link.ld.in gives, and the painting of the stack that measures its use. */
#ifndef TL_MEMORY_MAP_H
#define TL_MEMORY_MAP_H

#include <stdint.h>

extern uint32_t tl_stack_limit[] __asm__("__tl_stack_limit"); /* lowest word of the stack */
extern uint32_t tl_stack_top[] __asm__("__tl_stack_top");     /* one behind its highest word */
extern const uint32_t tl_data_load[] __asm__("__tl_data_load");
extern uint32_t tl_data_start[] __asm__("__tl_data_start");
extern uint32_t tl_data_end[] __asm__("__tl_data_end");
extern uint32_t tl_bss_start[] __asm__("__tl_bss_start");
extern uint32_t tl_bss_end[] __asm__("__tl_bss_end");

#define TL_STACK_PAINT 0xC5C5C5C5u

#if defined(__riscv)
#define TL_GET_SP "mv %0, sp"
#elif defined(__x86_64__)
#define TL_GET_SP "mov %%rsp, %0"
#else
#define TL_GET_SP "mov %0, sp"
#endif

static inline __attribute__((always_inline)) uint32_t *tl_stack_pointer(void) {
    uint32_t *sp;
    __asm__ volatile(TL_GET_SP : "=r"(sp));
    return sp;
}

/* Paints what lies below sp. Inlined, so that it has no frame of its own to paint over. */
static inline __attribute__((always_inline)) void tl_paint_stack(const uint32_t *sp) {
    for (volatile uint32_t *word = tl_stack_limit; word < sp; word++) {
        *word = TL_STACK_PAINT;
    }
}

/* Bytes between sp and the lowest word that is no longer painted; a frame's unwritten tail is not seen. */
static inline __attribute__((always_inline)) uint32_t tl_stack_used(const uint32_t *sp) {
    const volatile uint32_t *word = tl_stack_limit;
    while (word < sp && *word == TL_STACK_PAINT) {
        word++;
    }
    return (uint32_t)(uintptr_t)sp - (uint32_t)(uintptr_t)word;
}

#endif
