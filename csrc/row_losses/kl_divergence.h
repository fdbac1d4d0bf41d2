/* Kullback-Leibler divergence of a row: sum t (log t - log x), t the target's probabilities, x the prediction's; or,
 * parameter[0] = 1, logits with softmax x.
 *
 * Probabilities: t log(t / x), where a ratio near 1 is 1 + (t - x) / x with an exact difference, so a term keeps its
 * digits where the distributions nearly agree; a small t or x is scaled by 2^64, so no ratio leaves the normal numbers.
 * t = 0 is 0 (but NaN for a NaN x), t > 0 with x = 0 is +inf. Gradient -t / x, Hessian t / x^2.
 * Logits: cross-entropy with t as its target, and sum t log t, which has no derivative.
 * Measured: value 3.7 ULP of the terms, gradient 0.75; from logits (float, double) value 2.0 and 3.0 ULP of the larger of
 * cross-entropy and entropy, gradient 2.6 and 4.2 of its larger term.
 */
/* A t or x below that is scaled if the other is not near it: the ratios of those that are left are normal numbers. */
#define DIVERGENCE_SMALL (FASTLOSS_REAL_BITS == 32 ? R(0x1p-40) : R(0x1p-60))

/* t / x, and what its logarithm k ln 2 + log(1 + f) is made of. ordinary, a constant: neither is small nor large (t may be
 * 0); the same bits without what other numbers need. */
INLINE real divergence_ratio(int ordinary, real x, real t, real *f, real *k) {
  const int small_t = !ordinary & (t < DIVERGENCE_SMALL) & (x >= R(4.0) * DIVERGENCE_SMALL);
  const int small_x = !ordinary & (x < DIVERGENCE_SMALL) & (t >= R(4.0) * DIVERGENCE_SMALL);
  real up = small_x ? R(0x1p64) : R(1.0), a = t * (small_t ? R(0x1p64) : R(1.0)), b = x * up, d = a - b, m;
  int near = abs_(d) <= R(0.296875) * b; /* beyond e^(1/4), as a rounded ratio is up to 4 ULP of its logarithm below */
  real w = (near ? d : a) / b, scaled = near ? R(1.0) + w : w;
  *k = exponent_real_(log_split_(scaled, &m)) + ((small_x ? R(64.0) : R(0.0)) - (small_t ? R(64.0) : R(0.0)));
  *f = near ? w : m - R(1.0);
  return scaled * (up * (small_t ? R(0x1p-64) : R(1.0)));
}

INLINE real divergence_term(real t, real f, real k) {
  real kh = k * LN2_HI, h = kh + f;
  return t * (h + ((f - (h - kh)) + log_tail_(f, k * LN2_LO)));
}

INLINE void divergence_body(real x, real t, real aux, const real *p, real *value, real *grad, real *hess) {
  real f, k, ratio = divergence_ratio(0, x, t, &f, &k), term = divergence_term(t, f, k), bad = x == x ? R(0.0) : x;
  (void)aux, (void)p;
  term = x == R(0.0) ? REAL_INF : term; /* what the logarithm above makes of 0, infinity and NaN does not matter */
  term = x > REAL_MAX ? -REAL_INF : term;
  term = ratio == ratio ? term : ratio;
  *value = t == R(0.0) ? bad : term;
  *grad = t == R(0.0) ? bad : -ratio;
  *hess = t == R(0.0) ? bad : ratio / x;
}

BLOCK_OF(divergence_any_block, divergence_body)

/* As integers, the ordinary numbers lie side by side. */
INLINE int ordinary_block(fl_size n, const real *x, const real *t) {
  const ureal least = bits_of(DIVERGENCE_SMALL), range = bits_of(R(1.0) / DIVERGENCE_SMALL) - least;
  ureal others = 0;
  for (fl_size i = 0; i < n; i++)
    others |= (bits_of(x[i]) - least >= range) | ((bits_of(t[i]) - least >= range) & (bits_of(t[i]) != 0));
  return !others;
}

/* Ordinary elements, whole quads, n <= STAGED, in two stages (see core/stages.h): the logarithm is a loop of its own. Rows of
 * 1000 ordinary classes take 0.72 to 0.75 of the time that others do, in double too. Fetched ahead, 16000 of them take 0.72
 * of the time with one thread and 0.8 with two, and 1024, which the last cache holds, no more than otherwise. */
