/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The small LSTM step for Arm cores with the DSP extension: two columns of all four gates a pass, for every shape. */
#include "tl_dsp_size.h"
#include "tl_tables.h"

#if defined(TL_HOST)
/* Two columns of one row: SMLAD. v[1] is 0 behind the last column, and is not read. */
static int32_t two(int32_t sum, int16_t w0, int16_t w1, const int16_t *v, uint32_t left)
{
    return sum + w0 * v[0] + (left > 1 ? w1 * v[1] : 0);
}

static const uint32_t *wide(int32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n; k += 2) {
        for (uint32_t row = 0; row < 4; row++, w++) {
            sum[row] = two(sum[row], (int16_t)*w, (int16_t)(*w >> 16), v + k, n - k);
        }
    }
    return w;
}

static const uint32_t *narrow(int32_t sum[4], const uint32_t *w, const int16_t *v, uint32_t n)
{
    for (uint32_t k = 0; k < n; k += 2) {
        for (uint32_t row = 0; row < 4; row += 2, w++) {
            sum[row] = two(sum[row], (int8_t)*w, (int8_t)(*w >> 16), v + k, n - k);
            sum[row + 1] = two(sum[row + 1], (int8_t)(*w >> 8), (int8_t)(*w >> 24), v + k, n - k);
        }
    }
    return w;
}

static int16_t gate(const int16_t *nodes, int32_t sum, uint32_t m, uint8_t t)
{
    return tl_lookup(nodes, tl_requantize(sum, (int16_t)m, t));
}

void tl_lstm_step_w8a16_dsp_size(int16_t *h_new, int16_t *c, const int16_t *h, const int16_t *x,
                                 const tl_lstm_w8a16_dsp_size *p)
{
    const uint32_t *w = p->w;
    for (uint32_t u = 0; u < p->units; u++, w += 2) {
        int32_t sum[4] = {0, 0, 0, 0};
        w = (p->wide != 0 ? wide : narrow)(sum, w, x, p->inputs);
        for (uint32_t row = 0; row < 4; row++) {
            sum[row] = (sum[row] >> p->f) + (int32_t)*w++;
        }
        w = narrow(sum, w, h, p->hidden);
        int16_t o = gate(tl_sigmoid_nodes, sum[3], w[0], p->t), f = gate(tl_sigmoid_nodes, sum[1], w[0] >> 16, p->t);
        int16_t i = gate(tl_sigmoid_nodes, sum[0], w[1], p->t), g = gate(tl_tanh_nodes, sum[2], w[1] >> 16, p->t);
        c[u] = tl_cell(f, c[u], i, g, (uint8_t)(15 - p->cell));
        h_new[u] = tl_hidden(o, tl_lookup(tl_tanh_nodes, tl_sat16(c[u] * (1 << (p->cell - 3)))));
    }
}

#elif defined(__ARM_FEATURE_DSP) && defined(__thumb2__)
TL_STATIC_ASSERT(sizeof(tl_lstm_w8a16_dsp_size) == 16, "the offsets below");

/* The next one or two of r2 values at r1 -> r3; r2 is then 0 or less when they were the last. */
#define TWO                                                                                                            \
    "subs r2, #2\n"                                                                                                    \
    "ite ge\n"                                                                                                         \
    "ldrge r3, [r1], #4\n"                                                                                             \
    "ldrhlt r3, [r1]\n"
#define SUM(sum, w) "smlad " sum ", " w ", r3, " sum "\n"
#define TWO_ROWS(a, b) "sxtb16 r5, r4, ror #8\n sxtb16 r4, r4\n" SUM(a, "r4") SUM(b, "r5")
#define UNUSED __attribute__((unused))

/* r0 stream, r1 values, r2 how many, r6 table, r7 p, sums and gates i r8, f r9, g r10, o r11, r12 c. On the stack, above
 * from h_new to c, the end of c, h and x, then r4 .. r11. */
