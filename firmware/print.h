/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Text over hal_putc: no printf, no division (a Cortex-M0 would need a library for it). */
#ifndef TL_PRINT_H
#define TL_PRINT_H

#include <stdint.h>

void print_text(const char *text);
void print_unsigned(uint32_t value);
void print_int(int32_t value);
void print_hex(uint32_t value); /* 8 digits */
void print_bytes(const uint8_t *bytes, uint32_t count);

#endif
