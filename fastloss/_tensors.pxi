# Tensors of torch as the quick ways meet them: where they lie, without an array in between. Included in _core.pyx.

# Axes and bytes of a tensor that is met here. The gradient of a larger one is an array, in pages that are there already
# (LARGE_RESULT).
cdef enum:
    TENSOR_AXES = 6
    TENSOR_BYTES = 8 * 1024 * 1024 - 1

# Of each dtype the buffer format and the bytes of an element, and torch.empty_like. fastloss.torch names them; nothing
# here imports torch.
cdef dict tensor_types = {}
cdef object empty_tensor_like = None


def know_tensors(dict formats, like):
    """Take the buffer formats of torch's dtypes, as bytes, and torch.empty_like."""
    global empty_tensor_like
    empty_tensor_like = like
    for dtype, form in formats.items():
        tensor_types[dtype] = (form, dtype.itemsize)


cdef class TensorView:
    """A dense contiguous tensor on the CPU, not large, in the place of an array: in 0.66 of the time of tensor.numpy(),
    and 0.45 where the caches are cold.

    ``fits`` says whether it is one."""

    cdef readonly object tensor
    cdef Py_buffer buffer  # of no object: there is nothing to release
    cdef Py_ssize_t dims[2 * TENSOR_AXES]  # shape, strides
    cdef readonly bint fits

    def __cinit__(self, tensor):
        self.tensor = tensor
        self.fits = False
        try:
            self.describe(tensor)
        except RuntimeError:  # of a tensor without plain memory: sparse, wrapped, nested ...
            pass

    cdef int describe(self, object tensor) except -1:
        cdef Py_buffer *b = &self.buffer
        cdef Py_ssize_t size
        cdef int k
        cdef tuple known = tensor_types.get(tensor.dtype)
        shape = tensor.shape
        b.ndim = <int>len(shape)
        if known is None or b.ndim > TENSOR_AXES or not tensor.is_cpu or not tensor.is_contiguous() or tensor.is_neg():
            return 0
        b.format = <char *>known[0]  # which the dictionary keeps
        b.itemsize = size = known[1]
        b.shape = self.dims
        b.strides = self.dims + TENSOR_AXES
        for k in range(b.ndim - 1, -1, -1):
            b.strides[k] = size
            b.shape[k] = shape[k]
            size *= b.shape[k]
        if size > TENSOR_BYTES:
            return 0
        b.len = size
        b.buf = <void *><uintptr_t>tensor.data_ptr()
        self.fits = b.buf != NULL
        return 0


cdef inline bint is_buffer(object array) noexcept:
    """Whether a quick way takes this: an array, no subclass of it, or a tensor's memory."""
    return type(array) is ndarray or (type(array) is TensorView and (<TensorView>array).fits)
