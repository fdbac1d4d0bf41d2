"""Rows of one chunk, which kernels take in groups and tiles (csrc/rows/softmax_xent_group.h): a row's results are its
own, whatever its neighbours hold and wherever it stands. Longer rows: test_long_rows.py."""

import numpy as np
import pytest
from compare import same_bits

import fastloss as fl

ce = fl.cross_entropy
# Around the ends of tiles (256 and 128 classes) and chunks, and lengths with groups of different sizes.
CLASSES = [31, 33, 127, 130, 200, 255, 256, 257, 500, 700, 2047, 2048]
ROWS = 41


def rows_of(classes, dtype, rng):
    """Rows of all kinds: ordinary, confident, huge, masked, and some without a finite maximum."""
    x = 4 * rng.standard_normal((ROWS, classes)).astype(dtype)
    t = rng.integers(0, classes, ROWS)
    x[2, t[2]] = 60
    x[3] = 100 * x[3] + 5000
    x[5, ::2] = -np.inf
    x[7, 1] = np.inf
    x[11, 2] = np.nan
    x[12] = -np.inf
    x[19, [0, classes - 1]] = np.inf
    x[23] = 0.25
    x[29, t[29]] = np.inf
    t[[4, 13, 40]] = -100
    x[13, 0] = np.nan
    return x, t


@pytest.mark.parametrize("classes", CLASSES)
def test_a_row_beside_any_others(classes, dtype, isa, rng):
    x, t = rows_of(classes, dtype, rng)
    weights = rng.uniform(0.5, 2.0, ROWS)
    weights[[6, 11]] = 0
    class_weight = rng.uniform(0, 2, classes).astype(dtype)
    class_weight[t[8]] = 0
    for options in (
        {},
        {"sample_weight": weights, "class_weight": class_weight, "grad_output": rng.uniform(-1, 1, ROWS)},
    ):
        given = {"reduction": "none", **options}
        full = ce.value_grad_hess(x, t, **given)
        assert same_bits(ce.value_and_grad(x, t, **given), full[:2])
        assert same_bits(
            ce(x, t, reduction="none", **{k: v for k, v in options.items() if k != "grad_output"}), full[0]
        )
        own = x.copy()
        assert same_bits(ce.value_and_grad(own, t, grad_out=own, **given), full[:2])
        for i in range(ROWS):
            one = {k: v if k in ("reduction", "class_weight") else v[i : i + 1] for k, v in given.items()}
            assert same_bits(
                ce.value_and_grad(x[i : i + 1], t[i : i + 1], **one), tuple(r[i : i + 1] for r in full[:2])
            )


@pytest.mark.parametrize("classes", [*CLASSES, 512, 513, 1024, 1025])
@pytest.mark.parametrize("targets", ["labels", "probabilities"])
def test_a_row_of_many_targets_beside_any_others(targets, classes, dtype, isa, rng):
    x, t = rows_of(classes, dtype, rng)
    x[17, [0, -1]] = np.array([0.9, -0.9]) * np.finfo(dtype).max  # whose difference overflows
    options = {"label_smoothing": 0.1}
    if targets == "probabilities":
        t = rng.dirichlet(np.full(classes, 0.5), ROWS).astype(dtype)
        t[9] = 0
        t[10, 1:] = 0
    class_weight = rng.uniform(0.5, 2, classes).astype(dtype)
    weights = rng.uniform(0.5, 2.0, ROWS)
    weights[[6, 11]] = 0
    more = {
        "class_weight": class_weight,
        "z_loss": 0.01,
        "sample_weight": weights,
        "grad_output": rng.uniform(-1, 1, ROWS),
    }
    for given in (options, {} if targets == "probabilities" else options, {**options, **more}):
        given = {"reduction": "none", **given}
        full = ce.value_grad_hess(x, t, **given)
        assert same_bits(ce.value_and_grad(x, t, **given), full[:2])
        assert same_bits(ce(x, t, **{k: v for k, v in given.items() if k != "grad_output"}), full[0])
        own = x.copy()
        assert same_bits(ce.value_and_grad(own, t, grad_out=own, **given), full[:2])
        own = x.copy()
        assert same_bits(ce.value_grad_hess(own, t, hess_out=own, **given), full)
        for i in range(ROWS):
            one = {k: v[i : i + 1] if np.shape(v) == (ROWS,) else v for k, v in given.items()}
            assert same_bits(ce.value_grad_hess(x[i : i + 1], t[i : i + 1], **one), tuple(r[i : i + 1] for r in full))


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_activations_of_a_row_beside_any_others(name, classes, dtype, isa, rng):
    x, _ = rows_of(classes, dtype, rng)
    function = getattr(fl, name)
    full = function(x)
    for i in range(ROWS):
        assert same_bits(function(x[i : i + 1]), full[i : i + 1])
    if name != "logsumexp":
        own = x.copy()
        assert same_bits(function(own, out=own), full)


@pytest.mark.parametrize("scale", [1e-40, 1e-37, 1e30])
def test_factors_beyond_normal_numbers(scale, isa, rng):
    """Upstream gradients that make a row's factor subnormal, or lift probabilities that would be."""
    x, t = rows_of(300, np.float32, rng)
    keep = np.isfinite(x).all(axis=1) & (t >= 0)
    x, t = x[keep], t[keep]
    x[3, 0] = x[3].max() - np.float32(90)
    upstream = np.full(len(t), scale)
    _, grad = ce.value_and_grad(x, t, reduction="none", grad_output=upstream)
    wide = x.astype(np.longdouble)
    p = np.exp(wide - wide.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    others = p.copy()
    others[np.arange(len(t)), t] = 0
    want = p * upstream[:, None]
    want[np.arange(len(t)), t] = -others.sum(axis=1) * upstream
    unit = np.maximum(np.spacing(np.abs(want).astype(np.float32)), np.finfo(np.float32).smallest_subnormal)
    seen = wide > wide.max(axis=1, keepdims=True) - 113
    assert (np.abs(grad - want) / unit)[seen].max() <= 4.0
