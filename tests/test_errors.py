"""Everything that raises: the type of the error, what its message names, and that nothing was written."""

import itertools
import re

import numpy as np
import pytest
from cases import ACTIVATIONS, CASES, POINTWISE
from compare import results_of

import fastloss as fl

INF, NAN = np.inf, np.nan
X = np.linspace(-1, 1, 20).reshape(4, 5)
LABELS = np.array([0, 1, 2, 3])
ENTRY_POINTS = ("__call__", "value_and_grad", "value_grad_hess")
ce = fl.cross_entropy


def raises(error, *parts):
    """The error, its message holding these parts in this order."""
    return pytest.raises(error, match="(?s)" + ".*".join(re.escape(part) for part in parts))


def with_label(value, at=3, code="l"):
    t = LABELS.astype(code)
    t[at] = value
    return t


LABEL_ERRORS = [
    (with_label(5), {}, ValueError, ("target[3] = 5", "outside [0, 5)", "ignore_index (-100)")),
    (with_label(-1), {}, ValueError, ("target[3] = -1", "outside [0, 5)", "ignore_index (-100)")),
    (with_label(2**40, 0), {}, ValueError, ("target[0] = 1099511627776", "outside [0, 5)")),
    (with_label(-(2**63)), {}, ValueError, (f"target[3] = {-(2**63)}", "outside [0, 5)")),
    (with_label(2**64 - 1, code="Q"), {}, ValueError, (f"target[3] = {2**64 - 1}", "outside [0, 5)")),
    (with_label(156, code="B"), {}, ValueError, ("target[3] = 156", "outside [0, 5)")),
    (with_label(-100), {"ignore_index": None}, ValueError, ("target[3] = -100", "outside [0, 5)")),
    (with_label(-100), {"ignore_index": 2}, ValueError, ("target[3] = -100", "ignore_index (2)")),
    (LABELS.astype(float), {}, TypeError, ("target", "float64", "(4,)", "integers", "probabilities")),
    (LABELS.astype(bool), {}, TypeError, ("target", "bool", "integers")),
    (np.zeros((4, 5), int), {}, TypeError, ("target", "int64", "(4, 5)", "class indices", "(4,)", "probabilities")),
    (LABELS[:3], {}, ValueError, ("target has shape (3,)", "(4, 5)", "(4,)")),
    (np.zeros((4, 1), int), {}, ValueError, ("target has shape (4, 1)", "(4, 5)")),
    (np.zeros((4, 4)), {}, ValueError, ("target has shape (4, 4)", "(4, 5)", "probabilities")),
]

OPTION_ERRORS = [
    ({"class_weight": [1, 2]}, ValueError, ("class_weight has shape (2,)", "(5,)")),
    ({"class_weight": [[1, 2, 3, 4, 5]]}, ValueError, ("class_weight has shape (1, 5)", "(5,)")),
    ({"class_weight": [1, 2, -3, 4, 5]}, ValueError, ("class_weight[2] = -3", ">= 0")),
    ({"class_weight": [1, NAN, 3, 4, 5]}, ValueError, ("class_weight[1] = nan", "finite")),
    ({"class_weight": [1, 2, 3, 4, INF]}, ValueError, ("class_weight[4] = inf", "finite")),
    ({"label_smoothing": 1.5}, ValueError, ("label_smoothing = 1.5", "[0, 1]")),
    ({"label_smoothing": -0.1}, ValueError, ("label_smoothing = -0.1", "[0, 1]")),
    ({"label_smoothing": NAN}, ValueError, ("label_smoothing = nan", "[0, 1]")),
    ({"temperature": 0}, ValueError, ("temperature = 0", "> 0")),
    ({"temperature": INF}, ValueError, ("temperature = inf", "finite")),
    ({"logit_softcap": -1}, ValueError, ("logit_softcap = -1", "> 0")),
    ({"logit_softcap": NAN}, ValueError, ("logit_softcap = nan", "> 0")),
    ({"z_loss": -1e-3}, ValueError, ("z_loss = -0.001", ">= 0")),
    ({"z_loss": "1"}, TypeError, ("z_loss = '1'", "not a number")),
    ({"temperature": True}, TypeError, ("temperature = True", "not a number")),
    ({"temperature": [1.0]}, TypeError, ("temperature = [1.0]", "not a number")),
    ({"ignore_index": 1.5}, TypeError, ("ignore_index = 1.5", "integer or None")),
    ({"axis": 2}, ValueError, ("axis = 2", "2 dimensions")),
    ({"axis": -3}, ValueError, ("axis = -3", "2 dimensions")),
    ({"axis": 1.0}, TypeError, ("axis = 1.0", "integer")),
    ({"sample_weight": [1, 2, 3]}, ValueError, ("sample_weight has shape (3,)", "(4,)")),
    ({"sample_weight": np.ones((4, 1))}, ValueError, ("sample_weight has shape (4, 1)", "(4,)")),
    ({"sample_weight": [1, 1, -2, 1]}, ValueError, ("sample_weight[2] = -2", ">= 0")),
    ({"sample_weight": [1, NAN, 2, 1]}, ValueError, ("sample_weight[1] = nan", "finite")),
    ({"sample_weight": -1.0}, ValueError, ("sample_weight = -1.0", ">= 0")),
    ({"sample_weight": 1j}, TypeError, ("sample_weight", "complex128")),
]

