/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A program of this computer, with its C library: standard input and output as the serial line. Built by
   toolkit.build.build_host_firmware, so that the protocol can be tried, and fuzzed under sanitizers, without a board. */
#include "hal.h"

#include <stdio.h>
#include <stdlib.h>
#ifdef _WIN32
#include <fcntl.h>
#include <io.h>
#endif

void hal_init(void) {
#ifdef _WIN32
    (void)_setmode(_fileno(stdin), _O_BINARY);
    (void)_setmode(_fileno(stdout), _O_BINARY);
#endif
}

void hal_putc(char c) { (void)putchar(c); }

int hal_read(void) {
    (void)fflush(stdout); /* before it waits */
    int byte = getchar();
    return byte == EOF ? -1 : byte;
}

_Noreturn void hal_exit(int code) { exit(code); }
