/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The timing loop of host_kernels.py: nanoseconds per step of one stream, as `n` steps of two, h_a -> h_b -> h_a. */
#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <time.h>

typedef void step_function(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const void *p);

__attribute__((visibility("default"))) double nanoseconds(step_function *step, int16_t *h_a, int16_t *h_b, int16_t *c,
                                                          const int16_t *x, const void *p, uint32_t n)
{
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (uint32_t i = 0; i < n; i++) {
        step(h_b, c, h_a, x, p);
        step(h_a, c, h_b, x, p);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / (2.0 * n);
}
