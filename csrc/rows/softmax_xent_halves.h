/* Plain rows of cross-entropy whose logits are of a half type, longer than a chunk: what softmax_xent_plain.h gives for them
 * as floats, the gradient rounded, but a chunk is converted where it is worked on. Of the row in floats, only the exponentials
 * are kept, in the second-level cache. 512 x 32000 on two threads: 0.6 of the time of rows converted before and after, as
 * all other rows of a half type are (fastloss/_rows.pxi).
 */
#ifndef FASTLOSS_SOFTMAX_XENT_HALVES_H
#define FASTLOSS_SOFTMAX_XENT_HALVES_H

#include "softmax_xent.h"

#if FASTLOSS_REAL_BITS == 32

typedef struct {
  int bfloat16;
  const char *x;
  char *g;
  real *e; /* as many as the row has classes */
} half_row;

static UNUSED size_t half_rows_scratch(fl_size classes) {
  return (sizeof(xent_work) + 63) / 64 * 64 + copy_bytes(classes) + plain_part_bytes(classes);
}

/* Rows with a map, an infinity or logits far from 0: what they need is in plain_row(). */
RARE double converted_row(const xent *c, const half_row *half, xent_row *row, xent_work *work) {
  row->x = load_halves(half->bfloat16, c->classes, half->x, 0, half->e);
  row->g = half->g ? half->e : NULL;
  const double value = plain_row(c, row, work);
  if (half->g) store_halves(half->bfloat16, c->classes, half->e, half->g, 0);
  return value;
}

/* Memory is fetched two chunks ahead, a few lines at a time in both passes: a chunk's at once, which wait for one another, took
 * 1.3 times as long on two threads, none at all 1.7 times. */
enum { AHEAD_CHUNKS = 2 * ROW_CHUNK, HALF_PART = ROW_CHUNK / 8 };

static UNUSED double plain_half_row(xent *c, const half_row *half, fl_size target, double scale, xent_work *work) {
  const fl_size classes = c->classes;
  const int type = half->bfloat16;
  xent_row row = {NULL, NULL, target, scale, NULL, NULL};
  real y, *wide = work->high;
  load_halves(type, 1, half->x, target, &y);
  load_halves(type, chunk_length(classes, 0), half->x, 0, wide);
  plain_state p = plain_begin(c, wide, y);
  if (p.joint) return converted_row(c, half, &row, work);
  for (fl_size i = 0; i < classes; i += ROW_CHUNK) {
    c->ahead.halves = (uintptr_t)half->x + 2 * (size_t)(i + AHEAD_CHUNKS) - ((uintptr_t)wide >> 1);
    if (i > 0) load_halves(type, chunk_length(classes, i), half->x, i, wide);
    plain_chunk(c, target, &p, i, wide, half->g ? half->e + i : work->e, work);
    if (c->part[i / ROW_CHUNK].top > REAL_MAX) return converted_row(c, half, &row, work);
  }
  if (!plain_top(c, &p)) return converted_row(c, half, &row, work);
  double value;
  plain_value(c, &row, &p, &value);
  for (fl_size i = 0; half->g && i < classes; i += ROW_CHUNK) {
    const fl_size n = chunk_length(classes, i);
    plain_gradient(c, target, &p, i, half->e + i, wide);
    for (fl_size j = 0; j < n; j += HALF_PART) {
      fetch_lines(1, 1, (uintptr_t)half->g + 2 * (size_t)(i + j + AHEAD_CHUNKS), 2 * HALF_PART);
      store_halves(type, n - j < HALF_PART ? n - j : HALF_PART, wide + j, half->g, i + j);
    }
  }
  return value;
}

static UNUSED void half_rows(const fl_xent *options, fl_size rows, int bfloat16, fl_rows logits, const int64_t *target,
                             const double *scale, double *value, fl_rows grad, void *scratch) {
  xent c = make_xent(options);
  char *after = (char *)scratch + (sizeof(xent_work) + 63) / 64 * 64;
  c.part = (plain_part *)(after + copy_bytes(c.classes));
  for (fl_size i = 0; i < rows; i++) {
    const half_row half = {bfloat16, (const char *)logits.data + 2 * i * logits.row_stride,
                           grad.data ? (char *)grad.data + 2 * i * grad.row_stride : NULL, (real *)after};
    if (target[i] < 0 || weight_of(&c, (fl_size)target[i]) == 0.0) {
      value[i] = 0.0;
      if (half.g) memset(half.g, 0, 2 * (size_t)c.classes);
    } else {
      value[i] = plain_half_row(&c, &half, (fl_size)target[i], scale[i], scratch);
    }
  }
}

#define HALF_ROW_KERNELS .half_rows_scratch = half_rows_scratch, .half_rows = half_rows,
#else
#define HALF_ROW_KERNELS
#endif

#endif
