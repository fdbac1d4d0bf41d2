# The C interface, handed out to other extension modules (FASTLOSS_CAPSULE of fastloss_kernels.h). Included in _core.pyx.

from fastloss._version import __version__

cdef extern from "c_api.h" nogil:
    ctypedef struct fastloss_api:
        const char *version
    enum:
        FASTLOSS_PARAMETERS
    fastloss_api fl_c_api
    void fl_c_api_defaults(int, int, const double *, int)

cdef bytes c_api_version = __version__.encode()  # the table points to its characters
fl_c_api.version = c_api_version
_C_API = PyCapsule_New(&fl_c_api, b"fastloss._core._C_API", NULL)


cdef int c_api_defaults(int number, tuple defaults, tuple numbers) except -1:
    """Tells the C interface what a pointwise loss's parameters are where they are not given."""
    cdef double values[FASTLOSS_PARAMETERS]
    cdef int k, n = len(numbers)
    if n > FASTLOSS_PARAMETERS:
        raise ValueError(f"{n} default parameters of a loss; the C interface has room for {FASTLOSS_PARAMETERS}")
    for k in range(n):
        values[k] = numbers[k]
    fl_c_api_defaults(number, n, values, any(type(p) is tuple for p in defaults))
    return 0
