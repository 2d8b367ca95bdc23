/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How the tiled targets make one straight run of code from small functions and short loops. */
#ifndef TL_INLINE_H
#define TL_INLINE_H

#define INLINE static inline __attribute__((always_inline))
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

#endif
