/* Hinge loss of a row of scores x and its class y, with z_j = x_j - (x_y - margin) for j != y: Weston-Watkins the sum of
 * max(0, z_j), Crammer-Singer max(0, max z_j). Parameters: margin, 1 for Crammer-Singer, 1 to divide by the classes.
 *
 * Gradient 1 where z_j > 0 (Crammer-Singer: only at the largest, the lowest index of equals), at y minus their number.
 * x_y - margin is kept as base + low, exactly, so the sign of z_j is exact too: x_j - base is exact where low matters.
 * A masked class (-inf) is as if it did not exist. Rows with any other infinity, a NaN, or differences that leave the
 * type are done again in double. Measured: value 1.3 ULP of the terms, gradient exact.
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
    hi = *lo = 0.0;
    for (; i < n; i++) { /* in order, as in a tile */
      positive[0] += term[i] > R(0.0) ? R(1.0) : R(0.0);
#if FASTLOSS_REAL_BITS == 32
      hi += (double)term[i];
#else
      pair_add(&hi, lo, term[i], 0.0);
#endif
    }
    *count = (double)positive[0];
    return hi;
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

/* A row of which one form or the other could not be sure, in double; parts: what the loss is divided by. g may be x. */
static UNUSED double hinge_limit(fl_size n, const real *x, fl_size y, double margin, int single, double parts,
                                 double scale, real *g) {
  const double base = (double)x[y] - margin;
  double hi = 0.0, lo = 0.0, largest = 0.0, count = 0.0; /* of the scores */
  fl_size at = -1;
  int masks = 0, nan = 0;
  for (fl_size j = 0; j < n; j++) {
    const double v = (double)x[j], z = v - base;
    masks += v == -(double)INFINITY;
    if (v != v || (j != y && z != z && v > 0.0)) nan = 1; /* a NaN, or +inf at y and elsewhere */
    if (j == y || !(z > 0.0) || v == -(double)INFINITY) continue;
    pair_add(&hi, &lo, z / parts, 0.0);
    count += 1.0;
    if (at < 0 || v > largest) { largest = v; at = j; }
  }
  nan |= n > 1 && masks == n;
  for (fl_size j = 0; g && j < n; j++) {
    const double v = (double)x[j];
    int hit = j != y && (single ? j == at : v - base > 0.0 && v != -(double)INFINITY);
    if (j != y) g[j] = nan ? REAL_NAN : hit ? (real)scale : R(0.0);
  }
  if (g) g[y] = nan ? REAL_NAN : (real)(0.0 - scale * (single ? (at >= 0 ? 1.0 : 0.0) : count));
  return nan ? (double)NAN : !single ? pair_value(hi, lo) : at < 0 ? 0.0 : (largest - base) / parts;
}

static UNUSED double hinge_sum_row(fl_size n, const real *x, fl_size y, double margin, hinge_base b, double parts,
                                   double scale, real *g, real *term) {
  double hi = 0.0, lo = 0.0, count = 0.0, part, part_lo, part_count;
  for (fl_size c = 0; c < n; c += ROW_CHUNK) {
    part = hinge_chunk(chunk_length(n, c), x + c, y - c, b, term, &part_lo, &part_count);
    pair_add(&hi, &lo, part, part_lo);
    count += part_count;
  }
  if (!(hi - hi == 0.0) || b.base != b.base) return hinge_limit(n, x, y, margin, 0, parts, scale, g);
  if (g) {
    const real s = (real)scale;
    VECTOR_LOOP
    for (fl_size j = 0; j < n; j++) g[j] = hinge_excess(x[j], b) > R(0.0) ? s : R(0.0);
    g[y] = (real)(0.0 - scale * count);
  }
  return (hi + lo) / parts;
}

typedef struct {
  softmax_tile tile;
  tile_piece piece;
  fl_size target[TILE_ROWS];
  real base[TILE_ROWS], low[TILE_ROWS], count[TILE_ROWS], scale[TILE_ROWS];
  double hi[TILE_ROWS], lo[TILE_ROWS];
} hinge_tile;

INLINE hinge_base tile_base(const hinge_tile *w, int l) {
  hinge_base b = {w->base[l], w->low[l]};
  return b;
}

/* Sums of TILE_ROWS rows of at most LANES classes, a row per lane: the bits of hinge_sum_row(), whose short sums have
 * the same order. Returns 0, nothing written, where one of them is not finite. */
