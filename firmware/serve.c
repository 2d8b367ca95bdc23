/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Serves the model over the serial line, one request after the other: docs/protocol.md. */
#include "cycles.h"
#include "hal.h"
#include "parts.h"
#include "probe.h"
#include "wire.h"

#include <stdint.h>
#include <string.h>

#ifdef TL_HOSTED /* a program of a system, which gives the stack: it is not measured */
#define STACK_USED 0u
#define STACK_BYTES 0u
#else
#include "memory_map.h"
#define STACK_USED tl_stack_used(tl_stack_top)
#define STACK_BYTES ((uint32_t)(uintptr_t)tl_stack_top - (uint32_t)(uintptr_t)tl_stack_limit)
#endif

#define VERSION 1u
#define ANSWER 0x80u
#define HEADER 4u /* version, request, sequence number, status */

enum { INFO = 1, RESET, STEP, RUN, GET_STATE, SET_STATE, STACK, CYCLES, ECHO };

enum { OK, DAMAGED, TOO_LONG, WRONG_VERSION, UNKNOWN, WRONG_LENGTH, WRONG_VALUE, REFUSED };

enum { OP_PREDICT, OP_PREDICT_MISSING, OP_RESET, OPS };

#define SAMPLE (1u + 4u * TL_MODEL_INPUTS)       /* op, raw values */
#define FORECAST (4u * TL_MODEL_OUTPUTS)
#define RESULT (FORECAST + 8u)                   /* forecast, hash of the state, cycles */
#define NAMES (sizeof TL_MODEL_NAME + sizeof TL_BOARD_NAME)
#define LARGER(a, b) ((a) > (b) ? (a) : (b))
/* What the data of a frame may have: a state, a sample, a result, and enough for a batch that is worth its frame. */
#define DATA LARGER(LARGER(512u, TL_MODEL_SAVE_BYTES), LARGER(LARGER(SAMPLE, RESULT), 40u + NAMES))
#define FRAME (HEADER + DATA + TL_WIRE_CRC)

static uint8_t received[FRAME];
static uint8_t answer[FRAME];
static uint8_t saved[TL_MODEL_SAVE_BYTES];
static enum tl_counter counter;

