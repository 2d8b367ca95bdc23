/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Counts executed Thumb instructions and estimates their cycles inside unicorn. It is called at each entry of a translated
   block, so a block that unicorn cuts in two, or translates again, is counted as often as it runs: what counts is the
   bytes [address, address + size) that this entry executes. They are decoded once and kept by address.
   An instruction whose condition fails inside an IT block counts as executed.
   What depends on how a block was left is added when the next one is entered: the refill of a branch that was taken, and
   the cycle that a load saves directly behind a load, where unicorn cut the code between the two. */
#include <stddef.h>
#include <stdint.h>

#include "thumb.h"

#ifndef TL_API
#define TL_API
#endif

/* Twin of _Core in toolkit/emulate/counter.py: what an instruction of a class costs, in cycles. */
typedef struct {
    uint8_t fixed[TL_CLASSES];
    uint8_t each[TL_CLASSES];  /* for each register moved, beside `fixed` */
    uint8_t taken[TL_CLASSES]; /* beside them, when the next instruction is not the following one */
    uint8_t pipelined;         /* what a load saves directly behind a load */
} tl_core;

/* Twin of _Block. What is known of the block that starts at a half-word; size 0: not decoded yet. */
typedef struct {
    uint32_t size;
    uint32_t instructions;
    uint32_t cycles;   /* as if it followed no load, and fell through */
    uint16_t function; /* its index; 0: no symbol has these bytes */
    uint8_t first, last; /* classes of its first and last instruction */
} tl_block;

typedef struct {
    uint64_t instructions, cycles;
} tl_cell;

/* uc_reg_read, uc_mem_read */
typedef int (*tl_read_register)(void *engine, int id, void *value);
typedef int (*tl_read_memory)(void *engine, uint64_t address, void *bytes, uint64_t size);

/* Twin of _Counter. */
typedef struct {
    const uint8_t *code; /* the image's flash */
    uint64_t base;       /* its address */
    uint64_t bytes;
    tl_block *cache;          /* [bytes / 2 + 1] */
    const uint16_t *function; /* [bytes / 2 + 1] index of the function that has the half-word */
    const tl_core *core;
    tl_cell *cells;         /* [functions][layers + 1], of the region; layer 0: outside every layer */
    uint64_t layers;        /* layers + 1 */
    const uint32_t *layer;  /* [layers] addresses of the layers' parameters */
    uint64_t *entries;      /* [layers] calls of each */
    uint64_t *least, *most; /* [layers] instructions of a call; least of a layer that was not called is 0 */
    const uint32_t *kernel; /* [functions] its address, when a call of it may be a layer's; else 0 */
    tl_read_register read_register;
    tl_read_memory read_memory;
    int32_t registers[6]; /* ids of r0, r1, r2, r3, SP, LR */
    uint64_t begin;       /* address of tl_probe_begin */
    uint64_t end;         /* address of tl_probe_end */
    uint64_t total;       /* instructions since the start */
    uint64_t outside;     /* blocks outside the flash, which are not counted: 0 in a good run */
    uint64_t entered;     /* total when the region was entered */
    uint64_t inside;      /* 1 between tl_probe_begin and tl_probe_end */
    uint64_t calls, sum, min, max; /* of the region */
    uint64_t spent, cycles, cycles_min, cycles_max; /* cycles of this call of the region; of all calls */
    uint64_t in_layer, leave, since; /* the layer that runs, where it returns to, total when it was called */
    tl_cell *before;        /* the cell of the block before this one in the region, or NULL */
    uint64_t before_end;    /* the address behind it */
    uint64_t before_last;   /* the class of its last instruction */
} tl_counter;

TL_API void tl_decode_block(const tl_core *core, const uint8_t *code, uint32_t size, tl_block *block);
TL_API void tl_count_block(void *engine, uint64_t address, uint32_t size, void *user);

