/* Cross-entropy of many rows: which kernel takes them, and rows whose classes are not contiguous. Not here: formulas.
 *
 * Short rows, and rows with strided classes, go through tiles as far as the options allow; TILE_LIMIT is where a
 * contiguous row of its own becomes faster. All other strided rows are copied, worked on, and copied back.
 */
#ifndef FASTLOSS_SOFTMAX_XENT_H
#define FASTLOSS_SOFTMAX_XENT_H

#include "softmax_xent_dense_group.h"

#define TILE_LIMIT TILE_CLASSES
/* Classes from which the next row is fetched meanwhile: 0.94 of the time (1000 classes in the last cache); beside probabilities,
 * which are fetched too, of any number: 0.85, and 0.7 outside the caches. */
#define AHEAD 384

/* Scratch: the work buffers of a row or of a tile, then four rows for the copies and what plain rows keep of their chunks. */
typedef union {
  xent_work row;
  xent_tile tile;
  struct {
    xent_dense_tile tile;
    xent_work row;
  } dense;
} xent_scratch;

INLINE size_t copy_bytes(fl_size classes) { return ((size_t)classes * sizeof(real) + 63) / 64 * 64; }

static UNUSED size_t cross_entropy_scratch(const fl_xent *o) {
  return (sizeof(xent_scratch) + 63) / 64 * 64 + 4 * copy_bytes(o->classes) + plain_part_bytes(o->classes);
}

static UNUSED void gather_row(fl_size n, const real *from, fl_size stride, real *to) {
  for (fl_size i = 0; i < n; i++) to[i] = from[i * stride];
}

static UNUSED void scatter_row(fl_size n, const real *from, real *to, fl_size stride) {
  for (fl_size i = 0; i < n; i++) to[i * stride] = from[i];
}

static UNUSED double xent_any_row(const xent *c, fl_size i, fl_rows logits, fl_size target, fl_rows probability,
                                  double scale, fl_rows grad, fl_rows hess, xent_work *work, real *copies) {
  const fl_size n = c->classes, step = (fl_size)(copy_bytes(n) / sizeof(real));
  real *g = row_at(grad, i), *h = row_at(hess, i), *g_out = g, *h_out = h;
  const real *x = row_at(logits, i), *p = row_at(probability, i);
  if (logits.class_stride != 1) {
    gather_row(n, x, logits.class_stride, copies);
    x = copies;
  }
  if (p && probability.class_stride != 1) {
    gather_row(n, p, probability.class_stride, copies + step);
    p = copies + step;
  }
  if (g && grad.class_stride != 1) g = copies + 2 * step;
  if (h && hess.class_stride != 1) h = copies + 3 * step;
  xent_row row = {x, p, target, scale, g, h};
  double value = xent_contiguous_row(c, &row, work);
  if (g != g_out) scatter_row(n, g, g_out, grad.class_stride);
  if (h != h_out) scatter_row(n, h, h_out, hess.class_stride);
  return value;
}

static UNUSED void cross_entropy(const fl_xent *options, fl_size rows, fl_rows logits, const int64_t *target,
                                 fl_rows probability, const unsigned char *skip, const double *scale, double *value,
                                 fl_rows grad, fl_rows hess, void *scratch) {
  xent c = make_xent(options);
  xent_scratch *work = scratch;
  real *copies = (real *)((char *)scratch + (sizeof(xent_scratch) + 63) / 64 * 64);
  if (c.simple && !probability.data && !c.map.on && (c.classes <= TILE_LIMIT || logits.class_stride != 1)) {
    for (fl_size i = 0; i < rows; i += TILE_ROWS) {
      fl_size n = rows - i < TILE_ROWS ? rows - i : TILE_ROWS;
      xent_tile_rows(&c, i, n, logits, target, scale, value, grad, hess, &work->tile);
    }
    return;
  }
  if (logits.class_stride == 1 && (c.classes >= AHEAD || probability.data)) c.ahead.read = logits.row_stride;
  if (options->next) c.ahead.halves = (uintptr_t)options->next - ((uintptr_t)logits.data >> 1);
  const int dense = (c.smooth || probability.data) && !c.map.on, tiles = c.classes <= TILE_LIMIT;
  if (dense && (tiles || (c.classes <= DENSE_GROUP_LIMIT && logits.class_stride == 1 && contiguous_classes(probability) &&
                          contiguous_classes(grad) && contiguous_classes(hess)))) {
    xent_dense_tile *tile = &work->dense.tile;
    const fl_size step = tiles ? TILE_ROWS : dense_group_rows(c.classes);
    c.ahead.read *= step;
    for (fl_size i = 0; i < rows; i += step) {
      fl_size n = rows - i < step ? rows - i : step;
      if (tiles) {
        if (!dense_tile_rows(&c, i, n, logits, target, probability, skip, scale, value, grad, hess, tile)) continue;
      } else if (!dense_group(&c, i, n, logits, target, probability, skip, scale, value, grad, hess, tile)) {
        continue;
      }
      for (fl_size l = 0; l < n; l++) {
        if (!tile->alone[l]) continue;
        fl_rows saved = {tile->saved[l] - (i + l) * TILE_CLASSES, TILE_CLASSES, 1};
        value[i + l] = xent_any_row(&c, i + l, tiles ? saved : logits, tile->target[l], probability, scale ? scale[i + l] : 1.0,
                                    grad, hess, &work->dense.row, copies);
      }
    }
    return;
  }
  c.part = (plain_part *)((char *)copies + 4 * copy_bytes(c.classes));
  if (c.simple && !probability.data && !c.map.on && c.classes <= ROW_CHUNK && !hess.data && logits.class_stride == 1 &&
      contiguous_classes(grad)) {
    const fl_size step = group_rows(c.classes);
    c.ahead.read *= step;
    for (fl_size i = 0; i < rows; i += step)
      xent_group_rows(&c, i, rows - i < step ? rows - i : step, logits, target, scale, value, grad, &work->tile);
    return;
  }
  for (fl_size i = 0; i < rows; i++) {
    fl_size y = probability.data ? 0 : (fl_size)target[i];
    int ignored = probability.data ? skip && skip[i] : y < 0 || (c.simple && weight_of(&c, y) == 0.0);
    if (ignored) {
      real *g = row_at(grad, i), *h = row_at(hess, i);
      for (fl_size j = 0; g && j < c.classes; j++) g[j * grad.class_stride] = R(0.0);
      for (fl_size j = 0; h && j < c.classes; j++) h[j * hess.class_stride] = R(0.0);
      value[i] = 0.0;
    } else {
      value[i] = xent_any_row(&c, i, logits, y, probability, scale ? scale[i] : 1.0, grad, hess, &work->row, copies);
    }
  }
}

#endif
