"""What the C interface saves: an epoch of mini-batches by the example module, and the same calls from Python.

Interleaved rounds, medians, one thread. Needs the two modules beside it: python setup.py build_ext --inplace.
"""

from statistics import median
from time import perf_counter

import numpy as np
import sgd

import fastloss as fl

ROWS, COLUMNS, BATCH, STEP, ROUNDS = 4096, 8, 32, 0.01, 41


def python_epoch(x, y, weights):
    """What sgd.epoch does, with NumPy products and the public function."""
    for first in range(0, ROWS, BATCH):
        rows = x[first : first + BATCH]
        prediction = rows @ weights
        _, grad = fl.huber_loss.value_and_grad(prediction, y[first : first + BATCH], grad_out=prediction)
        weights -= STEP * (grad @ rows)


def main():
    """Print both times and their ratio, once both give the same weights."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
    y = (x @ rng.standard_normal(COLUMNS) + rng.standard_normal(ROWS)).astype(np.float32)
    parameters = np.array(fl.kernels.parameters("huber_loss"))
    results, times = [], ([], [])
    with fl.num_threads(1):
        for _ in range(ROUNDS):
            for which in range(2):
                weights = np.zeros(COLUMNS, np.float32)
                start = perf_counter()
                if which == 0:
                    sgd.epoch("huber_loss", parameters, x, y, weights, STEP, BATCH)
                else:
                    python_epoch(x, y, weights)
                times[which].append(perf_counter() - start)
                results.append(weights)
    assert all(np.allclose(r, results[0], rtol=1e-4) for r in results)
    c, python = (1e6 * median(t) for t in times)
    print(f"{ROWS // BATCH} mini-batches of {BATCH}: {c:.0f} µs from C, {python:.0f} µs from Python: {python / c:.1f}x")


if __name__ == "__main__":
    main()
