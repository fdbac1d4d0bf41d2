/* The kernels for float32 on neon; setup.py compiles this file with that target's flags. */
#define FASTLOSS_REAL_BITS 32
#define FASTLOSS_TABLE fl_neon_f32
#include "../kernels.inc.h"
