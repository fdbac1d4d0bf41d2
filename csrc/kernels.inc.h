/* All kernels of one instruction set and real type, and the one symbol that leaves the object: the
 * table FASTLOSS_TABLE. Included by targets/ only, once per file.
 */
#include "core/real.h"

#include "core/math.h"
#include "core/reduce.h"

#include "core/blocks.h"

#define FASTLOSS_BODIES
#include "losses.def"
#undef FASTLOSS_BODIES

#include "rows/kernels.h"

#include "privacy/kernels.h"

/* aux NULL stands for 1 everywhere. */
#define POINTWISE(name, has_aux)                                                                                   \
  static void name##_block(fl_size n, const void *x, const void *t, const void *aux, const double *p, double s, void *v, \
                           void *g, void *h) {                                                                    \
    if (has_aux && aux) pointwise_loops(name, 1, n, x, t, aux, p, s, v, g, h);                                    \
    else pointwise_loops(name, 0, n, x, t, NULL, p, s, v, g, h);                                                  \
  }                                                                                                               \
  static void name##_sum(fl_size n, const void *x, const void *t, const void *w, const double *p, double s, void *g,  \
                         double *hi, double *lo) {                                                                \
    real v[FL_BLOCK];                                                                                             \
    if (w ? pointwise_sums(name, 1, n, x, t, w, p, s, g, hi, lo)                                                  \
          : pointwise_sums(name, 0, n, x, t, NULL, p, s, g, hi, lo))                                              \
      return;                                                                                                     \
    name##_block(n, x, t, NULL, p, s, v, g, NULL);                                                                \
    weigh_block(n, w, NULL, v, g, NULL);                                                                          \
    sum_block(n, v, hi, lo);                                                                                      \
  }
#include "losses.def"
#undef POINTWISE

#define UNARY(name) static void name##_block(fl_size n, const void *x, void *y) { unary_loop(name##_, n, x, y); }
#include "unary.def"
#undef UNARY

extern const fl_kernels FASTLOSS_TABLE;
const fl_kernels FASTLOSS_TABLE = {
    .bits = FASTLOSS_REAL_BITS,
    .pointwise = {
#define POINTWISE(name, aux) name##_block,
#include "losses.def"
#undef POINTWISE
    },
    .pointwise_sum = {
#define POINTWISE(name, aux) name##_sum,
#include "losses.def"
#undef POINTWISE
    },
    .unary = {
#define UNARY(name) name##_block,
#include "unary.def"
#undef UNARY
    },
    .load = load_block,
    .store = store_block,
    .sum = sum_block,
    .sum_values = sum_values,
    .check = check_block,
    .check_weight = check_weight_block,
    .weigh = weigh_block,
    .fill = fill_block,
    .rows = ROW_KERNELS,
    .privacy = PRIVACY_KERNELS,
};
