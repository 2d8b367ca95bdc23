/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Raspberry Pi 3 (BCM2835 ARM Peripherals; Arm DDI 0487 for the rest) without a system: its start in EL2, one core, and
   the PL011 on GPIO 14 and 15. Caches and unaligned accesses need the memory management unit, so it is turned on, with
   every address meaning itself. */
#include "hal.h"
#include "memory_map.h"
#include "pl011.h"

#include <stdint.h>

#define GPFSEL1 (*(volatile uint32_t *)0x3F200004u)
#define PERIPHERALS 0x3F000000u
#define BLOCK 0x200000u

#define WRITE_SYSTEM(name, value) __asm__ volatile("msr " name ", %0" : : "r"((uint64_t)(value)) : "memory")

enum { TABLE = 3, ENTRY = 1 };
#define NORMAL (1u << 10 | 3u << 8 | 1u << 6 | ENTRY)             /* used, inner shareable, kind 0 */
#define DEVICE (1ull << 54 | 1u << 10 | 1u << 6 | 1u << 2 | ENTRY) /* no code, kind 1 */

static uint64_t gigabytes[4] __attribute__((aligned(4096)));
static uint64_t blocks[512] __attribute__((aligned(4096))); /* of the first gigabyte */

int main(void);
void tl_reset(void);
void tl_start(void);

static void map_memory(void) {
    for (uint64_t k = 0; k < 512u; k++) {
        blocks[k] = k * BLOCK | (k * BLOCK < PERIPHERALS ? NORMAL : DEVICE);
    }
    gigabytes[0] = (uint64_t)(uintptr_t)blocks | TABLE;
    gigabytes[1] = 0x40000000u | DEVICE;
    WRITE_SYSTEM("mair_el2", 0xFFu); /* kind 0: memory, cached; 1: device */
    WRITE_SYSTEM("tcr_el2", 1u << 31 | 1u << 23 | 3u << 12 | 1u << 10 | 1u << 8 | 32u); /* 4 GB in pages of 4 KB */
    WRITE_SYSTEM("ttbr0_el2", (uintptr_t)gigabytes);
    __asm__ volatile("dsb sy\n\ttlbi alle2\n\tic iallu\n\tdsb sy\n\tisb" ::: "memory");
    WRITE_SYSTEM("sctlr_el2", 0x30C50830u | 1u << 12 | 1u << 2 | 1u); /* instruction and data cache, translation */
    __asm__ volatile("isb" ::: "memory");
}

void hal_init(void) {
    GPFSEL1 = (GPFSEL1 & ~(63u << 12)) | 4u << 12 | 4u << 15; /* GPIO 14, 15: UART0 */
    pl011_init();
}

void hal_putc(char c) { pl011_put(c); }

int hal_read(void) { return pl011_read(); }

__attribute__((used)) void tl_start(void) {
    for (volatile uint32_t *to = tl_bss_start; to < tl_bss_end; to++) {
        *to = 0u;
    }
    map_memory();
    tl_paint_stack(tl_stack_pointer());
    const uint32_t *from = tl_data_load;
    for (uint32_t *to = tl_data_start; to < tl_data_end; to++, from++) {
        *to = *from;
    }
    hal_init();
    hal_exit(main());
}

/* GCC knows no naked function here. The other cores sleep; NEON may be used. */
__asm__(".section .vectors, \"ax\"\n\t"
        ".global tl_reset\n\t"
        ".type tl_reset, %function\n"
        "tl_reset:\n\t"
        "mrs x0, mpidr_el1\n\t"
        "and x0, x0, #3\n\t"
        "cbz x0, 1f\n"
        "0: wfe\n\t"
        "b 0b\n"
        "1: mov x0, #0x33FF\n\t"
        "msr cptr_el2, x0\n\t"
        "isb\n\t"
        "adrp x0, __tl_stack_top\n\t"
        "add x0, x0, :lo12:__tl_stack_top\n\t"
        "mov sp, x0\n\t"
        "b tl_start\n\t"
        ".size tl_reset, . - tl_reset\n\t"
        ".text");
