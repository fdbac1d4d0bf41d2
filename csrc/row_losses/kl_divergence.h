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
 * 1000 ordinary classes take 0.72 to 0.75 of the time that others do, in double too. */
INLINE void ordinary_vectors(int orders, fl_size n, const real *x, const real *t, real s, real *value, real *grad) {
  _Alignas(64) real f[STAGED], k[STAGED];
  for (fl_size i = 0; i < n; i += PAIR) {
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

/* t = 2^k (1 + f); subnormal, a constant: for subnormal t too. Returns whether there is any. */
INLINE int entropy_first(int subnormal, fl_size n, const real *t, entropy_stages *to) {
  ureal least = ~(ureal)0; /* of the bits less one, so that 0 is large */
  STAGE_LOOP
  for (fl_size l = 0; l < n; l++) {
    const real up = subnormal && t[l] < REAL_MIN ? ABOVE_INTEGERS : R(1.0);
    real m, k = exponent_real_(log_split_(t[l] * up, &m));
    to->k[l] = subnormal && t[l] < REAL_MIN ? k - (real)REAL_MANTISSA : k;
    to->f[l] = m - R(1.0);
    const ureal bits = bits_of(t[l]) - 1;
    least = bits < least ? bits : least;
  }
  return least < bits_of(REAL_MIN) - 1;
}

INLINE real entropy_term(real t, real k, real f) { return t * fma_(k, LN2_HI + LN2_LO, log_tail_(f, f)); }

/* n: whole quads, at most STAGED. */
ONCE void entropy_terms(fl_size n, const real *t, real *term) {
  entropy_stages at;
  if (entropy_first(0, n, t, &at)) entropy_first(1, n, t, &at);
  for (fl_size i = 0; i < n; i += PAIR) {
    STAGE_LOOP
    for (fl_size l = i; l < i + HALF_PAIR; l++) {
      const fl_size m = l + HALF_PAIR;
      const real a = entropy_term(t[l], at.k[l], at.f[l]), b = entropy_term(t[m], at.k[m], at.f[m]);
      term[l] = a;
      term[m] = b;
    }
  }
}

/* Of any n <= ROW_CHUNK. */
static UNUSED void entropy_chunk(fl_size n, const real *t, real *term) {
  const fl_size whole = n / QUAD * QUAD;
  real last[QUAD] = {R(0.0)};
  for (fl_size i = 0; i < whole; i += STAGED) entropy_terms(whole - i < STAGED ? whole - i : STAGED, t + i, term + i);
  if (whole == n) return;
  memcpy(last, t + whole, (size_t)(n - whole) * sizeof(real));
  entropy_terms(QUAD, last, last);
  memcpy(term + whole, last, (size_t)(n - whole) * sizeof(real));
}

/* Their sum: all are of one sign where t <= 1, so that it may be a little less exact than terms_sum(). */
INLINE double entropy_sum(fl_size n, real *term, double *lo) {
  double hi;
  if (n <= LANES) return terms_sum(n, term, lo);
  sum_values(n, term, &hi, lo);
  return hi;
}

/* value[i] += sum t log t. Short rows that lie one behind the other are worked on together. */
static UNUSED void add_entropy(const row_block *b, real *term) {
  const fl_size n = b->classes, most = b->p_step == n && n > 0 && n < ROW_CHUNK ? ROW_CHUNK / n : 1;
  double part_lo;
  for (fl_size i = 0; i < b->rows; i += most) {
    const fl_size rows = b->rows - i < most ? b->rows - i : most;
    const real *t = b->p + i * b->p_step;
    double hi = 0.0, lo = 0.0;
    for (fl_size c = 0; rows == 1 && c < n; c += ROW_CHUNK) {
      const fl_size length = chunk_length(n, c);
      entropy_chunk(length, t + c, term);
      const double part = entropy_sum(length, term, &part_lo);
      pair_add(&hi, &lo, part, part_lo);
    }
    if (rows == 1) b->value[i] += pair_value(hi, lo);
    else entropy_chunk(rows * n, t, term);
    for (fl_size r = 0; rows > 1 && r < rows; r++) {
      hi = entropy_sum(n, term + r * n, &lo);
      b->value[i + r] += pair_value(hi, lo);
    }
  }
}

static UNUSED void kl_divergence_rows(const row_block *b, row_work *work, void *xent_scratch) {
  if (b->parameter[0] == 0.0) {
    separable_rows(divergence_block, b, work->part[0]);
    return;
  }
  const fl_xent options = {.classes = b->classes, .temperature = 1.0};
  cross_entropy(&options, b->rows, rows_of_block(b->x, b->x_step), NULL, rows_of_block(b->p, b->p_step), NULL, b->scale,
                b->value, rows_of_block(b->g, b->g_step), rows_of_block(b->h, b->h_step), xent_scratch);
  add_entropy(b, work->part[0]);
}
