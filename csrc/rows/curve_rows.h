/* Losses f(p) of a block of rows: which form takes them. Not here: their algebra (softmax_curve.h). */
#ifndef FASTLOSS_CURVE_ROWS_H
#define FASTLOSS_CURVE_ROWS_H

#include "row_block.h"

/* f(p) = -log p is plain cross-entropy: its own kernel, its own bits. */
static UNUSED void plain_rows(const row_block *b, void *xent_scratch) {
  const fl_xent options = {.classes = b->classes, .temperature = 1.0};
  const fl_rows none = {NULL, 0, 0};
  cross_entropy(&options, b->rows, rows_of_block(b->x, b->x_step), b->target, none, NULL, b->scale, b->value,
                rows_of_block(b->g, b->g_step), rows_of_block(b->h, b->h_step), xent_scratch);
}

/* Called with constant body and exact: inlined into one kernel. */
INLINE void curve_rows(curve_body *body, int exact, const row_block *b, row_work *work) {
  for (fl_size i = 0; i < b->rows;) {
    const real *x = b->x + i * b->x_step;
    real *g = b->g ? b->g + i * b->g_step : NULL, *h = b->h ? b->h + i * b->h_step : NULL;
    fl_size rows = 1;
    if (b->classes <= TILE_CLASSES) {
      rows = b->rows - i < TILE_ROWS ? b->rows - i : TILE_ROWS;
      curve_tile_rows(body, exact, b->parameter, b->parameters, rows, b->classes, x, b->x_step, b->target + i,
                      b->scale + i, b->value + i, g, b->g_step, h, b->h_step, &work->tile);
    } else {
      b->value[i] = curve_row(body, exact, b->parameter, b->parameters, b->classes, x, (fl_size)b->target[i],
                              b->scale[i], g, h, &work->row);
    }
    i += rows;
  }
}

#endif