TL_API void tl_decode_block(const tl_core *core, const uint8_t *code, uint32_t size, tl_block *block) {
    *block = (tl_block){.size = size, .last = TL_ALU};
    for (uint32_t at = 0; at < size; block->instructions++) {
        tl_thumb t = tl_thumb_at(code + at);
        block->cycles += core->fixed[t.class] + t.count * core->each[t.class];
        block->cycles -= at != 0u && t.class == TL_LOAD && block->last == TL_LOAD ? core->pipelined : 0u;
        block->first = at == 0u ? (uint8_t)t.class : block->first;
        block->last = (uint8_t)t.class;
        at += t.size;
    }
}

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* The layer whose parameters are among the arguments: r0 to r3, or the first words on the stack (AAPCS). 0: none. */
static uint64_t layer_of_call(const tl_counter *c, void *engine) {
    uint32_t words[8] = {0}, sp = 0;
    for (int i = 0; i < 4; i++) {
        c->read_register(engine, c->registers[i], &words[i]);
    }
    c->read_register(engine, c->registers[4], &sp);
    c->read_memory(engine, sp, &words[4], sizeof words / 2u);
    for (int i = 0; i < 8; i++) { /* in this order: words on the stack may be left from another call */
        for (uint64_t layer = 1; layer < c->layers; layer++) {
            if (words[i] == c->layer[layer - 1u]) {
                return layer;
            }
        }
    }
    return 0u;
}

/* Follows the calls of kernels: a layer lasts from the entry of one with its parameters to the return from it. */
static void follow_layer(tl_counter *c, void *engine, uint64_t address, const tl_block *block) {
    uint64_t now = c->total - block->instructions; /* this block has not run yet */
    if (c->in_layer != 0u && address == c->leave) {
        uint64_t layer = c->in_layer - 1u, counted = now - c->since;
        c->least[layer] = c->most[layer] == 0u ? counted : smaller(c->least[layer], counted);
        c->most[layer] = larger(c->most[layer], counted);
        c->in_layer = 0u;
    }
    if (c->in_layer == 0u && address == c->kernel[block->function]) {
        uint32_t lr = 0;
        c->in_layer = layer_of_call(c, engine);
        c->read_register(engine, c->registers[5], &lr);
        c->leave = lr & ~1u;
        c->since = now;
        if (c->in_layer != 0u) {
            c->entries[c->in_layer - 1u]++;
        }
    }
}

/* What the block before this one turns out to have cost beside its own cycles. */
static void settle(tl_counter *c, uint64_t address, const tl_block *block) {
    if (c->before == NULL) {
        return;
    }
    if (address != c->before_end) {
        uint64_t refill = c->core->taken[c->before_last];
        c->before->cycles += refill;
        c->spent += refill;
    } else if (c->before_last == TL_LOAD && block->first == TL_LOAD) {
        c->before->cycles -= c->core->pipelined;
        c->spent -= c->core->pipelined;
    }
}

static void close_region(tl_counter *c) {
    uint64_t counted = c->total - c->entered;
    c->min = c->calls == 0u ? counted : smaller(c->min, counted);
    c->max = larger(c->max, counted);
    c->cycles_min = c->calls == 0u ? c->spent : smaller(c->cycles_min, c->spent);
    c->cycles_max = larger(c->cycles_max, c->spent);
    c->sum += counted;
    c->cycles += c->spent;
    c->calls++;
    c->inside = 0u;
}

TL_API void tl_count_block(void *engine, uint64_t address, uint32_t size, void *user) {
    tl_counter *c = user;
    uint64_t at = address - c->base;
    if (at >= c->bytes || size > c->bytes - at) {
        c->outside++;
        return;
    }
    tl_block *block = &c->cache[at / 2u];
    if (block->size != size) {
        tl_decode_block(c->core, c->code + at, size, block);
        block->function = c->function[at / 2u];
    }
    if (c->inside != 0u) {
        settle(c, address, block);
        if (address == c->end) {
            close_region(c);
        }
    }
    c->total += block->instructions;
    if (c->inside != 0u) {
        if (address == c->leave || address == c->kernel[block->function]) {
            follow_layer(c, engine, address, block);
        }
        tl_cell *cell = &c->cells[block->function * c->layers + c->in_layer];
        cell->instructions += block->instructions;
        cell->cycles += block->cycles;
        c->spent += block->cycles;
        c->before = cell;
        c->before_end = address + size;
        c->before_last = block->last;
    }
    if (address == c->begin) { /* behind the count: the return of tl_probe_begin is not the model's */
        c->inside = 1u;
        c->entered = c->total;
        c->spent = 0u;
        c->before = NULL;
        c->in_layer = 0u;
    }
}
