# Losses made of products of embeddings, of few of them: in one go, without NumPy's BLAS, which called from Python takes
# longer to be asked than such products take. Everything between reading and writing is in double. Shapes alone decide
# what is few, so that bits do not depend on options. Included in _core.pyx.

# Multiplications of a product up to which it is small. At 64 x 64 with D = 64, where they are as many, this way takes
# half the time of BLAS's.
cdef enum:
    FEW_WORK = 262144

# Which loss: its arrays, its numbers.
cdef enum:
    BATCH    # queries, keys; scale, whether they are normalised
    SHARED   # the same and negatives
    ARC      # embeddings, centers; scale, margin, its cosine and sine
    SPEAKERS # embeddings (speakers, utterances, D); w


few_kinds = BATCH, SHARED, ARC, SPEAKERS


def is_few(Py_ssize_t queries, Py_ssize_t classes, Py_ssize_t columns):
    """Whether a problem of so many rows of scores, scores a row, and columns of embeddings is one for few()."""
    return few_enough(queries, classes, columns)


cdef bint few_enough(Py_ssize_t queries, Py_ssize_t classes, Py_ssize_t columns) noexcept nogil:
    if queries < 1 or classes < 1 or columns < 1 or queries > TILE or classes > TILE or columns > FEW_WORK:
        return False
    return queries * classes <= TILE and queries * classes <= FEW_WORK // columns


cdef struct Few:
    int kind
    const fl_kernels *kernels  # of the arrays' type
    const fl_kernels *wide     # of doubles
    Py_ssize_t queries, keys, columns
    Py_ssize_t classes         # keys, or one more: each query's own positive
    Py_ssize_t utterances
    Py_ssize_t width, line     # columns and queries, padded
    bint normalize
    double scale
    double margin[3]
    const void *x[3]           # contiguous
    void *grad[3]              # the same, NULL where it is not wanted
    int last                   # which of them are the keys
    Labels labels
    Xent xent                  # weights, upstream gradients, values and factor are the caller's
    # The rest lies in scratch.
    int64_t *label             # -1: a row that counts for nothing
    int64_t *at                # the label, or 0
    double *q                  # unit vectors
    double *k
    double *p                  # positives; GE2E: centroids without the utterance
    double *inverse_q
    double *inverse_k
    double *inverse_p
    double *turned
    double *scores             # (classes, line)
    char *reals                # the same in the arrays' type
    double *own                # scores in the place of those of the labels; their gradients
    double *cosine             # GE2E: what f.own was before
    double *slope              # arcs' slopes; GE2E: scales of speakers
    double *pull_q
    double *pull_k
    double *toward_q           # arcs' tangents at the keys; GE2E: sums over the others
    double *toward_k           # GE2E: sums over all
    double *spare              # rows on their way from or to the arrays' type


cdef inline int few_type(const Few *f) noexcept nogil:
    return FL_F64 if f.kernels == f.wide else FL_F32


cdef inline double *take(uintptr_t *at, Py_ssize_t n) noexcept nogil:
    """Room for n doubles, on a line of its own."""
    cdef double *room = <double *>at[0]
    at[0] += (n * sizeof(double) + 63) // 64 * 64
    return room


cdef uintptr_t lay_out(Few *f, uintptr_t at) noexcept nogil:
    """Shares out scratch from the address `at` on; returns its end."""
    cdef Py_ssize_t most = max(f.queries, f.keys)
    cdef Py_ssize_t third = 0 if f.kind == BATCH else f.queries
    f.label = <int64_t *>take(&at, f.queries)
    f.at = <int64_t *>take(&at, f.queries)
    f.q = take(&at, f.queries * f.width)
    f.k = take(&at, f.keys * f.width)
    f.p = take(&at, third * f.width)
    f.inverse_q = take(&at, f.queries)
    f.inverse_k = take(&at, f.keys)
    f.inverse_p = take(&at, third)
    f.turned = take(&at, f.columns * f.line)
    f.scores = take(&at, f.classes * f.line)
    f.reals = <char *>f.scores if f.kernels == f.wide else <char *>take(&at, f.classes * f.line)
    f.own = take(&at, f.queries)
    f.cosine = take(&at, f.queries)
    f.slope = take(&at, f.queries)
    f.pull_q = take(&at, f.queries * f.width)
    f.pull_k = take(&at, f.keys * f.width)
    f.toward_q = take(&at, third * f.width)
    f.toward_k = take(&at, third * f.width)
    f.spare = take(&at, most * f.columns)
    return at


