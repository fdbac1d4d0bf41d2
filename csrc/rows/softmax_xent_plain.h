/* Plain rows of cross-entropy: an integer target and no option but class weights and temperature. Two passes over chunks
 * that know nothing of each other, so that a row may be shared out among threads without changing a bit. Not here: the
 * other options (softmax_xent_weighted.h), and short rows (softmax_xent_tile.h).
 *
 * The first pass finds a chunk's largest logit and, while the chunk is in the nearest cache, its exponentials with the
 * shift of that one. The shifts of two chunks differ by a power of two (softmax.h), by which the second pass multiplies
 * what it multiplies anyway: nothing is rounded that would not be with the shift of the row's maximum (but for chunks on
 * both sides of EXP_BASE, see weigh_part), and that maximum needs no pass of its own (a row of 4e6 classes on two threads:
 * 0.85 of the time, in double 0.75).
 */
#ifndef FASTLOSS_SOFTMAX_XENT_PLAIN_H
#define FASTLOSS_SOFTMAX_XENT_PLAIN_H

#include "../core/power.h"
#include "softmax_xent_row.h"

INLINE fl_size chunks_of(const xent *c) { return (c->classes + ROW_CHUNK - 1) / ROW_CHUNK; }

/* factor e (1 - p), factor in one: e times the gradient's factor might be subnormal. h may be e. */
INLINE void hess_chunk(fl_size n, const real *e, real inverse, real factor, real *h) {
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) h[i] = e[i] * factor * (R(1.0) - e[i] * inverse);
}

/* A plain row between its passes over the chunks. */
typedef struct {
  int joint;      /* all chunks have the shift of the row's maximum, which a pass before the first has found */
  real m, logit_y; /* the largest logit and the target's: read first, as the gradient may be the logits */
  row_shift shift; /* that of m */
  real e_y, e_m;   /* from here on after plain_value() */
  double gap, scale, rest, factor;
  softmax_sum sum;
} plain_state;

/* Maps cost more than a pass, and of logits beyond EXP_BASE shifts differ by no power of two: these are joint. So that all
 * threads say the same, the first chunk decides. */
static UNUSED plain_state plain_begin(const xent *c, const real *first, real logit_y) {
  plain_state p = {.joint = c->map.on, .logit_y = logit_y};
  c->part[0].top = max_chunk(chunk_length(c->classes, 0), first);
  p.joint |= !(abs_(c->part[0].top) <= EXP_BASE);
  return p;
}

/* The chunk from class i on, of a joint row. */
static UNUSED void plain_max(const xent *c, const xent_row *row, fl_size i) {
  if (i > 0) c->part[i / ROW_CHUNK].top = max_chunk(chunk_length(c->classes, i), row->x + i);
}

/* m, from that of the chunks; 1 where it is finite. */
static UNUSED int plain_top(const xent *c, plain_state *p) {
  p->m = -REAL_INF;
  for (fl_size k = 0; k < chunks_of(c); k++) p->m = max_(c->part[k].top, p->m);
  return abs_(p->m) <= REAL_MAX;
}

INLINE real mapped_logit(const xent *c, real x, real *low) {
  *low = R(0.0);
  return c->map.on ? map_logit(&c->map, x, low) : x;
}

/* The one shift of a joint row, whose largest logit is finite. */
RARE void plain_join(xent *c, plain_state *p) {
  real low;
  if (c->map.on) set_offset(&c->map, p->m);
  const real m = mapped_logit(c, p->m, &low);
  p->shift = shift_of(m, low);
  for (fl_size k = 0; k < chunks_of(c); k++) c->part[k].top = p->m;
}

INLINE row_shift plain_shift(const xent *c, const plain_state *p, fl_size i) {
  const real top = c->part[i / ROW_CHUNK].top;
  return p->joint ? p->shift : shift_of(top >= -REAL_MAX ? top : R(0.0), R(0.0));
}

/* First pass, the chunk x from class i on: exponentials to e, and their sum without the target's. A chunk with +inf is left
 * as it is. */