COMMON_ERRORS = [
    ({"reduction": "avg"}, ValueError, ("reduction = 'avg'", "'mean', 'sum' or 'none'")),
    ({"reduction": None}, ValueError, ("reduction = None", "'mean', 'sum' or 'none'")),
    ({"denominator": 0}, ValueError, ("denominator = 0", "> 0")),
    ({"denominator": NAN}, ValueError, ("denominator = nan", "> 0")),
    ({"denominator": INF}, ValueError, ("denominator = inf", "finite")),
    ({"denominator": 2, "reduction": "sum"}, ValueError, ("denominator = 2", "reduction='mean'", "'sum'")),
    ({"out": np.zeros(4)}, ValueError, ("out", "reduction='none'", "'mean'")),
]

# name of a scalar parameter, values outside its domain, what the message says of the domain
DOMAINS = {
    "huber_loss": ("delta", (0, -1.0, NAN, INF), "> 0"),
    "smooth_l1_loss": ("beta", (-1.0, NAN, INF), ">= 0"),
    "pseudo_huber_loss": ("delta", (0, -1.0, NAN, INF), "> 0"),
    "quantile_loss": ("quantile", (0, 1, 0.0, 1.0, -0.1, 1.1, NAN), "(0, 1)"),
    "tweedie_loss": ("power", (NAN, INF, -INF), "a finite number"),
    "hinge_loss": ("margin", (-0.5, NAN, INF), ">= 0"),
    "squared_hinge_loss": ("margin", (-0.5, NAN, -INF), ">= 0"),
    "binary_cross_entropy_with_logits": ("pos_weight", (-1.0, NAN, INF), ">= 0"),
    "balanced_cross_entropy": ("neg_weight", (-1.0, NAN, INF), ">= 0"),
    "focal_loss": ("gamma", (-0.5, NAN, INF), ">= 0"),
    "poly_loss": ("epsilon", (NAN, INF, -INF), "a finite number"),
}

TARGET_DOMAINS = {
    "hinge_loss": ((0.0, 0.5, NAN, -INF), ("-1 or +1", "t = 2 * y - 1")),
    "squared_hinge_loss": ((0.0, 2.0, NAN), ("-1 or +1", "t = 2 * y - 1")),
    "binary_cross_entropy": ((-0.1, 1.5, INF), ("[0, 1]",)),
    "binary_cross_entropy_with_logits": ((-0.1, 1.5, -INF), ("[0, 1]",)),
    "balanced_cross_entropy": ((-0.1, 1.5, INF), ("[0, 1]",)),
    "focal_loss": ((-0.1, 1.5, INF), ("[0, 1]",)),
    "poly_loss": ((-0.1, 1.5, INF), ("[0, 1]",)),
    "exponential_loss": ((-1.0, 1.5, INF), ("[0, 1]",)),
    "soft_margin_loss": ((0.0, 0.5, NAN), ("-1 or +1", "t = 2 * y - 1")),
    "poisson_nll_loss": ((-1.0, -1e-30, -INF), (">= 0",)),
    "gamma_nll_loss": ((0.0, -0.0, -1e-30, -INF), ("a number > 0",)),
    "tweedie_loss": ((-1.0, -1e-30, -INF), (">= 0",)),
}


@pytest.mark.parametrize("entry", ENTRY_POINTS)
@pytest.mark.parametrize(("target", "options", "error", "parts"), LABEL_ERRORS)
def test_labels(entry, target, options, error, parts):
    with raises(error, *parts):
        getattr(ce, entry)(X, target, **options)


@pytest.mark.parametrize("entry", ENTRY_POINTS)
@pytest.mark.parametrize(("options", "error", "parts"), OPTION_ERRORS + COMMON_ERRORS)
def test_cross_entropy_options(entry, options, error, parts):
    with raises(error, *parts):
        getattr(ce, entry)(X, LABELS, **options)


