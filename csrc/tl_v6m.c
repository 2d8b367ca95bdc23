/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The steps of tl_chain.h for Armv6-M. Compilers keep too little of them in registers, so that the loop over the units
 * of an LSTM and a block of a GRU are functions in assembly. The four sums stay in r8 .. r11, which can only be added
 * to, and two columns share the load of their v: a pair of columns takes 29 cycles on an M0+ with the single-cycle
 * multiplier. No instruction count depends on data.
 * On the host the same steps are the C of tl_chain.h. */
#include "tl_v6m.h"

#if defined(TL_HOST)

#include "tl_chain_gru.h"

void tl_lstm_step_w8a16_v6m(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_v6m *p)
{
    tl_lstm_step_chain(h_new, c, h, x, p);
}

#else

#if !defined(__thumb__)
#error "tl_v6m.c is Thumb code: compile with -mcpu=cortex-m0 -mthumb, or with -DTL_HOST=1 for its twin in C"
#endif

#define TL_OWN_LEAVES
#define TL_OWN_FOUR
#include "tl_chain.h"

#include "tl_v6m_rows.h"

/* tl_look: z in r1 -> r1, table at r4. Only the index is saturated: the outermost intervals are flat. */
#define LOOK                                                                                                           \
    "asrs r2, r1, #8\n subs r2, #127\n asrs r3, r2, #31\n ands r2, r3\n"                                               \
    "adds r2, #255\n asrs r3, r2, #31\n bics r2, r3\n lsls r2, r2, #2\n"                                               \
    "ldr r2, [r4, r2]\n lsls r1, r1, #7\n sxth r3, r2\n muls r1, r3\n adds r1, r1, r2\n"                 \
    "asrs r1, r1, #16\n"
/* r1 = sat16((r1 + 2^14) >> 15), 2^14 in lr; |r1| < 2^31 - 2^14. r6 is its sign, r3 whether bit 30 is not. */
#define ROUND_SATURATE                                                                                                 \
    "add r1, lr\n asrs r6, r1, #31\n eors r1, r6\n lsls r3, r1, #1\n asrs r3, r3, #31\n orrs r1, r3\n"                 \
    "lsls r1, r1, #2\n lsrs r1, r1, #17\n eors r1, r6\n"

__attribute__((naked, noinline, used)) static void tl_units(__attribute__((unused)) tl_job *job,
                                                            __attribute__((unused)) const uint32_t *w)
{
    __asm__(".syntax unified\n"
            "push {r4, r5, r6, r7, lr}\n" SAVE
            "mov r7, r0\n adds r7, #16\n mov r0, r1\n"
            "movs r6, #1\n lsls r6, r6, #14\n mov lr, r6\n mov r12, r7\n"
            "ldr r2, [r7, #44]\n adr r1, 2f\n cmp r2, #0\n beq 10f\n adr r1, 1f\n"
            "10: str r1, [r7, #44]\n mov pc, r1\n"
            ".balign 4\n"
            "2:\n" /* a unit with int8 inputs: they begin a row of columns */
            "subs r7, #16\n ldmia r7!, {r1, r2, r3, r4}\n"
            "mov r8, r1\n mov r9, r2\n mov r10, r3\n mov r11, r4\n b 3f\n"
            ".balign 4\n" /* a unit with int16 inputs */
            WIDE_SUMS(""));
    __asm__(".syntax unified\n" SUMS(""));
    __asm__(".syntax unified\n"
            "20:\n" /* the gates; a sum's register takes a gate's value once the row behind it has been read */
            "mov r7, r12\n adds r7, #60\n ldmia r7!, {r4, r5}\n"
            "mov r1, r8\n" REQUANTIZE LOOK "mov r6, r1\n"         /* i */
            ROW("r9", "r8") REQUANTIZE LOOK "mov r8, r1\n"        /* f */
            ROW("r11", "r10") REQUANTIZE LOOK "mov r11, r1\n"     /* o */
            "ldmia r7!, {r4}\n" ROW("r10", "r9") REQUANTIZE LOOK  /* g */
            "muls r1, r6\n ldmia r7!, {r2, r3, r5}\n asrs r1, r3\n" /* the cell, tl_cell */
            "ldrsh r6, [r2, r5]\n mov r3, r8\n muls r6, r3\n adds r1, r1, r6\n" ROUND_SATURATE
            "strh r1, [r2, r5]\n"
            "ldmia r7, {r6, r7}\n lsls r1, r7\n" LOOK
            "mov r2, r11\n muls r1, r2\n add r1, lr\n asrs r1, r1, #15\n" /* h, tl_hidden */
            "strh r1, [r6, r5]\n"
            "mov r7, r12\n adds r5, #2\n str r5, [r7, #80]\n ldr r1, [r7, #44]\n beq 9f\n mov pc, r1\n"
            "9:\n" RESTORE "pop {r4, r5, r6, r7, pc}\n");
}

