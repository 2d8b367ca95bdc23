/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* load_units and store_units of tl_tiles_f32.h for vectors of 4 floats without masked loads. */
#ifndef TL_UNITS_F32_H
#define TL_UNITS_F32_H

INLINE V load_units(const float *p, uint32_t n)
{
    float part[4] = {0};
    if (n >= 4) {
        return LOAD(p);
    }
    for (uint32_t k = 0; k < n; k++) {
        part[k] = p[k];
    }
    return LOAD(part);
}

INLINE void store_units(float *p, V v, uint32_t n)
{
    float all[4];
    STORE(n >= 4 ? p : all, v);
    for (uint32_t k = 0; n < 4 && k < n; k++) {
        p[k] = all[k];
    }
}

#endif