static UNUSED void plain_chunk(const xent *c, fl_size target, const plain_state *p, fl_size i, const real *x, real *e,
                               xent_work *work) {
  const fl_size n = chunk_length(c->classes, i);
  plain_part *part = &c->part[i / ROW_CHUNK];
  if (i > 0 && !p->joint) part->top = max_chunk(n, x);
  part->hi = part->lo = 0.0;
  if (part->top > REAL_MAX) return;
  xent_exp_sum(c, n, x, target - i, plain_shift(c, p, i), e, work, &part->hi, &part->lo);
}

/* 2^n, a normal number. */
INLINE double power_of_two(double n) { return double_of((uint64_t)(1023 + (int)n) << 52); }

/* The factors by which an exponential with the shift of part->top is to be multiplied for that of m >= top: 2^n, or 2^n e^d
 * where one of the two is beyond EXP_BASE and the other not. */
ONCE void weigh_part(plain_part *part, real m) {
  part->weight = part->more = 1.0;
  if (part->top == m) return;
  part->weight = 0.0;
  if (part->top < -REAL_MAX) return;
  const row_shift own = shift_of(part->top, R(0.0)), common = shift_of(m, R(0.0));
  const double d = (double)own.base - (double)common.base;
  double n = (double)(common.magic - own.magic), rest;
  const double size = n * 0.6931 + d;
  if (size < -1400.0) return;
  if (size < -600.0) {
    n += 1000.0;
    part->more = 0x1p-1000;
  }
  if (d == 0.0) {
    part->weight = power_of_two(n);
    return;
  }
  /* d + n ln 2 in two words, the second below half a unit of the first; ln 2 in two as well, the first of 29 bits */
  double x = d, low = 0.0;
  pair_add(&x, &low, n * 0x1.62e42ffp-1, n * -0x1.718432a1b0e26p-35);
  x = double_fast_sum(x, low, &rest);
  part->weight = double_exp(x, rest);
}

/* A chunk's factor and its weight in one: *whole; 0 where that is no normal number, though its multiples may be some. A
 * float kernel has all it needs in a double. */
INLINE int one_factor(const plain_part *part, double factor, double *whole) {
  const int alone = part->weight == 0.0 || (part->weight == 1.0 && part->more == 1.0);
  *whole = factor * part->weight * part->more;
  return FASTLOSS_REAL_BITS == 32 || alone || fabs(*whole) >= DBL_MIN;
}

static UNUSED void scale_by_part(fl_size n, const plain_part *part, real *e) {
  scale_chunk(n, e, part->weight, e);
  scale_chunk(n, e, part->more, e);
}

/* The row's only +inf, where the first pass has left every chunk with one as it was; -1 beside another one or a NaN. */
RARE fl_size plain_infinity(const xent *c, const xent_row *row, const plain_state *p) {
  fl_size at = -1;
  if (p->joint) return single_infinity(c->classes, row->x, 1);
  for (fl_size i = 0; i < c->classes; i += ROW_CHUNK) {
    const plain_part *part = &c->part[i / ROW_CHUNK];
    if (part->top > REAL_MAX) {
      fl_size k = single_infinity(chunk_length(c->classes, i), row->x + i, 1);
      if (k < 0 || at >= 0) return -1;
      at = i + k;
    } else if (part->hi != part->hi) {
      return -1;
    }
  }
  return p->logit_y == p->logit_y ? at : -1;
}

