/* Plain rows of cross-entropy: an integer target and no option but class weights and temperature. Two passes over chunks
 * that know nothing of each other, so that a row may be shared out among threads without changing a bit. Not here: the
 * other options (softmax_xent_weighted.h), and short rows (softmax_xent_tile.h).
 */
#ifndef FASTLOSS_SOFTMAX_XENT_PLAIN_H
#define FASTLOSS_SOFTMAX_XENT_PLAIN_H

#include "softmax_xent_row.h"

/* factor e (1 - p), factor in one: e times the gradient's factor might be subnormal. h may be e. */
INLINE void hess_chunk(fl_size n, const real *e, real inverse, real factor, real *h) {
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) h[i] = e[i] * factor * (R(1.0) - e[i] * inverse);
}

/* The sum over a row of exponentials, all finite, whose element `without` counts 0. */
static UNUSED double sum_without(fl_size n, real *e, fl_size without) {
  double hi, lo;
  real kept = e[without];
  e[without] = R(0.0);
  row_sum(n, e, &hi, &lo);
  e[without] = kept;
  return hi + lo;
}

/* A plain row between its passes over the chunks. */
typedef struct {
  row_shift shift;
  real e_y, e_m;
  double gap, scale, rest, factor; /* the last two after plain_value() */
  softmax_sum sum;
} plain_state;

/* m: the largest logit, finite. Everything that needs the logits themselves, which the gradient may overwrite. */
static UNUSED plain_state plain_begin(const xent *c, const xent_row *row, real m) {
  plain_state p;
  const real top = m, logit_y = row->x[row->target];
  real m_low = R(0.0), y_low = R(0.0), at_y = logit_y;
  if (c->map.on) {
    m = map_logit(&c->map, m, &m_low);
    at_y = map_logit(&c->map, at_y, &y_low);
  }
  p.shift = shift_of(m, m_low);
  p.e_y = exp_shifted_low(at_y, y_low, p.shift);
  p.e_m = exp_shifted_low(m, m_low, p.shift);
  p.gap = map_gap(&c->map, top, logit_y, m, m_low, at_y, y_low);
  p.scale = row->scale * weight_of(c, row->target) * c->map.slope;
  return p;
}

/* First pass, the chunk from class i on: exponentials to the gradient, and their sum without the target's. */
static UNUSED void plain_chunk(const xent *c, const xent_row *row, const plain_state *p, fl_size i, xent_work *work,
                               double *hi, double *lo) {
  real *e = row->g ? row->g + i : work->e;
  xent_exp_sum(c, chunk_length(c->classes, i), row->x + i, row->target - i, p->shift, e, work, hi, lo);
}

/* The value, from the sum of all chunks. */
static UNUSED double plain_value(const xent *c, const xent_row *row, plain_state *p, double hi, double lo) {
  p->rest = hi + lo;
  p->sum = sum_with(hi, lo, (double)p->e_y);
  p->factor = quotient(p->scale, p->sum);
  return weight_of(c, row->target) * plain_loss(p->rest, (double)p->e_y, (double)p->e_m, p->gap);
}

/* Second pass. */
static UNUSED void plain_gradient(const xent *c, const xent_row *row, const plain_state *p, fl_size i) {
  fl_size n = chunk_length(c->classes, i), y = row->target - i;
  scale_chunk(n, row->g + i, p->factor, row->g + i);
  if (y >= 0 && y < n) row->g[i + y] = (real)(0.0 - quotient(p->scale * p->rest, p->sum));
}

static UNUSED void plain_hessian(const xent *c, const xent_row *row, const plain_state *p, xent_work *work) {
  /* 1 - p cancels at the maximum, unless it is computed as the sum of the others */
  const fl_size n = c->classes, y = row->target;
  const double slope = c->map.slope, curve = p->scale * slope;
  double hess_y = quotient(curve * quotient((double)p->e_y * p->rest, p->sum), p->sum), hess_k = hess_y;
  fl_size k = y;
  if (p->e_y != p->e_m) {
    k = row_find(n, row->g, p->e_m);
    row->g[y] = p->e_y;
    if (k < n) {
      hess_k = quotient(curve * quotient((double)p->e_m * sum_without(n, row->g, k), p->sum), p->sum);
    } else {
      k = y; /* only in a row of NaN */
    }
  }
  const real inverse = (real)quotient(1.0, p->sum), hess_factor = (real)(slope * p->factor);
  for (fl_size i = 0; i < n; i += ROW_CHUNK) {
    fl_size length = chunk_length(n, i);
    hess_chunk(length, row->g + i, inverse, hess_factor, work->e);
    plain_gradient(c, row, p, i);
    memcpy(row->h + i, work->e, (size_t)length * sizeof(real));
  }
  row->h[y] = (real)hess_y;
  row->h[k] = (real)hess_k;
}

static UNUSED double plain_row(const xent *c, const xent_row *row, real m, xent_work *work) {
  plain_state p = plain_begin(c, row, m);
  double hi = 0.0, lo = 0.0, part_hi, part_lo;
  for (fl_size i = 0; i < c->classes; i += ROW_CHUNK) {
    plain_chunk(c, row, &p, i, work, &part_hi, &part_lo);
    pair_add(&hi, &lo, part_hi, part_lo);
  }
  double value = plain_value(c, row, &p, hi, lo);
  if (row->h) plain_hessian(c, row, &p, work);
  else for (fl_size i = 0; row->g && i < c->classes; i += ROW_CHUNK) plain_gradient(c, row, &p, i);
  return value;
}

/* ---- One row, shared out ---- */

typedef struct {
  xent c;
  xent_row row;
  plain_state state;
} shared_row;

static UNUSED size_t shared_row_bytes(void) { return sizeof(shared_row); }

static UNUSED double shared_max(fl_size n, const void *x) { return (double)row_max(n, x); }

static UNUSED void shared_begin(const fl_xent *options, const void *x, int64_t target, double scale, double max,
                                void *grad, void *shared) {
  shared_row *r = shared;
  xent_row row = {x, NULL, (fl_size)target, scale, grad, NULL};
  r->c = make_xent(options);
  if (r->c.map.on) set_offset(&r->c.map, (real)max);
  r->row = row;
  r->state = plain_begin(&r->c, &row, (real)max);
}

static UNUSED void shared_chunk(const void *shared, fl_size chunk, double *hi, double *lo, void *scratch) {
  const shared_row *r = shared;
  plain_chunk(&r->c, &r->row, &r->state, chunk * ROW_CHUNK, scratch, hi, lo);
}

static UNUSED double shared_value(void *shared, double hi, double lo) {
  shared_row *r = shared;
  return plain_value(&r->c, &r->row, &r->state, hi, lo);
}

static UNUSED void shared_gradient(const void *shared, fl_size chunk) {
  const shared_row *r = shared;
  plain_gradient(&r->c, &r->row, &r->state, chunk * ROW_CHUNK);
}

#endif
