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


def project_rows(unit, const double[::1] inverse, double times, gradient, out):
    """out = times inverse (g - u (u . g)) for every row, times g where `unit` and `inverse` are None; False as above."""
    cdef Buffers buffers = Buffers()
    cdef Py_buffer *g = row_buffer(buffers, gradient, False)
    cdef Py_buffer *y = row_buffer(buffers, out, True) if g != NULL else NULL
    cdef Py_buffer *u = y if y == NULL or unit is None else row_buffer(buffers, unit, False)
    if u == NULL or y.itemsize != g.itemsize or u.itemsize != g.itemsize:
        return False
    if g.shape[0]:
        with nogil:
            table_of(g.itemsize == 8).pair.project_rows(
                g.shape[0], g.shape[1], NULL if u == y else u.buf, u.strides[0], doubles_of(inverse), NULL, times,
                g.buf, g.strides[0], y.buf, y.strides[0])
    return True


def dot_rows(a, b, double[::1] out):
    """out = the product of every row of a with its counterpart; False as above."""
    cdef Buffers buffers = Buffers()
    cdef Py_buffer *x = row_buffer(buffers, a, False)
    cdef Py_buffer *y = row_buffer(buffers, b, False) if x != NULL else NULL
    if y == NULL or y.itemsize != x.itemsize:
        return False
    if out.shape[0]:
        with nogil:
            table_of(x.itemsize == 8).pair.dot_rows(x.shape[0], x.shape[1], x.buf, x.strides[0], y.buf, y.strides[0],
                                                    &out[0])
    return True


cdef double *doubles_in(Buffers buffers, object array) except? NULL:
    """The elements of a contiguous, writable array of float64."""
    cdef fl_operand operand
    buffers.describe(array, &operand, 64, True)
    return <double *>operand.data


# The kernels of those names, given contiguous arrays of float64 in their order.

def arc_rows(list arrays, tuple margin):
    """Rows of e with their counterparts in w."""
    cdef Buffers buffers = Buffers()
    cdef double numbers[3]
    cdef double *array[8]
    cdef Py_ssize_t rows = arrays[0].shape[0]
    cdef Py_ssize_t columns = arrays[0].shape[1]
    cdef int k
    for k in range(3):
        numbers[k] = margin[k]
    for k in range(8):
        array[k] = doubles_in(buffers, arrays[k])
    with nogil:
        table_of(True).pair.arc_rows(rows, columns, array[0], columns, array[1], array[2], columns, array[3], NULL,
                                     numbers, array[4], array[5], array[6], array[7], columns)


def centroids(bint gradients, list arrays, tuple shape):
    """Their sums, or gradients through them; the shape of the utterances."""
    cdef Buffers buffers = Buffers()
    cdef double *array[4]
    cdef const fl_pair_kernels *kernels = &table_of(True).pair
    cdef int k
    for k in range(4):
        array[k] = doubles_in(buffers, arrays[k])
    if gradients:
        kernels.centroid_gradients(shape[0], shape[1], shape[2], array[0], array[1], array[2], array[3])
    else:
        kernels.centroid_sums(shape[0], shape[1], shape[2], array[0], array[1], array[2], array[3])
