/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The step of tl_chain.h for Armv6-M. Compilers keep too little of it in registers, so the loop over the units is one
 * function in assembly. The four sums stay in r8 .. r11, which can only be added to, and two columns share the load of
 * their v: a pair of columns takes 29 cycles on an M0+ with the single-cycle multiplier.
 * No instruction count depends on data.
 * On the host the same step is the C of tl_chain.h. */
#include "tl_v6m.h"

#include "tl_chain.h"

#if defined(TL_HOST)

void tl_lstm_step_w8a16_v6m(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_v6m *p)
{
    tl_lstm_step_chain(h_new, c, h, x, p);
}

#else

#if !defined(__thumb__)
#error "tl_v6m.c is Thumb code: compile with -mcpu=cortex-m0 -mthumb, or with -DTL_HOST=1 for its twin in C"
#endif

#include "tl_v6m_column.h"

/* A run of columns: v; how far to jump into the unrolled loop; where v stands behind the last whole pair, less 1 when
 * another column follows, less 3 when this is the x of a layer with int8 inputs, behind which comes h. */
typedef struct tl_run {
    const int16_t *v;
    uint32_t jump;
    uintptr_t end;
} tl_run;

/* What tl_units reads, at the offsets that stand in its text. c and h_new point behind their ends;
 * u is the place of a unit in bytes from there, so it ends at 0. */
typedef struct tl_job {
    const uint32_t *w;             /* 0 */
    uint32_t wide, unused[2];      /* 4: becomes the address where a unit begins; 8, 12 */
    uint32_t first[4];             /* 16: the sums of a unit before its first column */
    tl_run x, h;                   /* 32, 44 */
    uint32_t x_odd;                /* 56: another column follows the pairs of x */
    uint32_t total, total_x, f;    /* 60, 64, 68 */
    const uint32_t *sigmoid;       /* 72 and so on: in the order in which the gates take them */
    uint32_t t;                    /* 76 */
    const uint32_t *tanh;          /* 80 */
    int16_t *c;                    /* 84 */
    uint32_t shift_ig, u;          /* 88, 92 */
    int16_t *h_new;                /* 96 */
    uint32_t shift_c;              /* 100 */
} tl_job;

#define PAIR                                                                                                           \
    "ldmia r1!, {r2}\n ldmia r0!, {r4, r5}\n sxth r3, r2\n" COLUMN("r4") "asrs r3, r2, #16\n" COLUMN("r5")
#define PAIR_BYTES 52u
/* The same for int16 weights. */
#define WIDE                                                                                                           \
    "ldmia r0!, {r4, r5}\n"                                                                                            \
    "asrs r6, r4, #16\n muls r6, r3\n add r8, r6\n muls r4, r3\n add r9, r4\n"                                         \
    "asrs r6, r5, #16\n muls r6, r3\n add r10, r6\n muls r5, r3\n add r11, r5\n"
#define WIDE_PAIR "ldmia r1!, {r2}\n sxth r3, r2\n" WIDE "asrs r3, r2, #16\n" WIDE
#define WIDE_PAIR_BYTES 50u
/* One column when v lies between two words, and what `jump` is for the pairs behind it. */
#define BETWEEN (16 * PAIR_BYTES + 10u)
#define WIDE_BETWEEN (4 * WIDE_PAIR_BYTES + 8u)
#define REST(none, turn, bytes)                                                                                        \
    "adds r6, r7, #3\n subs r6, r6, r1\n lsrs r6, r6, #2\n beq " none "\n negs r6, r6\n"                               \
    "movs r2, #" turn "\n ands r6, r2\n movs r2, #" bytes "\n muls r6, r2\n subs r6, #2\n"
#define NEXT "ldrh r3, [r1]\n sxth r3, r3\n adds r1, #2\n"

