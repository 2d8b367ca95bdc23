/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Thumb instructions by what they cost: the classes of the cores' timing tables. Encodings: Armv7-M Architecture Reference
   Manual, A5.2 (16 bits), A5.3 (32 bits), A6.4 to A6.7 (floating point). */
#ifndef TL_THUMB_H
#define TL_THUMB_H

#include <stdint.h>

/* Order as CLASSES in toolkit/emulate/cores.py. */
enum tl_class {
    TL_ALU,        /* everything else: data processing, saturation, SIMD, hints */
    TL_MUL,        /* 32 bits of product */
    TL_MLA,        /* MLA, MLS */
    TL_MULL,       /* SMULL, UMULL */
    TL_MLAL,       /* SMLAL, UMLAL, UMAAL */
    TL_DSP_MUL,    /* SMLAD, SMULBB, SMMUL, SMLALD ...: cores with the DSP extension */
    TL_DIV,        /* SDIV, UDIV */
    TL_LOAD,       /* one register */
    TL_STORE,      /* one register */
    TL_LOADS,      /* LDM, POP, LDRD; count = registers */
    TL_STORES,     /* STM, PUSH, STRD; count = registers */
    TL_BRANCH,     /* B, B<cond>, CBZ */
    TL_CALL,       /* BL */
    TL_BRANCH_REG, /* BX, BLX, MOV and ADD to PC */
    TL_LOAD_PC,    /* LDR to PC */
    TL_LOADS_PC,   /* LDM and POP with PC; count = registers, PC too */
    TL_TABLE,      /* TBB, TBH */
    TL_IT,
    TL_SYSTEM,    /* MRS, MSR, CPS, DMB, DSB, ISB */
    TL_FP,        /* VADD, VMUL, VMOV, VCMP, VCVT ... */
    TL_FP_MLA,    /* VMLA, VFMA and their kin */
    TL_FP_DIV,    /* VDIV, VSQRT */
    TL_FP_MOVE2,  /* VMOV of two core registers */
    TL_FP_MEMORY, /* VLDR, VSTR, VLDM, VSTM, VPUSH, VPOP; count = words */
    TL_CLASSES
};

typedef struct {
    uint32_t size;  /* bytes: 2 or 4 */
    uint32_t class; /* tl_class */
    uint32_t count; /* registers or words moved, where the class says so; else 0 */
} tl_thumb;

static inline uint32_t tl_half(const uint8_t *code) { return (uint32_t)code[0] | (uint32_t)code[1] << 8; }

static inline uint32_t tl_ones(uint32_t bits) {
    uint32_t n = 0;
    for (; bits != 0u; bits &= bits - 1u) {
        n++;
    }
    return n;
}

static inline tl_thumb tl_thumb_narrow(uint32_t h) {
    switch (h >> 12) {
    case 0x4: /* data processing, special data and branches, literal load */
        if (h >= 0x4800u) {
            return (tl_thumb){2, TL_LOAD, 0};
        }
        if (h < 0x4400u) {
            return (tl_thumb){2, (h & 0xFFC0u) == 0x4340u ? TL_MUL : TL_ALU, 0};
        }
        if ((h & 0x0300u) == 0x0300u) { /* BX, BLX */
            return (tl_thumb){2, TL_BRANCH_REG, 0};
        }
        /* ADD and MOV, not CMP, with PC as the destination */
        return (tl_thumb){2, (h & 0x0087u) == 0x0087u && (h & 0x0300u) != 0x0100u ? TL_BRANCH_REG : TL_ALU, 0};
    case 0x5:
        return (tl_thumb){2, (h & 0x0E00u) >= 0x0600u ? TL_LOAD : TL_STORE, 0};
    case 0x6:
    case 0x7:
    case 0x8:
    case 0x9:
        return (tl_thumb){2, (h & 0x0800u) != 0u ? TL_LOAD : TL_STORE, 0};
    case 0xB:
        if ((h & 0xFE00u) == 0xB400u) {
            return (tl_thumb){2, TL_STORES, tl_ones(h & 0x1FFu)};
        }
        if ((h & 0xFE00u) == 0xBC00u) {
            return (tl_thumb){2, (h & 0x100u) != 0u ? TL_LOADS_PC : TL_LOADS, tl_ones(h & 0x1FFu)};
        }
        if ((h & 0xF500u) == 0xB100u) {
            return (tl_thumb){2, TL_BRANCH, 0};
        }
        if ((h & 0xFF00u) == 0xBF00u && (h & 0xFu) != 0u) {
            return (tl_thumb){2, TL_IT, 0};
        }
        return (tl_thumb){2, (h & 0xFFE0u) == 0xB660u ? TL_SYSTEM : TL_ALU, 0};
    case 0xC:
        return (tl_thumb){2, (h & 0x0800u) != 0u ? TL_LOADS : TL_STORES, tl_ones(h & 0xFFu)};
    case 0xD:
        return (tl_thumb){2, h < 0xDE00u ? TL_BRANCH : TL_ALU, 0}; /* not UDF and SVC */
    case 0xE:
        return (tl_thumb){2, TL_BRANCH, 0};
    default:
        return (tl_thumb){2, TL_ALU, 0};
    }
}

