# The common call of a loss of rows of embeddings, without detours: contiguous arrays of one real type, no weights, a
# sum or a mean of everything. Included in _core.pyx.

cdef Py_buffer *open_embeddings(Buffers buffers, list given) except? NULL:
    """The buffers of all arrays, the first of which holds reals: that one, or NULL."""
    cdef Py_buffer *b = &buffers.buffer[0]
    for array in given:
        if type(array) is not ndarray or not open_buffer(buffers, array, False):
            return NULL
    if b.len == 0 or b.ndim == 0 or type_of(b) not in (FL_F32, FL_F64) or not is_plain(b, b):
        return NULL
    return b


cdef list open_gradients(Buffers buffers, list given, int arrays, object grad_out):
    """The arrays that the first arrays' gradients go to, their buffers opened behind the others; None if unfit."""
    cdef Py_buffer *g
    cdef list gradients = []
    cdef int j, k
    if not (grad_out is None or (type(grad_out) is tuple and len(grad_out) == arrays)):
        return None
    for k in range(arrays):
        gradient = None if grad_out is None else grad_out[k]
        if gradient is None:
            gradient = new_like(given[k])
        if type(gradient) is not ndarray or not open_buffer(buffers, gradient, True):
            return None
        g = &buffers.buffer[buffers.count - 1]
        if not is_plain(g, &buffers.buffer[k]):
            return None
        for j in range(buffers.count - 1):
            if overlap(&buffers.buffer[j], g) and not (j == k == 0 and g.buf == buffers.buffer[0].buf):
                return None
        gradients.append(gradient)
    return gradients


cdef void plain_pairs(Pairs *job, int index, Buffers buffers, int arrays, int inputs, bint want, bint mean) noexcept:
    """A job without weights, labels and parameters; gradients, where wanted, lie behind the inputs."""
    cdef Py_buffer *b = &buffers.buffer[0]
    cdef Py_ssize_t size
    cdef int k
    job.kernels = table_of(b.itemsize == 8)
    job.body = job.kernels.pairs[index]
    job.arrays = arrays
    job.options.columns = b.shape[b.ndim - 1]
    job.rows = b.len // b.itemsize // job.options.columns
    for k in range(arrays):
        size = buffers.buffer[k].len // b.itemsize
        plain_operand(&job.x[k], &buffers.buffer[k], type_of(b), size)
        job.grad[k].data = NULL
        if want:
            plain_operand(&job.grad[k], &buffers.buffer[inputs + k], type_of(b), size)
    for k in range(FL_PAIR_PARAMETERS):
        job.options.parameter[k] = 0.0
    job.centers = NULL
    job.converts = False
    job.label = job.weight = job.upstream = job.unreduced = NULL
    job.scale = 1.0 / job.rows if mean else 1.0


cdef class QuickNumbers:
    """A loss whose parameters are looked at when they are others than in the last call.

    ``numbers``: a function of the parameters and whether the type is double, which checks them and returns a tuple."""

    cdef object numbers
    cdef list known  # of float, of double: the parameters of the last call, and what `numbers` returned for them

    def __init__(self, numbers):
        self.numbers = numbers
        self.known = [None, None]

    cdef tuple numbers_of(self, tuple parameters, bint is_double):
        """What is known of these parameters; None where they are no plain ones, or wrong."""
        cdef tuple known = self.known[is_double]
        cdef Py_ssize_t k
        if known is not None:
            for k in range(len(parameters)):
                if not is_default(parameters[k], known[0][k]):
                    break
            else:
                return known
        for k in range(len(parameters)):
            if parameters[k] is not None and type(parameters[k]) not in (float, int, bool, str):
                return None
        try:
            known = (parameters, *self.numbers(parameters, is_double))
        except (TypeError, ValueError):
            return None
        self.known[is_double] = known
        return known


cdef class QuickPairs(QuickNumbers):
    """A loss whose arrays have one shape.

    ``numbers`` returns the kernel's numbers, its work (pair_rows()), and the label that counts as 1 where labels are 0
    and 1, else None. ``other_label``: 0 or -1, beside 1; None for a loss without labels."""

    cdef int index, arrays
    cdef bint labelled
    cdef double other_label

    def __init__(self, name, int arrays, numbers, other_label):
        QuickNumbers.__init__(self, numbers)
        self.index = names_of_pairs()[name]
        self.arrays = arrays
        self.labelled = other_label is not None
        self.other_label = other_label if self.labelled else 0.0

    def run(self, int want, list given, tuple parameters, bint mean, grad_out):
        """Value, or value and gradients; None where this is no such call or something is wrong: the general path then
        says what."""
        cdef Pairs job
        cdef Buffers buffers = Buffers()
        cdef Py_buffer *b = open_embeddings(buffers, given)
        cdef Py_buffer *t = &buffers.buffer[self.arrays]
        cdef tuple known
        cdef list gradients = []
        cdef double *label = NULL
        cdef double total = 0.0
        cdef int k
        if b == NULL:
            return None
        for k in range(1, self.arrays):
            if not is_plain(&buffers.buffer[k], b):
                return None
        known = self.numbers_of(parameters, b.itemsize == 8)
        if known is None:
            return None
        if want:
            gradients = open_gradients(buffers, given, self.arrays, grad_out)
            if gradients is None:
                return None
        plain_pairs(&job, self.index, buffers, self.arrays, self.arrays + self.labelled, want, mean)
        for k in range(len(known[1])):
            job.options.parameter[k] = known[1][k]
        if self.labelled:
            if t.ndim != b.ndim - 1 or type_of(t) < 0 or t.len != job.rows * t.itemsize:
                return None
            if not PyBuffer_IsContiguous(t, c"C"):
                return None
            for k in range(t.ndim):
                if t.shape[k] != b.shape[k]:
                    return None
            label = <double *>malloc(job.rows * sizeof(double))
            if label == NULL:
                raise MemoryError("no memory for the labels of a loss of embeddings")
            job.label = label
        try:
            if self.labelled and not self.read_labels(t, job.rows, label, known[3]):
                return None
            run_pairs(&job, known[2], &total)
        finally:
            free(label)
        if mean:
            total = total / job.rows
        return total if want == 0 else (total, tuple(gradients))

    cdef bint read_labels(self, const Py_buffer *t, Py_ssize_t rows, double *label, object one) except -1:
        """Whether all labels are some, which are then numbers of the kernel."""
        cdef Py_ssize_t i
        cdef double counted = 1.0 if one is None else one
        table_of(True).load(type_of(t), rows, <const char *>t.buf, t.itemsize, label)
        for i in range(rows):
            if label[i] != 1.0 and label[i] != self.other_label:
                return False
            if one is not None:
                label[i] = label[i] == counted
        return True


