# Clipping: which rows and columns a thread takes, and in which order things are added. Included in _core.pyx.
#
# Clipping reads the gradients once where a tile of rows stays in the caches. Columns are cut into blocks by the shapes
# alone; every thread has a run of blocks, adds up its part of the tile's norms (slots), and, norms known, adds the tile
# to its own columns of the sum. Rows are added in order whatever the tile, so neither it nor the threads show in a bit.
# Narrow arrays are cut by rows instead: two threads that read halves of the same short rows are no faster than one.

ROW_KEPT, ROW_CLIPPED, ROW_NONFINITE = FL_ROW_KEPT, FL_ROW_CLIPPED, FL_ROW_NONFINITE

# Column blocks: about 64 of them, so that many threads have work, of 256 to 4096 columns (clip.h: slack).
cdef enum:
    LEAST_BLOCK = 256, LARGEST_BLOCK = 4096, WANTED_BLOCKS = 64

# Bytes of gradients per thread between their two uses: about a second-level cache. But at least as many rows as
# clip_add() takes in one pass over the sums, which are twice as wide as float32 gradients and read and written. Of rows
# that long, though, fewer, as long as they and the sums stay in a third-level cache (two rows of 1e6, not eight: 1.18
# times as fast with 32 MB of it; four of 4e5: 1.13; two of 4e6, which do not stay: 0.86).
cdef Py_ssize_t TILE_BYTES = 1024 * 1024
cdef Py_ssize_t LONG_TILE_BYTES = 8 * 1024 * 1024
cdef enum:
    TILE_STEP = 8


cdef Py_ssize_t tile_rows(Py_ssize_t wanted, Py_ssize_t row_bytes, Py_ssize_t sum_bytes) noexcept nogil:
    """The rows of a tile: a multiple of TILE_STEP, or a part of it."""
    cdef Py_ssize_t rows = TILE_STEP
    if wanted >= TILE_STEP:
        return wanted // TILE_STEP * TILE_STEP
    while rows > 2 and rows * row_bytes > LONG_TILE_BYTES:
        rows //= 2
    return rows if rows * row_bytes + sum_bytes <= 3 * LONG_TILE_BYTES else TILE_STEP


# Up to so many columns, rows are cut into so many groups that are added up apart.
cdef enum:
    NARROW = 4096, ROW_GROUPS = 16


cdef struct Clip:
    const fl_privacy_kernels *kernels
    fl_clip_block *blocks
    fl_clip_rule *rules
    Py_ssize_t *group_start   # first block of each norm group, and the end of the last
    Py_ssize_t *thread_start  # first block of each thread
    Py_ssize_t *group_of      # norm group of each block
    Py_ssize_t groups
    Py_ssize_t blocks_count
    Py_ssize_t tile           # rows that are read before they are added
    Py_ssize_t stride         # of slots and factors: tile rounded up to a multiple of 32 (clip_factors)
    double *slots             # [block][row of the tile]
    Py_ssize_t *rows          # the rows of the tile that are added
    double *factors           # [group][...]: theirs
    double *sums              # NULL: norms alone
    double units              # 1 / the grid that rows are rounded to, sums being int64; 0: none
    double *norms             # [group][row of the batch]
    unsigned char *states
    double *all_factors       # [group][row of the tile]
    Py_ssize_t batch


cdef void clip_step(const Clip *job, int thread, Py_ssize_t added, Py_ssize_t first, Py_ssize_t rows) noexcept nogil:
    """A thread's blocks: add the listed rows, whose factors are known, then read the next tile from row first on."""
    cdef Py_ssize_t b, g, r = 0
    # Row by row, not block by block: long runs are what memory is fast at, 1.3 to 2 times.
    cdef Py_ssize_t step = rows if job.thread_start[thread + 1] - job.thread_start[thread] == 1 else 1
    if added > 0:
        for b in range(job.thread_start[thread], job.thread_start[thread + 1]):
            g = job.group_of[b]
            if job.units == 0:
                job.kernels.clip_add(&job.blocks[b], added, job.rows, job.factors + g * job.stride,
                                     job.sums + job.blocks[b].first)
            else:
                job.kernels.grid_add(&job.blocks[b], added, job.rows, job.factors + g * job.stride, job.units,
                                     <int64_t *>(job.sums + job.blocks[b].first))
    while r < rows:
        for b in range(job.thread_start[thread], job.thread_start[thread + 1]):
            job.kernels.clip_sums(&job.blocks[b], job.rules[0].norm, first + r, step, job.slots + b * job.stride + r)
        r += step


