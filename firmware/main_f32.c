/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Replays the test vectors through a float32 model and compares every forecast with what float64 gives: within
   TL_VECTOR_TOLERANCE, since floats are not equal bit for bit. Prints as replay.c does. */
#include "hal.h"
#include "memory_map.h"
#include "model.h" /* before vectors.h, which uses its sizes */
#include "print.h"
#include "probe.h"
#include "vectors.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define STACK_STEPS 16u /* steps whose stack is measured */

enum { OP_PREDICT, OP_PREDICT_MISSING, OP_RESET };

static tl_model_state model;
static float output[TL_MODEL_OUTPUTS];

static void print_field(const char *key, uint32_t value) {
    print_text(key);
    print_unsigned(value);
    print_text("\n");
}

/* As the bits of float32. */
static void print_floats(const char *key, const float values[TL_MODEL_OUTPUTS]) {
    print_text(key);
    for (uint32_t j = 0; j < TL_MODEL_OUTPUTS; j++) {
        uint32_t bits;
        memcpy(&bits, &values[j], sizeof bits);
        print_text(j > 0u ? "," : "");
        print_hex(bits);
    }
    print_text("\n");
}

static float magnitude(float v) { return v < 0.0f ? -v : v; }

/* The largest error of a step, in standard deviations of the output, or as a part of what was expected where that is more
   than one of them. A NaN counts as 1. */
static float error_of(const float expected[TL_MODEL_OUTPUTS]) {
    float worst = 0.0f;
    for (uint32_t j = 0; j < TL_MODEL_OUTPUTS; j++) {
        float size = magnitude(expected[j]);
        float error = magnitude(output[j] - expected[j]) / (size > tl_vector_std[j] ? size : tl_vector_std[j]);
        error = error < 1.0f ? error : 1.0f;
        worst = error > worst ? error : worst;
    }
    return worst;
}

/* Bytes of stack below this frame that one call uses. */
static __attribute__((noinline)) uint32_t stack_of(uint32_t op, uint32_t step) {
    const uint32_t *sp = tl_stack_pointer();
    tl_paint_stack(sp);
    switch (op) {
    case OP_PREDICT:
        tl_model_predict(&model, tl_vector_in[step], output);
        break;
    case OP_PREDICT_MISSING:
        tl_model_predict_missing(&model, output);
        break;
    default:
        tl_model_reset(&model);
        break;
    }
    return tl_stack_used(sp);
}

static void measure_stack(void) {
    uint32_t used = stack_of(OP_RESET, 0);
    for (uint32_t step = 0; step < STACK_STEPS && step < TL_VECTOR_STEPS; step++) {
        for (uint32_t op = OP_PREDICT; op <= OP_PREDICT_MISSING; op++) {
            uint32_t one = stack_of(op, step);
            used = one > used ? one : used;
        }
    }
    print_field("stack=", used);
}

static void one_step(uint32_t step) {
    if (tl_vector_op[step] == OP_RESET) {
        tl_model_reset(&model);
    }
    tl_probe_begin();
    if (tl_vector_op[step] == OP_PREDICT_MISSING) {
        tl_model_predict_missing(&model, output);
    } else {
        tl_model_predict(&model, tl_vector_in[step], output);
    }
    tl_probe_end();
}

static bool replay(void) {
    float worst = 0.0f;
    uint32_t changes = 0;
    uint32_t step = 0;
    bool close = true;
    for (; step < TL_VECTOR_STEPS && close; step++) {
        float before[TL_MODEL_OUTPUTS];
        memcpy(before, output, sizeof before);
        one_step(step);
        float error = error_of(tl_vector_out[step]);
        worst = error > worst ? error : worst;
        changes += memcmp(before, output, sizeof before) != 0 ? 1u : 0u;
        close = error <= TL_VECTOR_TOLERANCE;
    }
    print_field("steps=", step);
    print_field("worst_e9=", (uint32_t)(worst * 1e9f)); /* in 1e-9 */
    print_field("changes=", changes);
    if (!close) {
        print_field("mismatch_step=", step - 1u);
        print_field("op=", tl_vector_op[step - 1u]);
        print_floats("output_f32=", output);
        print_floats("expected_f32=", tl_vector_out[step - 1u]);
    }
    return close && changes > 0u;
}

int main(void) {
    print_text("model=" TL_MODEL_NAME "\nboard=" TL_BOARD_NAME "\n");
    print_field("ram=", (uint32_t)(uintptr_t)tl_bss_end - (uint32_t)(uintptr_t)tl_data_start);
    print_field("state_bytes=", (uint32_t)sizeof model);
    measure_stack();
    tl_model_reset(&model);
    bool good = replay();
    print_field("stack_total=", tl_stack_used(tl_stack_top));
    print_text(good ? "EXIT:0\n" : "EXIT:1\n");
    return good ? 0 : 1;
}
