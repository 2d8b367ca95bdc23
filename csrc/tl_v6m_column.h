/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Four rows in a word on Armv6-M, for the assembly of tl_v6m.c and tl_v6m_w8a8.c. */
#ifndef TL_V6M_COLUMN_H
#define TL_V6M_COLUMN_H

/* One column: v in r3, its weights in `w`. */
#define COLUMN(w)                                                                                                      \
    "asrs r6, " w ", #24\n muls r6, r3\n add r8, r6\n"                                                                 \
    "asrs r6, " w ", #16\n muls r6, r3\n add r9, r6\n"                                                                 \
    "asrs r6, " w ", #8\n muls r6, r3\n add r10, r6\n"                                                                 \
    "muls " w ", r3\n add r11, " w "\n"

#endif
