/* Hinge loss of a row of scores x and its class y: z_j = x_j - (x_y - margin) for j != y, Weston-Watkins sum max(0, z_j),
 * Crammer-Singer max(0, max z_j). Parameters: margin, 1 for Crammer-Singer, 1 to divide by the number of classes.
 *
 * Gradient 1 where z_j > 0 (Crammer-Singer: only at the largest, the lowest index of equals), at y minus their number.
 * x_y - margin is kept as base + low, exactly, so the sign of z_j is exact too: x_j - base is exact where low matters.
 * A masked class (-inf) is as if it did not exist. Rows with any other infinity, a NaN, or differences that leave the
 * type are done again in double. Measured: value 1.6 ULP, gradient exact.
 */
typedef struct { real base, low; } hinge_base;

/* z of a class; NaN stays. */
INLINE real hinge_excess(real x, hinge_base b) { return (x - b.base) - b.low; }

/* Sum of the excesses of a chunk and how many there are, class `without` left out (outside: none). */
static UNUSED double hinge_chunk(fl_size n, const real *x, fl_size without, hinge_base b, real *term, double *lo,
                                 double *count) {
  real positive[LANES] = {R(0.0)};
  double hi;
  fl_size i = 0;
  VECTOR_LOOP
  for (fl_size j = 0; j < n; j++) term[j] = max_(R(0.0), hinge_excess(x[j], b));
  if (without >= 0 && without < n) term[without] = R(0.0);
  if (n <= LANES) {
    for (; i < n; i++) positive[0] += term[i] > R(0.0) ? R(1.0) : R(0.0);
    *count = (double)positive[0];
    return terms_sum(n, term, lo);
  }
  for (; i + LANES <= n; i += LANES)
    for (int l = 0; l < LANES; l++) positive[l] += term[i + l] > R(0.0) ? R(1.0) : R(0.0);
  for (int l = 0; l < LANES && i + l < n; l++) positive[l] += term[i + l] > R(0.0) ? R(1.0) : R(0.0);
  for (int width = 16; width > 0; width /= 2)
    for (int l = 0; l < width; l++) positive[l] += positive[l + width]; /* small whole numbers: exact */
  *count = (double)positive[0];
  sum_block(n, term, &hi, lo);
  return hi;
}

/* A row of which one form or the other could not be sure, in double. g may be x. */
static UNUSED double hinge_limit(fl_size n, const real *x, fl_size y, double margin, int single, double scale, real *g) {
  const double base = (double)x[y] - margin;
  double hi = 0.0, lo = 0.0, largest = 0.0, count = 0.0;
  fl_size at = -1;
  int masks = 0, nan = 0;
  for (fl_size j = 0; j < n; j++) {
    const double v = (double)x[j], z = v - base;
    masks += v == -(double)INFINITY;
    if (v != v || (j != y && z != z && v > 0.0)) nan = 1; /* a NaN, or +inf at y and elsewhere */
    if (j == y || !(z > 0.0) || v == -(double)INFINITY) continue;
    pair_add(&hi, &lo, z, 0.0);
    count += 1.0;
    if (z > largest) { largest = z; at = j; }
  }
  nan |= n > 1 && masks == n;
  for (fl_size j = 0; g && j < n; j++) {
    const double v = (double)x[j];
    int hit = j != y && (single ? j == at : v - base > 0.0 && v != -(double)INFINITY);
    if (j != y) g[j] = nan ? REAL_NAN : hit ? (real)scale : R(0.0);
  }
  if (g) g[y] = nan ? REAL_NAN : (real)(0.0 - scale * (single ? (at >= 0 ? 1.0 : 0.0) : count));
  return nan ? (double)NAN : single ? largest : pair_value(hi, lo);
}

static UNUSED double hinge_sum_row(fl_size n, const real *x, fl_size y, double margin, hinge_base b, double scale, real *g,
                                   real *term) {
  double hi = 0.0, lo = 0.0, count = 0.0, part, part_lo, part_count;
  for (fl_size c = 0; c < n; c += ROW_CHUNK) {
    part = hinge_chunk(chunk_length(n, c), x + c, y - c, b, term, &part_lo, &part_count);
    pair_add(&hi, &lo, part, part_lo);
    count += part_count;
  }
  if (!(hi - hi == 0.0)) return hinge_limit(n, x, y, margin, 0, scale, g);
  if (g) {
    const real s = (real)scale;
    VECTOR_LOOP
    for (fl_size j = 0; j < n; j++) g[j] = hinge_excess(x[j], b) > R(0.0) ? s : R(0.0);
    g[y] = (real)(0.0 - scale * count);
  }
  return hi + lo;
}

/* The largest of n scores, and whether one is NaN or +inf. */
INLINE real hinge_largest(fl_size n, const real *x, int *odd) {
  ireal bad = 0;
  for (fl_size j = 0; j < n; j++) bad |= !(x[j] <= REAL_MAX);
  *odd |= bad != 0;
  return row_max(n, x);
}

static UNUSED double hinge_largest_row(fl_size n, const real *x, fl_size y, double margin, hinge_base b, double scale,
                                       real *g) {
  int odd = !(abs_(b.base) <= REAL_MAX);
  const real before = hinge_largest(y, x, &odd), after = hinge_largest(n - y - 1, x + y + 1, &odd);
  const real top = max_(after, before), z = top == -REAL_INF ? R(0.0) : hinge_excess(top, b);
  if (odd || !(abs_(z) <= REAL_MAX)) return hinge_limit(n, x, y, margin, 1, scale, g);
  if (g) {
    const fl_size at = before == top ? row_find(y, x, top) : y + 1 + row_find(n - y - 1, x + y + 1, top);
    memset(g, 0, (size_t)n * sizeof(real));
    if (z > R(0.0)) {
      g[at] = (real)scale;
      g[y] = (real)(0.0 - scale);
    }
  }
  return z > R(0.0) ? (double)z : 0.0;
}

static UNUSED void multiclass_hinge_loss_rows(const row_block *b, row_work *work, void *xent_scratch) {
  const double margin = b->parameter[0], share = b->parameter[2] == 0.0 ? 1.0 : 1.0 / (double)b->classes;
  const int single = b->parameter[1] != 0.0;
  (void)xent_scratch;
  for (fl_size i = 0; i < b->rows; i++) {
    const real *x = b->x + i * b->x_step;
    const fl_size y = (fl_size)b->target[i];
    const double scale = b->scale[i] * share;
    real *g = b->g ? b->g + i * b->g_step : NULL;
    hinge_base base;
    base.base = two_difference(x[y], (real)margin, &base.low);
    if (!(abs_(base.base) <= REAL_MAX)) base.low = R(0.0);
    double value = single ? hinge_largest_row(b->classes, x, y, margin, base, scale, g)
                          : hinge_sum_row(b->classes, x, y, margin, base, scale, g, work->part[0]);
    b->value[i] = share == 1.0 ? value : value / (double)b->classes;
  }
}
