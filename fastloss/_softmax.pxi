# Softmax, log-softmax and logsumexp over the rows of logits. Included in _core.pyx.

def softmax_rows(int which, logits, out, double[::1] values):
    """softmax (which = 0) or log_softmax (1) into `out`, logsumexp (2) into `values`, over the middle axis."""
    cdef Rows r = rows_of(logits.shape[0], logits.shape[1], logits.shape[2])
    cdef const fl_kernels *kernels = table_of(logits.dtype.itemsize == 8)
    cdef Buffers buffers = Buffers()
    cdef Array3 read = array3(buffers, logits, False)
    cdef Array3 written = array3(buffers, out, True)
    cdef Py_ssize_t piece, pieces = r.groups * r.tiles
    cdef Py_ssize_t bytes = (kernels.rows.softmax_scratch(r.classes) + 63) // 64 * 64 + half_bytes(&read, &r)
    cdef double *value = NULL if values is None else &values[0]
    cdef int threads = threads_acquire(0.6 * r.groups * r.rows * (r.classes + 30)) if pieces > 1 else 1
    cdef char *memory = <char *>malloc(threads * bytes + 64)
    cdef char *scratch
    if memory == NULL:
        threads_release(threads)
        raise MemoryError("no memory for the row tiles of softmax")
    scratch = memory + (64 - <uintptr_t>memory % 64) % 64
    with nogil:
        if threads > 1:
            for piece in prange(pieces, num_threads=threads, schedule="static"):
                softmax_tile(which, &r, kernels, &read, &written, value, scratch + threadid() * bytes,
                             piece)
        else:
            for piece in range(pieces):
                softmax_tile(which, &r, kernels, &read, &written, value, scratch, piece)
    free(memory)
    threads_release(threads)


cdef void softmax_tile(int which, const Rows *r, const fl_kernels *kernels, const Array3 *logits, const Array3 *out,
                       double *values, char *scratch, Py_ssize_t piece) noexcept nogil:
    cdef Py_ssize_t group = piece // r.tiles
    cdef Py_ssize_t first = piece % r.tiles * r.tile
    cdef Py_ssize_t n = min(r.tile, r.rows - first)
    cdef Array3 none = out[0]
    cdef Tile tile
    none.data = NULL
    tile = open_tile(logits, out, &none, r, kernels, group, first, n, scratch)
    scratch += half_bytes(logits, r)
    if which == 0:
        kernels.rows.softmax(r.classes, n, tile.x, tile.grad, scratch)
    elif which == 1:
        kernels.rows.log_softmax(r.classes, n, tile.x, tile.grad, scratch)
    else:
        kernels.rows.logsumexp(r.classes, n, tile.x, values + group * r.rows + first, scratch)
    close_tile(&tile, out, &none, r, kernels, group, first, n)