__attribute__((naked)) void tl_lstm_step_w8a16_dsp_size(UNUSED int16_t *h_new, UNUSED int16_t *c,
                                                        UNUSED const int16_t *h, UNUSED const int16_t *x,
                                                        UNUSED const tl_lstm_w8a16_dsp_size *p)
{
    __asm__("push {r0-r11, lr}\n"
            "ldr r7, [sp, #52]\n"
            "mov r12, r1\n"
            "subs r0, r0, r1\n subs r0, #2\n str r0, [sp]\n" /* bytes from c[u + 1] to h_new[u] */
            "ldrh r4, [r7, #8]\n add r1, r1, r4, lsl #1\n str r1, [sp, #4]\n"
            "ldr r0, [r7]\n"
            "1:\n" /* a unit */
            "movs r4, #0\n mov r8, r4\n mov r9, r4\n mov r10, r4\n mov r11, r4\n"
            "ldr r1, [sp, #12]\n ldrh r2, [r7, #4]\n ldrb r3, [r7, #10]\n cbz r3, 3f\n"
            "2:\n" TWO /* int16 weights */
            "ldm r0!, {r4, r5}\n" SUM("r8", "r4") SUM("r9", "r5")
            "ldm r0!, {r4, r5}\n" SUM("r10", "r4") SUM("r11", "r5")
            "bgt 2b\n"
            "b 4f\n"
            "3: bl 6f\n"
            "4:\n"
            "ldrb r2, [r7, #12]\n"
            "asr r8, r8, r2\n asr r9, r9, r2\n asr r10, r10, r2\n asr r11, r11, r2\n"
            "ldm r0!, {r4, r5}\n add r8, r4\n add r9, r5\n"
            "ldm r0!, {r4, r5}\n add r10, r4\n add r11, r5\n"
            "ldr r1, [sp, #8]\n ldrh r2, [r7, #6]\n bl 6f\n"
            "mov r3, r11\n bl 7f\n mov r11, r5\n"
            "mov r3, r9\n bl 7f\n mov r9, r5\n"
            "mov r3, r8\n bl 7f\n mov r8, r5\n"
            "mov r3, r10\n ldr r6, 11f\n bl 8f\n"
            /* cell */
            "mov r10, #0x4000\n"
            "mul r3, r8, r5\n"
            "ldrb r2, [r7, #13]\n asrs r3, r2\n"
            "ldrh r4, [r12]\n smlabb r3, r9, r4, r3\n"
            "add r3, r10\n"
            "ssat r3, #16, r3, asr #15\n"
            "strh r3, [r12], #2\n"
            /* hidden; c -> Q3.12 */
            "subs r2, #3\n lsls r3, r2\n"
            "ldr r6, 11f\n bl 9f\n"
            "smlabb r3, r5, r11, r10\n"
            "asrs r3, r3, #15\n"
            "ldr r1, [sp]\n strh r3, [r12, r1]\n"
            "ldr r1, [sp, #4]\n cmp r12, r1\n bne 1b\n"
            "add sp, #16\n"
            "pop {r4-r11, pc}\n"
            "6:\n" TWO /* int8 weights */
            "ldm r0!, {r4, r6}\n" TWO_ROWS("r8", "r9")
            "mov r4, r6\n" TWO_ROWS("r10", "r11")
            "bgt 6b\n"
            "bx lr\n"
            /* The gate of sum r3 by sigmoid or by table r6, a table's value at r3 in Q3.12; -> r5 */
            "7: ldr r6, 10f\n"
            "8: ldrh r4, [r0], #2\n smulwb r3, r3, r4\n ldrb r4, [r7, #11]\n asrs r3, r4\n"
            "9: ssat r3, #16, r3\n"
            "asrs r4, r3, #8\n add r6, r6, r4, lsl #1\n"
            "ldr r4, [r6]\n sxth r5, r4\n rsb r4, r5, r4, asr #16\n" /* the node, and from it to the next one */
            "uxtb r3, r3\n lsls r3, r3, #7\n adds r3, #1\n"
            "muls r3, r4\n add r5, r5, r3, asr #15\n"
            "bx lr\n"
            ".p2align 2\n"
            "10: .word %c0\n"
            "11: .word %c1\n"
            :
            : "i"(tl_sigmoid_nodes + 128), "i"(tl_tanh_nodes + 128));
}
#else
#error "tl_dsp_size.c needs a Cortex-M with the DSP extension, e.g. -mcpu=cortex-m4"
#endif
