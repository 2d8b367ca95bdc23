/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "tl_gemm.h"

#include "tl_simd.h"

/* c += or = sums; `width` of their columns count. */
TL_INLINE void put(const int vectors, const V *sum, float *c, ptrdiff_t width, bool add)
{
    if (width >= vectors * TL_LANES) {
        TL_UNROLL for (int j = 0; j < vectors; j++) {
            Unaligned *at = (Unaligned *)(c + j * TL_LANES);
            *at = sum[j] + (add ? *at : (V){0});
        }
        return;
    }
    float part[4 * TL_LANES];
    TL_UNROLL for (int j = 0; j < vectors; j++) {
        *(Unaligned *)(part + j * TL_LANES) = sum[j];
    }
    for (ptrdiff_t j = 0; j < width; j++) {
        c[j] = add ? c[j] + part[j] : part[j];
    }
}

/* rows x vectors sums in registers, both constants: AVX-512 has 32 registers, AVX2 16. */
TL_INLINE void tile(const int rows, const int vectors, ptrdiff_t depth, ptrdiff_t parts, tl_matrix a, tl_matrix b,
                    float *c, ptrdiff_t c_rows, ptrdiff_t width, bool add)
{
    V sum[8][4];
    TL_UNROLL for (int i = 0; i < rows; i++) {
        TL_UNROLL for (int j = 0; j < vectors; j++) {
            sum[i][j] = (V){0};
        }
    }
    for (ptrdiff_t o = 0; o < parts; o++, a.at += a.parts, b.at += b.parts) {
        for (ptrdiff_t k = 0; k < depth; k++) {
            V line[4];
            TL_UNROLL for (int j = 0; j < vectors; j++) {
                line[j] = load(b.at + k * b.rows + j * TL_LANES);
            }
            TL_UNROLL for (int i = 0; i < rows; i++) {
                TL_UNROLL for (int j = 0; j < vectors; j++) {
                    sum[i][j] += a.at[i * a.rows + k * a.columns] * line[j];
                }
            }
        }
    }
    TL_UNROLL for (int i = 0; i < rows; i++) {
        put(vectors, sum[i], c + i * c_rows, width, add);
    }
}

/* A panel of `vectors` columns: tiles of `most` rows, then of 4, 2 and 1. */
TL_INLINE void panel(const int most, const int vectors, ptrdiff_t m, ptrdiff_t depth, ptrdiff_t parts, tl_matrix a,
                     tl_matrix b, float *c, ptrdiff_t c_rows, ptrdiff_t width, bool add)
{
#define TL_ROWS(n)                                                                                                      \
    for (; m >= (n); m -= (n), a.at += (n) * a.rows, c += (n) * c_rows) {                                               \
        tile((n), vectors, depth, parts, a, b, c, c_rows, width, add);                                                  \
    }
    TL_ROWS(most)
    TL_ROWS(4)
    TL_ROWS(2)
    TL_ROWS(1)
}

void tl_gemm(ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth, ptrdiff_t parts, tl_matrix a, tl_matrix b, float *c,
             ptrdiff_t c_rows, bool add)
{
#define TL_PANELS(most, vectors)                                                                                        \
    for (; n > ((vectors) * TL_LANES > 16 ? (vectors) * TL_LANES - 16 : 0); n -= (vectors) * TL_LANES) {                \
        panel(most, vectors, m, depth, parts, a, b, c, c_rows, n, add);                                                 \
        b.at += (vectors) * TL_LANES;                                                                                   \
        c += (vectors) * TL_LANES;                                                                                      \
    }
#if TL_BYTES == 64
    TL_PANELS(6, 4)
    TL_PANELS(8, 2)
    TL_PANELS(8, 1)
#elif TL_BYTES == 32
    TL_PANELS(6, 2)
#else
    TL_PANELS(4, 4)
#endif
}

typedef float Four __attribute__((vector_size(16), may_alias));
typedef int32_t Places __attribute__((vector_size(16)));
#ifdef __clang__
#define TL_SHUFFLE(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#else
#define TL_SHUFFLE(a, b, i, j, k, l) __builtin_shuffle(a, b, (Places){i, j, k, l})
#endif

