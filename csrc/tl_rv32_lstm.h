/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The LSTM step in RV32IM assembly, sixteen rows at a time; included by tl_rv32.c alone. */
#ifndef TL_RV32_LSTM_H
#define TL_RV32_LSTM_H

/* Sixteen rows of column k of a turn. w a0, v a1, its value a3; t0, t1, t2, a4 for anything. */
#define SIXTEEN(load, size)                                                                                            \
    "lh a3, 2*k(a1)\n"                                                                                                 \
    QUAD("16", load, size, "0", "a0", "a3", "t0", "t1", "t2", "a4", "s0", "s1", "s2", "s3")                            \
    QUAD("16", load, size, "4", "a0", "a3", "t0", "t1", "t2", "a4", "s4", "s5", "s6", "s7")                            \
    QUAD("16", load, size, "8", "a0", "a3", "t0", "t1", "t2", "a4", "s8", "s9", "s10", "s11")                          \
    QUAD("16", load, size, "12", "a0", "a3", "t0", "t1", "t2", "a4", "t3", "t4", "t5", "t6")
#define TURN(load, size, count, label)                                                                                 \
    label ":\n .set k, 0\n .rept " count "\n" SIXTEEN(load, size) ".set k, k+1\n .endr\n"                             \
    "addi a1, a1, 2*" count "\n addi a0, a0, 16*" size "*" count "\n"
/* Columns from v on: eight a turn to a2, then one a turn to a6. */
#define RUN(load, size)                                                                                                \
    "beq a1, a2, 32f\n" TURN(load, size, "8", "31") "bne a1, a2, 31b\n"                                               \
    "32: beq a1, a6, 34f\n" TURN(load, size, "1", "33") "bne a1, a6, 33b\n 34:\n"
#define BEGIN(row, at) "sra " row ", " row ", t0\n lw t1, 4*(" at ")(a5)\n add " row ", " row ", t1\n"
#define BEGIN_FOUR(a, b, c, d, at) BEGIN(a, at) BEGIN(b, at "+1") BEGIN(c, at "+2") BEGIN(d, at "+3")
/* look: z -> its value; the table at `base`. */
#define LOOK(z, base)                                                                                                  \
    "srai t0, " z ", 8\n addi t0, t0, -127\n srai t1, t0, 31\n and t0, t0, t1\n addi t0, t0, 255\n"                   \
    "slt t1, zero, t0\n mul t0, t0, t1\n slli t0, t0, 2\n add t0, t0, " base "\n lw t0, 0(t0)\n"                       \
    "slli t1, t0, 16\n slli " z ", " z ", 23\n mulh t1, t1, " z "\n add t0, t0, t1\n srai " z ", t0, 16\n"
#define GATE(row, base, at) "lw t0, 64+4*(" at ")(a5)\n mulh " row ", " row ", t0\n" LOOK(row, base)
/* A unit from its sums: tl_cell, rounded as ROUND_SATURATE of tl_v6m.c, then tl_hidden. */
#define UNIT(i, f, g, o, at)                                                                                           \
    GATE(i, "a6", at) GATE(f, "a6", at "+1") GATE(g, "a7", at "+2") GATE(o, "a6", at "+3")                             \
    "lh t0, 0(a1)\n mul t0, t0, " f "\n mul " g ", " g ", " i "\n sra " g ", " g ", a3\n"                              \
    "add t0, t0, " g "\n add t0, t0, t2\n srai t1, t0, 31\n xor t0, t0, t1\n slli " i ", t0, 1\n"                      \
    "srai " i ", " i ", 31\n or t0, t0, " i "\n slli t0, t0, 2\n srli t0, t0, 17\n xor t0, t0, t1\n"                   \
    "sh t0, 0(a1)\n sll " g ", t0, a4\n" LOOK(g, "a7")                                                                \
    "mul " o ", " o ", " g "\n add " o ", " o ", t2\n srai " o ", " o ", 15\n sh " o ", 0(a0)\n"                       \
    "addi a1, a1, 2\n addi a0, a0, 2\n"
#define SAVED(op)                                                                                                      \
    op " s0, 64(sp)\n" op " s1, 68(sp)\n" op " s2, 72(sp)\n" op " s3, 76(sp)\n" op " s4, 80(sp)\n"                 \
    op " s5, 84(sp)\n" op " s6, 88(sp)\n" op " s7, 92(sp)\n" op " s8, 96(sp)\n" op " s9, 100(sp)\n"                \
    op " s10, 104(sp)\n" op " s11, 108(sp)\n" op " ra, 112(sp)\n"

