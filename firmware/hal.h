/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What a chip family must give: a clock that is known, and a serial line. One hal_<family>.c each. */
#ifndef TL_HAL_H
#define TL_HAL_H

void hal_init(void);       /* clock as TL_CLOCK_HZ says, UART at 115200 8N1 */
void hal_putc(char c);     /* waits until the UART takes the byte */
int hal_read(void);        /* waits for a byte; -1 where the line can end and has */

/* In exit.c, or in the HAL: ends a run. Semihosting where the board says so (emulators), else sleeps for good. */
_Noreturn void hal_exit(int code);

#endif