cdef void read_few(const Few *f, const void *x, Py_ssize_t n, double *unit, double *inverse) noexcept nogil:
    """The rows of an array, divided by their length where that is wanted."""
    cdef const double *rows = <const double *>x
    if f.kernels != f.wide:
        f.wide.load(FL_F32, n * f.columns, <const char *>x, sizeof(float), f.spare)
        rows = f.spare
    unit_few(f, rows, n, unit, inverse)


cdef void unit_few(const Few *f, const double *rows, Py_ssize_t n, double *unit, double *inverse) noexcept nogil:
    cdef Py_ssize_t i, step = f.columns * sizeof(double)
    if f.width != f.columns:
        memset(unit, 0, n * f.width * sizeof(double))
    if f.normalize:
        f.wide.pair.unit_rows(n, f.columns, rows, step, unit, f.width * sizeof(double), inverse)
    else:
        for i in range(n):
            memcpy(unit + i * f.width, rows + i * f.columns, step)


cdef void project_few(const Few *f, Py_ssize_t n, const double *unit, const double *inverse, const double *factor,
                      const double *gradient, double *to) noexcept nogil:
    """Gradients with respect to unit vectors, times the scale, taken home."""
    cdef Py_ssize_t step = f.width * sizeof(double)
    if f.normalize:
        f.wide.pair.project_rows(n, f.columns, unit, step, inverse, factor, f.scale, gradient, step, to,
                                 f.columns * sizeof(double))
    else:
        f.wide.pair.project_rows(n, f.columns, NULL, 0, NULL, factor, f.scale, gradient, step, to,
                                 f.columns * sizeof(double))


cdef void write_few(const Few *f, int which, Py_ssize_t n, const double *unit, const double *inverse,
                    const double *factor, const double *gradient, bint by_query) noexcept nogil:
    """The same into one of the outputs; 0 where rows count for nothing, or all queries."""
    cdef void *to = f.grad[which]
    cdef Py_ssize_t i, row = f.columns * f.xent.itemsize
    cdef bint any = False
    if to == NULL:
        return
    project_few(f, n, unit, inverse, factor, gradient, f.spare if f.kernels != f.wide else <double *>to)
    if f.kernels != f.wide:
        f.kernels.load(FL_F64, n * f.columns, <const char *>f.spare, sizeof(double), to)
    for i in range(f.queries):
        any |= f.label[i] >= 0
        if by_query and f.label[i] < 0:
            memset(<char *>to + i * row, 0, row)
    if not any:
        memset(to, 0, n * row)


cdef void silence(const Few *f, double *rows) noexcept nogil:
    """0 in the rows of queries that count for nothing."""
    cdef Py_ssize_t i
    for i in range(f.queries):
        if f.label[i] < 0:
            memset(rows + i * f.width, 0, f.width * sizeof(double))


