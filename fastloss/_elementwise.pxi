# Elementwise functions of one array of any layout. Included in _core.pyx.

def elementwise(int index, x, y):
    """y = f(x) for any layouts of one real or half type and shape; y may be x's own buffer."""
    cdef fl_operand read, written
    cdef Buffers buffers = Buffers()
    cdef bint is_double = x.dtype.itemsize == 8
    cdef const fl_kernels *kernels = table_of(is_double)
    cdef Py_ssize_t size = x.size
    cdef Py_ssize_t block, blocks = (size + HALF_BLOCK - 1) // HALF_BLOCK
    cdef int threads
    if size == 0:
        return
    buffers.describe(x, &read, kernels.bits, False)
    buffers.describe(y, &written, kernels.bits, True)
    threads = threads_acquire(1.0 * size) if blocks > 1 else 1
    with nogil:
        if threads > 1:
            for block in prange(blocks, num_threads=threads, schedule="static"):
                unary_block(kernels, index, &read, &written, block, size)
        else:
            for block in range(blocks):
                unary_block(kernels, index, &read, &written, block, size)
    threads_release(threads)


cdef void unary_block(const fl_kernels *kernels, int index, const fl_operand *read, const fl_operand *written,
                      Py_ssize_t block, Py_ssize_t size) noexcept nogil:
    cdef double gathered[HALF_BLOCK]
    cdef double result[HALF_BLOCK]
    cdef Py_ssize_t start = block * HALF_BLOCK
    cdef Py_ssize_t n = min(size - start, <Py_ssize_t>HALF_BLOCK)
    cdef void *to = fl_operand_target(written, kernels, start, result)
    kernels.unary[index](n, fl_operand_read(read, kernels, start, n, gathered), to)
    fl_operand_write(written, kernels, start, n, to)


def names_of_unary():
    """Kernel number of every elementwise function."""
    cdef int k = 0
    names = {}
    while fl_unary_names[k] != NULL:
        names[fl_unary_names[k].decode()] = k
        k += 1
    return names