/* Gate input of a row, without its bias, in r1: its sum less 256 times the sum of the row before it. */
#define ROW(sum, before) "mov r1, " sum "\n mov r2, " before "\n lsls r2, r2, #8\n subs r1, r1, r2\n"
/* Adds the bias; accumulator -> z, by two short products (tl_mulw) and t in r5. The bias and m are next at r0. */
#define REQUANTIZE                                                                                                     \
    "ldmia r0!, {r2, r3}\n adds r1, r1, r2\n uxth r2, r1\n asrs r1, r1, #16\n"                                         \
    "muls r2, r3\n muls r1, r3\n lsrs r2, r2, #16\n adds r1, r1, r2\n asrs r1, r5\n"
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

__attribute__((naked, noinline, used)) static void tl_units(__attribute__((unused)) tl_job *job)
{
    __asm__(".syntax unified\n"
            "push {r4, r5, r6, r7, lr}\n"
            "mov r4, r8\n mov r5, r9\n mov r6, r10\n mov r7, r11\n"
            "push {r4, r5, r6, r7}\n"
            "mov r7, r0\n ldr r0, [r7]\n"
            "movs r6, #1\n lsls r6, r6, #14\n mov lr, r6\n mov r12, r7\n"
            "ldr r2, [r7, #4]\n adr r1, 2f\n cmp r2, #0\n beq 10f\n adr r1, 1f\n"
            "10: str r1, [r7, #4]\n mov pc, r1\n"
            ".balign 4\n"
            "2:\n" /* int8 inputs: they begin a row of columns */
            "adds r7, #16\n ldmia r7!, {r1, r2, r3, r4}\n"
            "mov r8, r1\n mov r9, r2\n mov r10, r3\n mov r11, r4\n b 3f\n"
            ".balign 4\n"
            "1:\n" /* a unit: r7 = r12 = job, r0 = w */
            /* int16 inputs */
            "movs r1, #0\n mov r8, r1\n mov r10, r1\n"
            "ldr r1, [r7, #64]\n mov r9, r1\n mov r11, r1\n"
            "adds r7, #32\n ldmia r7, {r1, r6, r7}\n"
            "11:\n add pc, r6\n"
            "12:\n.rept 4\n" WIDE_PAIR ".endr\n cmp r1, r7\n blo 12b\n"
            "15:\n lsls r7, r7, #31\n bpl 13f\n b 16f\n"
            NEXT WIDE REST("15b", "3", "50") "b 11b\n" /* WIDE_BETWEEN */
            "16:\n" NEXT WIDE
            "13:\n" /* tl_join, total included */
            "mov r7, r12\n ldr r6, [r7, #68]\n"
            "mov r1, r8\n mov r2, r9\n lsls r3, r1, #16\n subs r2, r2, r3\n asrs r1, r6\n asrs r2, r6\n"
            "mov r3, r10\n mov r4, r11\n lsls r5, r3, #16\n subs r4, r4, r5\n asrs r3, r6\n asrs r4, r6\n"
            "ldr r6, [r7, #60]\n"
            "mov r8, r1\n lsls r1, r1, #8\n adds r2, r2, r1\n adds r2, r2, r6\n"
            "mov r9, r2\n lsls r2, r2, #8\n adds r3, r3, r2\n adds r3, r3, r6\n"
            "mov r10, r3\n lsls r3, r3, #8\n adds r4, r4, r3\n adds r4, r4, r6\n mov r11, r4\n"
            "adds r7, #44\n");
    __asm__(".syntax unified\n"
            "3:\n" /* a run of int8 columns: r7 = tl_run, r12 = job */
            "ldmia r7, {r1, r6, r7}\n"
            "4:\n add pc, r6\n"
            "5:\n.rept 16\n" PAIR ".endr\n cmp r1, r7\n bhs 8f\n b 5b\n"
            "8:\n"
            "lsls r2, r7, #31\n bpl 20f\n b 14f\n"
            NEXT "ldmia r0!, {r4}\n" COLUMN("r4") REST("8b", "15", "52") "b 4b\n" /* BETWEEN: v between two words */
            "14:\n"
            "lsls r7, r7, #30\n bmi 6f\n" /* more after the pairs: h has one column */
            "mov r2, r12\n ldr r2, [r2, #56]\n cmp r2, #0\n beq 7f\n"
            "6:\n" NEXT "ldmia r0!, {r4}\n" COLUMN("r4")
            "cmp r7, #0\n bmi 20f\n"
            "7:\n mov r7, r12\n adds r7, #44\n b 3b\n"
    );
    __asm__(".syntax unified\n"
            "20:\n" /* the gates; a sum's register takes a gate's value once the row behind it has been read */
            "mov r7, r12\n adds r7, #72\n ldmia r7!, {r4, r5}\n"
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
            "mov r7, r12\n adds r5, #2\n str r5, [r7, #92]\n ldr r1, [r7, #4]\n beq 9f\n mov pc, r1\n"
            "9:\n"
            "pop {r4, r5, r6, r7}\n"
            "mov r8, r4\n mov r9, r5\n mov r10, r6\n mov r11, r7\n"
            "pop {r4, r5, r6, r7, pc}\n"
    );
}

