/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The intrinsics of Helium that csrc/ uses, in plain C, with the prototypes of Arm's <arm_mve.h>: tl_mve.c compiles
 * unchanged for this computer. Vectors have the layout of memory, as on a little-endian core. What each does is written
 * as the Armv8-M manual (DDI 0553) has it: products and sums in 64 bits, then the lane's bits. */
#ifndef TL_SHIM_ARM_MVE_H
#define TL_SHIM_ARM_MVE_H

#include <stdint.h>

typedef struct { int16_t lane[8]; } int16x8_t;
typedef struct { uint16_t lane[8]; } uint16x8_t;
typedef struct { int32_t lane[4]; } int32x4_t;
typedef struct { int32x4_t val[2]; } int32x4x2_t;
typedef uint16_t mve_pred16_t; /* a bit a byte */

static inline int64_t shim_saturate(int64_t v, int bits)
{
    const int64_t top = ((int64_t)1 << (bits - 1)) - 1;
    return v > top ? top : v < -top - 1 ? -top - 1 : v;
}

/* v * 2^by; by may be negative. */
static inline int64_t shim_shift(int64_t v, int32_t by)
{
    return by < 0 ? v >> (-by > 63 ? 63 : -by) : v * ((int64_t)1 << by);
}

#define SHIM_16(EXPRESSION)                                                                                            \
    int16x8_t r;                                                                                                       \
    for (int i = 0; i < 8; i++) {                                                                                      \
        r.lane[i] = (int16_t)(EXPRESSION);                                                                             \
    }                                                                                                                  \
    return r
#define SHIM_U16(EXPRESSION)                                                                                           \
    uint16x8_t r;                                                                                                      \
    for (int i = 0; i < 8; i++) {                                                                                      \
        r.lane[i] = (uint16_t)(EXPRESSION);                                                                            \
    }                                                                                                                  \
    return r
#define SHIM_32(EXPRESSION)                                                                                            \
    int32x4_t r;                                                                                                       \
    for (int i = 0; i < 4; i++) {                                                                                      \
        r.lane[i] = (int32_t)(EXPRESSION);                                                                             \
    }                                                                                                                  \
    return r

/* Predicates, loads, stores. */
static inline void vstrbq_p_s16(int8_t *p, int16x8_t v, mve_pred16_t q)
{
    for (int i = 0; i < 8; i++) {
        if ((q >> (2 * i) & 1) != 0) {
            p[i] = (int8_t)v.lane[i];
        }
    }
}
static inline uint16x8_t vldrhq_gather_shifted_offset_u16(const uint16_t *p, uint16x8_t at) { SHIM_U16(p[at.lane[i]]); }
static inline mve_pred16_t vctp16q(uint32_t n) { return (mve_pred16_t)(n >= 8 ? 0xFFFFu : (1u << (2 * n)) - 1u); }
static inline int16x8_t vldrhq_z_s16(const int16_t *p, mve_pred16_t q) { SHIM_16((q >> (2 * i) & 1) != 0 ? p[i] : 0); }
static inline void vstrhq_p_s16(int16_t *p, int16x8_t v, mve_pred16_t q)
{
    for (int i = 0; i < 8; i++) {
        if ((q >> (2 * i) & 1) != 0) {
            p[i] = v.lane[i];
        }
    }
}
static inline int32x4_t vld1q_s32(const int32_t *p) { SHIM_32(p[i]); }
static inline void vst1q_s32(int32_t *p, int32x4_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = v.lane[i];
    }
}
static inline int32x4x2_t vld2q_s32(const int32_t *p)
{
    int32x4x2_t r;
    for (int i = 0; i < 8; i++) {
        r.val[i % 2].lane[i / 2] = p[i];
    }
    return r;
}
static inline int16x8_t vldrhq_gather_shifted_offset_s16(const int16_t *p, uint16x8_t at) { SHIM_16(p[at.lane[i]]); }

/* 16-bit lanes. */
static inline int16x8_t vuninitializedq_s16(void) { SHIM_16(0x5EED); }
static inline uint16x8_t vuninitializedq_u16(void) { SHIM_U16(0x5EED); }
static inline int16x8_t vdupq_n_s16(int16_t v) { SHIM_16(v); }
static inline uint16x8_t vreinterpretq_u16_s16(int16x8_t v) { SHIM_U16(v.lane[i]); }
static inline int16x8_t vreinterpretq_s16_u16(uint16x8_t v) { SHIM_16(v.lane[i]); }
static inline uint16x8_t vshlq_n_u16(uint16x8_t v, const int n) { SHIM_U16((uint32_t)v.lane[i] << n); }
static inline uint16x8_t vshrq_n_u16(uint16x8_t v, const int n) { SHIM_U16(v.lane[i] >> n); }
static inline uint16x8_t vorrq_n_u16(uint16x8_t v, const uint16_t n) { SHIM_U16(v.lane[i] | n); }
static inline int16x8_t vaddq_s16(int16x8_t a, int16x8_t b) { SHIM_16(a.lane[i] + b.lane[i]); }
static inline int16x8_t vsubq_s16(int16x8_t a, int16x8_t b) { SHIM_16(a.lane[i] - b.lane[i]); }
static inline int16x8_t vmulhq_s16(int16x8_t a, int16x8_t b) { SHIM_16((a.lane[i] * b.lane[i]) >> 16); }
static inline int16x8_t vqrdmulhq_s16(int16x8_t a, int16x8_t b)
{
    SHIM_16(shim_saturate((2 * (int64_t)a.lane[i] * b.lane[i] + (1 << 15)) >> 16, 16));
}
static inline int16x8_t vqshlq_r_s16(int16x8_t v, int32_t by) { SHIM_16(shim_saturate(shim_shift(v.lane[i], by), 16)); }

