# Rows of embeddings divided by their length. Included in _core.pyx.

cdef Py_buffer *row_buffer(Buffers buffers, array, bint writable) except? NULL:
    """The buffer of an aligned array of rows of reals, each contiguous; NULL where it is none."""
    cdef Py_buffer *b = &buffers.buffer[buffers.count]
    if not open_buffer(buffers, array, writable) or type_of(b) not in (FL_F32, FL_F64) or b.ndim != 2:
        return NULL
    if <uintptr_t>b.buf % b.itemsize or b.strides[0] % b.itemsize or (b.shape[1] > 1 and b.strides[1] != b.itemsize):
        return NULL
    return b


def unit_rows(x, out, double[::1] inverse):
    """out = the rows of x divided by their length, inverse = 1 / that; False, and nothing done, where an array is not
    of rows of reals, each contiguous, or they are not of one type."""
    cdef Buffers buffers = Buffers()
    cdef Py_buffer *b = row_buffer(buffers, x, False)
    cdef Py_buffer *y = row_buffer(buffers, out, True) if b != NULL else NULL
    cdef const fl_pair_kernels *kernels
    if y == NULL or y.itemsize != b.itemsize:
        return False
    kernels = &table_of(b.itemsize == 8).pair
    if inverse.shape[0]:
        with nogil:
            kernels.unit_rows(b.shape[0], b.shape[1], b.buf, b.strides[0], y.buf, y.strides[0], &inverse[0])
    return True


def project_rows(unit, const double[::1] factor, gradient, out):
    """out = factor (g - u (u . g)) for every row; False as above."""
    cdef Buffers buffers = Buffers()
    cdef Py_buffer *u = row_buffer(buffers, unit, False)
    cdef Py_buffer *g = row_buffer(buffers, gradient, False) if u != NULL else NULL
    cdef Py_buffer *y = row_buffer(buffers, out, True) if g != NULL else NULL
    cdef const fl_pair_kernels *kernels
    if y == NULL or y.itemsize != u.itemsize or g.itemsize != u.itemsize:
        return False
    kernels = &table_of(u.itemsize == 8).pair
    if factor.shape[0]:
        with nogil:
            kernels.project_rows(u.shape[0], u.shape[1], u.buf, u.strides[0], &factor[0], g.buf, g.strides[0], y.buf,
                                 y.strides[0])
    return True
