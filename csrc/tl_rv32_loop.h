/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rows share the load of a column's value: the columns of tl_rv32.c and tl_rv32_w8a8.c, eight rows at a time; those of
 * tl_rv32_lstm.h, sixteen. The first two say with TL_VALUE, TL_VALUE_BYTES and TL_VALUE_TYPE how to load value k of a
 * turn into x, its size and a pointer's type. */
#ifndef TL_RV32_LOOP_H
#define TL_RV32_LOOP_H

#include <stdint.h>

/* Four rows of column k of a turn, of the `all` in a column: weights of `size` bytes from `at` on, loaded by `load`. */
#define QUAD(all, load, size, at, w, x, t0, t1, t2, t3, a, b, c, d)                                                    \
    load " " t0 ", " size "*(" all "*k+" at ")(" w ")\n" load " " t1 ", " size "*(" all "*k+1+" at ")(" w ")\n"        \
    load " " t2 ", " size "*(" all "*k+2+" at ")(" w ")\n" load " " t3 ", " size "*(" all "*k+3+" at ")(" w ")\n"      \
    "mul " t0 ", " t0 ", " x "\n mul " t1 ", " t1 ", " x "\n"                                                          \
    "mul " t2 ", " t2 ", " x "\n mul " t3 ", " t3 ", " x "\n"                                                          \
    "add " a ", " a ", " t0 "\n add " b ", " b ", " t1 "\n add " c ", " c ", " t2 "\n add " d ", " d ", " t3 "\n"
#define QUAD_OF_8(load, size, at, a, b, c, d)                                                                          \
    QUAD("8", load, size, at, "%[w]", "%[x]", "%[t0]", "%[t1]", "%[t2]", "%[t3]", a, b, c, d)
/* The loop over v .. end, `count` columns a turn. */
#define LOOP(load, size, count)                                                                                        \
    if (v != end) {                                                                                                    \
        int32_t x, t0, t1, t2, t3;                                                                                     \
        __asm__("1:\n .set k, 0\n .rept " count "\n" TL_VALUE                                                          \
                QUAD_OF_8(load, size, "0", "%[s0]", "%[s1]", "%[s2]", "%[s3]")                                         \
                QUAD_OF_8(load, size, "4", "%[s4]", "%[s5]", "%[s6]", "%[s7]")                                         \
                ".set k, k+1\n .endr\n addi %[v], %[v], " TL_VALUE_BYTES "*" count "\n"                                \
                "addi %[w], %[w], 8*" size "*" count "\n"                                                              \
                "bne %[v], %[end], 1b\n"                                                                               \
                : [s0] "+r"(sum[0]), [s1] "+r"(sum[1]), [s2] "+r"(sum[2]), [s3] "+r"(sum[3]), [s4] "+r"(sum[4]),       \
                  [s5] "+r"(sum[5]), [s6] "+r"(sum[6]), [s7] "+r"(sum[7]), [w] "+r"(w), [v] "+r"(v), [x] "=&r"(x),     \
                  [t0] "=&r"(t0), [t1] "=&r"(t1), [t2] "=&r"(t2), [t3] "=&r"(t3)                                       \
                : [end] "r"(end)                                                                                       \
                : "memory");                                                                                           \
    }
#define COLUMNS(load, size)                                                                                            \
    TL_VALUE_TYPE end = v + (n & ~7u);                                                                                 \
    LOOP(load, size, "8")                                                                                              \
    end += n & 7;                                                                                                      \
    LOOP(load, size, "1")                                                                                              \
    return w;

/* v + 32768, held to 0 .. 65535, without a branch: first the upper end, then the lower. */
static inline __attribute__((always_inline)) int32_t clip(int32_t v)
{
    int32_t u, t;
    __asm__("sub %[u], %[v], %[top]\n srai %[t], %[u], 31\n and %[u], %[u], %[t]\n add %[u], %[u], %[span]\n"
            "slt %[t], zero, %[u]\n mul %[u], %[u], %[t]\n"
            : [u] "=&r"(u), [t] "=&r"(t)
            : [v] "r"(v), [top] "r"(32767), [span] "r"(65535));
    return u;
}

#endif
