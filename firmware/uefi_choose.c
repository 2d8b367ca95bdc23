/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* BOOTX64.EFI for every PC: holds the program three times, built for more and more instructions, and starts the best that
   the processor has. TL_PROGRAMS: the folder of the three. */
#include "uefi.h"

#include <stdbool.h>
#include <stdint.h>

#define PROGRAM(name)                                                                                                  \
    extern const uint8_t name##_start[];                                                                               \
    extern const uint8_t name##_end[];                                                                                 \
    __asm__(".section .rodata\n\t"                                                                                     \
            ".balign 16\n"                                                                                             \
            #name "_start: .incbin \"" TL_PROGRAMS "/" #name ".efi\"\n"                                                \
            #name "_end:\n\t"                                                                                          \
            ".text")

PROGRAM(plain);
PROGRAM(avx2);
PROGRAM(avx512);

UEFI uint64_t tl_reset(void *image, const struct system_table *table);

static bool has(uint32_t found, uint32_t wanted) { return (found & wanted) == wanted; }

/* x86-64-v3, as compilers mean it. */
static bool has_avx2(void) {
    return cpuid(0).eax >= 7u && has(cpuid(1).ecx, 1u << 12 | 1u << 22 | 1u << 26 | 1u << 28 | 1u << 29) &&
           has(cpuid(7).ebx, 1u << 3 | 1u << 5 | 1u << 8) && has(cpuid(0x80000001u).ecx, 1u << 5);
}

/* AVX-512 F, DQ, CD, BW, VL and VNNI. */
static bool has_avx512(void) {
    return has_avx2() && has(cpuid(7).ebx, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31) &&
           has(cpuid(7).ecx, 1u << 11);
}

UEFI uint64_t tl_reset(void *image, const struct system_table *table) {
    const uint8_t *start = has_avx512() ? avx512_start : has_avx2() ? avx2_start : plain_start;
    const uint8_t *end = has_avx512() ? avx512_end : has_avx2() ? avx2_end : plain_end;
    void *program = 0;
    uint64_t status = table->boot->load_image(0, image, 0, start, (uint64_t)(end - start), &program);
    return status == 0u ? table->boot->start_image(program, 0, 0) : status;
}
