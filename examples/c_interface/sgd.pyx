# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Stochastic gradient descent of a linear model with any pointwise loss of fastloss: an epoch in one call, without the lock.

The kernel is called for every mini-batch, from C: no Python call, no array object, no check in between.
"""

from libc.stdlib cimport free, malloc

from fastloss.kernels cimport fastloss_import, fastloss_loss, fastloss_loss_init, pointwise_sum, real

fastloss_import()


def epoch(str loss, double[::1] parameters, const real[:, ::1] rows, const real[::1] target, real[::1] weights,
          double step, Py_ssize_t batch):
    """One epoch over the rows in order; `weights` are changed. Returns the mean of the losses met on the way.

    parameters: what fastloss.kernels.parameters() gives."""
    cdef fastloss_loss body
    cdef Py_ssize_t i, j, n, first = 0
    cdef double total = 0.0
    cdef real *residual
    cdef real sum
    if fastloss_loss_init(&body, loss.encode(), <int>parameters.shape[0],
                          &parameters[0] if parameters.shape[0] else NULL):
        raise ValueError(f"{loss} with {parameters.shape[0]} parameters is no pointwise loss")
    if not rows.shape[0] == target.shape[0] > 0 or not rows.shape[1] == weights.shape[0] or batch < 1:
        raise ValueError("shapes of rows, target and weights don't fit")
    residual = <real *>malloc(batch * sizeof(real))
    if residual == NULL:
        raise MemoryError
    with nogil:
        while first < rows.shape[0]:
            n = min(batch, rows.shape[0] - first)
            for i in range(n):
                sum = 0
                for j in range(rows.shape[1]):
                    sum += rows[first + i, j] * weights[j]
                residual[i] = sum
            # The predictions become the gradient of the batch's mean.
            total += pointwise_sum(&body, n, residual, &target[first], NULL, 1.0 / n, residual)
            for i in range(n):
                for j in range(rows.shape[1]):
                    weights[j] -= <real>step * residual[i] * rows[first + i, j]
            first += n
        free(residual)
    return total / rows.shape[0]
