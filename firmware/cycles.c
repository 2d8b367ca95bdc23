/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "cycles.h"

#if defined(__ARM_ARCH_6M__) /* Armv6-M Architecture Reference Manual, B3.3: it counts down, and has no DWT.CYCCNT */
#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)

enum tl_counter tl_cycles_start(void) {
    SYST_RVR = TL_CYCLES_MASK;
    SYST_CVR = 0u;
    SYST_CSR = 5u; /* on, by the core's clock, no interrupt */
    return TL_COUNTER_SYSTICK;
}

uint32_t tl_cycles(void) { return TL_CYCLES_MASK - SYST_CVR; }

#elif defined(__ARM_ARCH_PROFILE) && __ARM_ARCH_PROFILE == 'M' /* Armv7-M Architecture Reference Manual, C1.8 */
#define DEMCR (*(volatile uint32_t *)0xE000EDFCu)
#define DWT_CTRL (*(volatile uint32_t *)0xE0001000u)
#define DWT_CYCCNT (*(volatile uint32_t *)0xE0001004u)

enum tl_counter tl_cycles_start(void) {
    DEMCR |= 1u << 24; /* TRCENA */
    DWT_CYCCNT = 0u;
    DWT_CTRL |= 1u;                                                       /* CYCCNTENA */
    return (DWT_CTRL & 1u) != 0u ? TL_COUNTER_DWT : TL_COUNTER_NONE; /* an emulator has no such unit */
}

uint32_t tl_cycles(void) { return DWT_CYCCNT; }

#elif defined(TL_CYCLE_CSR) /* the ESP32-C3 has a counter of its own: what it counts, whether it does, the count */
enum tl_counter tl_cycles_start(void) {
    __asm__ volatile("csrwi 0x7E0, 1\n\tcsrwi 0x7E1, 1");
    return TL_COUNTER_MCYCLE;
}

uint32_t tl_cycles(void) {
    uint32_t count;
    __asm__ volatile("csrr %0, 0x7E2" : "=r"(count));
    return count;
}

#elif defined(__riscv)
enum tl_counter tl_cycles_start(void) { return TL_COUNTER_MCYCLE; }

uint32_t tl_cycles(void) {
    uint32_t low;
    __asm__ volatile("csrr %0, mcycle" : "=r"(low));
    return low;
}

#elif defined(__x86_64__)
enum tl_counter tl_cycles_start(void) { return TL_COUNTER_TSC; }

uint32_t tl_cycles(void) {
    uint32_t low;
    uint32_t high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    (void)high;
    return low;
}

#elif defined(__aarch64__)
enum tl_counter tl_cycles_start(void) { return TL_COUNTER_CNTVCT; }

uint32_t tl_cycles(void) {
    uint64_t count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return (uint32_t)count;
}

#else
enum tl_counter tl_cycles_start(void) { return TL_COUNTER_NONE; }

uint32_t tl_cycles(void) { return 0u; }
#endif
