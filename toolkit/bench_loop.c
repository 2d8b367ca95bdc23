/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The timing loops of `bench`: nothing but the kernels between two readings of the clock. */
#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <time.h>

typedef void step_function(void *h_new, void *c, const void *h, const void *x, const void *p);

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Nanoseconds of `runs` sequences of `steps` steps (even), the state carried on; x [steps] rows `stride` bytes apart. */
double tl_bench_steps(step_function *step, char *h_a, char *h_b, char *c, const char *x, uint32_t stride, uint32_t steps,
                      const void *p, uint32_t runs)
{
    const double from = now();
    for (uint32_t run = 0; run < runs; run++) {
        const char *at = x;
        for (uint32_t i = 0; i < steps; i += 2, at += 2 * stride) {
            step(h_b, c, h_a, at, p);
            step(h_a, c, h_b, at + stride, p);
        }
    }
    return now() - from;
}

typedef uint64_t wide __attribute__((vector_size(64), may_alias));

/* Nanoseconds of loading `bytes` bytes (a multiple of 256, aligned to 64) `runs` times, with the widest loads there are. */
double tl_bench_load(const void *bytes, uint32_t count, uint32_t runs, uint64_t *sink)
{
    const wide *at = bytes;
    const double from = now();
    for (uint32_t run = 0; run < runs; run++) {
        wide a = at[0], b = at[1], c = at[2], d = at[3];
        for (uint32_t i = 4; i < count / 64; i += 4) {
            a |= at[i];
            b |= at[i + 1];
            c |= at[i + 2];
            d |= at[i + 3];
        }
        a |= b | c | d;
        sink[run % 8] |= a[run % 8];
    }
    return now() - from;
}
