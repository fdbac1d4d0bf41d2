# The two ways to problems of few embeddings (_few.pxi): the general one, and that of the common call, without detours:
# contiguous arrays of one real type, no weights, a sum or a mean of everything. Included in _core.pyx.

# Which of arcface_loss's parameters is ignore_index.
cdef enum:
    IGNORED_AT = 3


cdef void few_numbers(Few *f, tuple numbers):
    """What `kind` says they are."""
    f.scale = numbers[0]
    f.normalize = f.kind > SHARED or numbers[1]
    if f.kind == ARC:
        f.margin[0], f.margin[1], f.margin[2] = numbers[1], numbers[2], numbers[3]


def few(int kind, list arrays, label, tuple numbers, Py_ssize_t utterances, weight, upstream,
        double scale, class_weight, unreduced, list gradients):
    """(sum of the weighted losses, GE2E's derivative by w) of a problem that is_few().

    `arrays`: contiguous, of one real type. `label`: -1 where a row counts for nothing. `gradients`: none, or one for
    every array, of its shape and contiguous, or None where it is not wanted. The rest: as for cross_entropy()."""
    cdef Few f
    cdef Buffers buffers = Buffers()
    cdef Buffers others = Buffers()
    cdef fl_operand operand
    cdef double total = 0.0
    cdef double slope_w = 0.0
    cdef int k
    f.kind = kind
    f.wide = table_of(True)
    f.kernels = table_of(arrays[0].dtype.itemsize == 8)
    few_numbers(&f, numbers)
    for k in range(3):
        f.x[k] = f.grad[k] = NULL
    for k in range(len(arrays)):
        buffers.describe(arrays[k], &operand, f.kernels.bits, False)
        f.x[k] = operand.data
        buffers.describe(gradients[k] if gradients else None, &operand, f.kernels.bits, True)
        f.grad[k] = operand.data
    f.queries, f.columns = label.shape[0], arrays[0].shape[arrays[0].ndim - 1]
    f.utterances = utterances
    f.keys = arrays[0].shape[0] if kind == SPEAKERS else arrays[2 if kind == SHARED else 1].shape[0]
    others.describe(label, &operand, 64, False)
    f.labels.data = operand.data
    f.labels.type = FL_I64
    f.labels.stride[0] = sizeof(int64_t)
    f.labels.has_ignore = True
    f.labels.ignore = -1
    others.describe(class_weight, &operand, f.kernels.bits, False)
    f.xent.options.class_weight = operand.data
    describe_numbers(others, weight, &f.xent.sample_weight, f.kernels, False)
    describe_numbers(others, upstream, &f.xent.upstream, f.wide, False)
    describe_values(others, unreduced, &f.xent.unreduced, f.kernels)
    f.xent.scale = scale
    run_few(&f, len(gradients) > 0, &total, &slope_w)
    return total, slope_w


cdef class QuickFew(QuickNumbers):
    """The common call of such a loss. ``numbers``: as QuickPairs', and what few() takes."""

    cdef int kind

    def __init__(self, int kind, numbers):
        QuickNumbers.__init__(self, numbers)
        self.kind = kind

    def run(self, int want, list given, tuple parameters, bint mean, grad_out):
        """As QuickPairs.run()."""
        cdef Few f
        cdef Buffers buffers = Buffers()
        cdef Py_buffer *b
        cdef Py_buffer *t = &buffers.buffer[1]
        cdef Rows rows
        cdef tuple known
        cdef list gradients = []
        cdef double valid
        cdef double total = 0.0
        cdef double slope_w = 0.0
        cdef Py_ssize_t unused
        cdef int k, arrays
        if self.kind == BATCH and len(given) == 3 and given[2] is None:
            given = given[:2]
        b = open_embeddings(buffers, given)
        if b == NULL:
            return None
        f.kind = SHARED if len(given) == 3 and self.kind == BATCH else self.kind
        f.columns = b.shape[b.ndim - 1]
        f.queries = b.len // b.itemsize // f.columns
        f.labels.data = NULL
        valid = <double>f.queries
        if f.kind == SPEAKERS:
            if b.ndim != 3 or b.shape[1] < 2:
                return None
            arrays, f.keys, f.utterances = 1, b.shape[0], b.shape[1]
            if grad_out is not None and type(grad_out) is not tuple:
                grad_out = (grad_out,)
        elif f.kind == ARC:
            if t.ndim != 2 or strcmp(t.format, b.format) or not is_plain(t, t) or t.shape[1] != f.columns:
                return None
            arrays, f.keys = 2, t.shape[0]
            if type(parameters[IGNORED_AT]) is not int or not plain_labels(t + 1, b):
                return None
            describe_labels(&f.labels, t + 1, parameters[IGNORED_AT])
            f.labels.stride[0] = t[1].itemsize
        else:
            if b.ndim != 2 or not is_plain(t, b):
                return None
            arrays, f.keys = 2, f.queries
            if f.kind == SHARED:
                t += 1
                if t.ndim != 2 or strcmp(t.format, b.format) or not is_plain(t, t) or t.shape[1] != f.columns:
                    return None
                arrays, f.keys = 3, t.shape[0]
        if not few_enough(f.queries, f.keys + (f.kind == SHARED), f.columns) or f.keys == 0:
            return None
        known = self.numbers_of(parameters, b.itemsize == 8)
        if known is None:
            return None
        few_numbers(&f, known[1])
        if f.kind == ARC:
            rows = rows_of(f.queries, f.keys, 1)
            if scan_labels(&f.labels, &rows, NULL, NULL, &valid, &unused) >= 0 or valid == 0:
                return None
        if want:
            gradients = open_gradients(buffers, given, arrays, grad_out)
            if gradients is None:
                return None
        for k in range(arrays):
            f.x[k] = buffers.buffer[k].buf
            f.grad[k] = buffers.buffer[len(given) + k].buf if want else NULL
        f.wide = table_of(True)
        f.kernels = table_of(b.itemsize == 8)
        f.xent.options.class_weight = NULL
        f.xent.sample_weight.operand.data = f.xent.upstream.operand.data = f.xent.unreduced.operand.data = NULL
        f.xent.scale = 1.0 / valid if mean else 1.0
        run_few(&f, want, &total, &slope_w)
        if mean:
            total = total / valid
        if want == 0:
            return total
        return total, (gradients[0], slope_w, 0.0) if f.kind == SPEAKERS else tuple(gradients)