cdef Py_ssize_t clip_decide(const Clip *job, Py_ssize_t first, Py_ssize_t rows) noexcept nogil:
    """Norms, factors and states of a tile from its slots; how many (row, group) need a second look."""
    cdef Py_ssize_t g, opened = 0
    for g in range(job.groups):
        opened += job.kernels.clip_factors(
            &job.rules[g], job.group_start[g + 1] - job.group_start[g], job.stride,
            job.slots + job.group_start[g] * job.stride, rows, job.norms + g * job.batch + first,
            job.all_factors + g * job.stride, job.states + g * job.batch + first)
    return opened


cdef void clip_second_look(const Clip *job, Py_ssize_t first, Py_ssize_t row) noexcept nogil:
    cdef Py_ssize_t g, at
    for g in range(job.groups):
        at = g * job.batch + first + row
        if job.states[at] == FL_ROW_OPEN:
            job.kernels.clip_factor(&job.rules[g], job.blocks + job.group_start[g],
                                    job.group_start[g + 1] - job.group_start[g], first + row, &job.norms[at],
                                    &job.all_factors[g * job.stride + row], &job.states[at])


cdef Py_ssize_t clip_list(const Clip *job, Py_ssize_t first, Py_ssize_t rows) noexcept nogil:
    """The rows that enter the sum: all but those with a NaN or inf anywhere."""
    cdef Py_ssize_t g, r, n = 0
    cdef bint finite
    for r in range(first, first + rows):
        finite = True
        for g in range(job.groups):
            finite = finite and job.states[g * job.batch + r] != FL_ROW_NONFINITE
        if finite:
            job.rows[n] = r
            for g in range(job.groups):
                job.factors[g * job.stride + n] = job.all_factors[g * job.stride + r - first]
            n += 1
    return n


cdef void run_clip(const Clip *job, Py_ssize_t first, Py_ssize_t end, int threads) noexcept nogil:
    """Rows first ... end, tile by tile."""
    cdef Py_ssize_t rows = min(job.tile, end - first), next_rows, added, r
    cdef int t
    if threads > 1:
        for t in prange(threads, num_threads=threads, schedule="static", chunksize=1):
            clip_step(job, t, 0, first, rows)
    else:
        clip_step(job, 0, 0, first, rows)
    while rows > 0:
        if clip_decide(job, first, rows) > 0:
            if threads > 1:
                for r in prange(rows, num_threads=threads, schedule="dynamic"):
                    clip_second_look(job, first, r)
            else:
                for r in range(rows):
                    clip_second_look(job, first, r)
        added = clip_list(job, first, rows) if job.sums != NULL else 0
        next_rows = min(job.tile, end - first - rows)
        if added > 0 or next_rows > 0:
            if threads > 1:
                for t in prange(threads, num_threads=threads, schedule="static", chunksize=1):
                    clip_step(job, t, added, first + rows, next_rows)
            else:
                clip_step(job, 0, added, first + rows, next_rows)
        first += rows
        rows = next_rows


cdef void clip_rows(const Clip *job, Py_ssize_t width, Py_ssize_t group, Py_ssize_t group_rows, int thread,
                    double *partial) noexcept nogil:
    """A group of rows by one thread, with its own buffers, into the group's own sums."""
    cdef Clip own = job[0]
    own.slots += thread * job.stride * job.blocks_count
    own.rows += thread * job.stride
    own.factors += thread * job.stride * job.groups
    own.all_factors += thread * job.stride * job.groups
    own.sums = partial
    if partial != NULL:
        memset(partial, 0, width * sizeof(double))
    run_clip(&own, group * group_rows, min((group + 1) * group_rows, job.batch), 1)


cdef void run_narrow_clip(const Clip *job, Py_ssize_t width, double *partials, int threads) noexcept nogil:
    """Rows of so few columns that threads had better not share a row: every group of rows has sums of its own, which
    are added up in order."""
    cdef Py_ssize_t group_rows = (job.batch + ROW_GROUPS - 1) // ROW_GROUPS
    cdef Py_ssize_t g, j
    cdef bint add = job.sums != NULL
    if threads > 1:
        for g in prange(ROW_GROUPS, num_threads=threads, schedule="static"):
            clip_rows(job, width, g, group_rows, threadid(), partials + g * width if add else NULL)
    else:
        for g in range(ROW_GROUPS):
            clip_rows(job, width, g, group_rows, 0, partials + g * width if add else NULL)
    if add and job.units == 0:
        add_partials(width, partials, job.sums)
    elif add:
        for g in range(ROW_GROUPS):
            for j in range(width):
                (<int64_t *>job.sums)[j] += (<int64_t *>partials)[g * width + j]


