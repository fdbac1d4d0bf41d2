/* The C interface for other extension modules: calls of any length, cut into the blocks and tiles that kernels take.
 *
 * No formula and no Python. The blocks and the order of their sums are those of the drivers in fastloss/_pointwise.pxi, so
 * that the bits are the same. Nothing is allocated but the scratch of a call about rows.
 */
#include "c_api.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fastloss.h"

/* Blocks that are summed before sums are added, and the number of blocks beyond which that is so. */
enum { UNIT = 8, FEW_BLOCKS = 64 };

/* Rows whose labels and factors are looked at together. */
enum { TILE = 256 };

typedef struct {
  int parameters, open_ended;
  double parameter[FASTLOSS_PARAMETERS];
} defaults_of_loss;

static defaults_of_loss defaults[FL_POINTWISE_COUNT];

void fl_c_api_defaults(int number, int parameters, const double *parameter, int open_ended) {
  defaults[number].parameters = parameters;
  defaults[number].open_ended = open_ended;
  memcpy(defaults[number].parameter, parameter, (size_t)parameters * sizeof *parameter);
}

static int number_of(const char *const *names, const char *name) {
  for (int k = 0; names[k]; k++)
    if (!strcmp(names[k], name)) return k;
  return -1;
}

static int loss_init(fastloss_loss *loss, const char *name, int parameters, const double *parameter) {
  int number = number_of(fl_pointwise_names, name);
  if (number < 0) return -1;
  const defaults_of_loss *d = &defaults[number];
  if (parameters < 0 || parameters > (d->open_ended ? FASTLOSS_PARAMETERS : d->parameters)) return -2;
  if (d->open_ended && parameters && !(parameters >= 2 && parameter[0] == parameters - 2)) return -2;
  memset(loss, 0, sizeof *loss);
  loss->number = number;
  loss->parameters = d->open_ended && parameters ? parameters : d->parameters;
  for (int k = 0; k < loss->parameters; k++) loss->parameter[k] = k < parameters ? parameter[k] : d->parameter[k];
  return 0;
}

static int activation(const char *name) { return number_of(fl_unary_names, name); }

static const void *at(const fl_kernels *k, const void *array, fl_size i) {
  return array ? (const char *)array + i * (k->bits / 8) : NULL;
}

static void *to(const fl_kernels *k, void *array, fl_size i) { return array ? (char *)array + i * (k->bits / 8) : NULL; }

static fl_size least(fl_size a, fl_size b) { return a < b ? a : b; }

static void pointwise(const fl_kernels *k, const fastloss_loss *loss, fl_size n, const void *x, const void *target,
                      const void *aux, double scale, void *value, void *grad, void *hess) {
  double values[FL_BLOCK], grads[FL_BLOCK];
  for (fl_size i = 0; i < n; i += FL_BLOCK) {
    void *g = grad ? to(k, grad, i) : hess ? grads : NULL; /* the kernels give no Hessian alone */
    k->pointwise[loss->number](least(n - i, FL_BLOCK), 0, at(k, x, i), at(k, target, i), at(k, aux, i), loss->parameter,
                               scale, value ? to(k, value, i) : values, g, to(k, hess, i));
  }
}

/* (hi, lo) += (more_hi, more_lo), the rounding error of the sum going to lo. */
static void add_pair(double *hi, double *lo, double more_hi, double more_lo) {
  double s = *hi + more_hi, b = s - *hi;
  *lo += ((*hi - (s - b)) + (more_hi - b)) + more_lo;
  *hi = s;
}

static double pointwise_sum(const fl_kernels *k, const fastloss_loss *loss, fl_size n, const void *x, const void *target,
                            const void *weight, double scale, void *grad) {
  double copy[FL_BLOCK], hi = 0.0, lo = 0.0;
  fl_size blocks = (n + FL_BLOCK - 1) / FL_BLOCK, unit = blocks <= FEW_BLOCKS ? 1 : UNIT;
  for (fl_size first = 0; first < blocks; first += unit) {
    double unit_hi = 0.0, unit_lo = 0.0, more_hi, more_lo;
    for (fl_size block = first; block < least(first + unit, blocks); block++) {
      fl_size i = block * FL_BLOCK, length = least(n - i, FL_BLOCK);
      const void *read = at(k, x, i);
      if (grad == x) read = memcpy(copy, read, (size_t)length * (size_t)(k->bits / 8)); /* may be read twice */
      k->pointwise_sum[loss->number](length, 0, read, at(k, target, i), at(k, weight, i), loss->parameter, scale,
                                     to(k, grad, i), &more_hi, &more_lo);
      add_pair(&unit_hi, &unit_lo, more_hi, more_lo);
    }
    add_pair(&hi, &lo, unit_hi, unit_lo);
  }
  return isfinite(hi) ? hi + lo : hi;
}

