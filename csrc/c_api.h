/* The table that other extension modules import (fastloss/include/fastloss_kernels.h), and what Python tells it. */
#ifndef FASTLOSS_C_API_H
#define FASTLOSS_C_API_H

#define FASTLOSS_TYPES_ONLY
#include "fastloss_kernels.h"

extern fastloss_api fl_c_api;

/* The default parameters of a pointwise loss; open_ended where it takes any number of them, the first saying how many follow
 * the second (poly_loss). Call at import. */
void fl_c_api_defaults(int number, int parameters, const double *parameter, int open_ended);

#endif