/* The whole step: inline assembly takes no 16 sums. On the stack: x, its last whole turn, its end, the same of
 * h (0 .. 20), wx, wide, f, wh (24 .. 36), h_new, c, the end of c, 15 - frac, 12 - frac (40 .. 56). a5 is bm. */
__attribute__((naked)) void tl_lstm_step_w8a16_rv32(__attribute__((unused)) int16_t *h_new,
                                                    __attribute__((unused)) int16_t *c,
                                                    __attribute__((unused)) const int16_t *h,
                                                    __attribute__((unused)) const int16_t *x,
                                                    __attribute__((unused)) const tl_lstm_w8a16_rv32 *p)
{
    __asm__("addi sp, sp, -128\n" SAVED("sw")
            "lhu t0, 16(a4)\n slli t0, t0, 1\n andi t1, t0, -16\n add t0, t0, a3\n add t1, t1, a3\n"
            "sw a3, 0(sp)\n sw t1, 4(sp)\n sw t0, 8(sp)\n"
            "lhu t0, 18(a4)\n slli t0, t0, 1\n andi t1, t0, -16\n add t0, t0, a2\n add t1, t1, a2\n"
            "sw a2, 12(sp)\n sw t1, 16(sp)\n sw t0, 20(sp)\n"
            "lw t0, 4(a4)\n sw t0, 28(sp)\n bne t0, zero, 1f\n lw t0, 8(a4)\n 1: sw t0, 24(sp)\n"
            "lbu t0, 24(a4)\n sw t0, 32(sp)\n lw t0, 0(a4)\n sw t0, 36(sp)\n"
            "lhu t0, 20(a4)\n beq t0, zero, 9f\n slli t0, t0, 1\n add t0, t0, a1\n"
            "sw a0, 40(sp)\n sw a1, 44(sp)\n sw t0, 48(sp)\n"
            "lbu t0, 25(a4)\n addi t1, zero, 15\n sub t1, t1, t0\n sw t1, 52(sp)\n addi t1, t1, -3\n sw t1, 56(sp)\n"
            "lw a5, 12(a4)\n"
            "2:\n" /* four units */
            "lw a0, 24(sp)\n lw a1, 0(sp)\n lw a2, 4(sp)\n lw a6, 8(sp)\n lw t0, 28(sp)\n"
            "mv s0, zero\n mv s1, zero\n mv s2, zero\n mv s3, zero\n mv s4, zero\n mv s5, zero\n mv s6, zero\n"
            "mv s7, zero\n mv s8, zero\n mv s9, zero\n mv s10, zero\n mv s11, zero\n mv t3, zero\n mv t4, zero\n"
            "mv t5, zero\n mv t6, zero\n bne t0, zero, 3f\n jal ra, 8f\n j 4f\n"
            "3:\n" RUN("lh", "2"));
    __asm__("4:\n sw a0, 24(sp)\n lw t0, 32(sp)\n"
            BEGIN_FOUR("s0", "s1", "s2", "s3", "0") BEGIN_FOUR("s4", "s5", "s6", "s7", "4")
            BEGIN_FOUR("s8", "s9", "s10", "s11", "8") BEGIN_FOUR("t3", "t4", "t5", "t6", "12")
            "lw a0, 36(sp)\n lw a1, 12(sp)\n lw a2, 16(sp)\n lw a6, 20(sp)\n jal ra, 8f\n sw a0, 36(sp)\n"
            "lw a0, 40(sp)\n lw a1, 44(sp)\n lw a2, 48(sp)\n lw a3, 52(sp)\n lw a4, 56(sp)\n lui t2, 4\n"
            "la a6, tl_sigmoid_packed\n la a7, tl_tanh_packed\n");
    __asm__(UNIT("s0", "s1", "s2", "s3", "0") "beq a1, a2, 5f\n");
    __asm__(UNIT("s4", "s5", "s6", "s7", "4") "beq a1, a2, 5f\n");
    __asm__(UNIT("s8", "s9", "s10", "s11", "8") "beq a1, a2, 5f\n");
    __asm__(UNIT("t3", "t4", "t5", "t6", "12")
            "addi a5, a5, 128\n sw a0, 40(sp)\n sw a1, 44(sp)\n beq a1, a2, 5f\n j 2b\n"
            "5: j 9f\n");
    __asm__("8:\n" RUN("lb", "1") "jr ra\n"
            "9:\n" SAVED("lw") "addi sp, sp, 128\n ret\n");
}

#endif
