/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The intrinsics that csrc/tl_aarch64.h and its targets use, lane by lane in C for other computers: prototypes of the
 * Arm C Language Extensions, meaning of the Arm Architecture Reference Manual. Sums wrap, as the instructions do. */
#ifndef SHIM_ARM_NEON_H
#define SHIM_ARM_NEON_H
#pragma GCC system_header

#include <stdint.h>

#define __ARM_NEON 1
#define __ARM_FEATURE_DOTPROD 1

typedef int8_t int8x8_t __attribute__((vector_size(8)));
typedef int16_t int16x4_t __attribute__((vector_size(8)));
typedef int8_t int8x16_t __attribute__((vector_size(16)));
typedef int16_t int16x8_t __attribute__((vector_size(16)));
typedef uint16_t uint16x4_t __attribute__((vector_size(8)));
typedef uint16_t uint16x8_t __attribute__((vector_size(16)));
typedef uint32_t uint32x4_t __attribute__((vector_size(16)));
typedef int32_t int32x4_t __attribute__((vector_size(16)));

/* Not inlined: under sanitizers that would take minutes. */
#define SHIM static __attribute__((noinline, unused))
/* One function: `value` may use i, the lane of the result. */
#define LANEWISE(type, lanes, name, arguments, value)                                                                  \
    SHIM type name arguments                                                                                           \
    {                                                                                                                  \
        type r = {0};                                                                                                  \
        for (int i = 0; i < (lanes); i++) {                                                                            \
            r[i] = (__typeof__(r[0]))(value);                                                                          \
        }                                                                                                              \
        return r;                                                                                                      \
    }

SHIM int64_t shim_sat(int64_t v, int bits)
{
    const int64_t top = ((int64_t)1 << (bits - 1)) - 1;
    return v > top ? top : v < -top - 1 ? -top - 1 : v;
}

/* A register's shift count is the lowest byte of its lane, signed. */
SHIM int64_t shim_shift(int64_t v, int64_t count)
{
    const int n = (int8_t)count;
    return n >= 0 ? (int64_t)((uint64_t)v << n) : n <= -63 ? v >> 63 : v >> -n;
}

LANEWISE(int8x16_t, 16, vdupq_n_s8, (int8_t v), v)
LANEWISE(int16x4_t, 4, vdup_n_s16, (int16_t v), v)
LANEWISE(int16x8_t, 8, vdupq_n_s16, (int16_t v), v)
LANEWISE(int16x8_t, 8, vdupq_lane_s16, (int16x4_t v, int lane), v[lane])
LANEWISE(uint16x8_t, 8, vdupq_n_u16, (uint16_t v), v)
LANEWISE(uint32x4_t, 4, vdupq_n_u32, (uint32_t v), v)
LANEWISE(int32x4_t, 4, vdupq_n_s32, (int32_t v), v)
LANEWISE(int8x8_t, 8, vld1_s8, (const int8_t *p), p[i])
LANEWISE(int8x16_t, 16, vld1q_s8, (const int8_t *p), p[i])
LANEWISE(int16x4_t, 4, vld1_s16, (const int16_t *p), p[i])
LANEWISE(int16x8_t, 8, vld1q_s16, (const int16_t *p), p[i])
LANEWISE(int32x4_t, 4, vld1q_s32, (const int32_t *p), p[i])

SHIM void vst1_s8(int8_t *p, int8x8_t v)
{
    for (int i = 0; i < 8; i++) {
        p[i] = v[i];
    }
}

SHIM void vst1q_s16(int16_t *p, int16x8_t v)
{
    for (int i = 0; i < 8; i++) {
        p[i] = v[i];
    }
}