@pytest.mark.parametrize("case", POINTWISE, ids=lambda c: c.name)
@pytest.mark.parametrize("entry", ENTRY_POINTS)
def test_common_options(case, entry, rng):
    x, t = case.arrays(rng, (4, 5), float)
    function = getattr(getattr(fl, case.name), entry)
    for options, error, parts in COMMON_ERRORS:
        with raises(error, *parts):
            function(x, t, **options)
    for weight, parts in (
        (np.ones(4), ("sample_weight has shape (4,)", "(4, 5)", "number of dimensions")),
        (np.ones((5, 4)), ("sample_weight has shape (5, 4)", "(4, 5)")),
        (np.array([[1], [2], [-3.0], [1]]), ("sample_weight[2, 0] = -3.0", ">= 0")),
        (NAN, ("sample_weight = nan", "finite")),
    ):
        with raises(ValueError, *parts):
            function(x, t, sample_weight=weight)


@pytest.mark.parametrize("name", DOMAINS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scalar_parameters(name, dtype):
    parameter, values, domain = DOMAINS[name]
    for array in (np.ones(3, dtype), [1.0, 1.0]):  # the quick path and the general one
        for value in values:
            with raises(ValueError, f"{parameter} = {value}", domain):
                getattr(fl, name)(array, array, **{parameter: value})
        with raises(TypeError, parameter):
            getattr(fl, name)(array, array, **{parameter: "1"})


def test_array_parameter():
    with raises(ValueError, "pos_weight[1] = -2.0", ">= 0"):
        fl.binary_cross_entropy_with_logits(np.ones((3, 2)), np.ones((3, 2)), pos_weight=np.array([1.0, -2.0]))
    with raises(ValueError, "pos_weight has shape (3,)", "(3, 2)"):
        fl.binary_cross_entropy_with_logits(np.ones((3, 2)), np.ones((3, 2)), pos_weight=np.ones(3))


@pytest.mark.parametrize("name", TARGET_DOMAINS)
@pytest.mark.parametrize("in_place", [False, True])
def test_target_domains(name, in_place, dtype, isa):
    """Found in every block and every place of a vector; an output that is the prediction's buffer stays as it was."""
    values, parts = TARGET_DOMAINS[name]
    for value in values:
        for n, at in ((1, 0), (37, 36), (5000, 2048), (300_001, 300_000)):
            x, t = np.full(n, 0.5, dtype), np.ones(n, dtype)
            t[at] = value
            with raises(ValueError, f"target[{at}] = ", *parts):
                getattr(fl, name).value_and_grad(x, t, grad_out=x if in_place else None)
            assert (x == 0.5).all()


@pytest.mark.parametrize("name", ["hinge_loss", "squared_hinge_loss", "soft_margin_loss"])
@pytest.mark.parametrize("kind", ["float32", "float64", "float16"])
def test_signs_are_looked_at_while_values_are_summed(name, kind, isa):
    """A label that is no sign shows, whatever its weight or its neighbours; and nothing else is taken for one."""
    loss = getattr(fl, name)
    for n, at in itertools.product((1, 130, 2100), (0, 57, 128, 2049)):
        x, t, weight = np.full(n, 0.5, kind), np.where(np.arange(n) % 3, 1, -1).astype(kind), np.ones(n, kind)
        at = min(at, n - 1)
        for nan in (False, True):
            x[0] = NAN if nan else 0.5
            assert np.isnan(loss.value_and_grad(x, t)[0]) == nan
            assert np.isnan(loss.value_and_grad(x, t, sample_weight=weight)[0]) == nan
            for bad in (0, 2, -1.5, np.nextafter(x.dtype.type(1), x.dtype.type(2)), NAN, INF):
                label, silent = t.copy(), weight.copy()
                label[at], silent[at] = bad, 0
                for options in ({}, {"sample_weight": silent}, {"reduction": "sum"}, {"reduction": "none"}):
                    with raises(ValueError, f"target[{at}] = "):
                        loss(x, label, **options)
                    with raises(ValueError, f"target[{at}] = "):
                        loss.value_and_grad(x, label, **options)


@pytest.mark.parametrize("value", [-1e-9, 1.0000002, INF, -INF])
def test_probability_outside_the_interval(value, dtype, isa):
    x = np.full((3, 700), 0.5, dtype)
    x[2, 5] = value
    for options in ({}, {"reduction": "none"}, {"sample_weight": 2.0}, {"grad_out": x}):
        with raises(ValueError, "prediction[2, 5] = ", "[0, 1]"):
            fl.binary_cross_entropy.value_and_grad(x, np.ones((3, 700), dtype), **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_domains_that_parameters_decide(dtype):
    """A mean is not negative, the logarithm of one may be; Tweedie's targets are 0 for powers below 2 alone."""
    for wrap in (lambda a: a, lambda a: np.repeat(a, 2, 1)[:, ::2]):  # the quick path and the general one
        x = wrap(np.array([[0.5, -1, 2]], dtype))
        t, zero = wrap(np.ones((1, 3), dtype)), wrap(np.array([[1, 1, 0]], dtype))
        assert np.isfinite(fl.poisson_nll_loss(x, t))
        for full in (False, True):
            with raises(ValueError, "prediction[0, 1] = -1.0", ">= 0"):
                fl.poisson_nll_loss.value_and_grad(x, t, log_input=False, full=full)
        assert np.isfinite(fl.poisson_nll_loss(x, t, log_input=False, sample_weight=[[1, 0, 1]]))
        for power in (-1, 0, 0.5, 1, 1.5):
            assert np.isfinite(fl.tweedie_loss(x, zero, power=power))
        for power in (2, 2.0, 2.5, 3):
            with raises(ValueError, "target[0, 2] = 0.0", "a number > 0"):
                fl.tweedie_loss.value_grad_hess(x, zero, power=power)
    in_place = np.array([0.5, -1, 2], dtype)
    with raises(ValueError, "prediction[1] = -1.0"):
        fl.poisson_nll_loss.value_and_grad(in_place, np.ones(3, dtype), log_input=False, grad_out=in_place)
    assert in_place.tolist() == [0.5, -1, 2]


def test_flags():
    for array in (np.ones(3), [1.0, 1.0]):
        for name in ("log_input", "full"):
            for value in (0, 1, 1.0, None, "yes", np.ones(1, bool)):
                with raises(TypeError, f"{name} = {value!r}", "True or False"):
                    fl.poisson_nll_loss(array, array, **{name: value})
        plain = fl.poisson_nll_loss(array, array, log_input=False, full=True)
        assert fl.poisson_nll_loss(array, array, log_input=np.False_, full=np.True_) == plain


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_unusable_types(case):
    good = np.abs(X) if case.rowwise else np.ones(3)
    other = case.plain_target(good)
    loss = getattr(fl, case.name)
    first = loss.arrays[0]
    bad_types = [complex, object, "datetime64[s]", "timedelta64[s]", "U3", "S2", [("a", float)]]
    if np.finfo(np.longdouble).nmant > 52:
        bad_types.append(np.longdouble)
    for kind in bad_types:
        with raises(TypeError, f"{first} has dtype"):
            loss(np.zeros(good.shape, kind), other)
        with raises(TypeError, "target has dtype"):
            loss(good, np.zeros(np.shape(other), kind))
    for k, name in ((0, first), (1, "target")):
        arrays = [good, other]
        arrays[k] = np.ma.masked_array(arrays[k])
        with raises(TypeError, f"{name} is a masked array"):
            loss(*arrays)

    class Refuses:
        """A tensor on another device, or one that requires grad, refuses in this way."""

        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("use detach() first")

    with raises(TypeError, first, "Refuses", "use detach() first"):
        loss(Refuses(), other)


@pytest.mark.parametrize("case", POINTWISE, ids=lambda c: c.name)
def test_shapes_never_broadcast(case):
    for shape in ((3, 1), (1, 3), (1,), (), (4,)):
        with raises(ValueError, f"target has shape {shape}", "prediction has shape (3,)"):
            getattr(fl, case.name)(np.ones(3), np.ones(shape))


def test_logits_without_classes():
    with raises(ValueError, "(3, 0)", "no classes"):
        ce(np.zeros((3, 0)), [0, 0, 0])
    with raises(ValueError, "0-dimensional", "class axis"):
        ce(1.0, 0)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_grad_output(case, rng):
    shape = (4, 5)
    x, t = case.arrays(rng, shape, float)
    function = getattr(fl, case.name).value_and_grad
    rows = case.rows(shape)
    with raises(ValueError, "grad_output has shape", str(rows), "scalar", "'mean'"):
        function(x, t, grad_output=np.ones(rows))
    with raises(ValueError, "grad_output has shape (4, 1)", str(rows)):
        function(x, t, grad_output=np.ones((4, 1)), reduction="none")
    with pytest.raises(TypeError, match="grad_output"):
        getattr(fl, case.name)(x, t, grad_output=1.0)


def test_row_errors_leave_outputs_and_inputs_alone(dtype, isa):
    """Every label is looked at before anything is written, in parallel calls too."""
    x = np.ones((3000, 40), dtype)
    t = np.zeros(3000, int)
    t[-1] = 40
    outputs = {"out": np.full(3000, 7, dtype), "grad_out": x, "hess_out": np.full_like(x, 7)}
    with raises(ValueError, "target[2999] = 40"):
        ce.value_grad_hess(x, t, reduction="none", **outputs)
    assert (x == 1).all()
    assert (outputs["out"] == 7).all()
    assert (outputs["hess_out"] == 7).all()


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_outputs_that_do_not_fit(case, dtype, rng):
    x, t = case.arrays(rng, (6, 4), dtype)
    rows = case.rows((6, 4))
    other = np.float64 if dtype == np.float32 else np.float32
    strange = np.empty((6, 4), dtype.newbyteorder())
    shared = np.broadcast_to(np.zeros((6, 1), dtype), (6, 4))
    shared.flags.writeable = True
    overlapping = np.lib.stride_tricks.as_strided(np.zeros(40, dtype), (6, 4), (dtype.itemsize * 2, dtype.itemsize))
    fixed = np.empty((6, 4), dtype)
    fixed.flags.writeable = False
    for bad, error, parts in (
        ([0.0], TypeError, ("is a list", "numpy.ndarray")),
        (np.empty((6, 4), other), TypeError, ("dtype", str(dtype))),
        (strange, TypeError, ("native byte order",)),
        (np.empty((4, 6), dtype), ValueError, ("shape (4, 6)", "(6, 4)")),
        (fixed, ValueError, ("read-only",)),
        (shared, ValueError, ("share memory",)),
        (overlapping, ValueError, ("share memory",)),
    ):
        before = x.copy()
        for name in ("grad_out", "hess_out")[: 2 if case.has_hessian else 1]:
            with raises(error, name, *parts):
                results_of(case.name, x, t, **{name: bad})
        assert (x == before).all()
    with raises(ValueError, "out has shape (9,)", str(rows)):
        getattr(fl, case.name)(x, t, reduction="none", out=np.empty(9, dtype))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    function = getattr(fl, name)
    for bad in (np.ones((2, 2), complex), np.ones((2, 2), object), np.array([["a"]])):
        with raises(TypeError, "x has dtype"):
            function(bad)
    with raises(TypeError, "x is a masked array"):
        function(np.ma.ones((2, 2)))
    with raises(ValueError, "out has shape (9,)"):
        function(np.ones((2, 3)), out=np.empty(9))
    if name in ACTIVATIONS[3:]:
        with raises(ValueError, "axis = 2"):
            function(np.ones((2, 3)), axis=2)
        with raises(ValueError, "0-dimensional"):
            function(1.0)


@pytest.mark.parametrize("array", [np.ones(3, np.float32), [1.0, 1.0]])  # the quick path and the general one
@pytest.mark.parametrize(
    ("name", "options", "error", "parts"),
    [
        ("focal_loss", {"alpha": 1.5}, ValueError, ("alpha = 1.5", "[0, 1]")),
        ("focal_loss", {"alpha": NAN}, ValueError, ("alpha = nan", "[0, 1]")),
        ("focal_loss", {"alpha": [0.5]}, TypeError, ("alpha = [0.5]", "not a number")),
        ("focal_loss", {"gamma": None}, TypeError, ("gamma = None", "not a number")),
        ("poly_loss", {"epsilon": (1.0, NAN)}, ValueError, ("epsilon[1] = nan", "a finite number")),
        ("poly_loss", {"epsilon": (1.0, "2")}, TypeError, ("epsilon[1] = '2'", "not a number")),
        ("poly_loss", {"epsilon": np.ones((2, 2))}, TypeError, ("epsilon", "sequence of numbers")),
        ("poly_loss", {"epsilon": "1"}, TypeError, ("epsilon = '1'", "sequence of numbers")),
        ("poly_loss", {"form": "series"}, ValueError, ("form = 'series'", "'paper' or 'taylor'")),
        ("poly_loss", {"form": None}, ValueError, ("form = None", "'paper' or 'taylor'")),
    ],
)
def test_parameters_of_focal_and_poly(array, name, options, error, parts):
    with raises(error, *parts):
        getattr(fl, name)(array, array, **options)


def test_coefficient_that_a_float_cannot_hold():
    x = np.ones(3, np.float32)
    for epsilon in ((1.0, 1e39), (1.0, 1e-50)):
        with raises(ValueError, "epsilon[1] = ", "float32"):
            fl.poly_loss(x, x, epsilon=epsilon)
