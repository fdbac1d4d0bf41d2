# Arrays as the kernels meet them: buffers, element types, layouts, and sums as (hi, lo) pairs. Included in _core.pyx.

cdef enum:
    X, TARGET, AUX, WEIGHT, UPSTREAM, INPUTS  # operands that are read
    VALUE = INPUTS, GRAD, HESS, OPERANDS      # operands that are written

cdef object ndarray = np.ndarray
cdef object empty_like = np.empty_like
cdef object bfloat16_bits = BFLOAT16
# A package's bfloat16, which exports no buffers, in those of open_buffer(): of another format, so that is_plain() tells
# it from the type above, as the checks of arguments do.
cdef object bfloat16_of_a_package = np.dtype([("package_bfloat16", np.uint16)])


cdef object readable(object array):
    """The array, its bfloat16 under a name that buffers know."""
    dtype = array.dtype
    return array.view(bfloat16_bits) if dtype.kind == "V" and dtype.names is None else array


cdef class Buffers:
    """The buffers of one call, released together."""
    cdef Py_buffer buffer[OPERANDS]
    cdef int count

    def __cinit__(self):
        self.count = 0

    def __dealloc__(self):
        for k in range(self.count):
            PyBuffer_Release(&self.buffer[k])

    cdef int describe(self, object array, fl_operand *operand, int bits, bint writable) except -1:
        """Describes an array as an operand; None becomes an absent one."""
        cdef Py_buffer *b = &self.buffer[self.count]
        cdef int k
        if array is None:
            operand.data = NULL
            return 0
        PyObject_GetBuffer(readable(array), b, PyBUF_STRIDES | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0))
        self.count += 1
        operand.type = type_of(b)
        if operand.type < 0:
            raise TypeError(f"no kernel reads elements of format {b.format.decode()!r}")
        operand.data = <char *>b.buf
        operand.ndim = b.ndim
        for k in range(b.ndim):
            operand.shape[k] = b.shape[k]
            operand.stride[k] = b.strides[k]
        fl_operand_finish(operand, bits)
        return 0


cdef bint open_buffer(Buffers buffers, object array, bint writable) except -1:
    """Whether an array's buffer could be added to the others."""
    cdef int flags = PyBUF_STRIDES | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0)
    if type(array) is TensorView:
        buffers.buffer[buffers.count] = (<TensorView>array).buffer
        buffers.count += 1
        return True
    try:
        PyObject_GetBuffer(array, &buffers.buffer[buffers.count], flags)
    except (ValueError, BufferError):
        if half_name(array.dtype) != "bfloat16" or (writable and not array.flags.writeable):
            return False
        PyObject_GetBuffer(array.view(bfloat16_of_a_package), &buffers.buffer[buffers.count], flags)
    buffers.count += 1
    return True


cdef int type_of(const Py_buffer *b) noexcept nogil:
    """The element type of a native buffer, -1 if there is none. A prefix tells of alignment only."""
    cdef const char *f = b.format
    cdef bint known
    cdef char c
    if f == NULL:
        return FL_U8
    while f[0] == c'=' or f[0] == c'@' or f[0] == c'^' or f[0] == c'<':
        f += 1
    if f[0] == c'T':  # BFLOAT16: T{H:bfloat16:}, or with the prefix of unaligned memory
        known = strstr(f, "H:bfloat16:}") != NULL or strstr(f, "H:package_bfloat16:}") != NULL
        return FL_BF16 if b.itemsize == 2 and known else -1
    if f[0] == 0 or f[1] != 0:
        return -1
    c = f[0]
    if c == c'f':
        return FL_F32
    if c == c'd':
        return FL_F64
    if c == c'e':
        return FL_F16
    if c == c'?':
        return FL_BOOL
    if c == c'b' or c == c'h' or c == c'i' or c == c'l' or c == c'q':
        return FL_I8 if b.itemsize == 1 else FL_I16 if b.itemsize == 2 else FL_I32 if b.itemsize == 4 else FL_I64
    if c == c'B' or c == c'H' or c == c'I' or c == c'L' or c == c'Q':
        return FL_U8 if b.itemsize == 1 else FL_U16 if b.itemsize == 2 else FL_U32 if b.itemsize == 4 else FL_U64
    return -1


cdef inline bint is_half(int type) noexcept nogil:
    return type == FL_F16 or type == FL_BF16


cdef inline void add_pair(double *hi, double *lo, double more_hi, double more_lo) noexcept nogil:
    """(hi, lo) += (more_hi, more_lo), the rounding error of the sum going to lo (2Sum)."""
    cdef double s = hi[0] + more_hi
    cdef double b = s - hi[0]
    lo[0] += ((hi[0] - (s - b)) + (more_hi - b)) + more_lo
    hi[0] = s


cdef inline double pair_value(double hi, double lo) noexcept nogil:
    """hi + lo; the compensation of a sum that is infinite or NaN is NaN, and dropped."""
    return hi + lo if hi - hi == 0 else hi


cdef inline void plain_operand(fl_operand *operand, const Py_buffer *b, int type, Py_ssize_t size) noexcept nogil:
    """Describes an array that is_plain(): as one of one axis."""
    operand.data = <char *>b.buf
    operand.type = type
    operand.direct = not is_half(type)
    operand.halves = is_half(type)
    operand.ndim = 1
    operand.shape[0] = size
    operand.stride[0] = b.itemsize


cdef inline bint is_plain(const Py_buffer *b, const Py_buffer *like) noexcept nogil:
    """Aligned, C-contiguous, and of the same type and shape."""
    cdef Py_ssize_t stride = b.itemsize
    cdef int k
    if strcmp(b.format, like.format) or b.ndim != like.ndim or <uintptr_t>b.buf % stride:
        return False
    for k in range(b.ndim - 1, -1, -1):
        if b.shape[k] != like.shape[k] or (b.shape[k] != 1 and b.strides[k] != stride):
            return False
        stride *= b.shape[k]
    return True


cdef inline bint overlap(const Py_buffer *a, const Py_buffer *b) noexcept nogil:
    return <char *>a.buf < <char *>b.buf + b.len and <char *>b.buf < <char *>a.buf + a.len
