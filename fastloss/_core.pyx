# distutils: language = c
"""The one extension module: drivers over the C kernels of csrc/.

Shapes, strides, blocks, threads and the order in which partial sums are added live here; no
formula does (those are in csrc/), and no argument error text (that is fastloss/_arguments.py).
Arrays of any layout are taken through the buffer protocol once and described to C as operands;
everything with a fixed shape (rows, slots, norms) is a typed memoryview.
"""

from contextvars import ContextVar

from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_STRIDES,
    PyBUF_WRITABLE,
    PyBuffer_IsContiguous,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.pycapsule cimport PyCapsule_New
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, isfinite, isinf
from libc.stdint cimport SIZE_MAX, int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset, strcmp, strstr

import os

import numpy as np

from fastloss._half import BFLOAT16, half_name

include "_kernels.pxi"
include "_threads.pxi"
include "_tensors.pxi"
include "_operands.pxi"
include "_pages.pxi"
include "_numbers.pxi"
include "_pointwise.pxi"
include "_weights.pxi"
include "_elementwise.pxi"
include "_rows.pxi"
include "_cross_entropy.pxi"
include "_row_losses.pxi"
include "_quick_rows.pxi"
include "_softmax.pxi"
include "_pairs.pxi"
include "_quick_pairs.pxi"
include "_unit.pxi"
include "_few.pxi"
include "_quick_few.pxi"
include "_noise.pxi"
include "_clip.pxi"
include "_quick_clip.pxi"
include "_integers.pxi"
include "_c_api.pxi"
