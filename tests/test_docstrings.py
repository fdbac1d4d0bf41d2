"""Every public name has a docstring in numpydoc form whose examples are true."""

import doctest
import importlib
import inspect
import pkgutil
from importlib.util import find_spec

import pytest

import fastloss as fl
from fastloss._loss import Loss

# Modules that need the library whose name they have.
EXTRAS = ("torch",)

LOSS_SECTIONS = ("Parameters", "Returns", "Raises", "Examples")


def public_modules():
    """fastloss and its public modules and packages, the reference among them."""
    yield fl
    for info in pkgutil.walk_packages(fl.__path__, "fastloss."):
        if any(info.name.startswith(f"fastloss.{extra}") and find_spec(extra) is None for extra in EXTRAS):
            continue
        if not any(part.startswith("_") for part in info.name.split(".")):
            yield importlib.import_module(info.name)


MODULES = {module.__name__: module for module in public_modules()}


def documented():
    """(name, object): modules, and the public functions, classes and losses defined in fastloss."""
    for module_name, module in MODULES.items():
        yield module_name, module
        for name in getattr(module, "__all__", [n for n in vars(module) if not n.startswith("_")]):
            value = getattr(module, name)
            if isinstance(value, Loss) or (callable(value) and getattr(value, "__module__", "").startswith("fastloss")):
                yield f"{module_name}.{name}", value


DOCUMENTED = dict(documented())
LOSSES = {k: v for k, v in DOCUMENTED.items() if isinstance(v, Loss) and k.count(".") == 1}
FUNCTIONS = {k: v for k, v in DOCUMENTED.items() if k.count(".") == 1 and inspect.isfunction(v)}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_has_a_docstring(name):
    doc = inspect.getdoc(DOCUMENTED[name])
    assert doc
    assert len(doc.split("\n")[0]) > 5


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples(name):
    """Loss objects are instances, which doctest's own finder does not see."""
    parser, runner = (
        doctest.DocTestParser(),
        doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE),
    )
    found = [(name, inspect.getdoc(DOCUMENTED[name]) or "")]
    if inspect.isclass(DOCUMENTED[name]):
        found += [
            (f"{name}.{k}", inspect.getdoc(v) or "") for k, v in vars(DOCUMENTED[name]).items() if inspect.isfunction(v)
        ]
    for label, text in found:
        test = parser.get_doctest(text, {}, label, None, None)
        report = []
        runner.run(test, out=report.append)
        assert not runner.failures, "".join(report)


def sections(doc: str) -> dict[str, str]:
    """The numpydoc sections of a docstring."""
    lines, result, current = doc.split("\n"), {}, ""
    for line, rule in zip(lines, [*lines[1:], ""], strict=True):
        if rule and set(rule) == {"-"} and len(rule) >= len(line) > 0:
            assert len(rule) == len(line), f"underline of {line}"
            assert line not in result, f"{line} twice"
            current = line
            result[current] = ""
        elif current:
            result[current] += line + "\n"
    return result


def parameters_of(text: str) -> list[str]:
    """The names that a Parameters section lists."""
    heads = [line.split(":")[0] for line in text.split("\n") if line and line[0].isalpha()]
    return [name.strip() for head in heads for name in head.split(",")]


@pytest.mark.parametrize("name", LOSSES)
def test_sections_of_a_loss(name):
    loss = LOSSES[name]
    doc = inspect.getdoc(loss)
    found = sections(doc)
    assert set(LOSS_SECTIONS) <= set(found)
    assert [s for s in found if s in LOSS_SECTIONS] == list(LOSS_SECTIONS)
    accepted = {
        p
        for entry in ("value_and_grad", "value_grad_hess")
        if hasattr(loss, entry)
        for p in inspect.signature(getattr(loss, entry)).parameters
    }
    assert set(parameters_of(found["Parameters"])) == accepted | {"out"}
    assert ">>> " in found["Examples"]
    assert ".. math::" in doc
    assert doc == inspect.getdoc(loss.__call__)
    assert loss.value_and_grad.__doc__
    assert loss.denominator.__doc__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_sections_of_a_function(name):
    """What takes arguments documents each of them."""
    function = FUNCTIONS[name]
    found = sections(inspect.getdoc(function))
    accepted = [p for p in inspect.signature(function).parameters if p not in ("name", "n")]
    if accepted:
        assert set(parameters_of(found["Parameters"])) == set(accepted)
        assert "Returns" in found
    if name.split(".")[-1] in ("sigmoid", "softmax", "backend", "num_threads", "show_config"):
        assert ">>> " in found["Examples"]
