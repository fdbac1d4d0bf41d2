# Numbers of the rows of a call: sample weights, upstream gradients and values of their own, read and written a tile at a
# time, in double for the row drivers whatever they are in memory. Included in _core.pyx.

# At most so many at a time, where the rows are not cut into tiles.
cdef enum:
    SCANNED = 2048


cdef struct Numbers:
    fl_operand operand
    const fl_kernels *kernels  # of the real type that they are rounded to on their way


cdef int describe_numbers(Buffers buffers, object array, Numbers *numbers, const fl_kernels *kernels,
                          bint writable) except -1:
    numbers.kernels = kernels
    return buffers.describe(array, &numbers.operand, kernels.bits, writable)


cdef int describe_values(Buffers buffers, object array, Numbers *numbers, const fl_kernels *kernels) except -1:
    """The values of a call: of its real type or a half type, or in double where more is made of them."""
    if array is not None and array.dtype.itemsize == 8:
        kernels = table_of(True)
    return describe_numbers(buffers, array, numbers, kernels, True)


cdef bint read_numbers(const Numbers *x, Py_ssize_t start, Py_ssize_t n, double *to) noexcept nogil:
    """n numbers from flat index `start` on; False, and nothing read, where there are none."""
    cdef const char *read = <const char *>fl_operand_read(&x.operand, x.kernels, start, n, to)
    cdef Py_ssize_t i
    cdef float number
    if read == NULL:
        return False
    if x.kernels.bits == 64:
        if read != <char *>to:
            memcpy(to, read, n * sizeof(double))
    else:
        for i in range(n - 1, -1, -1):  # from the end, as the floats may lie in the first half of `to`
            memcpy(&number, read + i * sizeof(float), sizeof(float))
            to[i] = number
    return True


cdef void write_numbers(const Numbers *x, Py_ssize_t start, Py_ssize_t n, double *values) noexcept nogil:
    """Rounds n values and stores them from flat index `start` on; `values` is spoilt."""
    cdef Py_ssize_t i
    cdef float number
    if x.operand.data == NULL:
        return
    if x.kernels.bits == 32:
        for i in range(n):
            number = <float>values[i]
            memcpy(<char *>values + i * sizeof(float), &number, sizeof(float))
    fl_operand_walk(&x.operand, x.kernels, start, n, <char *>values, 1)


cdef inline bint is_weight(double weight) noexcept nogil:
    return 0 <= weight < INFINITY
