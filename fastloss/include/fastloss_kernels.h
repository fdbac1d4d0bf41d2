/* The kernels of fastloss for C: a table of functions that the installed Python package hands out.
 *
 * They work on contiguous blocks of float (_f32) or double (_f64), need no Python lock, start no thread and keep no state,
 * so any number of threads may call them at once; with the instruction set that fastloss has chosen. Values are not
 * checked (class labels are): a target that a loss does not allow gives a meaningless number, never a bad access. Results
 * have the bits of the Python functions, sums included. docs/c-interface.md is the manual, fastloss/kernels.pxd the same for
 * Cython.
 *
 * Call fastloss_import() once in every C file that uses a function, best when the module is initialised. This is a C
 * header, not a part of the library: nothing has to be linked.
 */
#ifndef FASTLOSS_KERNELS_H
#define FASTLOSS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* Another major version is another interface: code must be compiled again. A higher minor version has more at the end of the
 * table: what was compiled for a lower one goes on working. */
#define FASTLOSS_ABI_MAJOR 1
#define FASTLOSS_ABI_MINOR 0

#define FASTLOSS_CAPSULE "fastloss._core._C_API"

/* Most parameters of a pointwise loss. */
#define FASTLOSS_PARAMETERS 16

/* A pointwise loss with its parameters, made by fastloss_loss_init(). */
typedef struct fastloss_loss {
  int number, parameters;
  double parameter[FASTLOSS_PARAMETERS];
} fastloss_loss;

/* Options of cross-entropy; {0, 1.0, 0, 0, NULL} switches all of them off. */
typedef struct fastloss_cross_entropy_options {
  double label_smoothing;   /* in [0, 1]; 0: off */
  double temperature;       /* > 0; 1: off */
  double logit_softcap;     /* > 0; 0: off */
  double z_loss;            /* >= 0; 0: off */
  const void *class_weight; /* one float or double per class, as the function has it, >= 0; NULL: off */
} fastloss_cross_entropy_options;

/* Functions of float, then the same of double. */
typedef struct fastloss_api {
  int abi_major, abi_minor;
  const char *version; /* of fastloss */

  /* A pointwise loss by its Python name, with its first parameters, in the order that the manual says; the others become
   * the defaults. 0 on success, -1 where no pointwise loss has this name, -2 where it does not take so many parameters. */
  int (*loss_init)(fastloss_loss *loss, const char *name, int parameters, const double *parameter);
  /* The number of an activation by its name, or -1: sigmoid, log_sigmoid, softplus, exp, log, log1p, expm1, tanh. */
  int (*activation)(const char *name);

  /* value[i], and the first and second derivative times scale, of n predictions and targets. Each of value, grad and hess
   * may be NULL; grad or hess may be x itself. aux, or NULL: the loss's second array (pos_weight of
   * binary_cross_entropy_with_logits, the second scores of margin_ranking_loss). */
  void (*pointwise_f32)(const fastloss_loss *loss, ptrdiff_t n, const float *x, const float *target, const float *aux,
                        double scale, float *value, float *grad, float *hess);
  void (*pointwise_f64)(const fastloss_loss *loss, ptrdiff_t n, const double *x, const double *target,
                        const double *aux, double scale, double *value, double *grad, double *hess);
  /* The sum of the values times weight (NULL: 1), in double; grad (or NULL) is multiplied by weight and scale. An element
   * of weight 0 counts as exactly 0. grad may be x itself. */
  double (*pointwise_sum_f32)(const fastloss_loss *loss, ptrdiff_t n, const float *x, const float *target,
                              const float *weight, double scale, float *grad);
  double (*pointwise_sum_f64)(const fastloss_loss *loss, ptrdiff_t n, const double *x, const double *target,
                              const double *weight, double scale, double *grad);

  /* y[i] = f(x[i]); y may be x. */
  void (*elementwise_f32)(int activation, ptrdiff_t n, const float *x, float *y);
  void (*elementwise_f64)(int activation, ptrdiff_t n, const double *x, double *y);

  /* Row i of `rows` begins at logits + i * classes and has class label[i]; a negative label ignores its row: value and
   * gradient are 0. value[i]: the row's loss. grad and hess, or NULL: the row's derivatives times scale[i] (scale NULL: 1);
   * hess needs grad; either may be the logits themselves. Returns `rows`, or the first row whose label is not below
   * `classes`: then nothing is written; or -1 where there is no memory. */
  ptrdiff_t (*cross_entropy_f32)(const fastloss_cross_entropy_options *options, ptrdiff_t rows, ptrdiff_t classes,
                                 const float *logits, const int64_t *label, const double *scale, double *value,
                                 float *grad, float *hess);
  ptrdiff_t (*cross_entropy_f64)(const fastloss_cross_entropy_options *options, ptrdiff_t rows, ptrdiff_t classes,
                                 const double *logits, const int64_t *label, const double *scale, double *value,
                                 double *grad, double *hess);

  /* Of every row; out may be the logits. 0, or -1 where there is no memory. */
  int (*softmax_f32)(ptrdiff_t rows, ptrdiff_t classes, const float *logits, float *out);
  int (*softmax_f64)(ptrdiff_t rows, ptrdiff_t classes, const double *logits, double *out);
  int (*log_softmax_f32)(ptrdiff_t rows, ptrdiff_t classes, const float *logits, float *out);
  int (*log_softmax_f64)(ptrdiff_t rows, ptrdiff_t classes, const double *logits, double *out);
  int (*logsumexp_f32)(ptrdiff_t rows, ptrdiff_t classes, const float *logits, double *out);
  int (*logsumexp_f64)(ptrdiff_t rows, ptrdiff_t classes, const double *logits, double *out);
} fastloss_api;