cdef class QuickCenters:
    """The loss of embeddings and the centers of their classes, labels of any integer type.

    ``unwanted``: what stands in grad_out for a gradient that is not wanted."""

    cdef int index
    cdef double work
    cdef object unwanted

    def __init__(self, name, double work, unwanted):
        self.index = names_of_pairs()[name]
        self.work = work
        self.unwanted = unwanted

    def run(self, int want, list given, tuple parameters, bint mean, grad_out):
        """As QuickPairs.run()."""
        cdef Pairs job
        cdef Buffers buffers = Buffers()
        cdef Py_buffer *b = open_embeddings(buffers, given)
        cdef Py_buffer *centers = &buffers.buffer[1]
        cdef Py_buffer *t = &buffers.buffer[2]
        cdef list gradients = []
        cdef int64_t *label
        cdef double total = 0.0
        cdef fl_operand center_gradient
        cdef bint alone = (type(grad_out) is list and len(grad_out) == 2  # that of the embeddings
                           and grad_out[0] is None and grad_out[1] is self.unwanted)
        if b == NULL or not plain_labels(t, b) or strcmp(centers.format, b.format) or not is_plain(centers, centers):
            return None
        if centers.ndim != 2 or centers.shape[1] != b.shape[b.ndim - 1]:
            return None
        if want:
            gradients = open_gradients(buffers, given, 1 if alone else 2, None if alone else grad_out)
            if gradients is None:
                return None
        plain_pairs(&job, self.index, buffers, 2, 3, want, mean)
        label = <int64_t *>malloc(job.rows * sizeof(int64_t))
        if label == NULL:
            raise MemoryError("no memory for the labels of a loss of embeddings")
        try:
            if fl_load_labels(type_of(t), job.rows, <const char *>t.buf, t.itemsize, False, 0, centers.shape[0],
                              label) >= 0:
                return None
            job.centers = label
            job.converts = True
            if want:
                center_gradient = job.grad[1]
                job.grad[1].data = NULL
                # The centers first: the embeddings' gradient may be written over the embeddings.
                if alone:
                    gradients.append(None)
                else:
                    run_centers(&job, centers.shape[0], &center_gradient)
            run_pairs(&job, self.work, &total)
        finally:
            free(label)
        if mean:
            total = total / job.rows
        return total if want == 0 else (total, tuple(gradients))


cdef class QuickDice:
    """The loss of one overlap, that of all elements."""

    def run(self, int want, list given, tuple parameters, bint mean, grad_out):
        """As QuickPairs.run()."""
        cdef Overlap job
        cdef Buffers buffers = Buffers()
        cdef Py_buffer *b
        cdef Py_ssize_t size
        cdef list gradients = []
        cdef double value
        squared, smooth, axis = parameters
        if axis is not None or type(squared) is not bool or type(smooth) is not float:
            return None
        job.squared, job.smooth, job.scale = squared, smooth, 1.0
        if not (job.smooth == 0.0 or 1e-30 < job.smooth < 1e30):  # a float32 too
            return None
        b = open_embeddings(buffers, given)
        if b == NULL or not is_plain(&buffers.buffer[1], b):
            return None
        if want:
            if grad_out is not None and type(grad_out) is not tuple:
                grad_out = (grad_out,)
            gradients = open_gradients(buffers, given, 1, grad_out)
            if gradients is None:
                return None
        size = b.len // b.itemsize
        job.kernels = table_of(b.itemsize == 8)
        plain_operand(&job.x, b, type_of(b), size)
        plain_operand(&job.target, &buffers.buffer[1], type_of(b), size)
        job.grad.data = NULL
        if want:
            plain_operand(&job.grad, &buffers.buffer[2], type_of(b), size)
        job.rows, job.columns = 1, size
        job.weight = job.upstream = NULL
        value = run_overlap(&job, NULL)
        return (value, gradients[0]) if want else value
