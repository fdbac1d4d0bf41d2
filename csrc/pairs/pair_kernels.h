/* The kernels of losses of rows of embeddings, and of overlaps, as the drivers call them: plain C types, no `real`. */
#ifndef FASTLOSS_PAIR_KERNELS_H
#define FASTLOSS_PAIR_KERNELS_H

#include <stddef.h>
#include <stdint.h>

typedef ptrdiff_t fl_size;

/* Most rows that one loss is made of, and most of its scalar parameters. */
#define FL_PAIR_ARRAYS 3
#define FL_PAIR_PARAMETERS 4

/* Columns of a product of small matrices come in multiples of it. */
#define FL_PRODUCT_STEP 8

/* What all rows of a call share. The parameters' meaning is each body's own. */
typedef struct fl_pairs {
  fl_size columns;
  double parameter[FL_PAIR_PARAMETERS];
} fl_pairs;

/* Some rows: row i of array k begins at (real *)x[k] + i * columns. label, skip: one for every row (label may be NULL
 * where the loss has none). value[i] = the loss, grad[k] its gradients times factor[i]; grad[0] is NULL where none are
 * wanted, and may be x[0]. A row with skip is not looked at: its value and gradients are 0. The bits of a row's results
 * depend on that row alone. */
typedef void fl_pair_rows(const fl_pairs *options, fl_size rows, const void *const *x, const double *label,
                          const unsigned char *skip, const double *factor, double *value, void *const *grad);

/* Sums of a part of the elements that an overlap is taken of, as pairs (hi, lo): what only one of the two has, and what
 * they have together. */
typedef struct fl_overlap {
  double apart_hi, apart_lo, size_hi, size_lo;
} fl_overlap;

typedef struct fl_pair_kernels {
  /* (hi, lo)[j] += factor * (center[j] - x[j]), n columns */
  void (*center_add)(fl_size n, const void *x, const void *center, double factor, double *hi, double *lo);
  /* out[j] = hi[j] + lo[j], rounded */
  void (*center_finish)(fl_size n, const double *hi, const double *lo, void *out);
  /* A block of n <= FL_BLOCK elements of a prediction and a target. */
  void (*dice_sums)(fl_size n, const void *x, const void *target, int squared, fl_overlap *sums);
  /* The loss of an overlap. */
  double (*dice_value)(const fl_overlap *sums, double smooth);
  /* grad[j] = factor times the gradient; grad may be x. */
  void (*dice_gradient)(fl_size n, const void *x, const void *target, int squared, const fl_overlap *sums,
                        double smooth, double factor, void *grad);
  /* Rows of n columns, at strides in bytes: out = x / its length, inverse = 1 / that, 0 for a row of zeros. */
  void (*unit_rows)(fl_size rows, fl_size n, const void *x, fl_size stride, void *out, fl_size out_stride,
                    double *inverse);
  /* The gradient with respect to rows from that with respect to their unit vectors, times inverse and factor of the row
   * (which may be NULL) and times. unit NULL: the rows are no unit vectors. out may be the gradient. */
  void (*project_rows)(fl_size rows, fl_size n, const void *unit, fl_size unit_stride, const double *inverse,
                       const double *factor, double times, const void *gradient, fl_size stride, void *out,
                       fl_size out_stride);
  /* The product of every row of a with its counterpart. */
  void (*dot_rows)(fl_size rows, fl_size n, const void *a, fl_size a_stride, const void *b, fl_size b_stride, double *out);

  /* From here on in the table of doubles alone; strides are in elements. */

  /* c[i][j] = the sum over t of a[i * a_row + t * a_term] b[t][j]; columns: a multiple of FL_PRODUCT_STEP. */
  void (*product)(fl_size rows, fl_size columns, fl_size terms, const double *a, fl_size a_row, fl_size a_term,
                  const double *b, fl_size b_stride, double *c, fl_size c_stride);
  /* to[j][i] = factor from[i][j], and 0 for i from rows to to_stride. */
  void (*turn)(fl_size rows, fl_size columns, const double *from, fl_size stride, double factor, double *to,
               fl_size to_stride);
  /* to[at[i]] += factor[i] x[i], in order; at NULL: to[i]. */
  void (*add_rows)(fl_size rows, fl_size columns, const double *factor, const double *x, fl_size stride,
                   const int64_t *at, double *to, fl_size to_stride);
  /* Of unit vectors e and w[at[i]] (at NULL: w[i]), 1 / their lengths, and a margin with its cosine and sine: cosines of
   * the enlarged angles, their slopes, and what of one vector is at right angles to the other (toward_e may be NULL).
   * See arc.h. */
  void (*arc_rows)(fl_size rows, fl_size columns, const double *e, fl_size e_stride, const double *inverse_e,
                   const double *w, fl_size w_stride, const double *inverse_w, const int64_t *at, const double *margin,
                   double *own, double *slope, double *toward_w, double *toward_e, fl_size stride);
  /* Of utterances x[speaker][utterance][column], scaled in place: the sums over the others of a speaker, those over all,
   * and the scales. And gradients from those with respect to the scaled utterances, such sums, and sums over all; into
   * that of the utterances. See centroids.h. */
  void (*centroid_sums)(fl_size speakers, fl_size utterances, fl_size columns, double *x, double *others, double *whole,
                        double *scale);
  void (*centroid_gradients)(fl_size speakers, fl_size utterances, fl_size columns, const double *others,
                             const double *whole, const double *scale, double *gradient);
} fl_pair_kernels;

#endif