static inline int16x8_t vabsq_s16(int16x8_t v) { SHIM_16(v.lane[i] < 0 ? -v.lane[i] : v.lane[i]); }
static inline int16x8_t vminq_s16(int16x8_t a, int16x8_t b) { SHIM_16(a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]); }
static inline int16x8_t vmaxq_s16(int16x8_t a, int16x8_t b) { SHIM_16(a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]); }
static inline int16x8_t vqaddq_n_s16(int16x8_t a, int16_t n) { SHIM_16(shim_saturate(a.lane[i] + n, 16)); }
static inline int16x8_t veorq_s16(int16x8_t a, int16x8_t b) { SHIM_16(a.lane[i] ^ b.lane[i]); }
static inline int16x8_t vshrq_n_s16(int16x8_t v, const int n) { SHIM_16(v.lane[i] >> n); }
static inline uint16x8_t vdupq_n_u16(uint16_t v) { SHIM_U16(v); }
static inline uint16x8_t vandq_u16(uint16x8_t a, uint16x8_t b) { SHIM_U16(a.lane[i] & b.lane[i]); }
static inline uint16x8_t vminq_u16(uint16x8_t a, uint16x8_t b)
{
    SHIM_U16(a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]);
}
static inline uint16x8_t vmulq_n_u16(uint16x8_t a, uint16_t n) { SHIM_U16((uint32_t)a.lane[i] * n); }
static inline uint16x8_t vmulhq_u16(uint16x8_t a, uint16x8_t b) { SHIM_U16(((uint32_t)a.lane[i] * b.lane[i]) >> 16); }
static inline uint16x8_t vrhaddq_u16(uint16x8_t a, uint16x8_t b) { SHIM_U16((a.lane[i] + b.lane[i] + 1) >> 1); }

/* 32-bit lanes; B: the even 16-bit lanes, T: the odd ones. */
static inline int32x4_t vdupq_n_s32(int32_t v) { SHIM_32(v); }
static inline int32x4_t vaddq_s32(int32x4_t a, int32x4_t b) { SHIM_32((int64_t)a.lane[i] + b.lane[i]); }
static inline int32x4_t vmulhq_s32(int32x4_t a, int32x4_t b) { SHIM_32(((int64_t)a.lane[i] * b.lane[i]) >> 32); }
static inline int32x4_t vqdmulhq_s32(int32x4_t a, int32x4_t b)
{
    SHIM_32(shim_saturate(((int64_t)a.lane[i] * b.lane[i]) >> 31, 32));
}
static inline int32x4_t vshlq_r_s32(int32x4_t v, int32_t by) { SHIM_32(shim_shift(v.lane[i], by)); }
static inline int32x4_t vabsq_s32(int32x4_t v) { SHIM_32(v.lane[i] < 0 ? -(int64_t)v.lane[i] : v.lane[i]); }
static inline int32x4_t vshrq_n_s32(int32x4_t v, const int n) { SHIM_32(v.lane[i] >> (n > 31 ? 31 : n)); }
static inline int32x4_t vqaddq_s32(int32x4_t a, int32x4_t b)
{
    SHIM_32(shim_saturate((int64_t)a.lane[i] + b.lane[i], 32));
}
static inline int32x4_t vqrdmulhq_n_s32(int32x4_t a, int32_t b)
{
    SHIM_32(shim_saturate((((int64_t)a.lane[i] * b >> 30) + 1) >> 1, 32));
}
static inline int32x4_t vrshlq_n_s32(int32x4_t v, int32_t by)
{
    SHIM_32(shim_shift(v.lane[i] + (by < 0 ? (int64_t)1 << (-by - 1) : 0), by));
}
static inline int32x4_t vmovlbq_s16(int16x8_t v) { SHIM_32(v.lane[2 * i]); }
static inline int32x4_t vmovltq_s16(int16x8_t v) { SHIM_32(v.lane[2 * i + 1]); }
static inline int32x4_t vshllbq_n_s16(int16x8_t v, const int n) { SHIM_32(v.lane[2 * i] * (1 << n)); }
static inline int32x4_t vshlltq_n_s16(int16x8_t v, const int n) { SHIM_32(v.lane[2 * i + 1] * (1 << n)); }
static inline int32x4_t vmullbq_int_s16(int16x8_t a, int16x8_t b) { SHIM_32(a.lane[2 * i] * b.lane[2 * i]); }
static inline int32x4_t vmulltq_int_s16(int16x8_t a, int16x8_t b) { SHIM_32(a.lane[2 * i + 1] * b.lane[2 * i + 1]); }

