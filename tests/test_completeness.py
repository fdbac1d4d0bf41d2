"""All that makes a loss is there: body, table row, kernel, twin, public function, docstring, stub and test row."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from cases import ACTIVATIONS, BY_NAME, CASES, POINTWISE, ROWWISE, SEVERAL
from truth import VALUES
from truth_several import VALUES as VALUES_OF_SEVERAL

import fastloss as fl
from fastloss import _core, _stubs
from fastloss._loss import Loss
from fastloss.check._losses import loss_subjects
from fastloss.check._several import ARRAYS

# Every loss that the source documents name, and those that their readers know from other libraries.
CATALOGUE = [
    "mse_loss",
    "half_mse_loss",
    "l1_loss",
    "mae_loss",
    "huber_loss",
    "smooth_l1_loss",
    "log_cosh_loss",
    "pseudo_huber_loss",
    "quantile_loss",
    "poisson_nll_loss",
    "gamma_nll_loss",
    "tweedie_loss",
    "binary_cross_entropy",
    "log_loss",
    "binary_cross_entropy_with_logits",
    "balanced_cross_entropy",
    "focal_loss",
    "poly_loss",
    "hinge_loss",
    "squared_hinge_loss",
    "soft_margin_loss",
    "exponential_loss",
    "cross_entropy",
    "softmax_focal_loss",
    "poly_cross_entropy",
    "multiclass_hinge_loss",
    "categorical_cross_entropy",
    "sparse_categorical_cross_entropy",
    "kl_divergence",
    "dice_loss",
    "contrastive_loss",
    "triplet_margin_loss",
    "margin_ranking_loss",
    "cosine_embedding_loss",
    "info_nce_loss",
    "multiple_negatives_ranking_loss",
    "arcface_loss",
    "ge2e_loss",
    "center_loss",
]

CSRC = Path(__file__).parent.parent / "csrc"  # absent beside an installed wheel
with_sources = pytest.mark.skipif(not CSRC.is_dir(), reason="no C sources beside the tests")
POINTWISE_NAMES = list(_core.names_of_pointwise())


def rows(table: str, macro: str) -> list[str]:
    return re.findall(rf"^{macro}(?:_[A-Z]+)?\((\w+)", CSRC.joinpath(table).read_text(encoding="utf-8"), re.MULTILINE)


@with_sources
def test_table_and_bodies():
    """losses.def, the files of csrc/losses, and the compiled kernels are the same list."""
    names = rows("losses.def", "POINTWISE")
    assert names == POINTWISE_NAMES
    assert {path.stem for path in CSRC.joinpath("losses").glob("*.h")} == set(names)
    for name in names:
        body = CSRC.joinpath("losses", f"{name}.h").read_text(encoding="utf-8")
        assert re.search(rf"^INLINE void {name}\(", body, re.MULTILINE), name
        assert body.startswith("/*"), name
    assert rows("unary.def", "UNARY") == list(_core.names_of_unary())
    names = rows("row_losses.def", "ROW_LOSS")
    assert names == list(_core.names_of_rows())
    assert {path.stem for path in CSRC.joinpath("row_losses").glob("*.h")} == set(names)
    assert set(names) == {case.name for case in ROWWISE} - {"cross_entropy"}
    for name in names:
        body = CSRC.joinpath("row_losses", f"{name}.h").read_text(encoding="utf-8")
        assert re.search(rf"^static UNUSED void {name}_rows\(", body, re.MULTILINE), name


@with_sources
def test_losses_of_rows_of_embeddings():
    """pairs.def, the files of csrc/pairs, the compiled kernels and the public losses are the same list."""
    names = rows("pairs.def", "PAIR_LOSS")
    assert names == list(_core.names_of_pairs())
    assert {path.stem for path in CSRC.joinpath("pairs").glob("*_loss.h")} == {*names, "dice_loss"}
    for name in names:
        assert getattr(fl, name).kind == "several"
        body = CSRC.joinpath("pairs", f"{name}.h").read_text(encoding="utf-8")
        assert re.search(rf"^INLINE void {name}\(", body, re.MULTILINE), name


@with_sources
@pytest.mark.parametrize("path", sorted(CSRC.rglob("*.[ch]")), ids=lambda p: p.name)
def test_every_c_file_says_what_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith(("/*", "//"))
    assert "restrict" not in re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("name", POINTWISE_NAMES)
def test_every_kernel_is_a_public_loss(name):
    assert isinstance(getattr(fl, name), Loss)
    if getattr(fl, name).kind == "pointwise":
        assert getattr(fl, name)._kernel.index == _core.names_of_pointwise()[name]


def test_every_public_loss_has_everything():
    losses = {name: getattr(fl, name) for name in fl.__all__ if isinstance(getattr(fl, name), Loss)}
    stubs = "".join(_stubs.stub(module) for module in _stubs.MODULES)
    assert {loss.__name__ for loss in losses.values()} == set(BY_NAME)
    for name, loss in losses.items():
        assert name in fl.reference.__all__
        assert getattr(fl.reference, name).__doc__
        assert loss.__doc__
        assert re.search(rf"^{name}: _\w+$", stubs, re.MULTILINE), name
        assert loss.__name__ in (VALUES_OF_SEVERAL if loss.kind == "several" else VALUES)
        assert loss.kind == BY_NAME[loss.__name__].kind


def test_the_whole_catalogue():
    """Every name is a loss with all entry points, a documented example, a twin, a row, and a subject of the check."""
    assert set(CATALOGUE) == {name for name in fl.__all__ if isinstance(getattr(fl, name), Loss)}
    subjects = {subject.name for subject in loss_subjects()}
    for name in CATALOGUE:
        loss, twin = getattr(fl, name), getattr(fl.reference, name)
        for entry in ("__call__", "value_and_grad", "denominator"):
            assert callable(getattr(loss, entry))
            assert callable(getattr(twin, entry))
        assert hasattr(loss, "value_grad_hess") == hasattr(twin, "value_grad_hess")
        for section in (".. math::", "Parameters\n", "Returns\n", "Raises\n", "Examples\n", ">>> "):
            assert section in loss.__doc__, (name, section)
        assert loss.__name__ in subjects
        assert loss.__name__ in BY_NAME


@with_sources
@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_a_file_by_its_name(name):
    """The formula of every loss is in a file of its name, or in the one that CONTRIBUTING.md says."""
    root = CSRC.parent
    places = [CSRC / folder / f"{name}.h" for folder in ("losses", "row_losses", "pairs")]
    if not any(place.is_file() for place in places):
        text = root.joinpath("CONTRIBUTING.md").read_text(encoding="utf-8")
        said = re.search(rf"`{name}`[^()]*\(\s*`([^`]+)`\)", text)
        assert said, name
        assert root.joinpath(said[1]).is_file(), said[1]


def test_cases():
    assert {case.name for case in POINTWISE} | {"margin_ranking_loss"} == set(POINTWISE_NAMES)
    for case in CASES:
        assert case.parameters[0] == {}, f"{case.name}: the defaults come first"
        own = set(inspect.signature(getattr(fl, case.name)).parameters)
        tried = {parameter for setting in case.parameters for parameter in setting}
        assert tried <= own
        declared = set(getattr(fl, case.name).declared) - {
            "prediction",
            "logits",
            "probabilities",
            "target",
            "axis",
            "ignore_index",
        }
        assert tried == declared, f"{case.name}: a parameter is never tried"
        assert case.rowwise or case.extremes, case.name
        assert case.worked or case.name == "binary_cross_entropy_with_logits"


@pytest.mark.parametrize("case", SEVERAL, ids=lambda c: c.name)
def test_losses_of_several_arrays(case):
    """Each says its gradients, and is known to the check and to the tables with everything that it takes."""
    loss = getattr(fl, case.name)
    twin = getattr(fl.reference, case.name)
    assert case.name in ARRAYS
    assert set(loss.gradients) <= set(loss.arrays)
    assert loss.gradients[0] == loss.arrays[0]
    assert set(loss.scalars) <= set(loss._parameter_names)
    assert not hasattr(loss, "value_grad_hess")
    assert not hasattr(twin, "value_grad_hess")
    with pytest.raises(AttributeError, match=f"{case.name} has no value_grad_hess: .*Hessian"):
        loss.value_grad_hess
    assert case.parameters[0] == {}
    assert case.corners
    tried = {parameter for setting in case.parameters for parameter in setting}
    assert tried - {"axis"} == set(loss._parameter_names) - {"axis", "ignore_index"}, "a parameter is never tried"


def test_activations():
    assert set(ACTIVATIONS) <= set(fl.__all__)
    public = {
        n for n, f in vars(fl.activations).items() if inspect.isfunction(f) and f.__module__ == "fastloss.activations"
    }
    assert {n for n in public if not n.startswith("_")} == set(ACTIVATIONS)
    for name in ACTIVATIONS:
        assert name in fl.reference.__all__


def test_public_names():
    """__all__ is sorted by name, all of it exists, and nothing public is missing from it."""
    assert fl.__all__ == sorted(fl.__all__)
    for name in fl.__all__:
        assert getattr(fl, name) is not None
    modules = (*_stubs.MODULES, "activations")
    for module in map(importlib.import_module, (f"fastloss.{m}" for m in modules)):
        for name, value in vars(module).items():
            if isinstance(value, Loss):
                assert name in fl.__all__
    for family in _stubs.MODULES:
        assert any(isinstance(v, Loss) for v in vars(importlib.import_module(f"fastloss.{family}")).values())


def test_modules_with_losses_have_stubs():
    families = {
        path.stem
        for path in Path(fl.__file__).parent.glob("*.py")
        if re.search(r"^@(pointwise|rowwise|several)_loss", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert families == set(_stubs.MODULES)
