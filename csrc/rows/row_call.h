/* What the losses of row_losses.def are called with: plain C types, no `real`, no formulas. */
#ifndef FASTLOSS_ROW_CALL_H
#define FASTLOSS_ROW_CALL_H

#include "xent_options.h"

/* Some rows of one loss. Weights are not here: the caller multiplies values by them, and `scale` has them already. */
typedef struct fl_row_call {
  fl_size classes, rows;
  const double *parameter; /* the loss's own numbers, rounded to the real type, as its file lists them */
  fl_size parameters;
  fl_rows x;                 /* predictions: logits or probabilities */
  const int64_t *target;     /* class indices in [0, classes), or NULL */
  fl_rows probability;       /* probability targets; data NULL where `target` is given */
  const unsigned char *skip; /* rows that contribute exactly 0 */
  const double *scale;       /* multiplies a row's gradient and Hessian */
  double *value;             /* the row losses */
  const double *first;       /* what fl_row_first gave every row; NULL for a loss that has none */
  fl_rows grad, hess;        /* data NULL where not wanted; either may be the predictions' own memory */
} fl_row_call;

/* The bits of a row's results depend on that row and the parameters alone. scratch: row_loss_scratch(classes, rows)
 * bytes, aligned to 64, one per thread. */
typedef void fl_row_loss(const fl_row_call *call, void *scratch);

/* A pass over all rows before any result is written: fills `value` with a number for every row, which its body finds in
 * `first`, and returns whether targets and predictions are in the loss's domain. */
typedef int fl_row_first(const fl_row_call *call, void *scratch);

#endif