/* The value, from the sums of all chunks. 0 where there is no finite maximum and that was all. */
static UNUSED int plain_value(const xent *c, const xent_row *row, plain_state *p, double *value) {
  double hi = 0.0, lo = 0.0;
  real m_low, y_low;
  if (!plain_top(c, p)) {
    *value = infinite_row(c, plain_infinity(c, row, p), NULL, 0, NULL, 0, row->target, row->scale, row->g, 1, row->h, 1);
    return 0;
  }
  for (fl_size k = 0; k < chunks_of(c); k++) {
    plain_part *part = &c->part[k];
    weigh_part(part, p->m);
    pair_add(&hi, &lo, part->hi * part->weight * part->more, part->lo * part->weight * part->more);
  }
  const real m = mapped_logit(c, p->m, &m_low), y = mapped_logit(c, p->logit_y, &y_low);
  if (!p->joint) p->shift = shift_of(m, m_low);
  p->e_y = exp_shifted_low(y, y_low, p->shift);
  p->e_m = exp_shifted_low(m, m_low, p->shift);
  p->gap = map_gap(&c->map, p->m, p->logit_y, m, m_low, y, y_low);
  p->scale = row->scale * weight_of(c, row->target) * c->map.slope;
  p->rest = hi + lo;
  double log_others;
  const double others = plain_others(p->rest, (double)p->e_y, (double)p->e_m, p->gap);
  p->sum = sum_and_log(hi, lo, (double)p->e_y, others, (double)p->e_m, &log_others);
  p->factor = quotient(p->scale, p->sum);
  *value = weight_of(c, row->target) * (p->gap + log_others);
  return 1;
}

/* Second pass, the chunk from class i on, from its exponentials; g may be e. */
ONCE void plain_gradient(const xent *c, fl_size target, const plain_state *p, fl_size i, const real *e, real *g) {
  const fl_size n = chunk_length(c->classes, i), y = target - i;
  const plain_part *part = &c->part[i / ROW_CHUNK];
  double whole;
  if (one_factor(part, p->factor, &whole)) {
    scale_chunk(n, e, whole, g);
  } else {
    scale_chunk(n, e, p->factor, g); /* first: it may be large */
    scale_by_part(n, part, g);
  }
  if (y >= 0 && y < n) g[y] = (real)(0.0 - quotient(p->scale * p->rest, p->sum));
}

/* The first class whose exponential is that of the maximum, or the row's end. */
static UNUSED fl_size plain_find_top(const xent *c, const xent_row *row, const plain_state *p) {
  for (fl_size i = 0; i < c->classes; i += ROW_CHUNK) {
    const fl_size n = chunk_length(c->classes, i), k = c->part[i / ROW_CHUNK].top == p->m ? row_find(n, row->g + i, p->e_m) : n;
    if (k < n) return i + k;
  }
  return c->classes;
}

/* The sum over a row of exponentials, all finite, whose element `without` counts 0; part NULL: all have the same shift. */
static UNUSED double sum_without(const plain_part *part, fl_size n, real *e, fl_size without) {
  double hi = 0.0, lo = 0.0, part_hi, part_lo;
  const real kept = e[without];
  e[without] = R(0.0);
  for (fl_size i = 0; i < n; i += ROW_CHUNK) {
    const double weight = part ? part[i / ROW_CHUNK].weight * part[i / ROW_CHUNK].more : 1.0;
    sum_block(chunk_length(n, i), e + i, &part_hi, &part_lo);
    pair_add(&hi, &lo, part_hi * weight, part_lo * weight);
  }
  e[without] = kept;
  return hi + lo;
}

static UNUSED void plain_hessian(const xent *c, const xent_row *row, const plain_state *p, xent_work *work) {
  /* 1 - p cancels at the maximum, unless it is computed as the sum of the others */
  const fl_size n = c->classes, y = row->target;
  const double slope = c->map.slope, curve = p->scale * slope;
  double hess_y = quotient(curve * quotient((double)p->e_y * p->rest, p->sum), p->sum), hess_k = hess_y;
  fl_size k = y;
  if (p->e_y != p->e_m) {
    real low, logit = mapped_logit(c, p->logit_y, &low);
    k = plain_find_top(c, row, p);
    row->g[y] = exp_shifted_low(logit, low, plain_shift(c, p, y));
    if (k < n) {
      hess_k = quotient(curve * quotient((double)p->e_m * sum_without(c->part, n, row->g, k), p->sum), p->sum);
    } else {
      k = y; /* only in a row of NaN */
    }
  }
  const double inverse = quotient(1.0, p->sum);
  for (fl_size i = 0; i < n; i += ROW_CHUNK) {
    const fl_size length = chunk_length(n, i);
    const plain_part *part = &c->part[i / ROW_CHUNK];
    const real share = (real)(inverse * part->weight * part->more);
    double whole;
    const int one = one_factor(part, slope * p->factor, &whole);
    const double lift = one && fabs(whole) < (double)REAL_MIN ? 0x1p60 : 1.0; /* as in scale_chunk */
    hess_chunk(length, row->g + i, share, (real)(one ? whole * lift : slope * p->factor), work->e);
    if (lift != 1.0) scale_chunk(length, work->e, 0x1p-60, work->e);
    if (!one) scale_by_part(length, part, work->e);
    plain_gradient(c, row->target, p, i, row->g + i, row->g + i);
    memcpy(row->h + i, work->e, (size_t)length * sizeof(real));
  }
  row->h[y] = (real)hess_y;
  row->h[k] = (real)hess_k;
}

