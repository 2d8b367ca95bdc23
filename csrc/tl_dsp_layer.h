/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The step of one recurrent layer, made for its shape: define what follows, then include this file; once per layer.
 *   TL_LAYER                         the function's name
 *   TL_LSTM, or TL_GRU, or TL_GATE   a gate input of each unit into c: what a GRU without reset_after is made of
 *   TL_INPUTS, TL_HIDDEN             1 .. 2000, TL_INPUTS from 2 on with kind 2
 *   TL_KIND, TL_F, TL_SHIFT          as in tl_cell_w8a16_dsp
 * What the shape decides, the assembler decides: nothing is skipped or shifted at run time, and there are loops over
 * the columns only where the code would be long. On a host the twin in tl_dsp_twin.h runs instead.
 *
 * r0 stream, r1 values, r2 .. r7 a group, sums I r8, F r9, G r10, O r11. With kind 2 r12 and lr hold the input sums of
 * F and O until the groups are done; else r12 is where the next c lies, and lr is `high`. */
#ifndef TL_DSP_LAYER_H
#define TL_DSP_LAYER_H

#include "tl_dsp.h"
#include "tl_dsp_groups.h"

/* tl_dsp_context, above r4 .. r11. */
#define TL_LOW "[sp, #32]"
#define TL_HIGH "[sp, #36]"
#define TL_TABLES "ldr r6, [sp, #40]\n ldr r7, [sp, #44]\n"
#define TL_C_END "[sp, #48]"
#define TL_TO_H_NEW "[sp, #52]"
#define TL_C "[sp, #56]"
#define TL_H "[sp, #60]"
#define TL_X "[sp, #64]"

/* Pairs of wide columns, sums I r8, F r12, G r10, O lr. Loads stand in runs as long as the registers allow. */
#define TL_FIRST(word, value) "smuad " word ", " word ", " value "\n"
#define TL_SUM(sum, word, value) "smlad " sum ", " word ", " value ", " sum "\n"
#define TL_SUMS(i, f, g, o, value)                                                                                     \
    TL_SUM("r8", i, value) TL_SUM("r12", f, value) TL_SUM("r10", g, value) TL_SUM("lr", o, value)
#define TL_HALF TL_FOUR("r3", "r4", "r5", "r6")
#define TL_HALF_SUMS TL_SUMS("r3", "r4", "r5", "r6", "r2")
/* A pair and the half of another, whose value stays in r7. */
#define TL_PAIR_AND_HALF                                                                                               \
    TL_HALF "ldr r2, [r1], #4\n ldr r9, [r0], #4\n ldr r11, [r0], #4\n ldr r7, [r1], #4\n"                             \
    TL_HALF_SUMS TL_SUM("r8", "r9", "r7") TL_SUM("r12", "r11", "r7")
#define TL_THREE_PAIRS                                                                                                 \
    TL_PAIR_AND_HALF "ldr r9, [r0], #4\n ldr r11, [r0], #4\n" TL_HALF "ldr r2, [r1], #4\n"                             \
    TL_SUM("r10", "r9", "r7") TL_SUM("lr", "r11", "r7") TL_HALF_SUMS
#define TL_STARTS "ldr r1, " TL_H "\n" TL_FOUR("r2", "r9", "r3", "r11")
/* The first pair or two, passes of 12 above 32, the rest; at the end the starts of the groups in r2, r9, r3, r11. */
#define TL_PAIRS                                                                                                       \
    ".set .Lodd, .Linputs%2\n .set .Ln, .Linputs/2\n"                                                                  \
    TL_FOUR("r8", "r12", "r10", "lr") "ldr r2, [r1], #4\n"                                                             \
    ".if .Ln%3 && .Ln > 1\n" TL_HALF "ldr r7, [r1], #4\n .endif\n"                                                     \
    TL_FIRST("r8", "r2") TL_FIRST("r12", "r2") TL_FIRST("r10", "r2") TL_FIRST("lr", "r2")                              \
    ".if .Ln%3 && .Ln > 1\n" TL_SUMS("r3", "r4", "r5", "r6", "r7") ".set .Ln, .Ln - 1\n .endif\n"                      \
    ".set .Ln, .Ln - 1\n .set .Ltwo, .Ln%3 == 2\n"                                                                     \
    ".if .Ln > 32\n"                                                                                                   \
    "1:\n"                                                                                                             \
    ".rept 4\n" TL_THREE_PAIRS ".endr\n"                                                                               \
    "ldr r2, " TL_X "\n"                                                                                               \
    "addw r2, r2, #(.Ln/12*48 + (.Linputs/2 - .Ln)*4)\n"                                                               \
    "cmp r1, r2\n"                                                                                                     \
    "bne.w 1b\n"                                                                                                       \
    ".set .Ln, .Ln%12\n"                                                                                               \
    ".endif\n"                                                                                                         \
    ".rept .Ln/3\n" TL_THREE_PAIRS ".endr\n"                                                                           \
    ".if .Lodd\n"                                                                                                      \
    ".rept .Ln%3\n" TL_HALF "ldr r2, [r1], #4\n" TL_HALF_SUMS ".endr\n"                                                \
    TL_HALF "ldrh r2, [r1]\n" TL_HALF_SUMS                                                                             \
    ".endif\n"
