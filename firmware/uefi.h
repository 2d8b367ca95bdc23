/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What we use of UEFI (2.10, chapters 4, 7 and 12), the rest of each table being room, and of the processor's CPUID. */
#ifndef TL_UEFI_H
#define TL_UEFI_H

#include <stdint.h>

#define UEFI __attribute__((ms_abi))

struct text_output {
    void *reset;
    uint64_t(UEFI *output_string)(struct text_output *self, const uint16_t *text);
};

struct boot_services {
    uint8_t before[200];
    uint64_t(UEFI *load_image)(uint8_t policy, void *parent, void *path, const void *source, uint64_t size, void **image);
    uint64_t(UEFI *start_image)(void *image, uint64_t *exit_size, uint16_t **exit_data);
    uint8_t between[40];
    uint64_t(UEFI *set_watchdog_timer)(uint64_t seconds, uint64_t code, uint64_t bytes, const uint16_t *data);
};

struct system_table {
    uint8_t before[64];
    struct text_output *console;
    uint8_t between[24];
    const struct boot_services *boot;
};

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf) {
    struct cpuid r;
    __asm__ volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(0u));
    return r;
}

#endif
