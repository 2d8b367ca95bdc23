/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The matrix products of training. All have few columns (a slice of the batch, or the inputs of a layer), so that a panel
 * of B stays in the first cache as it is; A is read one number at a time and may lie in any order. */
#ifndef TL_GEMM_H
#define TL_GEMM_H

#include <stdbool.h>
#include <stddef.h>

typedef struct tl_matrix { /* the element (row, column) of part `o`: at[o * parts + row * rows + column * columns] */
    const float *at;
    ptrdiff_t rows, columns, parts;
} tl_matrix;

/* c[m][n] (+)= the sum over parts and k < depth of a(m, k) b(k, n). b.columns is 1; b's rows are aligned to 64 bytes and
 * may be read up to the next multiple of 16 of n. Row m of c begins at c[m * c_rows]. */
void tl_gemm(ptrdiff_t m, ptrdiff_t n, ptrdiff_t depth, ptrdiff_t parts, tl_matrix a, tl_matrix b, float *c,
             ptrdiff_t c_rows, bool add);

/* dw[m][n] += the sum over steps and batch of dz(m, batch) x(n, batch); a part is a step, columns are 1.
 * batch: a multiple of 16. turned: scratch of TL_TURNED(n) floats, aligned to 64 bytes. */
void tl_outer(ptrdiff_t m, ptrdiff_t n, ptrdiff_t batch, ptrdiff_t steps, tl_matrix dz, tl_matrix x, float *dw,
              ptrdiff_t dw_rows, float *turned);

#define TL_PADDED(n) (((n) + 15) / 16 * 16)
#define TL_DEPTH 128 /* columns that tl_outer takes at once: with 64 of x they fill two thirds of a first cache */
#define TL_TURNED(n) (TL_DEPTH * TL_PADDED(n))

#endif
