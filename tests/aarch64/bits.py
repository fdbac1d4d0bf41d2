"""The same bits on another machine: inputs and results of all kernels, written here and compared there.

    FASTLOSS_ISA=avx2 python bits.py write FILE       (on x86-64)
    python bits.py compare FILE                       (on AArch64, or under an emulator of it)

Not here: losses whose products are NumPy's BLAS. The other machine needs NumPy alone.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cases import CASES, SEVERAL
from compare import same_bits

import fastloss as fl
from fastloss import privacy

POINTWISE_SHAPES = ((1,), (37,), (5000,))
ROW_SHAPES = ((3, 1), (40, 10), (7, 257), (2, 3001))
BLAS = {"info_nce_loss", "multiple_negatives_ranking_loss", "arcface_loss", "ge2e_loss"}
ACTIVATIONS = ("sigmoid", "log_sigmoid", "softplus", "softmax", "log_softmax", "logsumexp")
TYPES = ("float32", "float64")


def flat(result: Any) -> list[Any]:
    """Arrays and numbers of nested tuples, in order."""
    return [a for part in result for a in flat(part)] if isinstance(result, tuple) else [np.asarray(result)]


def losses():
    """(name, arrays made with a generator, results of them) of every loss, type, setting and shape."""
    for case in CASES:
        for k, setting in enumerate(case.parameters):
            for shape in ROW_SHAPES if case.rowwise else POINTWISE_SHAPES:
                parameters = case.resolved(setting, shape)

                def make(rng, dtype, case=case, shape=shape, parameters=parameters):
                    return case.arrays(rng, shape, dtype, parameters)

                def call(x, t, case=case, parameters=parameters):
                    loss = getattr(fl, case.name)
                    full = loss.value_grad_hess if case.has_hessian else loss.value_and_grad
                    return full(x, t, reduction="none", **parameters), loss.value_and_grad(x, t, **parameters)

                yield f"{case.name}-{k}-{shape}", make, call
    for case in SEVERAL:
        for k, parameters in enumerate(case.parameters):
            if case.name in BLAS:
                continue
            for shape in case.shapes:

                def make(rng, dtype, case=case, shape=shape, parameters=parameters):
                    return case.arrays(rng, shape, dtype, parameters)

                def call(*arrays, case=case, parameters=parameters):
                    return getattr(fl, case.name).value_and_grad(*arrays, **parameters)

                yield f"{case.name}-{k}-{shape}", make, call


def others():
    """The same of activations, clipping and noise."""

    def rows(rng, dtype):
        x = (20 * rng.standard_normal((40, 300))).astype(dtype)
        x[::7, ::5] = np.inf
        x[1::7, ::5] = np.finfo(dtype).tiny / 4
        return (x,)

    def gradients(rng, dtype):
        x = (np.exp2(rng.uniform(-20, 20, (30, 1))) * rng.standard_normal((30, 1003))).astype(dtype)
        x[3, 5] = np.nan
        return (x,)

    for name in ACTIVATIONS:
        yield name, rows, lambda x, name=name: getattr(fl, name)(x)
    yield "per_sample_norms", gradients, privacy.per_sample_norms

    def noisy(x, **options):
        noise = privacy.NoiseGenerator(seed=5)
        return privacy.clip_and_noise(x, 1.0, 1.1, expected_batch_size=30, rng=noise, **options)

    yield "clip_and_noise", gradients, noisy
    yield "clip_and_noise-secure", gradients, lambda x: noisy(x, secure=True)
    for name in ("gaussian", "laplace"):
        yield (
            name,
            lambda rng, dtype: (np.zeros(1, dtype),),
            lambda x, name=name: getattr(privacy.NoiseGenerator(seed=7), name)(4099, 1.5, dtype=x.dtype),
        )


def write(path: str) -> None:
    """Inputs and results of this machine."""
    kept: dict[str, Any] = {}
    for name, make, call in (*losses(), *others()):
        for real in TYPES:
            arrays = make(np.random.default_rng(list(name.encode())), np.dtype(real))
            kept |= {f"{name}-{real}/in/{k}": a for k, a in enumerate(arrays) if a is not None}
            kept |= {f"{name}-{real}/out/{k}": a for k, a in enumerate(flat(call(*arrays)))}
    np.savez_compressed(path, **kept)
    print(f"{len(kept)} arrays of {fl._core.isa_selected()}")


def compare(path: str) -> int:
    """How many calls give other bits here."""
    there = np.load(path)
    keys = set(there.files)
    calls = different = 0
    for name, _, call in (*losses(), *others()):
        for real in TYPES:
            key = f"{name}-{real}"
            last = max(int(k.rsplit("/", 1)[1]) for k in keys if k.startswith(f"{key}/in/"))
            arrays = [there[f"{key}/in/{k}"] if f"{key}/in/{k}" in keys else None for k in range(last + 1)]
            results = flat(call(*arrays))
            calls += 1
            bad = [k for k, r in enumerate(results) if not same_bits(r, there[f"{key}/out/{k}"])]
            if bad:
                different += 1
                print(f"other bits: {key}, results {bad}")
    print(f"{calls} calls on {fl._core.isa_selected()}, {different} with other bits")
    return different


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2])
    else:
        sys.exit(bool(compare(sys.argv[2])))
