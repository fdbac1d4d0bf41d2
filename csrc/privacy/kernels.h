/* The privacy kernels of one target, as the initialiser of its table. */
#ifndef FASTLOSS_PRIVACY_H
#define FASTLOSS_PRIVACY_H

#include "clip.h"
#include "grid.h"
#include "noise.h"

#define PRIVACY_KERNELS                                                                                       \
  {                                                                                                           \
    .chacha20 = chacha20, .gaussian = gaussian, .gaussian_add = gaussian_add, LAPLACE_KERNELS                 \
    .clip_sums = clip_sums, .clip_factors = clip_factors, .clip_factor = clip_factor, .clip_add = clip_add,   \
    .clip_finish = clip_finish, DISCRETE_KERNELS .grid_add = grid_add, .grid_finish = grid_finish,            \
  }

#endif
