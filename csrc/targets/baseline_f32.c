/* The kernels for float32 on baseline; setup.py compiles this file with that target's flags. */
#define FASTLOSS_REAL_BITS 32
#define FASTLOSS_TABLE fl_baseline_f32
#include "../kernels.inc.h"