INLINE void ordinary_vectors(int orders, fl_size n, const real *x, const real *t, real s, real *value, real *grad) {
  _Alignas(64) real f[STAGED], k[STAGED];
  for (fl_size i = 0; i < n; i += PAIR) {
    fetch_ahead_of(0, x + i, PAIR * sizeof(real));
    fetch_ahead_of(0, t + i, PAIR * sizeof(real));
    if (orders > 0) fetch_ahead_of(1, grad + i, PAIR * sizeof(real));
    STAGE_LOOP
    for (fl_size l = i; l < i + HALF_PAIR; l++) {
      const fl_size m = l + HALF_PAIR;
      real f1, k1, f2, k2;
      const real a = divergence_ratio(1, x[l], t[l], &f1, &k1), b = divergence_ratio(1, x[m], t[m], &f2, &k2);
      f[l] = f1;
      f[m] = f2;
      k[l] = k1;
      k[m] = k2;
      if (orders > 0) {
        grad[l] = s * (R(0.0) - a); /* not -0 */
        grad[m] = s * (R(0.0) - b);
      }
    }
  }
  for (fl_size i = 0; i < n; i += PAIR) {
    STAGE_LOOP
    for (fl_size l = i; l < i + HALF_PAIR; l++) {
      const fl_size m = l + HALF_PAIR;
      const real a = divergence_term(t[l], f[l], k[l]), b = divergence_term(t[m], f[m], k[m]);
      value[l] = a;
      value[m] = b;
    }
  }
}

/* The first part that is not ordinary leaves the rest to the long loop: where zeros are many, looking costs once. */
static void divergence_block(fl_size n, int ahead, const void *x, const void *t, const void *aux, const double *p, double scale,
                             void *value, void *grad, void *hess) {
  const real *xs = x, *ts = t;
  real *v = value, *g = grad, *h = hess;
  const fl_size whole = h ? 0 : n / QUAD * QUAD;
  fl_size i = 0;
  (void)aux;
  for (fl_size m; i < whole; i += m) {
    m = whole - i < STAGED ? whole - i : STAGED;
    if (!ordinary_block(m, xs + i, ts + i)) break;
    if (g) ordinary_vectors(1, m, xs + i, ts + i, (real)scale, v + i, g + i);
    else ordinary_vectors(0, m, xs + i, ts + i, (real)scale, v + i, NULL);
  }
  if (i < n)
    divergence_any_block(n - i, ahead, xs + i, ts + i, NULL, p, scale, v + i, g ? g + i : NULL, h ? h + i : NULL);
}

/* t log t for t >= 0: 0 at 0, where the logarithm is some number, and NaN for NaN. Two loops over a few vectors, as in
 * core/stages.h: exponents and mantissas, then logarithms, with AVX-512 and AVX2 0.7 of the time of one loop. log 2 in one
 * word costs 0.05 ULP of the float type and 0.3 of double. */
typedef struct {
  _Alignas(64) real k[STAGED], f[STAGED];
} entropy_stages;

/* t = 2^k (1 + f); subnormal, a constant: for subnormal t too, whose k is some number otherwise. Returns all bits that any
 * t has. */
INLINE ureal entropy_first(int subnormal, fl_size n, const real *t, entropy_stages *to) {
  ureal bits = 0;
  STAGE_LOOP
  for (fl_size l = 0; l < n; l++) {
    const real up = subnormal && t[l] < REAL_MIN ? ABOVE_INTEGERS : R(1.0);
    real m, k = exponent_real_(log_split_(t[l] * up, &m));
    to->k[l] = subnormal && t[l] < REAL_MIN ? k - (real)REAL_MANTISSA : k;
    to->f[l] = m - R(1.0);
    bits |= bits_of(t[l]);
  }
  return bits;
}

INLINE real entropy_term(real t, real k, real f) { return t * fma_(k, LN2_HI + LN2_LO, log_tail_coarse_(f, f)); }

/* n: whole quads, at most STAGED. Returns whether no t has a sign. */
ONCE int entropy_terms(int subnormal, fl_size n, const real *t, real *term) {
  entropy_stages at;
  const ureal bits = subnormal ? entropy_first(1, n, t, &at) : entropy_first(0, n, t, &at);
  for (fl_size i = 0; i < n; i += PAIR) {
    fetch_ahead_of(0, t + i, PAIR * sizeof(real));
    STAGE_LOOP
    for (fl_size l = i; l < i + HALF_PAIR; l++) {
      const fl_size m = l + HALF_PAIR;
      const real a = entropy_term(t[l], at.k[l], at.f[l]), b = entropy_term(t[m], at.k[m], at.f[m]);
      term[l] = a;
      term[m] = b;
    }
  }
  return !(bits >> (FASTLOSS_REAL_BITS - 1));
}

