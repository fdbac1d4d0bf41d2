/* All kernels of one instruction set and real type, and the one symbol that leaves the object: the
 * table FASTLOSS_TABLE. Included by targets/ only, once per file.
 */
#include "core/real.h"

#include "core/math.h"
#include "core/reduce.h"

#include "core/binary_terms.h"
#include "core/blocks.h"
#include "core/stages.h"
#include "core/sums.h"

#define FASTLOSS_BODIES
#include "losses.def"
#undef FASTLOSS_BODIES

#include "rows/kernels.h"

#include "pairs/kernels.h"

#include "rows/curve_rows.h"
#include "rows/separable.h"

#define FASTLOSS_BODIES
#include "row_losses.def"
#undef FASTLOSS_BODIES

#include "privacy/kernels.h"

/* A loss's kernels; those of the formula `which` where it has several. aux NULL stands for 1 everywhere. A value that is
 * not wanted goes nowhere, but a loss with aux is spared it. */
#define BLOCK_KERNEL(name, kernel, which, halves, fetch, has_aux)                                                      \
  static void kernel##_block(fl_size n, int flags, const void *x, const void *t, const void *aux, const double *p,     \
                             double s, void *v, void *g, void *h) {                                                    \
    real unused[has_aux ? 1 : FL_BLOCK];                                                                               \
    if (!fetch) flags &= ~FL_AHEAD;                                                                                    \
    if (!has_aux && !v) v = unused;                                                                                    \
    if (has_aux && aux)                                                                                                \
      pointwise_loops_of(kernel##_block, name, 2, which, has_aux, 0, 1, n, flags, x, t, aux, p, s, v, g, h);           \
    else                                                                                                               \
      pointwise_loops_of(kernel##_block, name, 2, which, has_aux, halves, 0, n, flags, x, t, NULL, p, s, v, g, h);     \
  }
#define SUM_KERNEL(name, kernel, which, signs)                                                                         \
  static void kernel##_sum(fl_size n, int flags, const void *x, const void *t, const void *w, const double *p,         \
                           double s, void *g, double *hi, double *lo) {                                                \
    const int show = signs && (flags & FL_SHOW_SIGNS);                                                                 \
    flags &= ~FL_SHOW_SIGNS;                                                                                           \
    if (w ? pointwise_sums(name, which, signs, 1, n, flags, x, t, w, p, s, g, hi, lo)                                  \
          : pointwise_sums(name, which, signs, 0, n, flags, x, t, NULL, p, s, g, hi, lo))                              \
      return;                                                                                                          \
    if (show && !check_signs(flags, n, t)) *hi = *lo = (double)NAN;                                                    \
    else sum_stored(kernel##_block, 1, 0, n, flags, x, t, w, p, s, g, hi, lo);                                         \
  }
/* Of a long body: stored values are summed. Log-cosh 1.4 times as fast as by pointwise_sums() with AVX-512, the others
 * about as fast; and a loss takes a third of the code. */
#define LONG_SUM_KERNEL(name, signs)                                                                                   \
  static void name##_sum(fl_size n, int flags, const void *x, const void *t, const void *w, const double *p,           \
                         double s, void *g, double *hi, double *lo) {                                                  \
    const int show = signs && (flags & FL_SHOW_SIGNS);                                                                 \
    flags &= ~FL_SHOW_SIGNS;                                                                                           \
    if (show && !check_signs(flags, n, t)) *hi = *lo = (double)NAN;                                                    \
    else sum_stored(name##_block, 0, 1, n, flags, x, t, w, p, s, g, hi, lo);                                           \
  }
#define POINTWISE(name, has_aux)                                                                                       \
  BLOCK_KERNEL(name, name, 0, 0, 0, has_aux)                                                                           \
  SUM_KERNEL(name, name, 0, 0)
#define POINTWISE_SIGN(name)                                                                                           \
  BLOCK_KERNEL(name, name, 0, 0, 0, 0)                                                                                 \
  SUM_KERNEL(name, name, 0, 1)
#define POINTWISE_LONG(name, has_aux, fetch)                                                                           \
  BLOCK_KERNEL(name, name, 0, 1, fetch, has_aux)                                                                       \
  LONG_SUM_KERNEL(name, 0)
#define POINTWISE_STAGED(name, has_aux, signs)                                                                         \
  static void name##_block(fl_size n, int flags, const void *x, const void *t, const void *aux, const double *p,       \
                           double s, void *v, void *g, void *h) {                                                      \
    if (has_aux && aux)                                                                                                \
      staged_loops(name##_block, name, 1, 2, 0, has_aux, 1, n, flags, x, t, aux, p, s, v, g, h);                       \
    else staged_loops(name##_block, name, 1, 2, 0, has_aux, 0, n, flags, x, t, NULL, p, s, v, g, h);                   \
  }                                                                                                                    \
  LONG_SUM_KERNEL(name, signs)
/* Which formula is decided once a block. */
#define FORMULAS_3(each, name, argument) each(name, 0, argument) each(name, 1, argument) each(name, 2, argument)
#define FORMULAS_4(each, name, argument) FORMULAS_3(each, name, argument) each(name, 3, argument)
#define BLOCK_OF_FORMULA(name, which, fetch) BLOCK_KERNEL(name, name##_##which, which, 1, fetch, 0)
#define KERNEL_OF_FORMULA(name, which, end) name##_##which##end,
#define POINTWISE_FORMULAS(name, fetch, count)                                                                         \
  FORMULAS_##count(BLOCK_OF_FORMULA, name, fetch)                                                                      \
  static void name##_block(fl_size n, int flags, const void *x, const void *t, const void *aux, const double *p,       \
                           double s, void *v, void *g, void *h) {                                                      \
    fl_pointwise *const kernels[] = {FORMULAS_##count(KERNEL_OF_FORMULA, name, _block)};                               \
    kernels[name##_formula(p)](n, flags, x, t, aux, p, s, v, g, h);                                                    \
  }                                                                                                                    \
  LONG_SUM_KERNEL(name, 0)
/* A loss whose file has loops of its own, name_loops(). */
#define POINTWISE_OWN(name)                                                                                            \
  static void name##_block(fl_size n, int flags, const void *x, const void *t, const void *aux, const double *p,       \
                           double s, void *v, void *g, void *h) {                                                      \
    real unused[FL_BLOCK];                                                                                             \
    (void)aux;                                                                                                         \
    name##_loops(name##_block, n, flags, x, t, p, s, v ? v : unused, g, h);                                            \
  }                                                                                                                    \
  LONG_SUM_KERNEL(name, 0)
#include "losses.def"
#undef POINTWISE_OWN
#undef POINTWISE_FORMULAS
#undef POINTWISE_LONG
#undef POINTWISE_STAGED
#undef POINTWISE_SIGN
#undef POINTWISE

#define ROW_LOSS(name)                                                                                                 \
  static void name##_call(const fl_row_call *call, void *scratch) { run_row_body(name##_rows, call, scratch); }
#include "row_losses.def"
#undef ROW_LOSS

#define UNARY(name)                                                                                                    \
  static void name##_block(fl_size n, int ahead, const void *x, void *y) {                                             \
    (void)ahead;                                                                                                       \
    unary_loop(name##_block, name##_, n, x, y);                                                                        \
  }
#define UNARY_STAGED(name)                                                                                             \
  static void name##_block(fl_size n, int ahead, const void *x, void *y) {                                             \
    unary_staged_loop(name##_block, name##_of_, n, ahead, x, y);                                                       \
  }
#include "unary.def"
#undef UNARY_STAGED
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
    .check_halves = check_halves,
    .check_weight = check_weight_block,
    .weigh = weigh_block,
    .fill = fill_block,
    .rows = ROW_KERNELS,
    .pairs = {
#define PAIR_LOSS(name, arrays) name##_rows,
#include "pairs.def"
#undef PAIR_LOSS
    },
    .pair = PAIR_KERNELS,
    .row_loss = {
#define ROW_LOSS(name) name##_call,
#include "row_losses.def"
#undef ROW_LOSS
    },
    .row_first = {
#define ROW_LOSS(name) NULL,
#define ROW_LOSS_FIRST(name) name##_first,
#include "row_losses.def"
#undef ROW_LOSS
    },
    .row_loss_scratch = row_loss_scratch,
    .privacy = PRIVACY_KERNELS,
};