cdef int score_few(Few *f, bint own, bint wanted, double *total) except -1:
    """Scores to their gradients; `own`: those of the labels come from f.own, to which their gradients go."""
    cdef Xent *x = &f.xent
    cdef const fl_pair_kernels *pair = &f.wide.pair
    cdef Py_ssize_t i, size = f.classes * f.line
    pair.turn(f.queries, f.columns, f.q, f.width, f.scale, f.turned, f.line)
    pair.product(f.keys, f.line, f.columns, f.k, f.width, 1, f.turned, f.line, f.scores, f.line)
    if f.classes > f.keys:
        memset(f.scores + f.keys * f.line, 0, f.line * sizeof(double))
    if own:
        for i in range(f.queries):
            f.scores[f.at[i] * f.line + i] = f.own[i] * f.scale
    if f.kernels != f.wide:
        f.kernels.load(FL_F64, size, <const char *>f.scores, sizeof(double), f.reals)
    x.rows = rows_of(f.queries, f.classes, 1)
    x.kernels = f.kernels
    x.options.classes = f.classes
    x.options.label_smoothing = x.options.logit_softcap = x.options.z_loss = 0.0
    x.options.temperature = 1.0
    x.labels.data = <const char *>f.label
    x.labels.type = FL_I64
    x.labels.stride[0] = x.labels.stride[1] = sizeof(int64_t)
    x.labels.has_ignore = True
    x.labels.ignore = -1
    x.logits.data = f.reals
    x.logits.type = few_type(f)
    x.logits.converted = False
    x.logits.stride[0] = x.logits.stride[2] = x.itemsize
    x.logits.stride[1] = f.line * x.itemsize
    x.grad = x.hess = x.logits
    x.hess.data = NULL
    if not wanted:
        x.grad.data = NULL
    x.soft.data = NULL
    run_xent(x, total)
    if wanted:
        if f.kernels != f.wide:
            f.wide.load(FL_F32, size, f.reals, sizeof(float), f.scores)
        if own:
            for i in range(f.queries):
                f.own[i] = f.scores[f.at[i] * f.line + i]
                f.scores[f.at[i] * f.line + i] = 0.0
        if f.grad[0] != NULL or f.kind == SPEAKERS:
            pair.product(f.queries, f.width, f.keys, f.scores, 1, f.line, f.k, f.width, f.pull_q, f.width)
        if f.grad[f.last] != NULL or f.kind == SPEAKERS:
            pair.product(f.keys, f.width, f.queries, f.scores, f.line, 1, f.q, f.width, f.pull_k, f.width)
    return 0


cdef int contrast_few(Few *f, bint wanted, double *total) except -1:
    """Queries against all keys of the batch; or (SHARED) against each one's own and the negatives."""
    cdef const fl_pair_kernels *pair = &f.wide.pair
    cdef bint shared = f.kind == SHARED
    cdef Py_ssize_t step = f.width * sizeof(double)
    read_few(f, f.x[0], f.queries, f.q, f.inverse_q)
    silence(f, f.q)
    read_few(f, f.x[f.last], f.keys, f.k, f.inverse_k)
    if shared:
        read_few(f, f.x[1], f.queries, f.p, f.inverse_p)
        pair.dot_rows(f.queries, f.columns, f.q, step, f.p, step, f.own)
    score_few(f, shared, wanted, total)
    if wanted:
        if shared:
            write_few(f, 1, f.queries, f.p, f.inverse_p, f.own, f.q, True)
            if f.grad[0] != NULL:
                pair.add_rows(f.queries, f.width, f.own, f.p, f.width, NULL, f.pull_q, f.width)
        write_few(f, 0, f.queries, f.q, f.inverse_q, NULL, f.pull_q, True)
        write_few(f, f.last, f.keys, f.k, f.inverse_k, NULL, f.pull_k, False)
    return 0


cdef int arc_few(Few *f, bint wanted, double *total) except -1:
    """Embeddings against centers, the angle of the label's enlarged."""
    cdef const fl_pair_kernels *pair = &f.wide.pair
    cdef Py_ssize_t i
    read_few(f, f.x[0], f.queries, f.q, f.inverse_q)
    silence(f, f.q)
    read_few(f, f.x[1], f.keys, f.k, f.inverse_k)
    # Columns that rows are padded with are zeros, and spare the loops their rest.
    pair.arc_rows(f.queries, f.width, f.q, f.width, f.inverse_q, f.k, f.width, f.inverse_k, f.at, f.margin, f.own,
                  f.slope, f.toward_k, f.toward_q if f.grad[1] != NULL else NULL, f.width)
    score_few(f, True, wanted, total)
    if wanted:
        for i in range(f.queries):
            f.own[i] = 0.0 if f.label[i] < 0 else f.own[i] * f.slope[i]
        if f.grad[0] != NULL:
            silence(f, f.toward_k)
            pair.add_rows(f.queries, f.width, f.own, f.toward_k, f.width, NULL, f.pull_q, f.width)
        if f.grad[1] != NULL:
            silence(f, f.toward_q)
            pair.add_rows(f.queries, f.width, f.own, f.toward_q, f.width, f.at, f.pull_k, f.width)
        write_few(f, 0, f.queries, f.q, f.inverse_q, NULL, f.pull_q, True)
        write_few(f, 1, f.keys, f.k, f.inverse_k, NULL, f.pull_k, False)
    return 0