static uint32_t get32(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint8_t *put32(uint8_t *at, uint32_t value) {
    for (uint32_t shift = 0; shift < 32u; shift += 8u) {
        *at++ = (uint8_t)(value >> shift);
    }
    return at;
}

static uint8_t *put_forecast(uint8_t *at, const int32_t forecast[TL_MODEL_OUTPUTS]) {
    for (uint32_t k = 0; k < TL_MODEL_OUTPUTS; k++) {
        at = put32(at, (uint32_t)forecast[k]);
    }
    return at;
}

/* One sample of SAMPLE bytes through the model; returns the cycles that predict took. */
static uint32_t feed(const uint8_t *sample, int32_t forecast[TL_MODEL_OUTPUTS]) {
    int32_t raw[TL_MODEL_INPUTS];
    for (uint32_t k = 0; k < TL_MODEL_INPUTS; k++) {
        raw[k] = (int32_t)get32(sample + 1u + 4u * k);
    }
    if (sample[0] == OP_RESET) {
        tl_model_reset(&tl_stream);
    }
    uint32_t begin = tl_cycles();
    tl_probe_begin();
    if (sample[0] == OP_PREDICT_MISSING) {
        tl_model_predict_missing(&tl_stream, forecast);
    } else {
        tl_model_predict(&tl_stream, raw, forecast);
    }
    tl_probe_end();
    return (tl_cycles() - begin) & TL_CYCLES_MASK;
}

/* All of them are looked at before the first moves the state. */
static int samples_good(const uint8_t *data, uint32_t size) {
    if (size == 0u) {
        return WRONG_LENGTH;
    }
    for (; size >= SAMPLE; size -= SAMPLE, data += SAMPLE) {
        if (data[0] >= OPS) {
            return WRONG_VALUE;
        }
    }
    return size == 0u ? OK : WRONG_LENGTH;
}

static uint8_t *info(uint8_t *out) {
    tl_model_save(&tl_stream, saved);
    memcpy(out, saved + 8, 8); /* the model, as a saved state names it */
    out = put32(out + 8, TL_BOARD_HASH);
    out = put32(out, TL_CLOCK_HZ);
    out = put32(out, TL_MODEL_INPUTS);
    out = put32(out, TL_MODEL_OUTPUTS);
    out = put32(out, TL_MODEL_SAVE_BYTES);
    out = put32(out, DATA);
    out = put32(out, STACK_BYTES);
    out = put32(out, (uint32_t)counter);
    memcpy(out, TL_MODEL_NAME, sizeof TL_MODEL_NAME);
    memcpy(out + sizeof TL_MODEL_NAME, TL_BOARD_NAME, sizeof TL_BOARD_NAME);
    return out + NAMES;
}

static uint8_t *step(const uint8_t *sample, uint8_t *out) {
    int32_t forecast[TL_MODEL_OUTPUTS];
    (void)feed(sample, forecast);
    out = put_forecast(out, forecast);
    *out++ = tl_model_warmed_up(&tl_stream) ? 1u : 0u;
    return out;
}

static uint8_t *run(const uint8_t *data, uint32_t size, uint8_t *out) {
    for (; size > 0u; size -= SAMPLE, data += SAMPLE) {
        int32_t forecast[TL_MODEL_OUTPUTS];
        uint32_t cycles = feed(data, forecast);
        tl_model_save(&tl_stream, saved);
        out = put_forecast(out, forecast);
        out = put32(out, get32(saved + TL_MODEL_SAVE_BYTES - 4u)); /* the CRC-32 that a saved state ends with */
        out = put32(out, cycles);
    }
    return out;
}

/* What is wrong with a request before anything is done. */
static int check(uint32_t request, const uint8_t *data, uint32_t size) {
    switch (request) {
    case INFO:
    case RESET:
    case GET_STATE:
    case STACK:
    case CYCLES:
        return size == 0u ? OK : WRONG_LENGTH;
    case STEP:
        return size == SAMPLE ? samples_good(data, size) : WRONG_LENGTH;
    case RUN: {
        int good = samples_good(data, size);
        return good == OK && size > DATA / RESULT * SAMPLE ? WRONG_LENGTH : good;
    }
    case SET_STATE:
        return size == TL_MODEL_SAVE_BYTES ? OK : WRONG_LENGTH;
    case ECHO:
        return OK;
    default:
        return UNKNOWN;
    }
}

/* Does a request that was checked; returns the end of the answer's data. */
static uint8_t *act(uint32_t request, const uint8_t *data, uint32_t size, uint8_t *out, uint8_t *status) {
    switch (request) {
    case INFO:
        return info(out);
    case RESET:
        tl_model_reset(&tl_stream);
        return out;
    case STEP:
        return step(data, out);
    case RUN:
        return run(data, size, out);
    case GET_STATE:
        tl_model_save(&tl_stream, out);
        return out + TL_MODEL_SAVE_BYTES;
    case SET_STATE: {
        int reason = tl_model_restore(&tl_stream, data);
        *status = reason == 0 ? OK : REFUSED;
        *out = (uint8_t)reason;
        return out + 1;
    }
    case STACK:
        return put32(out, STACK_USED);
    case CYCLES:
        return put32(out, tl_cycles());
    default:
        memcpy(out, data, size);
        return out + size;
    }
}

static void put(uint8_t byte) { hal_putc((char)byte); }

/* An answer without data, which leaves the one that may have to be sent again. */
static void complain(uint8_t request, uint8_t sequence, int status) {
    uint8_t frame[HEADER + TL_WIRE_CRC] = {VERSION, (uint8_t)(request | ANSWER), sequence, (uint8_t)status};
    tl_wire_send(frame, HEADER, put);
}

void tl_serve(void) {
    struct tl_wire wire = {.bytes = received, .capacity = FRAME};
    uint32_t done = 0;   /* the CRC-32 of the request that `answer` belongs to */
    uint32_t length = 0; /* of that answer, 0 before the first */
    counter = tl_cycles_start();
    tl_model_reset(&tl_stream);
    for (int byte = hal_read(); byte >= 0; byte = hal_read()) {
        enum tl_wire_result result = tl_wire_take(&wire, (uint8_t)byte);
        if (result == TL_WIRE_MORE) {
            continue;
        }
        if (result != TL_WIRE_GOOD || wire.size < HEADER) {
            complain(0, 0, result == TL_WIRE_TOO_LONG ? TOO_LONG : DAMAGED);
            continue;
        }
        const uint8_t *data = received + HEADER;
        uint32_t size = wire.size - HEADER;
        if (length == 0u || wire.crc != done) { /* else it is asked again, since the answer was lost: nothing moves */
            int wrong = received[0] == VERSION ? check(received[1], data, size) : WRONG_VERSION;
            if (wrong != OK) {
                complain(received[1], received[2], wrong);
                continue;
            }
            memcpy(answer, (const uint8_t[]){VERSION, (uint8_t)(received[1] | ANSWER), received[2], OK}, HEADER);
            length = (uint32_t)(act(received[1], data, size, answer + HEADER, answer + 3) - answer);
            done = wire.crc;
        }
        tl_wire_send(answer, length, put);
    }
}