/* out[b][k] = x[k][b] of 4 x 4. */
TL_INLINE void turn_block(const float *x, ptrdiff_t rows, float *out, ptrdiff_t out_rows)
{
    const Four a = *(const Four *)x, b = *(const Four *)(x + rows);
    const Four c = *(const Four *)(x + 2 * rows), d = *(const Four *)(x + 3 * rows);
    const Four ab = TL_SHUFFLE(a, b, 0, 4, 1, 5), cd = TL_SHUFFLE(c, d, 0, 4, 1, 5);
    const Four ab2 = TL_SHUFFLE(a, b, 2, 6, 3, 7), cd2 = TL_SHUFFLE(c, d, 2, 6, 3, 7);
    *(Four *)out = TL_SHUFFLE(ab, cd, 0, 1, 4, 5);
    *(Four *)(out + out_rows) = TL_SHUFFLE(ab, cd, 2, 3, 6, 7);
    *(Four *)(out + 2 * out_rows) = TL_SHUFFLE(ab2, cd2, 0, 1, 4, 5);
    *(Four *)(out + 3 * out_rows) = TL_SHUFFLE(ab2, cd2, 2, 3, 6, 7);
}

#define TL_FEW 4 /* a panel of 16 columns costs more than so many of `few` */

/* out[b][k] = x(k, b) of one step; zeros for n <= k < TL_PADDED(n). */
static void turn(ptrdiff_t n, ptrdiff_t batch, const float *x, ptrdiff_t rows, float *out)
{
    const ptrdiff_t padded = TL_PADDED(n);
    for (ptrdiff_t b = 0; b < batch; b += 4) {
        ptrdiff_t k = 0;
        for (; k + 4 <= n; k += 4) {
            turn_block(x + k * rows + b, rows, out + b * padded + k, padded);
        }
        for (; k < padded; k++) {
            for (ptrdiff_t j = b; j < b + 4; j++) {
                out[j * padded + k] = k < n ? x[k * rows + j] : 0.0f;
            }
        }
    }
}

/* dw[m][n] += as tl_outer, for a few columns, a constant: a vector of sums over the batch for each. */
TL_INLINE void few(ptrdiff_t m, const int n, ptrdiff_t batch, ptrdiff_t steps, tl_matrix dz, tl_matrix x, float *dw,
                   ptrdiff_t dw_rows)
{
    for (ptrdiff_t row = 0; row < m; row++) {
        V sum[TL_FEW];
        TL_UNROLL for (int k = 0; k < n; k++) {
            sum[k] = (V){0};
        }
        for (ptrdiff_t t = 0; t < steps; t++) {
            for (ptrdiff_t b = 0; b < batch; b += TL_LANES) {
                const V d = load(dz.at + t * dz.parts + row * dz.rows + b);
                TL_UNROLL for (int k = 0; k < n; k++) {
                    sum[k] += d * load(x.at + t * x.parts + k * x.rows + b);
                }
            }
        }
        TL_UNROLL for (int k = 0; k < n; k++) {
            dw[row * dw_rows + k] += total(sum[k]);
        }
    }
}

void tl_outer(ptrdiff_t m, ptrdiff_t n, ptrdiff_t batch, ptrdiff_t steps, tl_matrix dz, tl_matrix x, float *dw,
              ptrdiff_t dw_rows, float *turned)
{
    const ptrdiff_t together = TL_DEPTH / batch > 1 ? TL_DEPTH / batch : 1, rest = n % 16;
    n -= rest <= TL_FEW ? rest : 0;
    for (ptrdiff_t done = 0; done < steps; done += together) {
        const ptrdiff_t now = steps - done < together ? steps - done : together;
        const tl_matrix a = {dz.at + done * dz.parts, dz.rows, 1, dz.parts};
        const tl_matrix b = {turned, TL_PADDED(n), 1, batch * TL_PADDED(n)};
        const tl_matrix last = {x.at + done * x.parts + n * x.rows, x.rows, 1, x.parts};
        for (ptrdiff_t t = 0; t < now; t++) {
            turn(n, batch, x.at + (done + t) * x.parts, x.rows, turned + t * batch * TL_PADDED(n));
        }
        tl_gemm(m, n, batch, now, a, b, dw, dw_rows, true);
        switch (rest) {
        case 1:
            few(m, 1, batch, now, a, last, dw + n, dw_rows);
            break;
        case 2:
            few(m, 2, batch, now, a, last, dw + n, dw_rows);
            break;
        case 3:
            few(m, 3, batch, now, a, last, dw + n, dw_rows);
            break;
        case 4:
            few(m, 4, batch, now, a, last, dw + n, dw_rows);
            break;
        }
    }
}