cdef int speakers_few(Few *f, bint wanted, double *total, double *slope_w) except -1:
    """Utterances against the centroids of all speakers, that of their own without them."""
    cdef const fl_pair_kernels *pair = &f.wide.pair
    cdef Py_ssize_t i, size = f.queries * f.columns, step = f.width * sizeof(double)
    cdef double hi = 0.0
    cdef double lo = 0.0
    f.wide.load(few_type(f), size, <const char *>f.x[0], f.xent.itemsize, f.spare)
    pair.centroid_sums(f.keys, f.utterances, f.columns, f.spare, f.toward_q, f.toward_k, f.slope)
    unit_few(f, f.spare, f.queries, f.q, f.inverse_q)
    unit_few(f, f.toward_k, f.keys, f.k, f.inverse_k)
    unit_few(f, f.toward_q, f.queries, f.p, f.inverse_p)
    silence(f, f.q)
    silence(f, f.p)
    pair.dot_rows(f.queries, f.columns, f.q, step, f.p, step, f.own)
    for i in range(f.queries):
        f.own[i] = 1.0 if f.own[i] > 1.0 else -1.0 if f.own[i] < -1.0 else f.own[i]
        f.cosine[i] = f.own[i]
    score_few(f, True, wanted, total)
    if wanted:
        pair.dot_rows(f.queries, f.columns, f.q, step, f.pull_q, step, f.spare)
        for i in range(f.queries):
            add_pair(&hi, &lo, f.spare[i] + f.own[i] * f.cosine[i], 0.0)
        slope_w[0] = pair_value(hi, lo)
        pair.add_rows(f.queries, f.width, f.own, f.p, f.width, NULL, f.pull_q, f.width)
        project_few(f, f.queries, f.p, f.inverse_p, f.own, f.q, f.toward_q)
        project_few(f, f.keys, f.k, f.inverse_k, NULL, f.pull_k, f.toward_k)
        project_few(f, f.queries, f.q, f.inverse_q, NULL, f.pull_q, f.spare)
        pair.centroid_gradients(f.keys, f.utterances, f.columns, f.toward_q, f.toward_k, f.slope, f.spare)
        if f.grad[0] != NULL:
            f.kernels.load(FL_F64, size, <const char *>f.spare, sizeof(double), f.grad[0])
    return 0


cdef int run_few(Few *f, bint wanted, double *total, double *slope_w) except -1:
    """Kind, tables, shapes, arrays, labels and the caller's part of `xent` are set."""
    cdef Py_ssize_t i
    cdef char *memory
    f.normalize |= f.kind > SHARED
    f.last = 2 if f.kind == SHARED else 1
    f.classes = f.keys + (f.kind == SHARED)
    f.width = (f.columns + FL_PRODUCT_STEP - 1) // FL_PRODUCT_STEP * FL_PRODUCT_STEP
    f.line = (f.queries + FL_PRODUCT_STEP - 1) // FL_PRODUCT_STEP * FL_PRODUCT_STEP
    f.xent.itemsize = f.kernels.bits // 8
    memory = <char *>malloc(lay_out(f, 0) + 64)
    if memory == NULL:
        raise MemoryError("no memory for the products of a few embeddings")
    lay_out(f, (<uintptr_t>memory + 63) // 64 * 64)
    try:
        if f.labels.data != NULL:
            fl_load_labels(f.labels.type, f.queries, f.labels.data, f.labels.stride[0], f.labels.has_ignore,
                           f.labels.ignore, f.classes, f.label)
        else:
            for i in range(f.queries):
                f.label[i] = i if f.kind == BATCH else f.keys if f.kind == SHARED else i // f.utterances
        for i in range(f.queries):
            f.at[i] = max(f.label[i], <int64_t>0)
        if f.kind == ARC:
            arc_few(f, wanted, total)
        elif f.kind == SPEAKERS:
            speakers_few(f, wanted, total, slope_w)
        else:
            contrast_few(f, wanted, total)
    finally:
        free(memory)
    return 0
