/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <stdint.h>

static const int8_t lstm0_wx[4][2] = {{12, -7}, {100, 3}, {-50, 90}, {7, 127}};
static const int16_t dense0_w[4] = {300, -2000, 777, 31};
static const int32_t dense0_b[1] = {-12345};