/* tl_four of tl_chain.h. */
#define STOP "ldr r1, [r7, #56]\n cmp r1, #0\n beq 17f\n b 20f\n 17:\n"
__attribute__((naked, noinline, used)) static void tl_four_rows(void)
{
    /* r0 = z, r1 = w, r2 = s, r3 = part; changes all registers but r7 */
    __asm__(".syntax unified\n"
            "push {r0, r7, lr}\n"
            "mov r0, r1\n mov r7, r2\n mov r12, r2\n lsrs r6, r3, #1\n str r6, [r7, #56]\n"
            "ldr r1, [r7, #52]\n ldr r2, [r7, #48]\n cmp r6, #0\n beq 19f\n"
            "lsls r3, r3, #31\n bmi 18f\n" /* TL_OF_V */
            "movs r1, #0\n"                /* TL_OF_X */
            "19:\n str r1, [r7, #28]\n"
            "ldr r6, [r7, #44]\n cmp r6, #0\n bne 1f\n"
            "adds r1, r1, r2\n subs r7, #12\n"
            "18:\n adds r7, #12\n"
            "movs r2, #0\n mov r8, r2\n mov r9, r1\n lsls r2, r1, #8\n adds r2, r2, r1\n mov r10, r2\n"
            "lsls r2, r2, #8\n adds r2, r2, r1\n mov r11, r2\n b 3f\n"
            WIDE_SUMS(STOP));
    __asm__(".syntax unified\n" SUMS(STOP));
    __asm__(".syntax unified\n"
            "20:\n mov r7, r12\n ldr r5, [r7, #40]\n ldr r4, [r7, #56]\n cmp r4, #0\n beq 21f\n movs r5, #0\n"
            "21:\n pop {r4}\n"
            "mov r1, r8\n" REQUANTIZE "str r1, [r4]\n"
            ROW("r9", "r8") REQUANTIZE "str r1, [r4, #4]\n"
            ROW("r11", "r10") REQUANTIZE "str r1, [r4, #12]\n"
            ROW("r10", "r9") REQUANTIZE "str r1, [r4, #8]\n"
            "pop {r7, pc}\n");
}

