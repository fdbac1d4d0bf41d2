/* Softcap and temperature: a(x) = cap tanh(x / cap) / T, its value as a pair of reals and its two derivatives.
 *
 * a goes into an exponential, where its rounding error would be multiplied by |a|: so it is kept as high + low, good to
 * about 2^-10 ULP of high. An infinite x passes the cap unchanged (slope 1 / T); a finite x stays finite.
 */
#ifndef FASTLOSS_LOGIT_MAP_H
#define FASTLOSS_LOGIT_MAP_H

#include "softmax.h"

typedef struct {
  int on, capped;
  real gain, gain_low;       /* 1 / T, or cap / T with a cap */
  real inv_cap, inv_cap_low; /* 1 / cap */
  real offset;               /* without a cap: a((x - offset)), see set_offset() */
  double slope;              /* 1 / T */
} logit_map;

INLINE void split_double(double x, real *high, real *low) {
  *high = (real)x;
  *low = (real)(x - (double)*high);
}

/* x high - y, what y = x high rounds away, also where there is no FMA: exact unless a part of the product leaves the
 * range of normal numbers, and never NaN beside a finite y. */
INLINE real rest_of_product(real x, real high, real y) {
#if HAVE_FMA
  return fma_(x, high, -y);
#elif FASTLOSS_REAL_BITS == 32
  return (real)((double)x * (double)high - (double)y);
#else
  /* Dekker: both factors in halves of 26 bits; splitting beyond 2^996 overflows, where nobody needs the error. */
  real a = x * 0x1.0000002p27, b = high * 0x1.0000002p27;
  real x1 = a - (a - x), x2 = x - x1, high1 = b - (b - high), high2 = high - high1;
  real e = ((x1 * high1 - y) + x1 * high2 + x2 * high1) + x2 * high2;
  return e == e ? e : R(0.0);
#endif
}

/* n - q d, small because q is nearly the quotient. */
INLINE real remainder_of(real n, real q, real d) {
#if HAVE_FMA
  return fma_(-q, d, n);
#else
  real y = q * d;
  return (n - y) - rest_of_product(q, d, y);
#endif
}

/* 1 / d and what the quotient leaves: exact enough for a pair of doubles too. */
INLINE void split_quotient(double n, double d, real *high, real *low) {
  double q = n / d;
#if FASTLOSS_REAL_BITS == 64
  *high = q;
  *low = remainder_of(n, q, d) / d;
#else
  split_double(q, high, low);
#endif
}

/* Both parameters are rounded to the real type: that is what they are worth there. cap 0: none. */
static UNUSED logit_map make_logit_map(double temperature, double cap) {
  logit_map map = {0, 0, R(1.0), R(0.0), R(0.0), R(0.0), R(0.0), 1.0};
  double t = (double)(real)temperature, c = (double)(real)cap;
  map.capped = c > 0.0;
  map.on = map.capped || t != 1.0;
  map.slope = 1.0 / t;
  split_quotient(map.capped ? c : 1.0, t, &map.gain, &map.gain_low);
  if (map.capped) split_quotient(1.0, c, &map.inv_cap, &map.inv_cap_low);
  return map;
}

/* x (high + low) as a product and what it rounds away. */
INLINE real times_pair(real x, real high, real low, real *rest) {
  real y = x * high;
  *rest = rest_of_product(x, high, y) + x * low;
  return y;
}

/* A finite product stays finite, an infinite one has nothing below it. */
INLINE real finite_pair(real x, real y, real *low) {
  int over = abs_(y) > REAL_MAX;
  *low = over ? R(0.0) : *low;
  real bounded = abs_(x) > REAL_MAX ? x : copysign_(REAL_MAX, x);
  return over ? bounded : y;
}

/* Far from 0, m / T and x / T would overflow, or cancel: there the row's maximum m is subtracted first, which is exact
 * for every x that is not too far below it to matter (EXP_SPAN T < |m| / 2, Sterbenz), and a(m) becomes 0. */
INLINE void set_offset(logit_map *map, real m) {
  int far = map->on && !map->capped && fabs((double)m) * map->slope > (double)EXP_BASE;
  map->offset = far ? m : R(0.0);
}

