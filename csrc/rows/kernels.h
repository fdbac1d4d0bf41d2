/* The row kernels, and their part of the kernel table. */
#ifndef FASTLOSS_ROWS_KERNELS_H
#define FASTLOSS_ROWS_KERNELS_H

#include "softmax_activations.h"
#include "softmax_xent.h"
#include "softmax_xent_halves.h"

#define ROW_KERNELS                                   \
  {                                                   \
    .cross_entropy_scratch = cross_entropy_scratch,   \
    .cross_entropy = cross_entropy,                   \
    HALF_ROW_KERNELS                                  \
    .shared_row_bytes = shared_row_bytes,             \
    .shared_begin = shared_begin,                     \
    .shared_max = shared_max,                         \
    .shared_join = shared_join,                       \
    .shared_chunk = shared_chunk,                     \
    .shared_value = shared_value,                     \
    .shared_gradient = shared_gradient,               \
    .softmax_scratch = softmax_scratch,               \
    .softmax = softmax_rows,                          \
    .log_softmax = log_softmax_rows,                  \
    .logsumexp = logsumexp_rows,                      \
  }

#endif
