/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The intrinsics that csrc/tl_wasm.h and its targets use, lane by lane in C for other computers: prototypes of clang's
 * wasm_simd128.h, meaning of the WebAssembly specification. */
#ifndef SHIM_WASM_SIMD128_H
#define SHIM_WASM_SIMD128_H
#pragma GCC system_header

#include <stdint.h>

#define __wasm_simd128__ 1

typedef int32_t v128_t __attribute__((vector_size(16)));
typedef int8_t shim_i8 __attribute__((vector_size(16)));
typedef int16_t shim_i16 __attribute__((vector_size(16)));
typedef uint16_t shim_u16 __attribute__((vector_size(16)));
typedef int64_t shim_i64 __attribute__((vector_size(16)));

/* Not inlined: under sanitizers that would take minutes. */
#define SHIM static __attribute__((noinline, unused))
/* One function over vectors of `lanes`: `value` may use i, the lane of the result. */
#define LANEWISE(lanes, count, name, arguments, value)                                                                 \
    SHIM v128_t name arguments                                                                                         \
    {                                                                                                                  \
        lanes r = {0};                                                                                                 \
        for (int i = 0; i < (count); i++) {                                                                            \
            r[i] = (__typeof__(r[0]))(value);                                                                          \
        }                                                                                                              \
        return (v128_t)r;                                                                                              \
    }
#define S16(v) ((shim_i16)(v))
#define U16(v) ((shim_u16)(v))
#define I64(v) ((shim_i64)(v))

SHIM int32_t shim_sat(int32_t v, int32_t low, int32_t high)
{
    return v > high ? high : v < low ? low : v;
}

#define shim_sat16(v) shim_sat(v, -32768, 32767)

