# Softmax, log-softmax and logsumexp over the rows of logits. Included in _core.pyx.

def softmax_rows(int which, logits, out, double[::1] values):
    """softmax (which = 0) or log_softmax (1) into `out`, logsumexp (2) into `values`, over the middle axis."""
    cdef Rows r = rows_of(logits.shape[0], logits.shape[1], logits.shape[2])
    cdef Buffers buffers = Buffers()
    cdef Array3 read = array3(buffers, logits, False)
    cdef Array3 written = array3(buffers, out, True)
    run_softmax(which, &r, table_of(logits.dtype.itemsize == 8), &read, &written, NULL if values is None else &values[0])


def quick_softmax(int which, x, out):
    """The same over the last axis of a contiguous array of a real or half type, in `out` or a new array; None where there is no
    such call."""
    cdef Buffers buffers
    cdef Py_buffer *b
    cdef Py_buffer *y
    cdef Rows r
    cdef Array3 read, written
    cdef const fl_kernels *kernels
    cdef double *values = NULL
    cdef Py_ssize_t n, k
    if x.__class__ is not ndarray or not (out is None or out.__class__ is ndarray):
        return None
    buffers = Buffers()
    b = &buffers.buffer[0]
    y = &buffers.buffer[1]
    if not open_activation(buffers, x) or b.ndim == 0:
        return None
    if out is None:
        out = new_like(x) if which < 2 else np.empty(x.shape[:b.ndim - 1], x.dtype)
    if not open_result(buffers, out):
        return None
    n = b.len // b.itemsize // b.shape[b.ndim - 1]
    kernels = table_of(b.itemsize == 8)
    r = rows_of(n, b.shape[b.ndim - 1], 1)
    read = rows3(b, r.classes)
    if which < 2:
        if not is_plain(y, b):
            return None
        written = rows3(y, r.classes)
        run_softmax(which, &r, kernels, &read, &written, NULL)
        return out
    if is_half(type_of(b)) or not is_plain(y, y) or type_of(y) != type_of(b) or overlap(y, b) or y.ndim != b.ndim - 1:
        return None
    for k in range(y.ndim):
        if y.shape[k] != b.shape[k]:
            return None
    written.data = NULL
    if b.itemsize == 8:
        run_softmax(which, &r, kernels, &read, &written, <double *>y.buf)
        return out
    values = <double *>malloc(n * sizeof(double))
    if values == NULL:
        raise MemoryError("no memory for the rows of logsumexp")
    try:
        run_softmax(which, &r, kernels, &read, &written, values)
        for k in range(n):
            (<float *>y.buf)[k] = <float>values[k]
    finally:
        free(values)
    return out


cdef int run_softmax(int which, Rows *r, const fl_kernels *kernels, const Array3 *read, const Array3 *written,
                     double *value) except -1:
    cdef Py_ssize_t piece, bytes, pieces = r.groups * r.tiles
    cdef int threads = threads_acquire(0.6 * r.groups * r.rows * (r.classes + 30)) if pieces > 1 else 1
    cdef char *memory
    cdef char *scratch
    settle_strip(r, read)
    bytes = (kernels.rows.softmax_scratch(r.classes) + 63) // 64 * 64 + converted_bytes(read, r, kernels)
    memory = <char *>malloc(threads * bytes + 64)
    if memory == NULL:
        threads_release(threads)
        raise MemoryError("no memory for the row tiles of softmax")
    scratch = memory + (64 - <uintptr_t>memory % 64) % 64
    with nogil:
        if threads > 1:
            for piece in prange(pieces, num_threads=threads, schedule="static"):
                softmax_tile(which, r, kernels, read, written, value, scratch + threadid() * bytes, piece)
        else:
            for piece in range(pieces):
                softmax_tile(which, r, kernels, read, written, value, scratch, piece)
    free(memory)
    threads_release(threads)
    return 0


cdef void softmax_tile(int which, const Rows *r, const fl_kernels *kernels, const Array3 *logits, const Array3 *out,
                       double *values, char *scratch, Py_ssize_t piece) noexcept nogil:
    cdef Py_ssize_t group = piece // r.tiles
    cdef Py_ssize_t first = piece % r.tiles * r.tile
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t m, n = min(r.tile, r.rows - first)
    cdef Py_ssize_t converted = converted_bytes(logits, r, kernels)
    cdef Py_ssize_t strip = r.strip if converted else n
    cdef char *work = scratch + converted
    cdef Array3 none = out[0]
    cdef Tile tile
    none.data = NULL
    while i < n:
        m = min(strip, n - i)
        tile = open_tile(logits, out, &none, r, kernels, group, first + i, m, True, scratch)
        if which == 0:
            kernels.rows.softmax(r.classes, m, tile.x, tile.grad, work)
        elif which == 1:
            kernels.rows.log_softmax(r.classes, m, tile.x, tile.grad, work)
        else:
            kernels.rows.logsumexp(r.classes, m, tile.x, values + group * r.rows + first + i, work)
        close_tile(&tile, out, &none, r, kernels, group, first + i, m)
        i += m