/* turn: pairs in a turn of the loop, a power of two. */
TL_INLINE tl_run tl_make_run(const int16_t *v, uint32_t n, uint32_t turn, uint32_t bytes, uint32_t between,
                             uint32_t less)
{
    const uint32_t first = (uint32_t)((uintptr_t)v >> 1 & 1);
    const uint32_t pairs = (n - first) >> 1;
    const uint32_t left_out = pairs == 0 ? turn : (0u - pairs) & (turn - 1);
    /* `add pc` counts from the second instruction behind it */
    return (tl_run){v, first != 0 ? between : left_out * bytes - 2u, (uintptr_t)(v + first + 2 * pairs) - less};
}

/* tl_total, two words at a time. */
TL_INLINE uint32_t tl_total_words(const int16_t *v, uint32_t n)
{
    const uint32_t first = (uint32_t)((uintptr_t)v >> 1 & 1), fours = (n - first) & ~3u;
    uint32_t sum = first != 0 ? (uint32_t)*v : 0u;
    v += first;
    if (fours != 0) {
        const int16_t *end = v + fours;
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
    return sum + tl_total(v, n - first - fours);
}

void tl_lstm_step_w8a16_v6m(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x, const tl_lstm_w8a16_v6m *p)
{
    const uint32_t n = p->hidden, inputs = p->inputs;
    const uint32_t x_odd = (inputs - (uint32_t)((uintptr_t)x >> 1 & 1)) & 1;
    const uint32_t h_odd = (n - (uint32_t)((uintptr_t)h >> 1 & 1)) & 1;
    const uint32_t total_x = tl_total_words(x, inputs);
    const uint32_t total = (tl_total_words(h, n) + (p->wide != 0 ? 0u : total_x)) * (0u - 128u);
    tl_job job; /* filled field by field: an initializer would call memset */
    job.w = p->w;
    job.wide = p->wide;
    job.u = 0u - 2u * p->units;
    job.first[0] = 0;
    job.first[1] = total;
    job.first[2] = total * 0x101u;
    job.first[3] = total * 0x10101u;
    job.h = tl_make_run(h, n, 16, PAIR_BYTES, BETWEEN, h_odd);
    job.x_odd = x_odd;
    job.total = total;
    job.total_x = total_x * (0u - 32768u);
    job.f = p->f;
    job.sigmoid = tl_sigmoid_lines;
    job.tanh = tl_tanh_lines;
    job.t = p->t;
    job.shift_ig = 15u - p->frac;
    job.shift_c = 12u - p->frac;
    job.c = c + p->units;
    job.h_new = h_new + p->units;
    job.x = p->wide != 0 ? tl_make_run(x, inputs, 4, WIDE_PAIR_BYTES, WIDE_BETWEEN, x_odd)
                         : tl_make_run(x, inputs, 16, PAIR_BYTES, BETWEEN, 3);
    tl_units(&job);
}

#endif

#include "tl_v6m_gru.h"

void tl_gru_step_w8a16_v6m(int16_t *h_new, int16_t *reset, const int16_t *h, const int16_t *x,
                           const tl_gru_w8a16_v6m *p)
{
    (void)reset;
    tl_gru_step_chain(h_new, h, x, p);
}
