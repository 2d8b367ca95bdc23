/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "print.h"

#include "hal.h"

void print_text(const char *text) {
    for (; *text != '\0'; text++) {
        hal_putc(*text);
    }
}

void print_unsigned(uint32_t value) {
    static const uint32_t powers[] = {1000000000u, 100000000u, 10000000u, 1000000u, 100000u, 10000u, 1000u, 100u, 10u};
    int started = 0;
    for (uint32_t i = 0; i < sizeof powers / sizeof powers[0]; i++) {
        char digit = '0';
        while (value >= powers[i]) {
            value -= powers[i];
            digit++;
        }
        started |= digit != '0';
        if (started) {
            hal_putc(digit);
        }
    }
    hal_putc((char)('0' + (char)value));
}

void print_int(int32_t value) {
    if (value < 0) {
        hal_putc('-');
        print_unsigned(0u - (uint32_t)value);
    } else {
        print_unsigned((uint32_t)value);
    }
}

static void print_nibble(uint32_t value) { hal_putc("0123456789abcdef"[value & 15u]); }

void print_hex(uint32_t value) {
    for (uint32_t shift = 32; shift > 0u; shift -= 4u) {
        print_nibble(value >> (shift - 4u));
    }
}

void print_bytes(const uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        print_nibble((uint32_t)bytes[i] >> 4);
        print_nibble(bytes[i]);
    }
}