INLINE real map_temperature(logit_map map, real x, real *low) {
  real d = x - map.offset; /* <= 0 where there is an offset */
  d = (abs_(d) > REAL_MAX) & (abs_(x) <= REAL_MAX) ? -REAL_MAX : d;
  real y = times_pair(d, map.gain, map.gain_low, low);
  return finite_pair(d, y, low);
}

/* a(m) - a(x) of two of the row's logits, m the larger, in double: finite in a float kernel whatever they are. */
INLINE double map_gap(const logit_map *map, real m, real x, real a, real a_low, real b, real b_low) {
  if (map->offset != R(0.0)) return 2.0 * ((0.5 * (double)m - 0.5 * (double)x) * map->slope);
  return ((double)a - (double)b) + ((double)a_low - (double)b_low);
}

/* tanh as in core/math.h, with the part below its last bit: so the clamp lies where tanh is 1 in that part too. */
INLINE real map_capped(logit_map map, real x, real *low) {
  real ul, v = times_pair(x, map.inv_cap, map.inv_cap_low, &ul), u = finite_pair(x, v, &ul);
  real l, h = half_expm1_low_(max_(R(2.0) * EXPM1_LOWEST, R(-2.0) * abs_(u)), &l);
  real d = R(1.0) + h, dl = (h - (d - R(1.0))) + l;
  real w = R(1.0) / d, q = h * w;
  real step = w * (remainder_of(h, q, d) + (l - q * dl));
  real t = q + step, tl = step - (t - q);
  real signed_low = (x < R(0.0) ? tl : -tl); /* h is negative */
  t = copysign_(t, x);
  tl = fma_(ul, fma_(-t, t, R(1.0)), signed_low);
  real al, a = times_pair(t, map.gain, map.gain_low, &al);
  al = fma_(tl, map.gain, al);
  int infinite = abs_(x) > REAL_MAX;
  *low = infinite ? R(0.0) : al;
  return infinite ? x : a;
}

INLINE real map_logit(const logit_map *map, real x, real *low) {
  if (map->capped) return map_capped(*map, x, low);
  return map_temperature(*map, x, low);
}

static UNUSED void map_chunk(const logit_map *map_, fl_size n, const real *x, real *high, real *low) {
  const logit_map map = *map_;
  if (map.capped) {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) { real l; high[i] = map_capped(map, x[i], &l); low[i] = l; }
  } else {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) { real l; high[i] = map_temperature(map, x[i], &l); low[i] = l; }
  }
}

/* a' / slope = 1 - tanh^2 = 4 E / (1 + E)^2 with E = e^(-2|x|/cap), which keeps its relative accuracy where tanh is 1;
 * *second = a'' / slope. */
INLINE real capped_slope(logit_map map, real x, real *second) {
  real ul, v = times_pair(x, map.inv_cap, map.inv_cap_low, &ul), u = finite_pair(x, v, &ul);
  real e = exp_nonpositive_(R(-2.0) * abs_(u));
  e = fma_(e, R(-2.0) * (u < R(0.0) ? -ul : ul), e);
  /* (1 + e)^2 with the rounding of 1 + e put back: squaring it would double it */
  real d = R(1.0) + e, d_low = e - (d - R(1.0));
  real first = R(4.0) * e / fma_(d, d, R(2.0) * d * d_low);
  int infinite = abs_(x) > REAL_MAX;
  *second = infinite ? R(0.0) : R(-2.0) * map.inv_cap * tanh_(u) * first;
  return infinite ? R(1.0) : first;
}

/* From derivatives with respect to a to those with respect to x: grad *= a', hess = a'^2 hess + a'' grad. The factors
 * slope of grad and slope^2 of hess are in them already, hence a'' / slope here. hess may be NULL. */
static UNUSED void map_derivatives_chunk(const logit_map *map_, fl_size n, const real *x, real *grad, real *hess) {
  const logit_map map = *map_;
  if (hess) {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) {
      real second, first = capped_slope(map, x[i], &second), g = grad[i];
      hess[i] = fma_(first * first, hess[i], second * g);
      grad[i] = first * g;
    }
  } else {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) {
      real second, first = capped_slope(map, x[i], &second);
      grad[i] *= first;
    }
  }
}

#endif
