/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A Linux program for AArch64 without a C library: calls its functions as standard input says: tests/machines.py,
 * _program, has the format. */
#include <stdint.h>

#define MEMORY 0x10000000ul
#define MEMORY_BYTES 0x800000ul

enum { READ = 63, WRITE = 64, EXIT = 93, MMAP = 222 };

typedef void function(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
_Noreturn void _start(void);

static uint64_t syscall(uint64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    register uint64_t x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    register uint64_t x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = 0;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}

/* All of it: 1, or 0 at the end of the stream. */
static int transfer(uint64_t number, uint64_t file, uint64_t at, uint64_t bytes)
{
    while (bytes > 0) {
        const uint64_t done = syscall(number, file, at, bytes, 0, 0);
        if (done == 0 || done > bytes) {
            return 0;
        }
        at += done;
        bytes -= done;
    }
    return 1;
}

/* The stack pointer is as the ABI wants it: an ordinary function may be the entry. */
_Noreturn void _start(void)
{
    uint64_t bytes = 0;
    struct {
        function *function;
        uint64_t a[5];
    } call;
    (void)syscall(MMAP, MEMORY, MEMORY_BYTES, 3 /* read, write */, 0x32 /* private, fixed, anonymous */, (uint64_t)-1);
    (void)transfer(READ, 0, (uint64_t)(uintptr_t)&bytes, sizeof bytes);
    (void)transfer(READ, 0, MEMORY, bytes);
    while (transfer(READ, 0, (uint64_t)(uintptr_t)&call, sizeof call)) {
        call.function(call.a[0], call.a[1], call.a[2], call.a[3], call.a[4]);
    }
    (void)transfer(WRITE, 1, MEMORY, bytes);
    for (;;) {
        (void)syscall(EXIT, 0, 0, 0, 0, 0);
    }
}
