/* A block of rows as the bodies of row_losses/ see it: every row contiguous, labels valid. What is the same for all of
 * them: copies of rows whose classes lie apart, and rows that count nothing. Not here: formulas, weights.
 */
#ifndef FASTLOSS_ROW_BLOCK_H
#define FASTLOSS_ROW_BLOCK_H

#include "row_call.h"
#include "softmax_curve_tile.h"
#include "softmax_xent.h"

typedef struct {
  fl_size rows, classes;
  const double *parameter;
  fl_size parameters;
  const real *x, *p; /* p: probability targets, or NULL */
  fl_size x_step, p_step, g_step, h_step; /* from row to row */
  real *g, *h;
  const int64_t *target;
  const double *scale;
  double *value;
  const double *first;
} row_block;

typedef union {
  xent_work row;
  curve_tile tile;
  real part[5][ROW_CHUNK];
} row_work;

/* A body fills value, g and h of every row; what a skipped row gets does not matter. g and h may be x. */
typedef void row_body(const row_block *block, row_work *work, void *xent_scratch);

INLINE size_t aligned_bytes(size_t n) { return (n + 63) / 64 * 64; }

/* The work buffers, four copies, and what cross-entropy needs. */
static UNUSED size_t row_loss_scratch(fl_size classes, fl_size rows) {
  const fl_xent options = {.classes = classes};
  return aligned_bytes(sizeof(row_work)) + 4 * aligned_bytes((size_t)(classes * rows) * sizeof(real)) +
         cross_entropy_scratch(&options);
}

/* Rows from where they are to consecutive ones, or back: in the order in which they lie in memory. */
static UNUSED void copy_rows(fl_size rows, fl_size classes, fl_rows strided, real *dense, int back) {
  real *s = strided.data;
  const fl_size r = strided.row_stride, c = strided.class_stride;
  for (fl_size j = 0; !back && j < classes; j++)
    for (fl_size i = 0; i < rows; i++) dense[i * classes + j] = s[i * r + j * c];
  for (fl_size j = 0; back && j < classes; j++)
    for (fl_size i = 0; i < rows; i++) s[i * r + j * c] = dense[i * classes + j];
}

INLINE const real *dense_rows(const fl_row_call *call, fl_rows rows, real *copy, fl_size *step) {
  *step = rows.class_stride == 1 || !rows.data ? rows.row_stride : call->classes;
  if (!rows.data || rows.class_stride == 1) return rows.data;
  copy_rows(call->rows, call->classes, rows, copy, 0);
  return copy;
}

INLINE real *dense_output(const fl_row_call *call, fl_rows rows, real *copy, fl_size *step) {
  *step = rows.class_stride == 1 || !rows.data ? rows.row_stride : call->classes;
  return !rows.data || rows.class_stride == 1 ? rows.data : copy;
}

INLINE void run_row_body(row_body *body, const fl_row_call *call, void *scratch) {
  const fl_size n = call->rows, classes = call->classes;
  const size_t copy = aligned_bytes((size_t)(classes * n) * sizeof(real));
  char *copies = (char *)scratch + aligned_bytes(sizeof(row_work));
  row_block b = {.rows = n, .classes = classes, .parameter = call->parameter, .parameters = call->parameters,
                 .target = call->target, .scale = call->scale, .value = call->value, .first = call->first};
  b.x = dense_rows(call, call->x, (real *)copies, &b.x_step);
  b.p = dense_rows(call, call->probability, (real *)(copies + copy), &b.p_step);
  b.g = dense_output(call, call->grad, (real *)(copies + 2 * copy), &b.g_step);
  b.h = dense_output(call, call->hess, (real *)(copies + 3 * copy), &b.h_step);
  body(&b, scratch, copies + 4 * copy);
  for (fl_size i = 0; i < n; i++) {
    if (!call->skip[i]) continue;
    call->value[i] = 0.0;
    if (b.g) memset(b.g + i * b.g_step, 0, (size_t)classes * sizeof(real));
    if (b.h) memset(b.h + i * b.h_step, 0, (size_t)classes * sizeof(real));
  }
  if (b.g != call->grad.data) copy_rows(n, classes, call->grad, b.g, 1);
  if (b.h != call->hess.data) copy_rows(n, classes, call->hess, b.h, 1);
}

/* A block as the cross-entropy kernel takes it. */
INLINE fl_rows rows_of_block(const void *data, fl_size step) {
  fl_rows rows = {(void *)data, step, 1};
  return rows;
}

#endif
