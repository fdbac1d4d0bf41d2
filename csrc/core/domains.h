/* Whether the elements of a block may be what they are: targets and predictions in the domain of a loss (FL_SIGN ...),
 * weights finite and not negative. Which element is bad is found in Python.
 */
#ifndef FASTLOSS_DOMAINS_H
#define FASTLOSS_DOMAINS_H

#include "../fastloss.h"
#include "real.h"

/* The tests are written so that a NaN fails FL_SIGN and passes the others. */
static int check_block(int domain, fl_size n, const void *value) {
  const real *v = value;
  ireal bad = 0;
  if (domain == FL_UNIT_INTERVAL) {
    /* as integers, +0 to 1 are the smallest; what is left is -0, a NaN, or bad */
    for (fl_size i = 0; i < n; i++) bad |= bits_of(v[i]) > bits_of(R(1.0));
    if (!bad) return 1;
    bad = 0;
    for (fl_size i = 0; i < n; i++) bad |= (v[i] < R(0.0)) | (v[i] > R(1.0));
  } else if (domain == FL_NON_NEGATIVE) {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) bad |= v[i] < R(0.0);
  } else if (domain == FL_POSITIVE) {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) bad |= v[i] <= R(0.0);
  } else if (domain == FL_SIGN) {
    VECTOR_LOOP
    for (fl_size i = 0; i < n; i++) bad |= (abs_(v[i]) != R(1.0));
  }
  return !bad;
}

/* The same of elements of a half type, by their bits: what is good in every domain is a run of numbers, but for -0 and
 * NaN, which a second pass tells from what is bad. (One pass for all of it took an eighth of cross-entropy's time.) */
static int check_halves(int bfloat16, int domain, fl_size n, const void *value) {
  const unsigned one = bfloat16 ? 0x3f80 : 0x3c00, infinity = bfloat16 ? 0x7f80 : 0x7c00;
  const uint16_t mask = domain == FL_SIGN ? 0x7fff : 0xffff, flip = domain == FL_SIGN ? (uint16_t)one : 0;
  const uint16_t less = domain == FL_POSITIVE;
  const unsigned last = domain == FL_SIGN ? 0 : domain == FL_UNIT_INTERVAL ? one : infinity - less;
  const char *v = value;
  uint16_t largest = 0;
  unsigned bad = 0;
  for (fl_size i = 0; i < n; i++) {
    uint16_t h;
    memcpy(&h, v + 2 * i, sizeof h);
    h = (uint16_t)(((h & mask) ^ flip) - less);
    largest = h > largest ? h : largest;
  }
  if (largest <= last || domain == FL_SIGN) return largest <= last;
  for (fl_size i = 0; i < n; i++) {
    uint16_t h;
    memcpy(&h, v + 2 * i, sizeof h);
    const unsigned magnitude = h & 0x7fffu, negative = h > 0x8000u;
    unsigned out = 0;
    if (domain == FL_UNIT_INTERVAL) out = negative | (magnitude > one);
    else if (domain == FL_NON_NEGATIVE) out = negative;
    else if (domain == FL_POSITIVE) out = negative | (magnitude == 0);
    bad |= out & (magnitude <= infinity);
  }
  return !bad;
}

/* Whether the targets of a sum kernel are all -1 or +1. */
static UNUSED int check_signs(int halves, fl_size n, const void *t) {
  if (halves & FL_HALF_TARGET) return check_halves(halves & FL_BFLOAT16, FL_SIGN, n, t);
  return check_block(FL_SIGN, n, t);
}

static int check_weight_block(fl_size n, const void *weight) {
  const real *w = weight;
  ireal bad = 0;
  VECTOR_LOOP
  for (fl_size i = 0; i < n; i++) bad |= !((w[i] >= R(0.0)) & (w[i] <= REAL_MAX));
  return !bad;
}

#endif
