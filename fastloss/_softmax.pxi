# Softmax, log-softmax and logsumexp over the rows of logits. Included in _core.pyx.

def softmax_rows(int which, const real[:, :, :] logits, real[:, :, :] out, double[::1] values):
    """softmax (which = 0) or log_softmax (1) into `out`, logsumexp (2) into `values`, over the middle axis."""
    cdef Rows r = rows_of(logits.shape[0], logits.shape[1], logits.shape[2])
    cdef const fl_kernels *kernels = table_of(real is double)
    cdef Py_ssize_t piece, pieces = r.groups * r.tiles
    cdef Py_ssize_t bytes = (kernels.rows.softmax_scratch(r.classes) + 63) // 64 * 64
    cdef Array3 read = array3(logits)
    cdef Array3 written = array3[real](out)
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
                softmax_tile(which, &r, kernels, &read, &written, value, sizeof(real),
                             scratch + threadid() * bytes, piece)
        else:
            for piece in range(pieces):
                softmax_tile(which, &r, kernels, &read, &written, value, sizeof(real), scratch, piece)
    free(memory)
    threads_release(threads)


cdef void softmax_tile(int which, const Rows *r, const fl_kernels *kernels, const Array3 *logits, const Array3 *out,
                       double *values, Py_ssize_t itemsize, char *scratch, Py_ssize_t piece) noexcept nogil:
    cdef Py_ssize_t group = piece // r.tiles
    cdef Py_ssize_t first = piece % r.tiles * r.tile
    cdef Py_ssize_t n = min(r.tile, r.rows - first)
    cdef fl_rows rows = at_rows(logits, r, group, first, itemsize)
    if which == 0:
        kernels.rows.softmax(r.classes, n, rows, at_rows(out, r, group, first, itemsize), scratch)
    elif which == 1:
        kernels.rows.log_softmax(r.classes, n, rows, at_rows(out, r, group, first, itemsize), scratch)
    else:
        kernels.rows.logsumexp(r.classes, n, rows, values + group * r.rows + first, scratch)
