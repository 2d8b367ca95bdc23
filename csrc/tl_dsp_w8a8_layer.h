/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The step of one LSTM layer of the scheme w8a8, made for its shape and scales: define what follows, then include this
 * file; once per layer.
 *   TL_LAYER                           the function's name
 *   TL_INPUTS, TL_HIDDEN               in whole groups at most 1900 together
 *   TL_SHIFTS                          the 9 of tl_lstm_w8a8's s
 *   TL_BITS, TL_CLIP, TL_H_ZERO        as in tl_lstm_w8a8
 * Registers during the groups: tl_dsp_groups.h; r12 and lr hold the inputs' part of i, f and of g, o, saturated. */
#ifndef TL_DSP_W8A8_LAYER_H
#define TL_DSP_W8A8_LAYER_H

#include "tl_dsp_groups.h"
#include "tl_dsp_w8a8.h"

#ifndef TL_HOST
#define TL_ALL_SHIFTS(i, f, g, o, hi, hf, hg, ho, h)                                                                   \
    TL_SET(".Li", i) TL_SET(".Lf", f) TL_SET(".Lg", g) TL_SET(".Lo", o) TL_SET(".Lhi", hi) TL_SET(".Lhf", hf)          \
    TL_SET(".Lhg", hg) TL_SET(".Lho", ho) TL_SET(".Lh", h)
#define TL_SPREAD(macro, ...) macro(__VA_ARGS__)

/* tl_dsp_context_w8a8, above r4 .. r11; the multipliers of the inputs' part from 48 on. */
#define TL_X_AT "[sp, #112]"
#define TL_H_AT "[sp, #108]"
#define TL_SCALES(m, low, high)                                                                                        \
    "ldr r2, [sp, #" m "]\n ldr r3, [sp, #" m "+4]\n ldr r4, [sp, #" m "+8]\n ldr r5, [sp, #" m "+12]\n"               \
    "ldr r6, [sp, #" low "]\n ldr r7, [sp, #" high "]\n"
/* The sums behind the groups, then the multiplication without its shift to the right. */
#define TL_APART                                                                                                       \
    "sub r8, r8, r9, lsl #8\n sub r10, r10, r11, lsl #8\n add r9, r9, r7\n add r11, r11, r7\n add r8, r8, r6\n"        \
    "add r10, r10, r6\n"
#define TL_HIGH_MUL(v, m, s) ".if " s " > 0\n lsl " v ", " v ", #" s "\n .endif\n smmulr " v ", " v ", " m "\n"
/* Before a shift to the right by -s > 0: the half; 1 less below 0. */
#define TL_HALF_OF(v, s)                                                                                               \
    ".if " s " < 0\n add " v ", " v ", " v ", asr #31\n add " v ", " v ", #(1 << (-(" s ") - 1))\n .endif\n"
#define TL_SATURATE(v, bits, s)                                                                                        \
    ".if " s " < 0\n ssat " v ", #" bits ", " v ", asr #-(" s ")\n .else\n ssat " v ", #" bits ", " v "\n .endif\n"
#define TL_ADD_PART(v, s, part)                                                                                        \
    ".if " s " < 0\n asr " v ", " v ", #-(" s ")\n .endif\n sxtah " v ", " v ", " part "\n ssat " v ", #16, " v "\n"
#define TL_THREE(t, z) "add " t ", " z ", " z ", lsl #1\n"
/* tl_line_w8a8 of three times z, whose word is in `y`; then where it is rounded to. */
#define TL_LINE(y, t, shift) "mvn r1, " t ", lsl #" shift "\n smlabb " y ", " y ", r1, " y "\n"
#define TL_SIGN(y, t) "add " y ", " y ", " t ", asr #31\n"
#endif
#endif

#ifdef TL_HOST
/* Never called: away from the board the twin of tl_dsp_twin.h computes the layer. An enum or a null pointer in its place
 * is what newer compilers warn of. */