static UNUSED int hinge_sum_tile(fl_size n, const real *x, fl_size x_step, const int64_t *target, real margin,
                                 const double *scale, double parts, double *value, real *g, fl_size g_step,
                                 hinge_tile *w) {
  ireal odd = 0;
  w->tile.rows = TILE_ROWS;
  w->tile.any_dead = 0;
  tile_load(&w->tile, n, x, x_step, 1, w->piece);
  for (int l = 0; l < TILE_ROWS; l++) {
    real *own = &w->piece[(fl_size)target[l] * TILE_ROWS + l];
    w->base[l] = two_difference(*own, margin, &w->low[l]);
    odd |= !(abs_(w->base[l]) <= REAL_MAX);
    *own = -REAL_INF;
    w->scale[l] = (real)(scale[l] / parts);
    w->count[l] = R(0.0);
    w->hi[l] = w->lo[l] = 0.0;
  }
  if (odd) return 0;
  for (fl_size c = 0; c < n; c++) {
    const real *row = w->piece + c * TILE_ROWS;
    VECTOR_LOOP_WIDE
    for (int l = 0; l < TILE_ROWS; l++) {
      real z = max_(R(0.0), hinge_excess(row[l], tile_base(w, l)));
      w->count[l] += z > R(0.0) ? R(1.0) : R(0.0);
#if FASTLOSS_REAL_BITS == 32
      w->hi[l] += (double)z;
#else
      pair_add(&w->hi[l], &w->lo[l], z, 0.0);
#endif
    }
  }
  for (int l = 0; l < TILE_ROWS; l++) odd |= !(w->hi[l] - w->hi[l] == 0.0);
  if (odd) return 0;
  for (int l = 0; l < TILE_ROWS; l++) value[l] = (w->hi[l] + w->lo[l]) / parts;
  if (!g) return 1;
  for (fl_size c = 0; c < n; c++) {
    real *row = w->piece + c * TILE_ROWS;
    VECTOR_LOOP
    for (int l = 0; l < TILE_ROWS; l++) row[l] = hinge_excess(row[l], tile_base(w, l)) > R(0.0) ? w->scale[l] : R(0.0);
  }
  for (int l = 0; l < TILE_ROWS; l++)
    w->piece[(fl_size)target[l] * TILE_ROWS + l] = (real)(0.0 - scale[l] / parts * (double)w->count[l]);
  tile_store(&w->tile, n, w->piece, g_step, 1, g);
  return 1;
}

/* The largest of n scores, and whether one is NaN or +inf. */
INLINE real hinge_largest(fl_size n, const real *x, int *odd) {
  ireal bad = 0;
  for (fl_size j = 0; j < n; j++) bad |= !(x[j] <= REAL_MAX);
  *odd |= bad != 0;
  return row_max(n, x);
}

static UNUSED double hinge_largest_row(fl_size n, const real *x, fl_size y, double margin, hinge_base b, double parts,
                                       double scale, real *g) {
  int odd = !(abs_(b.base) <= REAL_MAX);
  const real before = hinge_largest(y, x, &odd), after = hinge_largest(n - y - 1, x + y + 1, &odd);
  const real top = max_(after, before), z = top == -REAL_INF ? R(0.0) : hinge_excess(top, b);
  if (odd || !(abs_(z) <= REAL_MAX)) return hinge_limit(n, x, y, margin, 1, parts, scale, g);
  if (g) {
    const fl_size at = before == top ? row_find(y, x, top) : y + 1 + row_find(n - y - 1, x + y + 1, top);
    memset(g, 0, (size_t)n * sizeof(real));
    if (z > R(0.0)) {
      g[at] = (real)scale;
      g[y] = (real)(0.0 - scale);
    }
  }
  return z > R(0.0) ? (double)z / parts : 0.0;
}

_Static_assert(sizeof(hinge_tile) <= sizeof(curve_tile), "the work buffers hold it");

static UNUSED void multiclass_hinge_loss_rows(const row_block *b, row_work *work, void *xent_scratch) {
  const double margin = b->parameter[0], parts = b->parameter[2] == 0.0 ? 1.0 : (double)b->classes;
  const int single = b->parameter[1] != 0.0;
  (void)xent_scratch;
  for (fl_size i = 0; i < b->rows; i++) {
    const real *x = b->x + i * b->x_step;
    const fl_size y = (fl_size)b->target[i];
    const double scale = b->scale[i] / parts;
    real *g = b->g ? b->g + i * b->g_step : NULL;
    if (!single && b->classes <= LANES && i + TILE_ROWS <= b->rows &&
        hinge_sum_tile(b->classes, x, b->x_step, b->target + i, (real)margin, b->scale + i, parts, b->value + i, g,
                       b->g_step, (hinge_tile *)&work->tile)) {
      i += TILE_ROWS - 1;
      continue;
    }
    hinge_base base;
    base.base = two_difference(x[y], (real)margin, &base.low);
    if (!(abs_(base.base) <= REAL_MAX)) base.low = R(0.0);
    b->value[i] = single ? hinge_largest_row(b->classes, x, y, margin, base, parts, scale, g)
                         : hinge_sum_row(b->classes, x, y, margin, base, parts, scale, g, work->part[0]);
  }
}
