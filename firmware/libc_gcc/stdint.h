/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* GCC's own types, where it comes without a C library: Debian's for RISC-V. */
#include <stdint-gcc.h>
