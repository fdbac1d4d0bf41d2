/* The kernels for float64 on avx512; setup.py compiles this file with that target's flags. */
#define FASTLOSS_REAL_BITS 64
#define FASTLOSS_TABLE fl_avx512_f64
#include "../kernels.inc.h"
