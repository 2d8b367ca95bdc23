/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two empty functions around one prediction: the emulator counts the instructions between them. */
#ifndef TL_PROBE_H
#define TL_PROBE_H

void tl_probe_begin(void);
void tl_probe_end(void);

#endif