/* Of any n <= ROW_CHUNK. */
static UNUSED int entropy_chunk(int subnormal, fl_size n, const real *t, real *term) {
  const fl_size whole = n / QUAD * QUAD;
  real last[QUAD] = {R(0.0)};
  int plain = 1;
  for (fl_size i = 0; i < whole; i += STAGED)
    plain &= entropy_terms(subnormal, whole - i < STAGED ? whole - i : STAGED, t + i, term + i);
  if (whole == n) return plain;
  memcpy(last, t + whole, (size_t)(n - whole) * sizeof(real));
  plain &= entropy_terms(subnormal, QUAD, last, last);
  memcpy(term + whole, last, (size_t)(n - whole) * sizeof(real));
  return plain;
}

/* Their sum: all are of one sign where t <= 1, so that it may be a little less exact than terms_sum(). */
INLINE double entropy_sum(fl_size n, real *term, double *lo) {
  double hi;
  if (n <= LANES) return terms_sum(n, term, lo);
  sum_values(n, term, &hi, lo);
  return hi;
}

/* The same of the terms of t. Where the sum is above the bound, what a subnormal's term lacks, 16 REAL_MIN (float) or 37
 * (double) at most, is nothing to it; below, terms are taken again. */
INLINE double entropy_of(fl_size n, const real *t, real *term, double *lo) {
  const double sum = entropy_sum(n, term, lo);
  if (!(fabs(sum) < (double)REAL_MIN * 0x1p+64) || sum == 0.0) return sum;
  entropy_chunk(1, n, t, term);
  return entropy_sum(n, term, lo);
}

INLINE int rows_inside(fl_size rows, fl_size n, const real *x, fl_size step) {
  int inside = 1;
  if (step == n) return check_block(FL_NON_NEGATIVE, rows * n, x);
  for (fl_size i = 0; i < rows; i++) inside &= check_block(FL_NON_NEGATIVE, n, x + i * step);
  return inside;
}

/* Of probabilities, a look at both arrays. Of logits, sum t log t of every row, before cross-entropy: targets have to be
 * looked at before anything is written, which takes as long as reading them does, and that hides a part of the logarithms'
 * time (0.9 of the whole of 1024 x 1000; fetched ahead, 0.95 of the rest, and 0.8 of 16000 x 1000). Short rows that lie one
 * behind the other are worked on together. */
static UNUSED int kl_divergence_first(const fl_row_call *call, void *scratch) {
  real *term = ((row_work *)scratch)->part[0], *copy = (real *)((char *)scratch + aligned_bytes(sizeof(row_work)));
  fl_size step;
  const real *p = dense_rows(call, call->probability, copy, &step);
  if (call->parameter[0] == 0.0) {
    const int inside = rows_inside(call->rows, call->classes, p, step);
    const real *x = dense_rows(call, call->x, copy, &step);
    return inside & rows_inside(call->rows, call->classes, x, step);
  }
  const fl_size n = call->classes, most = step == n && n > 0 && n < ROW_CHUNK ? ROW_CHUNK / n : 1;
  int inside = 1;
  for (fl_size i = 0; i < call->rows; i += most) {
    const fl_size rows = call->rows - i < most ? call->rows - i : most, all = rows * n;
    const real *t = p + i * step;
    double hi = 0.0, lo = 0.0, part_lo;
    for (fl_size c = 0; c < all; c += ROW_CHUNK) {
      const fl_size length = chunk_length(all, c);
      if (!entropy_chunk(0, length, t + c, term)) inside &= check_block(FL_NON_NEGATIVE, length, t + c);
      if (rows > 1) break;
      const double part = entropy_of(length, t + c, term, &part_lo);
      pair_add(&hi, &lo, part, part_lo);
    }
    if (rows == 1) call->value[i] = pair_value(hi, lo);
    for (fl_size r = 0; rows > 1 && r < rows; r++) {
      hi = entropy_of(n, t + r * n, term + r * n, &lo);
      call->value[i + r] = pair_value(hi, lo);
    }
  }
  return inside;
}

static UNUSED void kl_divergence_rows(const row_block *b, row_work *work, void *xent_scratch) {
  if (b->parameter[0] == 0.0) {
    separable_rows(divergence_block, b, work->part[0]);
    return;
  }
  const fl_xent options = {.classes = b->classes, .temperature = 1.0};
  cross_entropy(&options, b->rows, rows_of_block(b->x, b->x_step), NULL, rows_of_block(b->p, b->p_step), NULL, b->scale,
                b->value, rows_of_block(b->g, b->g_step), rows_of_block(b->h, b->h_step), xent_scratch);
  for (fl_size i = 0; i < b->rows; i++) b->value[i] += b->first[i];
}