/* Of a long row, which is read but once: with what is to be written, 0.8 to 0.9 of the time (512 x 32000, one thread). */
INLINE fetch_ahead plain_ahead(const xent_row *row) {
  fetch_ahead ahead = {4 * ROW_CHUNK, row->g && row->g != row->x ? 4 * ROW_CHUNK : 0, 0};
  return ahead;
}

static UNUSED double plain_row(const xent *options, const xent_row *row, xent_work *work) {
  xent c = *options;
  plain_state p = plain_begin(&c, row->x, row->x[row->target]);
  double value;
  int finite = 1;
  if (c.ahead.read && !p.joint && c.classes > 2 * ROW_CHUNK) c.ahead = plain_ahead(row);
  for (fl_size i = 0; p.joint && i < c.classes; i += ROW_CHUNK) plain_max(&c, row, i);
  if (p.joint && (finite = plain_top(&c, &p))) plain_join(&c, &p);
  for (fl_size i = 0; finite && i < c.classes; i += ROW_CHUNK)
    plain_chunk(&c, row->target, &p, i, row->x + i, row->g ? row->g + i : work->e, work);
  if (!plain_value(&c, row, &p, &value)) return value;
  if (row->h) plain_hessian(&c, row, &p, work);
  for (fl_size i = 0; row->g && !row->h && i < c.classes; i += ROW_CHUNK)
    plain_gradient(&c, row->target, &p, i, row->g + i, row->g + i);
  return value;
}

/* ---- One row, shared out ---- */

typedef struct {
  xent c;
  xent_row row;
  plain_state state;
} shared_row;

static UNUSED size_t shared_row_bytes(fl_size classes) { return sizeof(shared_row) + plain_part_bytes(classes); }

static UNUSED int shared_begin(const fl_xent *options, const void *x, int64_t target, double scale, void *grad, void *shared) {
  shared_row *r = shared;
  xent_row row = {x, NULL, (fl_size)target, scale, grad, NULL};
  r->c = make_xent(options);
  r->c.part = (plain_part *)(r + 1);
  r->row = row;
  r->state = plain_begin(&r->c, row.x, row.x[row.target]);
  if (!r->state.joint) r->c.ahead = plain_ahead(&row);
  return r->state.joint;
}

static UNUSED void shared_max(const void *shared, fl_size chunk) {
  const shared_row *r = shared;
  plain_max(&r->c, &r->row, chunk * ROW_CHUNK);
}

static UNUSED int shared_join(void *shared) {
  shared_row *r = shared;
  if (!plain_top(&r->c, &r->state)) return 0;
  plain_join(&r->c, &r->state);
  return 1;
}

static UNUSED void shared_chunk(const void *shared, fl_size chunk, void *scratch) {
  const shared_row *r = shared;
  const fl_size i = chunk * ROW_CHUNK;
  xent_work *work = scratch;
  plain_chunk(&r->c, r->row.target, &r->state, i, r->row.x + i, r->row.g ? r->row.g + i : work->e, work);
}

static UNUSED int shared_value(void *shared, double *value) {
  shared_row *r = shared;
  return plain_value(&r->c, &r->row, &r->state, value);
}

static UNUSED void shared_gradient(const void *shared, fl_size chunk) {
  const shared_row *r = shared;
  real *g = r->row.g + chunk * ROW_CHUNK;
  plain_gradient(&r->c, r->row.target, &r->state, chunk * ROW_CHUNK, g, g);
}

#endif
