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

#define TIMES(row) "vmul.f32 s" #row ", s" #row ", "
#define PLUS(acc, row) "vadd.f32 %[a" #acc "], %[a" #acc "], s" #row "\n\t"
#define COLUMN6(x)                                                                                                     \
    "vldmia %[w]!, {s16-s21}\n\t" TIMES(16) x TIMES(17) x TIMES(18) x TIMES(19) x TIMES(20) x TIMES(21) x              \
    PLUS(0, 16) PLUS(1, 17) PLUS(2, 18) PLUS(3, 19) PLUS(4, 20) PLUS(5, 21)
#define COLUMN8(x)                                                                                                     \
    "vldmia %[w]!, {s16-s23}\n\t" TIMES(16) x TIMES(17) x TIMES(18) x TIMES(19) x TIMES(20) x TIMES(21) x TIMES(22) x  \
    TIMES(23) x PLUS(0, 16) PLUS(1, 17) PLUS(2, 18) PLUS(3, 19) PLUS(4, 20) PLUS(5, 21) PLUS(6, 22) PLUS(7, 23)
#define ONE "vldmia %[v]!, {s24}\n\t"
#define TWO "vldmia %[v]!, {s24-s25}\n\t"
#define FIRST "s24\n\t"
#define SECOND "s25\n\t"
#define SUMS(a, b) \
    [a0] "+t"((a)[0]), [a1] "+t"((a)[1]), [a2] "+t"((a)[2]), [a3] "+t"((a)[3]), [a4] "+t"((b)[0]), [a5] "+t"((b)[1])
#define USED "s16", "s17", "s18", "s19", "s20", "s21", "s22", "s23", "s24", "s25", "memory"

/* n columns of 4 sections. */
INLINE void columns8(float acc[8], const float *w, const float *v, uint32_t n)
{
    for (; n >= 2; n -= 2) {
        __asm__(TWO COLUMN8(FIRST) COLUMN8(SECOND)
                : SUMS(acc, acc + 4), [a6] "+t"(acc[6]), [a7] "+t"(acc[7]), [w] "+r"(w), [v] "+r"(v)::USED);
    }
    if (n != 0) {
        __asm__(ONE COLUMN8(FIRST)
                : SUMS(acc, acc + 4), [a6] "+t"(acc[6]), [a7] "+t"(acc[7]), [w] "+r"(w), [v] "+r"(v)::USED);
    }
}

/* n columns of 3 sections: acc [4] and last [2]. */
INLINE void columns6(float acc[4], float last[2], const float *w, const float *v, uint32_t n)
{
    for (; n >= 2; n -= 2) {
        __asm__(TWO COLUMN6(FIRST) COLUMN6(SECOND) : SUMS(acc, last), [w] "+r"(w), [v] "+r"(v)::USED);
    }
    if (n != 0) {
        __asm__(ONE COLUMN6(FIRST) : SUMS(acc, last), [w] "+r"(w), [v] "+r"(v)::USED);
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
