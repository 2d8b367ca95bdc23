/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Counts executed Thumb instructions inside unicorn. It is called at each entry of a translated block, so a block that
   unicorn cuts in two, or translates again, is counted as often as it runs: what counts is the bytes [address,
   address + size) that this entry executes. The number of instructions in them is decoded once and kept by address.
   An instruction whose condition fails inside an IT block counts as executed, as on the core, where it takes a cycle. */
#include <stddef.h>
#include <stdint.h>

#ifndef TL_API
#define TL_API
#endif

/* Twin of _Counter in toolkit/emulate/unicorn_.py. */
typedef struct {
    const uint8_t *code; /* the image's flash */
    uint64_t base;       /* its address */
    uint64_t bytes;
    uint32_t *cache; /* [bytes / 2], at a block's first half-word: size << 16 | instructions; 0: not decoded yet */
    uint64_t begin;  /* address of tl_probe_begin */
    uint64_t end;    /* address of tl_probe_end */
    uint64_t total;  /* instructions since the start */
    uint64_t outside; /* blocks outside the flash, which are not counted: 0 in a good run */
    uint64_t entered; /* total when the region was entered */
    uint64_t inside;  /* 1 between tl_probe_begin and tl_probe_end */
    uint64_t calls, sum, min, max; /* of the region */
} tl_counter;

/* A half-word that starts with 0b11101, 0b11110 or 0b11111 is the first of two (Armv7-M ARM, A5.1). */
static uint32_t instructions_in(const uint8_t *code, uint32_t size) {
    uint32_t count = 0;
    for (uint32_t at = 0; at < size; count++) {
        at += (code[at + 1u] >> 3) >= 0x1Du ? 4u : 2u;
    }
    return count;
}

TL_API void tl_count_block(void *engine, uint64_t address, uint32_t size, void *user);

TL_API void tl_count_block(void *engine, uint64_t address, uint32_t size, void *user) {
    tl_counter *c = user;
    (void)engine;
    uint64_t at = address - c->base;
    if (at >= c->bytes || size > c->bytes - at || size >= 0x10000u) {
        c->outside++;
        return;
    }
    if (address == c->end && c->inside != 0u) {
        uint64_t spent = c->total - c->entered;
        c->inside = 0u;
        c->min = c->calls == 0u || spent < c->min ? spent : c->min;
        c->max = spent > c->max ? spent : c->max;
        c->sum += spent;
        c->calls++;
    }
    uint32_t known = c->cache[at / 2u];
    if (known >> 16 != size) {
        known = size << 16 | instructions_in(c->code + at, size);
        c->cache[at / 2u] = known;
    }
    c->total += known & 0xFFFFu;
    if (address == c->begin) { /* behind the count: the return of tl_probe_begin is not the model's */
        c->inside = 1u;
        c->entered = c->total;
    }
}