SHIM v128_t wasm_v128_load(const void *p)
{
    v128_t v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

SHIM void wasm_v128_store(void *p, v128_t v)
{
    __builtin_memcpy(p, &v, sizeof v);
}

SHIM void wasm_v128_store64_lane(void *p, v128_t v, int lane)
{
    __builtin_memcpy(p, (const char *)&v + 8 * lane, 8);
}

SHIM v128_t wasm_v128_load32_lane(const void *p, v128_t v, int lane)
{
    int32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    v[lane] = word;
    return v;
}

SHIM v128_t wasm_v128_load32_zero(const void *p)
{
    return wasm_v128_load32_lane(p, (v128_t){0}, 0);
}

SHIM int32_t wasm_i32x4_extract_lane(v128_t v, int lane)
{
    return v[lane];
}

LANEWISE(v128_t, 4, wasm_i32x4_splat, (int32_t v), v)
LANEWISE(shim_i16, 8, wasm_i16x8_splat, (int16_t v), v)
LANEWISE(shim_i64, 2, wasm_i64x2_const_splat, (int64_t v), v)
#define wasm_i32x4_const_splat wasm_i32x4_splat

SHIM v128_t wasm_i16x8_load8x8(const void *p)
{
    shim_i16 r;
    for (int i = 0; i < 8; i++) {
        r[i] = ((const int8_t *)p)[i];
    }
    return (v128_t)r;
}

SHIM v128_t wasm_v128_load32_splat(const void *p)
{
    return wasm_i32x4_splat(wasm_v128_load32_zero(p)[0]);
}

LANEWISE(v128_t, 4, wasm_i32x4_add, (v128_t a, v128_t b), (int64_t)a[i] + b[i])
LANEWISE(v128_t, 4, wasm_i32x4_sub, (v128_t a, v128_t b), (int64_t)a[i] - b[i])
LANEWISE(shim_i64, 2, wasm_i64x2_add, (v128_t a, v128_t b), (uint64_t)I64(a)[i] + (uint64_t)I64(b)[i])
LANEWISE(shim_i64, 2, wasm_i64x2_shl, (v128_t v, uint32_t n), (uint64_t)I64(v)[i] << (n & 63))
LANEWISE(v128_t, 4, wasm_i32x4_min, (v128_t a, v128_t b), a[i] < b[i] ? a[i] : b[i])
LANEWISE(v128_t, 4, wasm_i32x4_max, (v128_t a, v128_t b), a[i] > b[i] ? a[i] : b[i])
LANEWISE(v128_t, 4, wasm_i32x4_abs, (v128_t v), v[i] < 0 ? -(int64_t)v[i] : v[i])
LANEWISE(shim_i16, 8, wasm_i16x8_abs, (v128_t v), S16(v)[i] < 0 ? -S16(v)[i] : S16(v)[i])
LANEWISE(shim_i16, 8, wasm_i16x8_min, (v128_t a, v128_t b), S16(a)[i] < S16(b)[i] ? S16(a)[i] : S16(b)[i])
LANEWISE(shim_i16, 8, wasm_i16x8_mul, (v128_t a, v128_t b), S16(a)[i] * S16(b)[i])
LANEWISE(shim_i16, 8, wasm_i16x8_add, (v128_t a, v128_t b), S16(a)[i] + S16(b)[i])
LANEWISE(shim_i16, 8, wasm_i16x8_add_sat, (v128_t a, v128_t b), shim_sat16(S16(a)[i] + S16(b)[i]))
LANEWISE(shim_i16, 8, wasm_i16x8_sub, (v128_t a, v128_t b), S16(a)[i] - S16(b)[i])
LANEWISE(v128_t, 4, wasm_v128_xor, (v128_t a, v128_t b), a[i] ^ b[i])
LANEWISE(v128_t, 4, wasm_v128_and, (v128_t a, v128_t b), a[i] & b[i])
LANEWISE(v128_t, 4, wasm_v128_bitselect, (v128_t a, v128_t b, v128_t mask), (a[i] & mask[i]) | (b[i] & ~mask[i]))
LANEWISE(v128_t, 4, wasm_v128_or, (v128_t a, v128_t b), a[i] | b[i])
LANEWISE(v128_t, 4, wasm_i32x4_shl, (v128_t v, uint32_t n), (uint32_t)v[i] << (n & 31))
LANEWISE(v128_t, 4, wasm_i32x4_shr, (v128_t v, uint32_t n), v[i] >> (n & 31))
LANEWISE(shim_u16, 8, wasm_i16x8_shl, (v128_t v, uint32_t n), U16(v)[i] << (n & 15))
LANEWISE(shim_i16, 8, wasm_i16x8_shr, (v128_t v, uint32_t n), S16(v)[i] >> (n & 15))
LANEWISE(shim_u16, 8, wasm_u16x8_shr, (v128_t v, uint32_t n), U16(v)[i] >> (n & 15))
LANEWISE(v128_t, 4, wasm_i32x4_dot_i16x8, (v128_t a, v128_t b),
         (int64_t)S16(a)[2 * i] * S16(b)[2 * i] + S16(a)[2 * i + 1] * S16(b)[2 * i + 1])
LANEWISE(v128_t, 4, wasm_i32x4_extmul_low_i16x8, (v128_t a, v128_t b), S16(a)[i] * S16(b)[i])
LANEWISE(v128_t, 4, wasm_i32x4_extmul_high_i16x8, (v128_t a, v128_t b), S16(a)[i + 4] * S16(b)[i + 4])
LANEWISE(shim_i64, 2, wasm_i64x2_extmul_low_i32x4, (v128_t a, v128_t b), (int64_t)a[i] * b[i])
LANEWISE(shim_i64, 2, wasm_i64x2_extmul_high_i32x4, (v128_t a, v128_t b), (int64_t)a[i + 2] * b[i + 2])
LANEWISE(shim_i16, 8, wasm_i16x8_q15mulr_sat, (v128_t a, v128_t b),
         shim_sat16((S16(a)[i] * S16(b)[i] + (1 << 14)) >> 15))
LANEWISE(shim_i16, 8, wasm_i16x8_narrow_i32x4, (v128_t a, v128_t b), shim_sat16(i < 4 ? a[i & 3] : b[i & 3]))
LANEWISE(shim_u16, 8, wasm_u16x8_narrow_i32x4, (v128_t a, v128_t b), shim_sat(i < 4 ? a[i & 3] : b[i & 3], 0, 65535))
LANEWISE(shim_i8, 16, wasm_i8x16_narrow_i16x8, (v128_t a, v128_t b),
         shim_sat(i < 8 ? S16(a)[i & 7] : S16(b)[i & 7], -128, 127))

#define shim_pick(a, b, lanes, lane) ((lane) < (lanes) ? (a)[(lane) % (lanes)] : (b)[(lane) % (lanes)])
#define PICK16(lane) (int16_t)shim_pick(S16(a), S16(b), 8, lane)

SHIM v128_t wasm_i16x8_shuffle(v128_t a, v128_t b, int c0, int c1, int c2, int c3, int c4, int c5, int c6, int c7)
{
    return (v128_t)(shim_i16){PICK16(c0), PICK16(c1), PICK16(c2), PICK16(c3),
                              PICK16(c4), PICK16(c5), PICK16(c6), PICK16(c7)};
}

SHIM v128_t wasm_i32x4_shuffle(v128_t a, v128_t b, int c0, int c1, int c2, int c3)
{
    return (v128_t){shim_pick(a, b, 4, c0), shim_pick(a, b, 4, c1), shim_pick(a, b, 4, c2), shim_pick(a, b, 4, c3)};
}

/* Floats. pmin, pmax: the first where the comparison is false. */
typedef float shim_f32 __attribute__((vector_size(16)));
#define F32(v) ((shim_f32)(v))
LANEWISE(shim_f32, 4, wasm_f32x4_splat, (float v), v)
LANEWISE(shim_f32, 4, wasm_f32x4_floor, (v128_t v), (int32_t)F32(v)[i] - (F32(v)[i] < (float)(int32_t)F32(v)[i]))
LANEWISE(shim_f32, 4, wasm_f32x4_pmin, (v128_t a, v128_t b), F32(b)[i] < F32(a)[i] ? F32(b)[i] : F32(a)[i])
LANEWISE(shim_f32, 4, wasm_f32x4_pmax, (v128_t a, v128_t b), F32(a)[i] < F32(b)[i] ? F32(b)[i] : F32(a)[i])
LANEWISE(v128_t, 4, wasm_i32x4_trunc_sat_f32x4, (v128_t v), F32(v)[i])

#endif