TL_INLINE const uint32_t *tl_four(int32_t z[4], const uint32_t *w, tl_sides *s, uint32_t part)
{
    register uintptr_t a __asm__("r0") = (uintptr_t)z, b __asm__("r1") = (uintptr_t)w, c __asm__("r2") = (uintptr_t)s;
    register uint32_t d __asm__("r3") = part;
    __asm__ volatile("bl tl_four_rows"
                     : "+r"(a), "+r"(b), "+r"(c), "+r"(d)
                     :
                     : "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
    return (const uint32_t *)a;
}

/* tl_total of aligned v, two words at a time. */
TL_INLINE uint32_t tl_total_words(const int16_t *v, uint32_t n)
{
    uint32_t sum = 0;
    const int16_t *end = v + (n & ~3u);
    if (v != end) {
        register uint32_t a __asm__("r4"), b __asm__("r5");
        uint32_t s;
        __asm__(".syntax unified\n"
                "1:\n ldmia %[v]!, {r4, r5}\n"
                "sxth %[s], %[a]\n adds %[sum], %[sum], %[s]\n asrs %[a], %[a], #16\n adds %[sum], %[sum], %[a]\n"
                "sxth %[s], %[b]\n adds %[sum], %[sum], %[s]\n asrs %[b], %[b], #16\n adds %[sum], %[sum], %[b]\n"
                "cmp %[v], %[end]\n bne 1b\n"
                : [sum] "+l"(sum), [v] "+l"(v), [a] "=&r"(a), [b] "=&r"(b), [s] "=&l"(s)
                : [end] "l"(end)
                : "cc", "memory");
    }
    return sum + tl_total(v, n & 3);
}

/* What a run is of. */
enum { OF_V, OF_X, OF_WIDE_X };

/* Returns tl_total. */
__attribute__((noinline)) static uint32_t tl_begin(tl_run *run, const int16_t *v, uint32_t n, uint32_t kind)
{
    uint32_t total = 0;
    run->v = v;
    run->jump = 0;
    if (((uintptr_t)v & 2) != 0) { /* between two words */
        run->jump = kind == OF_WIDE_X ? WIDE_BETWEEN : BETWEEN;
        total = (uint32_t)*v;
        v++;
        n--;
    }
    run->end = (uintptr_t)(v + (n & ~1u)) - (kind == OF_X ? 3 : n & 1);
    if (run->jump == 0) { /* over pairs that the first turn lacks; `add pc` counts from the second instruction behind */
        const uint32_t turn = kind == OF_WIDE_X ? 4 : 16, pairs = n >> 1;
        const uint32_t left_out = pairs == 0 ? turn : (0u - pairs) & (turn - 1);
        run->jump = left_out * (kind == OF_WIDE_X ? WIDE_PAIR_BYTES : PAIR_BYTES) - 2u;
    }
    return total + tl_total_words(v, n);
}

TL_INLINE void tl_set_x(tl_sides *s, const int16_t *x, const tl_cell_w8a16_v6m *p)
{
    const uint32_t total = tl_begin(&s->x, x, p->inputs, p->wide != 0 ? OF_WIDE_X : OF_X);
    s->x_odd = (p->inputs - (uint32_t)((uintptr_t)x >> 1 & 1)) & 1;
    s->low_x = 0u - (total << 7);
    s->total_x = 0u - (total << 15);
    s->f = p->f;
    s->t = p->t;
    s->wide = p->wide;
}

TL_INLINE void tl_set_v(tl_sides *s, const int16_t *v, uint32_t n)
{
    s->low_v = s->low = 0u - (tl_begin(&s->v, v, n, OF_V) << 7);
}

void tl_lstm_step_w8a16_v6m(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_v6m *p)
{
    tl_job job;
    tl_sides *s = &job.sides;
    tl_set_x(s, x, p);
    tl_set_v(s, h, p->hidden);
    const uint32_t total = s->low_x + s->low_v;
    job.first[0] = 0;
    job.first[1] = total;
    job.first[2] = total * 0x101u;
    job.first[3] = total * 0x10101u;
    job.u = 0u - 2u * p->units;
    job.sigmoid = tl_sigmoid_lines;
    job.tanh = tl_tanh_lines;
    job.t = p->t;
    job.shift_ig = 15u - p->frac;
    job.shift_c = 12u - p->frac;
    job.c = c + p->units;
    job.h_new = h_new + p->units;
    tl_units(&job, p->w);
}

TL_INLINE int32_t tl_interval(int32_t z)
{
    int32_t held, sign;
    __asm__(".syntax unified\n"
            "asrs %0, %2, #8\n subs %0, #127\n asrs %1, %0, #31\n ands %0, %1\n"
            "adds %0, #255\n asrs %1, %0, #31\n bics %0, %1\n"
            : "=&l"(held), "=&l"(sign)
            : "l"(z)
            : "cc");
    return held - 128;
}

#include "tl_chain_gru.h"

#define TL_OWN_DOT
/* The column `at` bytes on: w in r0, v in r1, the sum in r8. */
#define PRODUCT(at) "ldrsh r2, [r0, " at "]\n ldrsh r3, [r1, " at "]\n muls r2, r3\n add r8, r2\n"
#define PRODUCTS PRODUCT("r4") PRODUCT("r5") PRODUCT("r6") PRODUCT("r7") "adds r0, #8\n adds r1, #8\n"
/* Offsets in r4 .. r7: a load that extends the sign has no other. */
__attribute__((naked, noinline, used)) static int32_t tl_dot(__attribute__((unused)) const int16_t *w,
                                                             __attribute__((unused)) const int16_t *v,
                                                             __attribute__((unused)) uint32_t n,
                                                             __attribute__((unused)) int32_t sum)
{
    __asm__(".syntax unified\n"
            "push {r4, r5, r6, r7, lr}\n mov r4, r8\n push {r4}\n mov r8, r3\n mov lr, r2\n"
            "movs r4, #0\n movs r5, #2\n movs r6, #4\n movs r7, #6\n"
            "lsrs r2, r2, #3\n beq 2f\n lsls r2, r2, #4\n adds r2, r2, r1\n mov r12, r2\n"
            "1:\n" PRODUCTS PRODUCTS "cmp r1, r12\n bne 1b\n"
            "2:\n mov r2, lr\n lsls r2, r2, #29\n beq 4f\n lsrs r2, r2, #28\n adds r2, r2, r1\n mov r12, r2\n"
            "3:\n" PRODUCT("r4") "adds r0, #2\n adds r1, #2\n cmp r1, r12\n bne 3b\n"
            "4:\n mov r0, r8\n pop {r4}\n mov r8, r4\n pop {r4, r5, r6, r7, pc}\n");
}

#endif

#include "tl_dense_unrolled.h"

void tl_gru_step_w8a16_v6m(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                           const tl_gru_w8a16_v6m *p)
{
    tl_gru_step_blocks(h_new, reset, h, x, p);
}

void tl_dense_w16a16_v6m(int32_t *y, const int16_t *h, const tl_dense_w16a16 *p)
{
    tl_dense_unrolled(y, h, p);
}
