/* What the row kernels are called with, and their table: plain C types, no `real`, no formulas. */
#ifndef FASTLOSS_XENT_OPTIONS_H
#define FASTLOSS_XENT_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

typedef ptrdiff_t fl_size;

/* Classes of a row that are worked on at a time. */
#define FL_ROW_CHUNK 2048

/* Options of cross-entropy, the same for all rows of a call. Class weights are reals: one per class, or NULL. */
typedef struct fl_xent {
  fl_size classes;
  double label_smoothing; /* in [0, 1]; 0: off */
  double temperature;     /* > 0; 1: off */
  double logit_softcap;   /* > 0; 0: off */
  double z_loss;          /* >= 0; 0: off */
  const void *class_weight;
  const void *next; /* where halves lie that will be converted to the same memory as these rows were: fetched meanwhile */
} fl_xent;

/* Rows of reals: element (i, c) is data[i * row_stride + c * class_stride], strides in elements, of any sign.
 * data NULL: absent. */
typedef struct fl_rows {
  void *data;
  fl_size row_stride, class_stride;
} fl_rows;

/* The bits of a row's results depend on that row, the options and whether the class axis of `logits` is contiguous
 * (class_stride 1): not on the other rows of a call, on their number, on which outputs are present, on the outputs'
 * strides or on an output being the logits themselves. Rows are independent, so any cut into calls is right. */
typedef struct fl_row_kernels {
  /* Bytes of scratch that cross_entropy() needs, aligned to 64; one scratch per thread. */
  size_t (*cross_entropy_scratch)(const fl_xent *options);
  /* target[i]: class index in [0, classes), or negative for a row that is ignored; NULL where `probability` is given.
   * With probabilities a row is ignored where skip[i] is not 0 (skip may be NULL; not read with integer targets).
   * scale[i] (all 1 where scale is NULL) multiplies the row's gradient and Hessian. value[i]: the row's loss, class
   * weight and z-loss included, scale not. Ignored rows, and plain rows whose class has weight 0, are not read:
   * value, gradient and Hessian are 0. hess needs grad. Either may be the logits' own memory (same strides). */
  void (*cross_entropy)(const fl_xent *options, fl_size rows, fl_rows logits, const int64_t *target,
                        fl_rows probability, const unsigned char *skip, const double *scale, double *value,
                        fl_rows grad, fl_rows hess, void *scratch);

  /* Rows of a half type, in the table of floats; NULL in that of doubles. Plain rows (an integer target, class weights at
   * most) of more than FL_ROW_CHUNK classes that lie one behind the other: what cross_entropy() gives for them as floats,
   * the gradient rounded. The strides count halves, whose alignment does not matter. */
  size_t (*half_rows_scratch)(fl_size classes);
  void (*half_rows)(const fl_xent *options, fl_size rows, int bfloat16, fl_rows logits, const int64_t *target,
                    const double *scale, double *value, fl_rows grad, void *scratch);

  /* One long row shared out among threads: a plain one (integer target; class weights and temperature at most), whose
   * classes are contiguous. The bits are those of cross_entropy(). In this order: shared_begin; where it returns 1,
   * shared_max for every chunk of FL_ROW_CHUNK classes, and shared_join, which returns 0 where shared_chunk is to be left
   * out; shared_chunk for every chunk, each once, by any thread with a scratch of its own; shared_value; and where it
   * returns 1 and there is a gradient, shared_gradient for every chunk. */
  size_t (*shared_row_bytes)(fl_size classes);
  int (*shared_begin)(const fl_xent *options, const void *logits, int64_t target, double scale, void *grad, void *shared);
  void (*shared_max)(const void *shared, fl_size chunk);
  int (*shared_join)(void *shared);
  void (*shared_chunk)(const void *shared, fl_size chunk, void *scratch);
  int (*shared_value)(void *shared, double *value);
  void (*shared_gradient)(const void *shared, fl_size chunk);

  /* Bytes of scratch for the three activations. */
  size_t (*softmax_scratch)(fl_size classes);
  /* out may be the logits' own memory. */
  void (*softmax)(fl_size classes, fl_size rows, fl_rows logits, fl_rows out, void *scratch);
  void (*log_softmax)(fl_size classes, fl_size rows, fl_rows logits, fl_rows out, void *scratch);
  void (*logsumexp)(fl_size classes, fl_size rows, fl_rows logits, double *value, void *scratch);
} fl_row_kernels;

#endif
