/* The kernels for float64 on baseline; setup.py compiles this file with that target's flags. */
#define FASTLOSS_REAL_BITS 64
#define FASTLOSS_TABLE fl_baseline_f64
#include "../kernels.inc.h"
