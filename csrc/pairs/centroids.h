/* GE2E: sums of a speaker's utterances, one left out or none, and gradients back through them. For the table of
 * doubles alone. */
#ifndef FASTLOSS_PAIRS_CENTROIDS_H
#define FASTLOSS_PAIRS_CENTROIDS_H

#include "rows.h"

/* A speaker's scale is a power of two, so that sums neither overflow nor vanish; cosines don't see it. Sums over the others
 * are made from both ends: nothing is subtracted again. */
static void centroid_sums(fl_size speakers, fl_size utterances, fl_size columns, double *x, double *others, double *whole,
                          double *scale) {
  for (fl_size k = 0; k < speakers; k++, x += utterances * columns, others += utterances * columns, whole += columns) {
    const fl_size last = (utterances - 1) * columns;
    scale[k] = row_unit(utterances * columns, x);
    VECTOR_LOOP
    for (fl_size i = 0; i < utterances * columns; i++) x[i] *= scale[k];
    for (fl_size i = 0; i < columns; i++) others[i] = whole[i] = 0.0;
    for (fl_size n = 1; n < utterances; n++) { /* counted, as columns may be 0 */
      const fl_size u = n * columns;
      for (fl_size i = 0; i < columns; i++) others[u + i] = others[u - columns + i] + x[u - columns + i];
    }
    for (fl_size n = utterances - 1; n > 0; n--) {
      const fl_size u = n * columns;
      for (fl_size i = 0; i < columns; i++) {
        whole[i] += x[u + i];
        others[u - columns + i] += whole[i];
      }
    }
    for (fl_size i = 0; i < columns; i++) whole[i] = others[last + i] + x[last + i];
  }
}

static void centroid_gradients(fl_size speakers, fl_size utterances, fl_size columns, const double *others,
                               const double *whole, const double *scale, double *gradient) {
  for (fl_size k = 0; k < speakers; k++, others += utterances * columns, whole += columns, gradient += utterances * columns)
    for (fl_size i = 0; i < columns; i++) {
      double sum = 0.0;
      for (fl_size u = 0; u < utterances; u++) sum += others[u * columns + i];
      for (fl_size u = 0; u < utterances; u++) {
        double *to = gradient + u * columns + i;
        *to = ((*to + (sum - others[u * columns + i])) + whole[i]) * scale[k];
      }
    }
}

#endif
