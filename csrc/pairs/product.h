/* Products of small matrices in double, and what stands between them in losses of few embeddings: for those that a BLAS
 * called from Python would take longer to be asked than to multiply. Every sum runs over its terms in order, whatever
 * the block: bits are the same on all instruction sets with FMA. For the table of doubles alone.
 */
#ifndef FASTLOSS_PAIRS_PRODUCT_H
#define FASTLOSS_PAIRS_PRODUCT_H

#include "../core/wide.h"
#include "rows.h"

/* Rows and columns of a product that are summed up side by side: with AVX2 eight vectors, as many as two units need to be
 * busy. Written by hand: compilers keep an array of sums in memory, at a tenth of the speed. */
#define PRODUCT_ROWS 4
#define PRODUCT_VECTORS (FL_PRODUCT_STEP / WIDE)

INLINE void product_block(fl_size terms, const double *const *a, fl_size a_term, const double *b, fl_size b_stride,
                          double *const *c) {
  const double *a0 = a[0], *a1 = a[1], *a2 = a[2], *a3 = a[3];
  wide s0[PRODUCT_VECTORS], s1[PRODUCT_VECTORS], s2[PRODUCT_VECTORS], s3[PRODUCT_VECTORS];
  for (int v = 0; v < PRODUCT_VECTORS; v++) s0[v] = s1[v] = s2[v] = s3[v] = wide_all(0.0);
  for (fl_size t = 0; t < terms; t++) {
    const wide f0 = wide_all(a0[t * a_term]), f1 = wide_all(a1[t * a_term]);
    const wide f2 = wide_all(a2[t * a_term]), f3 = wide_all(a3[t * a_term]);
    for (int v = 0; v < PRODUCT_VECTORS; v++) {
      const wide x = wide_load(b + t * b_stride + v * WIDE);
      s0[v] = wide_fma(f0, x, s0[v]);
      s1[v] = wide_fma(f1, x, s1[v]);
      s2[v] = wide_fma(f2, x, s2[v]);
      s3[v] = wide_fma(f3, x, s3[v]);
    }
  }
  for (int v = 0; v < PRODUCT_VECTORS; v++) {
    wide_store(c[0] + v * WIDE, s0[v]);
    wide_store(c[1] + v * WIDE, s1[v]);
    wide_store(c[2] + v * WIDE, s2[v]);
    wide_store(c[3] + v * WIDE, s3[v]);
  }
}

/* c[i][j] = the sum over t of a[i][t] b[t][j]; see pair_kernels.h. */
static void product(fl_size rows, fl_size columns, fl_size terms, const double *a, fl_size a_row, fl_size a_term,
                    const double *b, fl_size b_stride, double *c, fl_size c_stride) {
  for (fl_size i = 0; i < rows; i += PRODUCT_ROWS) {
    const double *from[PRODUCT_ROWS];
    double *to[PRODUCT_ROWS];
    for (int r = 0; r < PRODUCT_ROWS; r++) { /* past the last row it is written once more */
      const fl_size row = i + r < rows ? i + r : rows - 1;
      from[r] = a + row * a_row;
      to[r] = c + row * c_stride;
    }
    for (fl_size j = 0; j < columns; j += FL_PRODUCT_STEP) {
      product_block(terms, from, a_term, b + j, b_stride, to);
      for (int r = 0; r < PRODUCT_ROWS; r++) to[r] += FL_PRODUCT_STEP;
    }
  }
}

static void turn(fl_size rows, fl_size columns, const double *from, fl_size stride, double factor, double *to,
                 fl_size to_stride) {
  for (fl_size j = 0; j < columns; j++) {
    double *line = to + j * to_stride;
    for (fl_size i = 0; i < rows; i++) line[i] = factor * from[i * stride + j];
    for (fl_size i = rows; i < to_stride; i++) line[i] = 0.0;
  }
}

static void add_rows(fl_size rows, fl_size columns, const double *factor, const double *x, fl_size stride, const int64_t *at,
                     double *to, fl_size to_stride) {
  for (fl_size i = 0; i < rows; i++) {
    double *y = to + (at ? at[i] : i) * to_stride;
    VECTOR_LOOP
    for (fl_size j = 0; j < columns; j++) y[j] = fma_double(factor[i], x[i * stride + j], y[j]);
  }
}

#endif