/* Scratch of this many bytes, aligned; what to free goes to *memory. NULL where there is none. */
static void *scratch_of(size_t bytes, void **memory) {
  *memory = malloc(bytes + 64);
  return *memory ? (char *)*memory + (64 - (uintptr_t)*memory % 64) % 64 : NULL;
}

static fl_rows contiguous(const fl_kernels *k, const void *array, fl_size row, fl_size classes) {
  fl_rows rows = {array ? (char *)array + row * classes * (k->bits / 8) : NULL, classes, 1};
  return rows;
}

static double class_weight_of(const fl_kernels *k, const void *weight, int64_t label) {
  return k->bits == 64 ? ((const double *)weight)[label] : (double)((const float *)weight)[label];
}

static ptrdiff_t cross_entropy(const fl_kernels *k, const fastloss_cross_entropy_options *o, fl_size rows,
                               fl_size classes, const void *logits, const int64_t *label, const double *scale,
                               double *value, void *grad, void *hess) {
  const fl_xent options = {classes, o->label_smoothing, o->temperature, o->logit_softcap, o->z_loss, o->class_weight, NULL};
  const fl_rows none = {NULL, 0, 0};
  int64_t labels[TILE];
  double ones[TILE];
  void *memory, *scratch;
  for (fl_size i = 0; i < rows; i++)
    if (label[i] >= classes) return i;
  if (!(scratch = scratch_of(k->rows.cross_entropy_scratch(&options), &memory))) return -1;
  for (fl_size i = 0; i < TILE; i++) ones[i] = 1.0;
  for (fl_size first = 0; first < rows; first += TILE) {
    fl_size n = least(rows - first, TILE);
    for (fl_size i = 0; i < n; i++) {
      int64_t l = label[first + i] < 0 ? -1 : label[first + i];
      /* A class weight of 0 silences the row unless smoothing spreads the label over other classes. */
      int silent = l >= 0 && o->class_weight && o->label_smoothing == 0 && class_weight_of(k, o->class_weight, l) == 0;
      labels[i] = silent ? -1 : l;
    }
    k->rows.cross_entropy(&options, n, contiguous(k, logits, first, classes), labels, none, NULL,
                          scale ? scale + first : ones, value + first, contiguous(k, grad, first, classes),
                          contiguous(k, hess, first, classes), scratch);
  }
  free(memory);
  return rows;
}

typedef void row_function(fl_size classes, fl_size rows, fl_rows logits, fl_rows out, void *scratch);

static int row_activation(const fl_kernels *k, row_function *function, fl_size rows, fl_size classes, const void *logits,
                          void *out) {
  void *memory, *scratch = scratch_of(k->rows.softmax_scratch(classes), &memory);
  if (!scratch) return -1;
  function(classes, rows, contiguous(k, logits, 0, classes), contiguous(k, out, 0, classes), scratch);
  free(memory);
  return 0;
}

static int logsumexp(const fl_kernels *k, fl_size rows, fl_size classes, const void *logits, double *out) {
  void *memory, *scratch = scratch_of(k->rows.softmax_scratch(classes), &memory);
  if (!scratch) return -1;
  k->rows.logsumexp(classes, rows, contiguous(k, logits, 0, classes), out, scratch);
  free(memory);
  return 0;
}

#define SUFFIX(name) name##_f32
#define REAL float
#define BITS 32
#include "c_api_functions.inc.h"
#undef SUFFIX
#undef REAL
#undef BITS
#define SUFFIX(name) name##_f64
#define REAL double
#define BITS 64
#include "c_api_functions.inc.h"

fastloss_api fl_c_api = {
    .abi_major = FASTLOSS_ABI_MAJOR,
    .abi_minor = FASTLOSS_ABI_MINOR,
    .version = "",
    .loss_init = loss_init,
    .activation = activation,
    .pointwise_f32 = pointwise_f32,
    .pointwise_f64 = pointwise_f64,
    .pointwise_sum_f32 = pointwise_sum_f32,
    .pointwise_sum_f64 = pointwise_sum_f64,
    .elementwise_f32 = elementwise_f32,
    .elementwise_f64 = elementwise_f64,
    .cross_entropy_f32 = cross_entropy_f32,
    .cross_entropy_f64 = cross_entropy_f64,
    .softmax_f32 = softmax_f32,
    .softmax_f64 = softmax_f64,
    .log_softmax_f32 = log_softmax_f32,
    .log_softmax_f64 = log_softmax_f64,
    .logsumexp_f32 = logsumexp_f32,
    .logsumexp_f64 = logsumexp_f64,
};