#define TL_PAIRS_END                                                                                                   \
    ".if .Ltwo && !.Lodd\n"                                                                                            \
    TL_PAIR_AND_HALF "ldr r5, [r0], #4\n ldr r6, [r0], #4\n" TL_STARTS                                                 \
    TL_SUM("r10", "r5", "r7") TL_SUM("lr", "r6", "r7")                                                                 \
    ".else\n" TL_STARTS ".endif\n"

/* Was this the last unit? Only where a block has fewer than four. */
#define TL_LAST ".if .Lhidden%4\n cmp r12, r7\n beq 3f\n .endif\n"

/* Index in a table: Q3.12 >> 8, saturated. */
#define TL_INDEX(to, from) "ssat " to ", #8, " from ", asr #8\n"
#endif

#if TL_F
#define TL_SHIFTED ", asr #.Lf\n"
#else
#define TL_SHIFTED "\n"
#endif
#ifdef TL_GRU
#define TL_X_GROUPS TL_GROUPS(".Linputs", TL_X, TL_GRU_LOADS, TL_GRU_SUMS("r10"))
#define TL_H_GROUPS TL_GROUPS(".Lhidden", TL_H, TL_GRU_LOADS, TL_GRU_SUMS("r11"))
#define TL_SPLIT "sub r8, r8, r9, lsl #8\n"
#else
#define TL_X_GROUPS TL_GROUPS(".Linputs", TL_X, TL_LSTM_LOADS, TL_LSTM_SUMS)
#define TL_H_GROUPS TL_GROUPS(".Lhidden", TL_H, TL_LSTM_LOADS, TL_LSTM_SUMS)
#define TL_SPLIT "sub r8, r8, r9, lsl #8\n sub r10, r10, r11, lsl #8\n"
#endif
#if TL_KIND == 1
#define TL_NEXT "ldr r1, " TL_H "\n" /* what r1 is when a unit begins */
#else
#define TL_NEXT "ldr r1, " TL_X "\n"
#endif

#ifdef TL_HOST
/* Never called: away from the board the twin of tl_dsp_twin.h computes the layer. An enum or a null pointer in its place
 * is what newer compilers warn of. */
