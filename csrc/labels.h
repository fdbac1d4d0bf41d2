/* Class labels of any integer type, by value. Knows nothing of losses. */
#ifndef FASTLOSS_LABELS_H
#define FASTLOSS_LABELS_H

#include "fastloss.h"

/* n labels of `type` (FL_I8 ... FL_U64), `stride` bytes apart, to int64; those equal to `ignore` become
 * -1. Returns the first that is neither ignored nor in [0, classes), or -1. No label is an index
 * before this has seen it. */
fl_size fl_load_labels(int type, fl_size n, const char *source, fl_size stride, int has_ignore, int64_t ignore,
                       fl_size classes, int64_t *labels);

#endif
