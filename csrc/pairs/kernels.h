/* The kernels of rows of embeddings, from their bodies, and their part of the kernel table. */
#ifndef FASTLOSS_PAIRS_KERNELS_H
#define FASTLOSS_PAIRS_KERNELS_H

#include "rows.h"

#define FASTLOSS_BODIES
#include "../pairs.def"
#undef FASTLOSS_BODIES

#include "dice_loss.h"
#include "unit.h"

#if FASTLOSS_REAL_BITS == 64
#include "arc.h"
#include "centroids.h"
#include "product.h"
#define FEW_KERNELS                                                                    \
  .product = product, .turn = turn, .add_rows = add_rows, .arc_rows = arc_rows,        \
  .centroid_sums = centroid_sums, .centroid_gradients = centroid_gradients,
#else
#define FEW_KERNELS
#endif

typedef void pair_body(const fl_pairs *o, const real *const *x, double label, double factor, double *value,
                       real *const *grad);

/* Called with a constant body and a constant number of arrays. */
INLINE void pair_loop(pair_body *body, int arrays, const fl_pairs *o, fl_size rows, const void *const *x,
                      const double *label, const unsigned char *skip, const double *factor, double *value,
                      void *const *grad) {
  for (fl_size i = 0; i < rows; i++) {
    const real *row[FL_PAIR_ARRAYS] = {NULL};
    real *to[FL_PAIR_ARRAYS] = {NULL};
    for (int k = 0; k < arrays; k++) {
      row[k] = (const real *)x[k] + i * o->columns;
      to[k] = grad[k] ? (real *)grad[k] + i * o->columns : NULL;
    }
    if (skip[i]) {
      value[i] = 0.0;
      for (int k = 0; k < arrays; k++)
        if (to[k]) zero_row(o->columns, to[k]);
    } else {
      body(o, row, label ? label[i] : 0.0, factor[i], &value[i], to);
    }
  }
}

#define PAIR_LOSS(name, arrays)                                                                                       \
  static void name##_rows(const fl_pairs *o, fl_size rows, const void *const *x, const double *label,            \
                          const unsigned char *skip, const double *factor, double *value, void *const *grad) {   \
    pair_loop(name, arrays, o, rows, x, label, skip, factor, value, grad);                                       \
  }
#include "../pairs.def"
#undef PAIR_LOSS

#define PAIR_KERNELS                                                                            \
  {                                                                                             \
    .center_add = center_add, .center_finish = center_finish, .dice_sums = dice_sums,           \
    .dice_value = dice_value, .dice_gradient = dice_gradient, .unit_rows = unit_rows,           \
    .project_rows = project_rows, .dot_rows = dot_rows, FEW_KERNELS                             \
  }

#endif