/* Everything below is for code that imports the table. */
#ifndef FASTLOSS_TYPES_ONLY

#include <Python.h>

static const fastloss_api *fastloss_table = NULL;

/* Finds the table: 0, or -1 with an ImportError set. Needs the Python lock. */
static inline int fastloss_import(void) {
  const fastloss_api *found = (const fastloss_api *)PyCapsule_Import(FASTLOSS_CAPSULE, 0);
  if (!found) {
    if (PyErr_ExceptionMatches(PyExc_AttributeError))
      PyErr_SetString(PyExc_ImportError, "the installed fastloss has no C interface; expected a newer one");
    return -1;
  }
  if (found->abi_major != FASTLOSS_ABI_MAJOR || found->abi_minor < FASTLOSS_ABI_MINOR) {
    PyErr_Format(PyExc_ImportError,
                 "fastloss %s has version %d.%d of its C interface, this module was compiled for %d.%d; "
                 "expected %d.%d or a later %d: %s",
                 found->version, found->abi_major, found->abi_minor, FASTLOSS_ABI_MAJOR, FASTLOSS_ABI_MINOR,
                 FASTLOSS_ABI_MAJOR, FASTLOSS_ABI_MINOR, FASTLOSS_ABI_MAJOR,
                 found->abi_major > FASTLOSS_ABI_MAJOR ? "compile the module again" : "upgrade fastloss");
    return -1;
  }
  fastloss_table = found;
  return 0;
}

/* The functions of the table by plain names. */
#define fastloss_loss_init fastloss_table->loss_init
#define fastloss_activation fastloss_table->activation
#define fastloss_pointwise_f32 fastloss_table->pointwise_f32
#define fastloss_pointwise_f64 fastloss_table->pointwise_f64
#define fastloss_pointwise_sum_f32 fastloss_table->pointwise_sum_f32
#define fastloss_pointwise_sum_f64 fastloss_table->pointwise_sum_f64
#define fastloss_elementwise_f32 fastloss_table->elementwise_f32
#define fastloss_elementwise_f64 fastloss_table->elementwise_f64
#define fastloss_cross_entropy_f32 fastloss_table->cross_entropy_f32
#define fastloss_cross_entropy_f64 fastloss_table->cross_entropy_f64
#define fastloss_softmax_f32 fastloss_table->softmax_f32
#define fastloss_softmax_f64 fastloss_table->softmax_f64
#define fastloss_log_softmax_f32 fastloss_table->log_softmax_f32
#define fastloss_log_softmax_f64 fastloss_table->log_softmax_f64
#define fastloss_logsumexp_f32 fastloss_table->logsumexp_f32
#define fastloss_logsumexp_f64 fastloss_table->logsumexp_f64

#endif
#endif
