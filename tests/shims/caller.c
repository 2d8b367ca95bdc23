/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The image of tests/qemu_call.py: calls functions as a table in memory says, and writes the memory to a file. */
#include "hal.h"
#include "memory_map.h"
#include "probe.h"

#include <stdint.h>

#define ARGUMENTS 5

struct call {
    void (*function)(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);
    uintptr_t argument[ARGUMENTS];
    uintptr_t stack; /* bytes that the call used */
};

static struct {
    uintptr_t calls, bytes; /* bytes: of the whole memory, from here */
    struct call call[];
} *const memory = (void *)TL_ARENA;

/* Arm semihosting SYS_OPEN (1, mode "wb"), SYS_WRITE (5), SYS_CLOSE (2). */
static uintptr_t semihosting(uintptr_t operation, const uintptr_t *arguments) {
    register uintptr_t r0 __asm__("r0") = operation;
    register const uintptr_t *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static __attribute__((noinline)) uintptr_t run(const struct call *c) {
    const uint32_t *sp = tl_stack_pointer();
    tl_paint_stack(sp);
    tl_probe_begin();
    c->function(c->argument[0], c->argument[1], c->argument[2], c->argument[3], c->argument[4]);
    tl_probe_end();
    return tl_stack_used(sp);
}

int main(void) {
    static const char name[] = "memory.out";
    for (uintptr_t k = 0; k < memory->calls; k++) {
        memory->call[k].stack = run(&memory->call[k]);
    }
    uintptr_t file = semihosting(1, (uintptr_t[]){(uintptr_t)name, 5, sizeof name - 1});
    uintptr_t left = semihosting(5, (uintptr_t[]){file, (uintptr_t)memory, memory->bytes});
    (void)semihosting(2, (uintptr_t[]){file});
    return left == 0 ? 0 : 1;
}
