/* Cross-entropy of a row of probabilities and its class: -log of one element, which is gathered from its row; the
 * derivatives of all others are 0. The formula is categorical_cross_entropy.h's with t = 1.
 */
static UNUSED void sparse_categorical_cross_entropy_rows(const row_block *b, row_work *work, void *xent_scratch) {
  real *x = work->part[0], *one = work->part[1], *value = work->part[2];
  const size_t row_bytes = (size_t)b->classes * sizeof(real);
  const double none[FL_PARAMETERS] = {0.0};
  (void)xent_scratch;
  for (fl_size start = 0; start < b->rows; start += ROW_CHUNK) {
    const fl_size n = chunk_length(b->rows, start);
    for (fl_size i = 0; i < n; i++) {
      x[i] = b->x[(start + i) * b->x_step + b->target[start + i]];
      one[i] = R(1.0);
    }
    categorical_block(n, 0, x, one, NULL, none, 1.0, value, NULL, NULL);
    for (fl_size i = 0; i < n; i++) {
      const fl_size row = start + i, y = (fl_size)b->target[row];
      const double slope = b->scale[row] / (double)x[i]; /* scaled first: it may be finite where 1 / x is not */
      b->value[row] = (double)value[i];
      if (b->g) {
        memset(b->g + row * b->g_step, 0, row_bytes);
        b->g[row * b->g_step + y] = (real)(0.0 - slope);
      }
      if (b->h) {
        memset(b->h + row * b->h_step, 0, row_bytes);
        b->h[row * b->h_step + y] = (real)(slope / (double)x[i]);
      }
    }
  }
}