static void TL_LAYER(int8_t *h_new, int16_t *c, const int8_t *h, const int8_t *x, const struct tl_lstm_w8a8_dsp *p)
{
    (void)h_new, (void)c, (void)h, (void)x, (void)p;
}
#else
static __attribute__((naked, noinline)) void TL_LAYER(TL_UNUSED int8_t *h_new, TL_UNUSED int16_t *c,
                                                      TL_UNUSED const int8_t *h, TL_UNUSED const int8_t *x,
                                                      TL_UNUSED const tl_lstm_w8a8_dsp *p)
{
    __asm__(".syntax unified\n" TL_SET(".Linputs", (TL_INPUTS + 3) / 4 * 4) TL_SET(".Lhidden", (TL_HIDDEN + 3) / 4 * 4)
                TL_SPREAD(TL_ALL_SHIFTS, TL_SHIFTS) TL_SET(".Lbits", TL_BITS) TL_SET(".Lclip", TL_CLIP)
                    TL_SET(".Lzero", TL_H_ZERO) ".set .Lroom, 2*(.Linputs + .Lhidden)\n"
            "push {lr}\n"
            "subw sp, sp, #.Lroom\n"
            "push {r0-r3}\n"
            "sub sp, #68\n"
            "mov r0, sp\n"
            "ldr.w r1, [sp, #(88+.Lroom)]\n" /* p */
            "bl tl_dsp_prepare_w8a8\n"
            "push {r4-r11}\n"
            "ldr r1, " TL_X_AT "\n"
            ".p2align 2\n"
            "2:\n" TL_FOUR("r8", "r9", "r10", "r11"));
    __asm__(TL_GROUPS(".Linputs", TL_X_AT, TL_LSTM_LOADS, TL_LSTM_SUMS));
    __asm__(TL_SCALES("48", "32", "36") "ldr r1, " TL_H_AT "\n" TL_APART
            TL_HIGH_MUL("r8", "r2", ".Li") TL_HIGH_MUL("r9", "r3", ".Lf")
            TL_HIGH_MUL("r10", "r4", ".Lg") TL_HIGH_MUL("r11", "r5", ".Lo")
            TL_HALF_OF("r8", ".Li") TL_HALF_OF("r9", ".Lf") TL_HALF_OF("r10", ".Lg") TL_HALF_OF("r11", ".Lo")
            TL_SATURATE("r8", "16", ".Li") TL_SATURATE("r9", "16", ".Lf")
            TL_SATURATE("r10", "16", ".Lg") TL_SATURATE("r11", "16", ".Lo")
            "pkhbt r12, r8, r9, lsl #16\n pkhbt lr, r10, r11, lsl #16\n"
            TL_FOUR("r8", "r9", "r10", "r11"));
    __asm__(TL_GROUPS(".Lhidden", TL_H_AT, TL_LSTM_LOADS, TL_LSTM_SUMS));
    __asm__(TL_SCALES("64", "40", "44") TL_APART
            TL_HIGH_MUL("r8", "r2", ".Lhi") TL_HIGH_MUL("r9", "r3", ".Lhf")
            TL_HIGH_MUL("r10", "r4", ".Lhg") TL_HIGH_MUL("r11", "r5", ".Lho")
            TL_HALF_OF("r8", ".Lhi") TL_HALF_OF("r9", ".Lhf") TL_HALF_OF("r10", ".Lhg") TL_HALF_OF("r11", ".Lho")
            TL_ADD_PART("r8", ".Lhi", "r12") TL_ADD_PART("r9", ".Lhf", "r12, ror #16")
            TL_ADD_PART("r10", ".Lhg", "lr") TL_ADD_PART("r11", ".Lho", "lr, ror #16"));
    __asm__(TL_THREE("r8", "r8") TL_THREE("r9", "r9") TL_THREE("r10", "r10") TL_THREE("r11", "r11")
            "asr r2, r8, #9\n asr r3, r9, #9\n ssat r4, #9, r10, asr #8\n asr r5, r11, #9\n"
            "ldr r6, [sp, #84]\n ldr r12, [sp, #104]\n ldr r7, [sp, #88]\n"
            "ldr r2, [r6, r2, lsl #2]\n ldr r3, [r6, r3, lsl #2]\n ldr r4, [r6, r4, lsl #2]\n"
            "ldr r5, [r6, r5, lsl #2]\n ldrsh lr, [r12]\n"
            TL_LINE("r2", "r8", "6") TL_LINE("r3", "r9", "6") TL_LINE("r4", "r10", "7") TL_LINE("r5", "r11", "6")
            TL_SIGN("r2", "r8") TL_SIGN("r3", "r9") TL_SIGN("r4", "r10") TL_SIGN("r5", "r11")
            "add r4, r4, r7\n lsr r2, r2, #1\n lsr r3, r3, #1\n lsr r5, r5, #1\n" /* Q0.15 in the top halves */
            /* cell */
            "smulbt r3, lr, r3\n smultt r2, r2, r4\n"
            "add r3, r3, r3, asr #31\n add r2, r2, r2, asr #31\n"
            "add r3, r3, #0x4000\n add r2, r2, #(1 << (14+.Lbits))\n"
            "asr r3, r3, #15\n"
            "add r3, r3, r2, asr #(15+.Lbits)\n"
            "ssat r3, #16, r3\n"
            ".if .Lclip\n"
            "movw r2, #.Lclip\n"
            "sub r4, r3, r2\n bic r4, r4, r4, asr #31\n sub r3, r3, r4\n"
            "add r4, r3, r2\n and r4, r4, r4, asr #31\n sub r3, r3, r4\n"
            ".endif\n"
            "strh r3, [r12], #2\n");
    __asm__(/* hidden; three times c in units of 2^-12 */
            TL_THREE("r2", "r3")
            ".if .Lbits < 3\n add r2, r2, #(1 << (2-.Lbits))\n asr r2, r2, #(3-.Lbits)\n .endif\n"
            ".if .Lbits > 3\n lsl r2, r2, #(.Lbits-3)\n .endif\n"
            "ssat r4, #9, r2, asr #8\n"
            "str r12, [sp, #104]\n"
            "ldr r4, [r6, r4, lsl #2]\n ldr r8, [sp, #80]\n ldr r9, [sp, #96]\n ldr r10, [sp, #92]\n"
            TL_LINE("r4", "r2", "7") "add r4, r4, r7\n" TL_SIGN("r4", "r2")
            "lsr r3, r12, #1\n"
            "smultt r5, r5, r4\n"
            "ldr r1, " TL_X_AT "\n"
            "lsl r5, r5, #1\n"
            TL_HIGH_MUL("r5", "r8", ".Lh") TL_HALF_OF("r5", ".Lh")
            ".if .Lzero\n"
            ".if .Lh < 0\n asr r5, r5, #-(.Lh)\n .endif\n"
            "add r5, r5, #.Lzero\n ssat r5, #8, r5\n"
            ".else\n" TL_SATURATE("r5", "8", ".Lh") ".endif\n"
            "cmp r12, r10\n"
            "strb r5, [r9, r3]\n"
            "bne.w 2b\n"
            "pop {r4-r11}\n"
            "add sp, #84\n"
            "addw sp, sp, #.Lroom\n"
            "pop {pc}\n");
}
#endif

#undef TL_LAYER
#undef TL_INPUTS
#undef TL_HIDDEN
#undef TL_SHIFTS
#undef TL_BITS
#undef TL_CLIP
#undef TL_H_ZERO