LANEWISE(int16x8_t, 8, vaddq_s16, (int16x8_t a, int16x8_t b), a[i] + b[i])
LANEWISE(int16x8_t, 8, vsubq_s16, (int16x8_t a, int16x8_t b), a[i] - b[i])
LANEWISE(int32x4_t, 4, vaddq_s32, (int32x4_t a, int32x4_t b), (int64_t)a[i] + b[i])
LANEWISE(int32x4_t, 4, vsubq_s32, (int32x4_t a, int32x4_t b), (int64_t)a[i] - b[i])
LANEWISE(int8x16_t, 16, veorq_s8, (int8x16_t a, int8x16_t b), a[i] ^ b[i])
LANEWISE(uint16x8_t, 8, veorq_u16, (uint16x8_t a, uint16x8_t b), a[i] ^ b[i])
LANEWISE(uint16x8_t, 8, vorrq_u16, (uint16x8_t a, uint16x8_t b), a[i] | b[i])
LANEWISE(int16x8_t, 8, vqaddq_s16, (int16x8_t a, int16x8_t b), shim_sat(a[i] + b[i], 16))
LANEWISE(uint16x8_t, 8, vrhaddq_u16, (uint16x8_t a, uint16x8_t b), (a[i] + b[i] + 1) >> 1)
LANEWISE(int16x8_t, 8, vandq_s16, (int16x8_t a, int16x8_t b), a[i] & b[i])
LANEWISE(int32x4_t, 4, vandq_s32, (int32x4_t a, int32x4_t b), a[i] & b[i])
LANEWISE(int16x8_t, 8, vabsq_s16, (int16x8_t v), v[i] < 0 ? -v[i] : v[i])
LANEWISE(int32x4_t, 4, vabsq_s32, (int32x4_t v), v[i] < 0 ? -(int64_t)v[i] : v[i])
LANEWISE(int16x8_t, 8, vminq_s16, (int16x8_t a, int16x8_t b), a[i] < b[i] ? a[i] : b[i])
LANEWISE(int32x4_t, 4, vminq_s32, (int32x4_t a, int32x4_t b), a[i] < b[i] ? a[i] : b[i])
LANEWISE(int32x4_t, 4, vmaxq_s32, (int32x4_t a, int32x4_t b), a[i] > b[i] ? a[i] : b[i])
LANEWISE(uint16x8_t, 8, vcltzq_s16, (int16x8_t v), v[i] < 0 ? 0xFFFF : 0)
LANEWISE(int16x8_t, 8, vbslq_s16, (uint16x8_t yes, int16x8_t a, int16x8_t b), (a[i] & yes[i]) | (b[i] & ~yes[i]))
LANEWISE(int16x8_t, 8, vaddw_s8, (int16x8_t a, int8x8_t b), a[i] + b[i])
LANEWISE(int16x8_t, 8, vaddw_high_s8, (int16x8_t a, int8x16_t b), a[i] + b[i + 8])

LANEWISE(uint16x8_t, 8, vshlq_n_u16, (uint16x8_t v, int n), v[i] << n)
LANEWISE(uint16x8_t, 8, vshrq_n_u16, (uint16x8_t v, int n), v[i] >> n)
LANEWISE(int16x8_t, 8, vshlq_n_s16, (int16x8_t v, int n), shim_shift(v[i], n))
LANEWISE(int16x8_t, 8, vshlq_s16, (int16x8_t v, int16x8_t n), shim_shift(v[i], n[i]))
LANEWISE(uint16x8_t, 8, vshlq_u16, (uint16x8_t v, int16x8_t n), shim_shift(v[i], n[i]))
LANEWISE(int32x4_t, 4, vrshlq_s32, (int32x4_t v, int32x4_t n),
         (int8_t)n[i] < 0 ? shim_shift(v[i] + ((int64_t)1 << (-(int8_t)n[i] - 1)), n[i]) : shim_shift(v[i], n[i]))
LANEWISE(int32x4_t, 4, vsraq_n_s32, (int32x4_t c, int32x4_t v, int n), c[i] + (int64_t)(v[i] >> (n > 31 ? 31 : n)))
LANEWISE(int32x4_t, 4, vshlq_n_s32, (int32x4_t v, int n), shim_shift(v[i], n))
LANEWISE(int32x4_t, 4, vshlq_s32, (int32x4_t v, int32x4_t n), shim_shift(v[i], n[i]))
LANEWISE(int16x8_t, 8, vqshlq_s16, (int16x8_t v, int16x8_t n), shim_sat(shim_shift(v[i], n[i]), 16))
LANEWISE(int32x4_t, 4, vshll_n_s16, (int16x4_t v, int n), shim_shift(v[i], n))
LANEWISE(int32x4_t, 4, vshll_high_n_s16, (int16x8_t v, int n), shim_shift(v[i + 4], n))