cdef void add_partials(Py_ssize_t width, const double *partials, double *sums) noexcept nogil:
    """Sums of the groups of rows, added up as rows of doubles are: 1 x + s is s + x."""
    cdef fl_clip_block block
    cdef Py_ssize_t rows[ROW_GROUPS]
    cdef double ones[ROW_GROUPS]
    cdef Py_ssize_t g
    block.data = <const char *>partials
    block.stride = width * sizeof(double)
    block.columns = width
    block.first = block.half = 0
    for g in range(ROW_GROUPS):
        rows[g] = g
        ones[g] = 1
    privacy_table(True).clip_add(&block, ROW_GROUPS, rows, ones, sums)


cdef struct ClipArray:
    # Gradients of one parameter, (batch, columns): of the real type, or of the half type FL_F16 or FL_BF16.
    const char *data
    Py_ssize_t stride
    Py_ssize_t columns
    Py_ssize_t itemsize
    Py_ssize_t group
    int half


cdef inline void *carve(uintptr_t *at, Py_ssize_t bytes) noexcept nogil:
    """The next piece of a larger piece of memory, in whole cache lines."""
    cdef uintptr_t piece = at[0]
    at[0] = piece + <uintptr_t>((bytes + 63) // 64 * 64)
    return <void *>piece


cdef Py_ssize_t clip_memory(Clip *job, void *memory, int teams, int threads) noexcept nogil:
    """Divides memory among the arrays of a job; from NULL on, only how much they need."""
    cdef uintptr_t at = <uintptr_t>memory
    job.blocks = <fl_clip_block *>carve(&at, job.blocks_count * sizeof(fl_clip_block))
    job.rules = <fl_clip_rule *>carve(&at, job.groups * sizeof(fl_clip_rule))
    job.group_of = <Py_ssize_t *>carve(&at, job.blocks_count * sizeof(Py_ssize_t))
    job.group_start = <Py_ssize_t *>carve(&at, (job.groups + 1) * sizeof(Py_ssize_t))
    job.thread_start = <Py_ssize_t *>carve(&at, (threads + 1) * sizeof(Py_ssize_t))
    job.rows = <Py_ssize_t *>carve(&at, teams * job.stride * sizeof(Py_ssize_t))
    job.factors = <double *>carve(&at, teams * job.groups * job.stride * sizeof(double))
    job.all_factors = <double *>carve(&at, teams * job.groups * job.stride * sizeof(double))
    job.slots = <double *>carve(&at, teams * job.blocks_count * job.stride * sizeof(double))
    return <Py_ssize_t>(at - <uintptr_t>memory)


cdef void clip_blocks(Clip *job, const ClipArray *arrays, Py_ssize_t count, Py_ssize_t width) noexcept nogil:
    """Cuts the arrays into blocks of at most `width` columns; where the blocks of each norm group begin."""
    cdef Py_ssize_t k, g, start, b = 0, column = 0
    for g in range(job.groups + 1):
        job.group_start[g] = job.blocks_count
    for k in range(count):
        g = arrays[k].group
        job.group_start[g] = min(job.group_start[g], b)
        start = 0
        while start < arrays[k].columns:
            job.blocks[b].data = arrays[k].data + start * arrays[k].itemsize
            job.blocks[b].stride = arrays[k].stride
            job.blocks[b].columns = min(width, arrays[k].columns - start)
            job.blocks[b].first = column + start
            job.blocks[b].half = arrays[k].half
            job.group_of[b] = g
            start += width
            b += 1
        column += arrays[k].columns
    for g in range(job.groups - 1, -1, -1):  # a group without columns
        job.group_start[g] = min(job.group_start[g], job.group_start[g + 1])


cdef void clip_shares(Clip *job, int threads, Py_ssize_t columns) noexcept nogil:
    """Which blocks each thread takes: about as many columns."""
    cdef Py_ssize_t b, done = 0
    cdef int t
    for t in range(threads + 1):
        job.thread_start[t] = job.blocks_count
    job.thread_start[0] = t = 0
    for b in range(job.blocks_count):
        while t + 1 < threads and done * threads >= columns * (t + 1):
            t += 1
            job.thread_start[t] = b
        done += job.blocks[b].columns


cdef int clip_arrays(Clip *job, const ClipArray *arrays, Py_ssize_t count, const fl_clip_rule *rule,
                     const double *bounds) except -1:
    """Clips arrays of which those of a norm group follow one another. Set in the job: kernels, groups, batch, units,
    and what is written; in the rule, what all groups have in common."""
    cdef Py_ssize_t k, g, width, row_bytes, total = 0, widest = 0
    cdef int threads, teams
    cdef bint narrow
    cdef void *memory
    cdef double *partials = NULL
    row_bytes = job.blocks_count = 0
    for k in range(count):
        total += arrays[k].columns
        row_bytes += arrays[k].columns * arrays[k].itemsize
    width = total // WANTED_BLOCKS // LEAST_BLOCK * LEAST_BLOCK
    width = min(max(width, <Py_ssize_t>LEAST_BLOCK), <Py_ssize_t>LARGEST_BLOCK) if total > NARROW else LARGEST_BLOCK
    for k in range(count):
        job.blocks_count += (arrays[k].columns + width - 1) // width
        widest = max(widest, min(width, arrays[k].columns))

    narrow = 0 < total <= NARROW and job.batch >= ROW_GROUPS * TILE_STEP  # by the shape alone
    threads = threads_acquire(0.2 * total * job.batch)
    teams = threads if narrow else 1  # that work for themselves
    job.tile = TILE_BYTES * threads // (8 * teams if narrow else 1) // max(row_bytes, 1)
    job.tile = min(tile_rows(job.tile, row_bytes, 8 * total), max(job.batch, 1))
    job.stride = (job.tile + 31) // 32 * 32
    memory = malloc(clip_memory(job, NULL, teams, threads))
    if narrow and job.sums != NULL:
        partials = <double *>malloc(ROW_GROUPS * total * sizeof(double))
    try:
        if memory == NULL or (narrow and job.sums != NULL and partials == NULL):
            raise MemoryError("no memory to clip in")
        clip_memory(job, memory, teams, threads)
        memset(job.slots, 0, teams * job.blocks_count * job.stride * sizeof(double))
        clip_blocks(job, arrays, count, width)
        clip_shares(job, 1 if narrow else threads, total)  # narrow: a thread takes whole rows
        for g in range(job.groups):
            job.rules[g] = rule[0]
            job.rules[g].bound = bounds[g]
            job.rules[g].slack = (<double>widest / 32 + 12) * 2.0**-53
            job.rules[g].columns = 0
        for k in range(count):
            job.rules[arrays[k].group].columns += arrays[k].columns
        with nogil:
            if narrow:
                run_narrow_clip(job, total, partials, threads)
            else:
                run_clip(job, 0, job.batch, threads)
    finally:
        free(memory)
        free(partials)
        threads_release(threads)
    return 0


def clip(list arrays, bint is_double, const Py_ssize_t[::1] group_of_array, const double[::1] bounds, bint l1, bint automatic,
         double gamma, double[::1] sums, double[:, ::1] norms, unsigned char[:, ::1] states, double units=0):
    """Norms and states of every row and norm group, and the clipped rows added to sums (None: norms alone; with units,
    a power of two, sums are int64 in disguise and rows are rounded to multiples of 1 / units first).

    ``arrays`` are (B, D) of one real type (`is_double`) or half types in native byte order, aligned, columns contiguous,
    rows at any stride; arrays of a norm group follow one another."""
    cdef Clip job
    cdef fl_clip_rule rule
    cdef Py_ssize_t k, count = len(arrays)
    cdef uintptr_t address
    cdef ClipArray *described = <ClipArray *>malloc(max(count, 1) * sizeof(ClipArray))
    if described == NULL:
        raise MemoryError("no memory for the list of arrays")
    try:
        for k in range(count):
            array = arrays[k]
            address = array.__array_interface__["data"][0]
            described[k].data = <const char *>address
            described[k].stride = array.strides[0]
            described[k].columns = array.shape[1]
            described[k].itemsize = array.dtype.itemsize
            described[k].group = group_of_array[k]
            described[k].half = 0 if array.dtype.itemsize != 2 else FL_F16 if array.dtype.kind == "f" else FL_BF16
        rule.norm = FL_NORM_L1 if l1 else FL_NORM_L2
        rule.automatic = automatic
        rule.gamma = gamma
        job.kernels = privacy_table(is_double)
        job.groups = bounds.shape[0]
        job.batch = norms.shape[1]
        job.units = units
        job.sums = &sums[0] if sums is not None and sums.shape[0] > 0 else NULL
        job.norms = &norms[0, 0] if job.batch > 0 else NULL
        job.states = &states[0, 0] if job.batch > 0 else NULL
        clip_arrays(&job, described, count, &rule, &bounds[0])
    finally:
        free(described)
