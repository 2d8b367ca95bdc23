/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Arm cores with a scalar FPU of single precision (Cortex-M4, M7, M33): tiles of two units, their 8 sums and a column of
 * weights in registers. On a Cortex-M4 VMUL and VADD take 2 cycles and VFMA 3; loads of many words 1 a word. */
#include "tl_f32.h"
#include "tl_inline.h"

#define V float
#define LANES 1u
#define VECTORS 2u
#define BOTH_WAYS 0
#define LEAF static __attribute__((noinline)) /* its arguments are in registers */
#define fraction(t, n) ((t) - (n))
#define ALL(v) (v)
#define LOAD(p) (*(p))

INLINE float multiply_add(float a, float b, float c)
{
    return a * b + c;
}

INLINE float limit(float t, float most)
{
    return t > most ? most : t > -most ? t : -most;
}

INLINE float floor_(float t)
{
    const float n = (float)(int32_t)t;
    return n > t ? n - 1.0f : n;
}

INLINE float scale(float p, float t, float n)
{
    (void)t;
    union {
        float value;
        uint32_t bits;
    } all = {p};
    all.bits += (uint32_t)(int32_t)n << 23;
    return all.value;
}

INLINE float load_units(const float *p, uint32_t n)
{
    (void)n;
    return *p;
}

INLINE void store_units(float *p, float v, uint32_t n)
{
    (void)n;
    *p = v;
}

#ifdef __ARM_FP

/* Instructions on a column: 6 or 8 weights, from s8 or behind the column before, times an activation; then to the sums. */
#define LOAD_ACTIVATIONS(registers) "vldmia %[v]!, {" registers "}\n\t"
#define LOAD_WEIGHTS(registers) "vldmia %[w]!, {" registers "}\n\t"
#define TIMES(x, row) "vmul.f32 s" #row ", s" #row ", " x "\n\t"
#define PLUS(sum, row) "vadd.f32 %[a" #sum "], %[a" #sum "], s" #row "\n\t"
#define TIMES6(x, a, b, c, d, e, f) TIMES(x, a) TIMES(x, b) TIMES(x, c) TIMES(x, d) TIMES(x, e) TIMES(x, f)
#define PLUS6(a, b, c, d, e, f) PLUS(0, a) PLUS(1, b) PLUS(2, c) PLUS(3, d) PLUS(4, e) PLUS(5, f)

#define ONE6(x) LOAD_WEIGHTS("s8-s13") TIMES6(x, 8, 9, 10, 11, 12, 13) PLUS6(8, 9, 10, 11, 12, 13)
#define TWO6(x, y)                                                                                                     \
    LOAD_WEIGHTS("s8-s19")                                                                                             \
    TIMES6(x, 8, 9, 10, 11, 12, 13) TIMES6(y, 14, 15, 16, 17, 18, 19)                                                  \
    PLUS6(8, 9, 10, 11, 12, 13) PLUS6(14, 15, 16, 17, 18, 19)
#define ONE8(x)                                                                                                        \
    LOAD_WEIGHTS("s8-s15")                                                                                             \
    TIMES6(x, 8, 9, 10, 11, 12, 13) TIMES(x, 14) TIMES(x, 15)                                                          \
    PLUS6(8, 9, 10, 11, 12, 13) PLUS(6, 14) PLUS(7, 15)
#define TWO8(x, y)                                                                                                     \
    LOAD_WEIGHTS("s8-s23")                                                                                             \
    TIMES6(x, 8, 9, 10, 11, 12, 13) TIMES(x, 14) TIMES(x, 15)                                                          \
    TIMES6(y, 16, 17, 18, 19, 20, 21) TIMES(y, 22) TIMES(y, 23)                                                        \
    PLUS6(8, 9, 10, 11, 12, 13) PLUS(6, 14) PLUS(7, 15)                                                                \
    PLUS6(16, 17, 18, 19, 20, 21) PLUS(6, 22) PLUS(7, 23)

#define SUMS6(a, b)                                                                                                    \
    [a0] "+t"((a)[0]), [a1] "+t"((a)[1]), [a2] "+t"((a)[2]), [a3] "+t"((a)[3]), [a4] "+t"((b)[0]), [a5] "+t"((b)[1])
#define SUMS8(a) SUMS6(a, (a) + 4), [a6] "+t"((a)[6]), [a7] "+t"((a)[7])
#define USED                                                                                                           \
    "s8", "s9", "s10", "s11", "s12", "s13", "s14", "s15", "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23",      \
        "s24", "s25", "s26", "s27", "memory"

/* n columns of 4 sections. */
INLINE void columns8(float acc[8], const float *w, const float *v, uint32_t n)
{
    for (; n >= 4; n -= 4) {
        __asm__(LOAD_ACTIVATIONS("s24-s27") TWO8("s24", "s25") TWO8("s26", "s27")
                : SUMS8(acc), [w] "+r"(w), [v] "+r"(v)::USED);
    }
    for (; n != 0; n--) {
        __asm__(LOAD_ACTIVATIONS("s24") ONE8("s24") : SUMS8(acc), [w] "+r"(w), [v] "+r"(v)::USED);
    }
}

/* n columns of 3 sections: acc [4] and last [2]. */
INLINE void columns6(float acc[4], float last[2], const float *w, const float *v, uint32_t n)
{
    for (; n >= 4; n -= 4) {
        __asm__(LOAD_ACTIVATIONS("s24-s27") TWO6("s24", "s25") TWO6("s26", "s27")
                : SUMS6(acc, last), [w] "+r"(w), [v] "+r"(v)::USED);
    }
    for (; n != 0; n--) {
        __asm__(LOAD_ACTIVATIONS("s24") ONE6("s24") : SUMS6(acc, last), [w] "+r"(w), [v] "+r"(v)::USED);
    }
}

INLINE void dot(float acc[8], const float *w, const float *v, uint32_t n, const uint32_t sections, const uint32_t down)
{
    (void)down; /* 0 */
    if (sections == 15) {
        columns8(acc, w, v, n);
    } else {
        columns6(acc, acc + (sections == 7 ? 4 : 6), w, v, n);
    }
}

#elif defined(TL_HOST)

#define X float
#define spread(v) (v)
#define multiply_x multiply_add
#define total(v) (v)
#define IN_ORDER (void)0
#include "tl_dot_f32.h"

#else
#error "build this file for a core with an FPU, e.g. -mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard"
#endif

#include "tl_tiles_f32.h"

void tl_lstm_step_f32_fpv4(float *h_new, float *c, const float *h, const float *x, const tl_tiles_f32 *p)
{
    lstm_step(h_new, c, h, x, p);
}

void tl_gru_step_f32_fpv4(float *h_new, float *reset, const float *h, const float *x, const tl_tiles_f32 *p)
{
    (void)reset;
    gru_step(h_new, h, x, p);
}
