/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Replays the test vectors through the model and compares every output and a hash of every state with what the NumPy
   oracle expects. Prints key=value lines. */
#include "parts.h" /* before vectors.h, which uses the model's sizes */

#include "memory_map.h"
#include "print.h"
#include "probe.h"
#include "vectors.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The saved state: 24 bytes of header, then h and c of every layer, then inputs, then a CRC-32. */
#define STATES_AT 24u
#ifndef TL_MODEL_RECURRENT_BYTES /* bytes of h and c alone; without it the inputs are looked at as well */
#define TL_MODEL_RECURRENT_BYTES (TL_MODEL_SAVE_BYTES - STATES_AT - 4u)
#endif

#define STACK_STEPS 16u /* steps whose stack is measured */

enum { OP_PREDICT, OP_PREDICT_MISSING, OP_RESET, OP_SAVE };

static uint8_t previous[TL_MODEL_SAVE_BYTES];
static uint8_t current[TL_MODEL_SAVE_BYTES];
static int32_t output[TL_MODEL_OUTPUTS];

static void print_field(const char *key, uint32_t value) {
    print_text(key);
    print_unsigned(value);
    print_text("\n");
}

static void print_ints(const char *key, const int32_t *values, uint32_t count) {
    print_text(key);
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0u) {
            print_text(",");
        }
        print_int(values[i]);
    }
    print_text("\n");
}

static void print_save(const char *key, const uint8_t save[TL_MODEL_SAVE_BYTES]) {
    print_text(key);
    print_bytes(save, TL_MODEL_SAVE_BYTES);
    print_text("\n");
}

/* The hash of a state is the CRC-32 that its save ends with, little-endian. */
static uint32_t hash_of(const uint8_t save[TL_MODEL_SAVE_BYTES]) {
    const uint8_t *crc = save + TL_MODEL_SAVE_BYTES - 4u;
    return (uint32_t)crc[0] | (uint32_t)crc[1] << 8 | (uint32_t)crc[2] << 16 | (uint32_t)crc[3] << 24;
}

/* FNV-1a, 32 bits, over the little-endian bytes of one step's hash. */
static uint32_t run_hash(uint32_t hash, uint32_t step_hash) {
    for (uint32_t shift = 0; shift < 32u; shift += 8u) {
        hash = (hash ^ ((step_hash >> shift) & 255u)) * 16777619u;
    }
    return hash;
}

/* False when no state moved since the step before, every state is zero, or every state sits at a limit of int16. */
static bool states_live(const uint8_t save[TL_MODEL_SAVE_BYTES], const uint8_t before[TL_MODEL_SAVE_BYTES]) {
    bool zero = true;
    bool saturated = true;
    for (uint32_t i = STATES_AT; i < STATES_AT + TL_MODEL_RECURRENT_BYTES; i += 2u) {
        uint32_t word = (uint32_t)save[i] | (uint32_t)save[i + 1u] << 8;
        zero = zero && word == 0u;
        saturated = saturated && (word == 0x7FFFu || word == 0x8000u);
    }
    return !zero && !saturated && memcmp(save + STATES_AT, before + STATES_AT, TL_MODEL_RECURRENT_BYTES) != 0;
}

static bool begin(void) {
    tl_model_reset(&tl_stream);
#if TL_VECTOR_RESTORE
    int reason = tl_model_restore(&tl_stream, tl_vector_state);
    if (reason != 0) {
        print_field("restore=", (uint32_t)reason);
        return false;
    }
#endif
    return true;
}

/* Bytes of stack below this frame that one call uses. The call stands here, so that nothing else is measured. */
static __attribute__((noinline)) uint32_t stack_of(uint32_t op, uint32_t step) {
    const uint32_t *sp = tl_stack_pointer();
    tl_paint_stack(sp);
    switch (op) {
#ifdef TL_MODEL_SLICE
    case OP_PREDICT:
        tl_model_step_begin(&tl_stream, tl_vector_in[step]);
        while (!tl_model_step_poll(&tl_stream, TL_MODEL_SLICE, output)) {
        }
        break;
#else
    case OP_PREDICT:
        tl_model_predict(&tl_stream, tl_vector_in[step], output);
        break;
#endif
    case OP_PREDICT_MISSING:
        tl_model_predict_missing(&tl_stream, output);
        break;
    case OP_RESET:
        tl_model_reset(&tl_stream);
        break;
    default:
        tl_model_save(&tl_stream, current);
        break;
    }
    return tl_stack_used(sp);
}

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