/* 32-bit into the even or odd 16-bit lanes of a. */
static inline int16x8_t vqmovnbq_s32(int16x8_t a, int32x4_t v)
{
    SHIM_16(i % 2 == 0 ? shim_saturate(v.lane[i / 2], 16) : a.lane[i]);
}
static inline int16x8_t vqmovntq_s32(int16x8_t a, int32x4_t v)
{
    SHIM_16(i % 2 == 1 ? shim_saturate(v.lane[i / 2], 16) : a.lane[i]);
}
static inline uint16x8_t vqmovunbq_s32(uint16x8_t a, int32x4_t v)
{
    SHIM_U16(i % 2 == 0 ? (v.lane[i / 2] < 0 ? 0 : v.lane[i / 2] > 65535 ? 65535 : v.lane[i / 2]) : a.lane[i]);
}
static inline uint16x8_t vqmovuntq_s32(uint16x8_t a, int32x4_t v)
{
    SHIM_U16(i % 2 == 1 ? (v.lane[i / 2] < 0 ? 0 : v.lane[i / 2] > 65535 ? 65535 : v.lane[i / 2]) : a.lane[i]);
}
static inline int16x8_t vqrshrnbq_n_s32(int16x8_t a, int32x4_t v, const int n)
{
    SHIM_16(i % 2 == 0 ? shim_saturate(((int64_t)v.lane[i / 2] + (1 << (n - 1))) >> n, 16) : a.lane[i]);
}
static inline int16x8_t vqrshrntq_n_s32(int16x8_t a, int32x4_t v, const int n)
{
    SHIM_16(i % 2 == 1 ? shim_saturate(((int64_t)v.lane[i / 2] + (1 << (n - 1))) >> n, 16) : a.lane[i]);
}

/* Floats, with C's operators. vminnm and vmaxnm: a number wins over a NaN. The product of a fused one is exact in
 * double precision. */
typedef float float32x4_t __attribute__((vector_size(16)));
#define SHIM_F32(EXPRESSION)                                                                                           \
    float32x4_t r;                                                                                                     \
    for (int i = 0; i < 4; i++) {                                                                                      \
        r[i] = (float)(EXPRESSION);                                                                                    \
    }                                                                                                                  \
    return r
static inline mve_pred16_t vctp32q(uint32_t n) { return (mve_pred16_t)(n >= 4 ? 0xFFFFu : (1u << (4 * n)) - 1u); }
static inline float32x4_t vdupq_n_f32(float v) { SHIM_F32(v); }
static inline float32x4_t vld1q_f32(const float *p) { SHIM_F32(p[i]); }
static inline float32x4_t vldrwq_z_f32(const float *p, mve_pred16_t q) { SHIM_F32((q >> (4 * i) & 1) != 0 ? p[i] : 0); }
static inline void vstrwq_p_f32(float *p, float32x4_t v, mve_pred16_t q)
{
    for (int i = 0; i < 4; i++) {
        if ((q >> (4 * i) & 1) != 0) {
            p[i] = v[i];
        }
    }
}
static inline float32x4_t vfmaq_f32(float32x4_t c, float32x4_t a, float32x4_t b) { SHIM_F32(c[i] + (double)a[i] * b[i]); }
static inline float32x4_t vfmaq_n_f32(float32x4_t c, float32x4_t a, float b) { SHIM_F32(c[i] + (double)a[i] * b); }
static inline float32x4_t vnegq_f32(float32x4_t v) { SHIM_F32(-v[i]); }
static inline float32x4_t vminnmq_f32(float32x4_t a, float32x4_t b)
{
    SHIM_F32(a[i] < b[i] || b[i] != b[i] ? a[i] : b[i]);
}
static inline float32x4_t vmaxnmq_f32(float32x4_t a, float32x4_t b)
{
    SHIM_F32(a[i] > b[i] || b[i] != b[i] ? a[i] : b[i]);
}
static inline float32x4_t vrndmq_f32(float32x4_t v) { SHIM_F32((int32_t)v[i] - (v[i] < (float)(int32_t)v[i])); }
static inline float vgetq_lane_f32(float32x4_t v, int lane) { return v[lane]; }
static inline int32x4_t vcvtq_s32_f32(float32x4_t v) { SHIM_32(v[i]); }
static inline int32x4_t vshlq_n_s32(int32x4_t v, const int n) { SHIM_32((int64_t)v.lane[i] * ((int64_t)1 << n)); }
static inline int32x4_t vreinterpretq_s32_f32(float32x4_t v)
{
    union {
        float32x4_t from;
        int32x4_t to;
    } u = {v};
    return u.to;
}
static inline float32x4_t vreinterpretq_f32_s32(int32x4_t v)
{
    union {
        int32x4_t from;
        float32x4_t to;
    } u = {v};
    return u.to;
}

#endif