static const uint32_t *TL_LAYER(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                const struct tl_cell_w8a16_dsp *p)
{
    (void)h_new, (void)c, (void)h, (void)x, (void)p;
    return 0;
}
#else
static __attribute__((naked, noinline)) const uint32_t *TL_LAYER(TL_UNUSED int16_t *h_new, TL_UNUSED int16_t *c,
                                                                 TL_UNUSED const int16_t *h,
                                                                 TL_UNUSED const int16_t *x,
                                                                 TL_UNUSED const tl_cell_w8a16_dsp *p)
{
    __asm__(".syntax unified\n" TL_SET(".Linputs", TL_INPUTS) TL_SET(".Lhidden", TL_HIDDEN) TL_SET(".Lf", TL_F)
                TL_SET(".Lshift", TL_SHIFT) "push {r0-r3, lr}\n"
            "sub sp, #20\n"
            "mov r0, sp\n"
            "ldr r1, [sp, #40]\n" /* p */
            "bl tl_dsp_prepare\n"
            "push {r4-r11}\n");
#if TL_KIND == 2
    __asm__(TL_NEXT ".p2align 2\n 2:\n" TL_PAIRS);
    __asm__(TL_PAIRS_END "add r8, r2, r8" TL_SHIFTED "add r10, r3, r10" TL_SHIFTED);
#elif TL_KIND == 1
    __asm__(TL_NEXT "ldr r12, " TL_C "\n ldr lr, " TL_HIGH "\n .p2align 2\n 2:\n"
            TL_FOUR("r8", "r9", "r10", "r11"));
#else
    __asm__(TL_NEXT "ldr r12, " TL_C "\n ldr lr, " TL_HIGH "\n .p2align 2\n 2:\n"
            TL_FOUR("r8", "r9", "r10", "r11") TL_X_GROUPS "ldr r1, " TL_H "\n");
#endif
    __asm__(TL_H_GROUPS);
#if TL_KIND == 2
    __asm__(TL_SPLIT
            "add r9, r9, r12" TL_SHIFTED "add r11, r11, lr" TL_SHIFTED
            TL_FOUR("r2", "r3", "r4", "r5") TL_TABLES "ldr r1, " TL_LOW "\n ldr r12, " TL_C "\n ldr lr, " TL_HIGH "\n");
#elif TL_KIND == 1
    __asm__(TL_SPLIT
            TL_FOUR("r2", "r3", "r4", "r5") "ldr r6, " TL_X "\n"
            "smlawb r8, r2, r6, r8\n smlawb r9, r3, r6, r9\n smlawb r10, r4, r6, r10\n smlawb r11, r5, r6, r11\n"
            TL_FOUR("r2", "r3", "r4", "r5") TL_TABLES "ldr r1, " TL_LOW "\n");
#else
    __asm__(TL_SPLIT
            TL_FOUR("r2", "r3", "r4", "r5") TL_TABLES "ldr r1, " TL_LOW "\n");
#endif
    __asm__("add r8, r8, r1\n add r9, r9, lr\n"
#ifndef TL_GRU
            "add r10, r10, r1\n add r11, r11, lr\n"
#endif
            "smmul r8, r8, r2\n smmul r9, r9, r3\n smmul r10, r10, r4\n smmul r11, r11, r5\n" /* gates, Q3.12 */
#ifndef TL_GATE
            TL_INDEX("r2", "r8") TL_INDEX("r3", "r9")
#endif
    );
#ifdef TL_GATE
    __asm__("ssat r8, #16, r8\n ssat r9, #16, r9\n ssat r10, #16, r10\n ssat r11, #16, r11\n"
            "ldr r7, " TL_C_END "\n" TL_NEXT
            "strh r8, [r12], #2\n" TL_LAST "strh r9, [r12], #2\n" TL_LAST "strh r10, [r12], #2\n" TL_LAST
            "strh r11, [r12], #2\n 3:\n");
#elif defined(TL_GRU)
    /* z r2, r r3; n: with x r10, with h r11, Q(12 + t); h[u] r6 */
    __asm__("ldr r2, [r6, r2, lsl #2]\n ldr r3, [r6, r3, lsl #2]\n ldrsh r6, [r12], #2\n"
            "lsl r8, r8, #7\n lsl r9, r9, #7\n"
            "smlabb r2, r2, r8, r2\n smlabb r3, r3, r9, r3\n" /* Q0.31, the value in the top half */
            "smulwt r11, r11, r3\n"
            "add r10, r10, r11, lsl #1\n"
            "ssat r4, #8, r10, asr #(8+.Lshift)\n"
            "ldr r4, [r7, r4, lsl #2]\n ldr r3, " TL_TO_H_NEW "\n ldr r7, " TL_C_END "\n" TL_NEXT
            "asr r2, r2, #16\n"
            ".if .Lshift\n asr r10, r10, #.Lshift\n .endif\n"
            "lsl r10, r10, #7\n"
            "smlabb r4, r4, r10, r4\n"
            "mov r8, #0x4000\n"
            "asr r4, r4, #16\n"
            "sub r6, r6, r4\n"
            "mla r6, r2, r6, r8\n"
            "add r4, r4, r6, asr #15\n"
            "strh r4, [r12, r3]\n");
#else
    __asm__(TL_INDEX("r4", "r10") TL_INDEX("r5", "r11")
            "ldr r2, [r6, r2, lsl #2]\n ldr r3, [r6, r3, lsl #2]\n ldr r5, [r6, r5, lsl #2]\n"
            "ldr r4, [r7, r4, lsl #2]\n ldrsh r6, [r12]\n"
            "lsl r8, r8, #7\n lsl r9, r9, #7\n lsl r10, r10, #7\n lsl r11, r11, #7\n"
            /* Q0.31, the value in the top half */
            "smlabb r2, r2, r8, r2\n smlabb r3, r3, r9, r3\n smlabb r4, r4, r10, r4\n smlabb r5, r5, r11, r5\n"
            /* cell */
            "mov r8, #0x4000\n"
            "smultt r2, r2, r4\n"
            "smlatb r3, r3, r6, r8\n"
            "add r2, r3, r2, asr #(15-.Lshift)\n"
            "ssat r2, #16, r2, asr #15\n"
            "strh r2, [r12], #2\n");
    __asm__(/* hidden; c -> Q3.12 */
            ".if .Lshift > 4\n ssat r4, #8, r2, asr #(.Lshift-4)\n .else\n ssat r4, #8, r2, lsl #(4-.Lshift)\n .endif\n"
            "ldr r4, [r7, r4, lsl #2]\n ldr r6, " TL_TO_H_NEW "\n ldr r7, " TL_C_END "\n" TL_NEXT
            "lsls r2, r2, #(19-.Lshift)\n"
            "smlabb r4, r4, r2, r4\n"
            "smlatt r5, r5, r4, r8\n"
            "asrs r5, r5, #15\n"
            "strh r5, [r12, r6]\n");
#endif
    __asm__(
#if TL_KIND == 2
            "str r12, " TL_C "\n"
#endif
            "cmp r12, r7\n"
            "bne.w 2b\n"
            "pop {r4-r11}\n"
            "add sp, #36\n"
            "pop {pc}\n");
}
#endif

#undef TL_SHIFTED
#undef TL_X_GROUPS
#undef TL_H_GROUPS
#undef TL_SPLIT
#undef TL_NEXT
#undef TL_LSTM
#undef TL_GRU
#undef TL_GATE
#undef TL_LAYER
#undef TL_INPUTS
#undef TL_HIDDEN
#undef TL_KIND
#undef TL_F
#undef TL_SHIFT