LANEWISE(int32x4_t, 4, vmull_s16, (int16x4_t a, int16x4_t b), a[i] * b[i])
LANEWISE(int32x4_t, 4, vmull_high_s16, (int16x8_t a, int16x8_t b), a[i + 4] * b[i + 4])
LANEWISE(int32x4_t, 4, vmlal_s16, (int32x4_t c, int16x4_t a, int16x4_t b), c[i] + (int64_t)a[i] * b[i])
LANEWISE(int32x4_t, 4, vmlal_high_s16, (int32x4_t c, int16x8_t a, int16x8_t b), c[i] + (int64_t)a[i + 4] * b[i + 4])
LANEWISE(int16x8_t, 8, vmulq_s16, (int16x8_t a, int16x8_t b), a[i] * b[i])
LANEWISE(int16x8_t, 8, vmull_s8, (int8x8_t a, int8x8_t b), a[i] * b[i])
LANEWISE(int16x8_t, 8, vmlal_high_s8, (int16x8_t c, int8x16_t a, int8x16_t b), c[i] + a[i + 8] * b[i + 8])
LANEWISE(int32x4_t, 4, vpadalq_s16, (int32x4_t c, int16x8_t v), (int64_t)c[i] + v[2 * i] + v[2 * i + 1])
LANEWISE(int32x4_t, 4, vqrdmulhq_s32, (int32x4_t a, int32x4_t b),
         shim_sat(((int64_t)a[i] * b[i] + ((int64_t)1 << 30)) >> 31, 32))
LANEWISE(int32x4_t, 4, vqdmulhq_s32, (int32x4_t a, int32x4_t b), shim_sat(((int64_t)a[i] * b[i]) >> 31, 32))
LANEWISE(int16x8_t, 8, vqdmulhq_s16, (int16x8_t a, int16x8_t b), shim_sat((a[i] * b[i]) >> 15, 16))
LANEWISE(int16x8_t, 8, vqrdmulhq_s16, (int16x8_t a, int16x8_t b), shim_sat((a[i] * b[i] + (1 << 14)) >> 15, 16))

SHIM int32_t shim_dot4(int32_t sum, int8x16_t a, int8x16_t b, int at_a, int at_b)
{
    int64_t total = sum;
    for (int k = 0; k < 4; k++) {
        total += a[4 * at_a + k] * b[4 * at_b + k];
    }
    return (int32_t)total;
}

LANEWISE(int32x4_t, 4, vdotq_laneq_s32, (int32x4_t c, int8x16_t a, int8x16_t b, int lane),
         shim_dot4(c[i], a, b, i, lane))

/* Narrowing: the lower half alone, or behind a lower half. */
LANEWISE(int16x4_t, 4, vqmovn_s32, (int32x4_t v), shim_sat(v[i], 16))
LANEWISE(int16x8_t, 8, vqmovn_high_s32, (int16x4_t low, int32x4_t v), i < 4 ? low[i & 3] : shim_sat(v[i & 3], 16))

LANEWISE(uint16x4_t, 4, vqmovun_s32, (int32x4_t v), v[i] < 0 ? 0 : v[i] > 65535 ? 65535 : v[i])
LANEWISE(uint16x8_t, 8, vqmovun_high_s32, (uint16x4_t low, int32x4_t v),
         i < 4 ? low[i & 3] : vqmovun_s32(v)[i & 3])
LANEWISE(int8x8_t, 8, vqmovn_s16, (int16x8_t v), shim_sat(v[i], 8))
LANEWISE(int16x8_t, 8, vmovl_s8, (int8x8_t v), v[i])

SHIM int64_t shim_round(int32_t v, int n)
{
    return shim_sat(((int64_t)v + ((int64_t)1 << (n - 1))) >> n, 16);
}

LANEWISE(int16x4_t, 4, vqrshrn_n_s32, (int32x4_t v, int n), shim_round(v[i], n))
LANEWISE(int16x8_t, 8, vqrshrn_high_n_s32, (int16x4_t low, int32x4_t v, int n),
         i < 4 ? low[i & 3] : shim_round(v[i & 3], n))

