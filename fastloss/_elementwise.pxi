# Elementwise functions of one array of any layout. Included in _core.pyx.

def elementwise(int index, x, y):
    """y = f(x) for any layouts of one real or half type and shape; y may be x's own buffer."""
    cdef fl_operand read, written
    cdef Buffers buffers = Buffers()
    cdef const fl_kernels *kernels = table_of(x.dtype.itemsize == 8)
    if x.size:
        buffers.describe(x, &read, kernels.bits, False)
        buffers.describe(y, &written, kernels.bits, True)
        run_elementwise(index, kernels, &read, &written, x.size)


cdef int run_elementwise(int index, const fl_kernels *kernels, const fl_operand *read, const fl_operand *written,
                         Py_ssize_t size) except -1:
    cdef Py_ssize_t block, blocks = (size + HALF_BLOCK - 1) // HALF_BLOCK
    cdef int threads = threads_acquire(1.0 * size) if blocks > 1 else 1
    cdef bint ahead = read.direct and written.direct and 2 * size * (kernels.bits // 8) > UNCACHED
    with nogil:
        if threads > 1:
            for block in prange(blocks, num_threads=threads, schedule="static"):
                unary_block(kernels, index, ahead, read, written, block, size)
        else:
            for block in range(blocks):
                unary_block(kernels, index, ahead, read, written, block, size)
    threads_release(threads)
    return 0


cdef void unary_block(const fl_kernels *kernels, int index, bint ahead, const fl_operand *read,
                      const fl_operand *written, Py_ssize_t block, Py_ssize_t size) noexcept nogil:
    cdef double gathered[HALF_BLOCK]
    cdef double result[HALF_BLOCK]
    cdef Py_ssize_t start = block * HALF_BLOCK
    cdef Py_ssize_t n = min(size - start, <Py_ssize_t>HALF_BLOCK)
    cdef void *to = fl_operand_target(written, kernels, start, result)
    kernels.unary[index](n, ahead, fl_operand_read(read, kernels, start, n, gathered), to)
    fl_operand_write(written, kernels, start, n, to)


def quick_elementwise(int index, x, out):
    """f(x) of a contiguous array of a real or half type, in `out` or a new array; None where there is no such call."""
    cdef Buffers buffers
    cdef Py_buffer *b
    cdef Py_buffer *y
    cdef fl_operand read, written
    if x.__class__ is not ndarray or not (out is None or out.__class__ is ndarray):
        return None
    buffers = Buffers()
    b = &buffers.buffer[0]
    y = &buffers.buffer[1]
    if not open_activation(buffers, x):
        return None
    if out is None:
        out = new_like(x)
    if not open_result(buffers, out) or not is_plain(y, b):
        return None
    plain_operand(&read, b, type_of(b), b.len // b.itemsize)
    plain_operand(&written, y, read.type, b.len // b.itemsize)
    run_elementwise(index, table_of(b.itemsize == 8), &read, &written, b.len // b.itemsize)
    return out


cdef bint open_activation(Buffers buffers, x) except -1:
    """Whether the first buffer is now that of a contiguous array, not empty, of float, double or a half type."""
    return (open_buffer(buffers, x, False) and buffers.buffer[0].len > 0
            and real_size(type_of(&buffers.buffer[0])) != 0 and is_plain(&buffers.buffer[0], &buffers.buffer[0]))


cdef bint open_result(Buffers buffers, out) except -1:
    """Whether the second buffer is now that of the result, which overlaps the first entirely or not at all."""
    return open_buffer(buffers, out, True) and (buffers.buffer[1].buf == buffers.buffer[0].buf
                                                or not overlap(&buffers.buffer[1], &buffers.buffer[0]))


def names_of_unary():
    """Kernel number of every elementwise function."""
    cdef int k = 0
    names = {}
    while fl_unary_names[k] != NULL:
        names[fl_unary_names[k].decode()] = k
        k += 1
    return names