static void measure_stack(void) {
    uint32_t used = 0;
    for (uint32_t step = 0; step < STACK_STEPS && step < TL_VECTOR_STEPS; step++) {
        used = larger(used, stack_of(OP_PREDICT, step));
        used = larger(used, stack_of(OP_PREDICT_MISSING, step));
    }
    uint32_t save = stack_of(OP_SAVE, 0);
    used = larger(used, stack_of(OP_RESET, 0));
    print_field("stack=", used);
    print_field("stack_save=", save);
}

#ifdef TL_MODEL_SLICE
/* One step in slices, each of them between the probes. */
static void one_step(uint32_t step) {
    bool done = false;
    tl_model_step_begin(&tl_stream, tl_vector_in[step]);
    while (!done) {
        tl_probe_begin();
        done = tl_model_step_poll(&tl_stream, TL_MODEL_SLICE, output);
        tl_probe_end();
    }
}
#else
static void one_step(uint32_t step) {
    if (tl_vector_op[step] == OP_RESET) {
        tl_model_reset(&tl_stream);
    }
    if (tl_vector_op[step] == OP_PREDICT_MISSING) {
        tl_probe_begin();
        tl_model_predict_missing(&tl_stream, output);
        tl_probe_end();
    } else {
        tl_probe_begin();
        tl_model_predict(&tl_stream, tl_vector_in[step], output);
        tl_probe_end();
    }
}
#endif

static void print_mismatch(uint32_t step) {
    print_field("mismatch_step=", step);
    print_field("op=", tl_vector_op[step]);
    print_save("previous=", previous);
    print_text("input=");
    for (uint32_t i = 0; i < TL_MODEL_INPUTS; i++) {
        print_text(i > 0u ? "," : "");
        print_int(tl_vector_in[step][i]);
    }
    print_text("\n");
    print_save("got=", current);
    print_text("got_hash=");
    print_hex(hash_of(current));
    print_text("\nexpected_hash=");
    print_hex(tl_vector_hash[step]);
    print_text("\n");
    print_ints("output=", output, TL_MODEL_OUTPUTS);
    print_ints("expected=", tl_vector_out[step], TL_MODEL_OUTPUTS);
}

static bool replay_all(void) {
    uint32_t hash = 2166136261u;
    uint32_t changes = 0;
    uint32_t step = 0;
    bool equal = true;
    bool live = false;
    tl_model_save(&tl_stream, previous);
    for (; step < TL_VECTOR_STEPS && equal; step++) {
        one_step(step);
        tl_model_save(&tl_stream, current);
        equal = memcmp(output, tl_vector_out[step], sizeof output) == 0 && hash_of(current) == tl_vector_hash[step];
        hash = run_hash(hash, hash_of(current));
        changes += hash_of(current) != hash_of(previous) ? 1u : 0u;
        live = live || states_live(current, previous);
        if (equal) {
            memcpy(previous, current, sizeof previous);
        } else {
            print_mismatch(step);
        }
    }
    print_field("steps=", step);
    print_text("hash=");
    print_hex(hash);
    print_text("\n");
    print_field("hash_changes=", changes);
    print_field("degenerate=", live ? 0u : 1u);
    print_save("state=", current);
    return equal && live;
}

bool tl_replay(void) {
    print_field("ram=", (uint32_t)(uintptr_t)tl_bss_end - (uint32_t)(uintptr_t)tl_data_start);
    print_field("state_bytes=", TL_MODEL_STATE_BYTES);
    bool good = begin();
    if (good) {
        measure_stack();
        good = begin() && replay_all();
    }
    print_field("stack_total=", tl_stack_used(tl_stack_top));
    return good;
}