LANEWISE(int8x8_t, 8, vget_low_s8, (int8x16_t v), v[i])
LANEWISE(int16x4_t, 4, vget_low_s16, (int16x8_t v), v[i])
LANEWISE(int16x8_t, 8, vcombine_s16, (int16x4_t low, int16x4_t high), i < 4 ? low[i & 3] : high[i & 3])
LANEWISE(int8x16_t, 16, vuzp1q_s8, (int8x16_t a, int8x16_t b), i < 8 ? a[2 * i & 15] : b[2 * i & 15])
LANEWISE(int8x16_t, 16, vuzp2q_s8, (int8x16_t a, int8x16_t b), i < 8 ? a[(2 * i + 1) & 15] : b[(2 * i + 1) & 15])
LANEWISE(int16x8_t, 8, vuzp1q_s16, (int16x8_t a, int16x8_t b), i < 4 ? a[2 * i & 7] : b[2 * i & 7])
LANEWISE(int16x8_t, 8, vuzp2q_s16, (int16x8_t a, int16x8_t b), i < 4 ? a[(2 * i + 1) & 7] : b[(2 * i + 1) & 7])

SHIM uint16_t vgetq_lane_u16(uint16x8_t v, int lane)
{
    return v[lane];
}

SHIM int32x4_t vsetq_lane_s32(int32_t value, int32x4_t v, int lane)
{
    v[lane] = value;
    return v;
}

SHIM int16x4_t vset_lane_s16(int16_t value, int16x4_t v, int lane)
{
    v[lane] = value;
    return v;
}

SHIM int32_t vaddvq_s32(int32x4_t v)
{
    return (int32_t)((int64_t)v[0] + v[1] + v[2] + v[3]);
}

SHIM int8x16_t vreinterpretq_s8_u32(uint32x4_t v)
{
    return (int8x16_t)v;
}

SHIM int16x4_t vreinterpret_s16_s8(int8x8_t v)
{
    return (int16x4_t)v;
}

SHIM int8x16_t vreinterpretq_s8_s16(int16x8_t v)
{
    return (int8x16_t)v;
}

SHIM int16x8_t vreinterpretq_s16_s32(int32x4_t v)
{
    return (int16x8_t)v;
}

SHIM int16x8_t vreinterpretq_s16_u16(uint16x8_t v)
{
    return (int16x8_t)v;
}

SHIM uint16x8_t vreinterpretq_u16_s16(int16x8_t v)
{
    return (uint16x8_t)v;
}

/* Floats. vminnm and vmaxnm: a number wins over a NaN. The product of a fused one is exact in double precision. */
typedef float float32x4_t __attribute__((vector_size(16)));

LANEWISE(float32x4_t, 4, vdupq_n_f32, (float v), v)
LANEWISE(float32x4_t, 4, vld1q_f32, (const float *p), p[i])
LANEWISE(float32x4_t, 4, vfmaq_f32, (float32x4_t c, float32x4_t a, float32x4_t b), c[i] + (double)a[i] * b[i])
LANEWISE(float32x4_t, 4, vfmaq_n_f32, (float32x4_t c, float32x4_t a, float b), c[i] + (double)a[i] * b)
LANEWISE(float32x4_t, 4, vminnmq_f32, (float32x4_t a, float32x4_t b), a[i] < b[i] || b[i] != b[i] ? a[i] : b[i])
LANEWISE(float32x4_t, 4, vmaxnmq_f32, (float32x4_t a, float32x4_t b), a[i] > b[i] || b[i] != b[i] ? a[i] : b[i])
LANEWISE(float32x4_t, 4, vrndmq_f32, (float32x4_t v), (int32_t)v[i] - (v[i] < (float)(int32_t)v[i]))
LANEWISE(int32x4_t, 4, vcvtq_s32_f32, (float32x4_t v), v[i])

SHIM void vst1q_f32(float *p, float32x4_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = v[i];
    }
}

SHIM float vaddvq_f32(float32x4_t v)
{
    return (v[0] + v[1]) + (v[2] + v[3]);
}

SHIM int32x4_t vreinterpretq_s32_f32(float32x4_t v)
{
    return (int32x4_t)v;
}

SHIM float32x4_t vreinterpretq_f32_s32(int32x4_t v)
{
    return (float32x4_t)v;
}

#endif