static inline tl_thumb tl_thumb_fp(uint32_t a, uint32_t b) {
    uint32_t op = (a >> 4) & 0xBu; /* without D */
    if ((b & 0x0E00u) != 0x0A00u) {
        return (tl_thumb){4, TL_ALU, 0}; /* another coprocessor */
    }
    if ((a & 0xFFE0u) == 0xEC40u) {
        return (tl_thumb){4, TL_FP_MOVE2, 0};
    }
    if ((a & 0xFE00u) == 0xEC00u) {
        uint32_t one = (a & 0x0120u) == 0x0100u; /* P and not W: VLDR, VSTR */
        return (tl_thumb){4, TL_FP_MEMORY, one ? 1u + ((b >> 8) & 1u) : b & 0xFFu};
    }
    if ((b & 0x10u) != 0u || (a & 0x1000u) != 0u) {
        return (tl_thumb){4, TL_FP, 0}; /* to and from core registers; VSEL, VMAXNM, VRINT */
    }
    if (op == 0x0u || op == 0x1u || op == 0x9u || op == 0xAu) {
        return (tl_thumb){4, TL_FP_MLA, 0};
    }
    uint32_t root = op == 0xBu && (a & 0xFu) == 1u && (b & 0xC0u) == 0xC0u;
    return (tl_thumb){4, op == 0x8u || root ? TL_FP_DIV : TL_FP, 0};
}

static inline tl_thumb tl_thumb_multiply(uint32_t a, uint32_t b) {
    uint32_t op = (a >> 4) & 0xFu, op2 = (b >> 4) & 0xFu;
    switch (op) {
    case 0x0:
        return (tl_thumb){4, op2 == 0u && b >= 0xF000u ? TL_MUL : TL_MLA, 0};
    case 0x8:
    case 0xA:
        return (tl_thumb){4, TL_MULL, 0};
    case 0x9:
    case 0xB:
        return (tl_thumb){4, TL_DIV, 0};
    case 0xC:
        return (tl_thumb){4, op2 == 0u ? TL_MLAL : TL_DSP_MUL, 0};
    case 0xE:
        return (tl_thumb){4, TL_MLAL, 0};
    default:
        return (tl_thumb){4, TL_DSP_MUL, 0};
    }
}

static inline tl_thumb tl_thumb_wide(uint32_t a, uint32_t b) {
    uint32_t load = a & 0x0010u;
    if ((a & 0xEC00u) == 0xEC00u) { /* coprocessor space: 111x 11xx */
        return tl_thumb_fp(a, b);
    }
    if ((a & 0xFE40u) == 0xE800u) { /* LDM, STM, POP, PUSH */
        uint32_t class = load == 0u ? TL_STORES : (b & 0x8000u) != 0u ? TL_LOADS_PC : TL_LOADS;
        return (tl_thumb){4, class, tl_ones(b)};
    }
    if ((a & 0xFE40u) == 0xE840u) {
        if ((a & 0xFFF0u) == 0xE8D0u && (b & 0xFFE0u) == 0xF000u) {
            return (tl_thumb){4, TL_TABLE, 0};
        }
        if ((a & 0x0120u) == 0u) { /* neither indexed nor written back: exclusive, acquire, release */
            return (tl_thumb){4, load != 0u ? TL_LOAD : TL_STORE, 0};
        }
        return (tl_thumb){4, load != 0u ? TL_LOADS : TL_STORES, 2};
    }
    if ((a & 0xF800u) == 0xF000u && (b & 0x8000u) != 0u) { /* branches and control */
        if ((b & 0x5000u) == 0x5000u) {
            return (tl_thumb){4, TL_CALL, 0};
        }
        if ((b & 0x1000u) != 0u || (a & 0x0380u) != 0x0380u) {
            return (tl_thumb){4, TL_BRANCH, 0};
        }
        uint32_t hint = (a & 0xFFF0u) == 0xF3A0u && (b & 0x0700u) == 0u;
        return (tl_thumb){4, hint ? TL_ALU : TL_SYSTEM, 0};
    }
    if ((a & 0xFE00u) == 0xF800u) { /* single loads and stores */
        if (load == 0u) {
            return (tl_thumb){4, TL_STORE, 0};
        }
        uint32_t to_pc = b >= 0xF000u, word = (a & 0x0060u) == 0x0040u;
        return (tl_thumb){4, !to_pc ? TL_LOAD : word ? TL_LOAD_PC : TL_ALU, 0}; /* ALU: PLD, PLI */
    }
    if ((a & 0xFF00u) == 0xFB00u) {
        return tl_thumb_multiply(a, b);
    }
    return (tl_thumb){4, TL_ALU, 0};
}

/* The instruction at `code`. A half-word that starts with 0b11101, 0b11110 or 0b11111 is the first of two (A5.1). */
static inline tl_thumb tl_thumb_at(const uint8_t *code) {
    uint32_t first = tl_half(code);
    return first < 0xE800u ? tl_thumb_narrow(first) : tl_thumb_wide(first, tl_half(code + 2));
}

#endif
