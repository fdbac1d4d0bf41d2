# What the Python layer calls of the compiled module; not public.
from collections.abc import Callable, Sequence
from contextvars import Token
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]

class PointwiseKernel:
    index: int
    def __init__(
        self,
        name: str,
        parameters: tuple[Any, ...],
        check: Callable[[tuple[Any, ...]], tuple[float, ...]],
        x_domain: str | Callable[..., str],
        target_domain: str | Callable[..., str],
        has_aux: bool,
        work: float,
    ) -> None: ...
    def run(
        self,
        is_double: bool,
        parameters: tuple[float, ...],
        constant_aux: float,
        scale: float,
        inputs: Sequence[Array | None],
        outputs: Sequence[Array | None],
        check_first: bool,
        with_values: bool = True,
    ) -> tuple[int, float]: ...
    def quick(
        self,
        want: int,
        x: object,
        target: object,
        parameters: tuple[Any, ...],
        mean: bool,
        grad: object,
        hess: object = None,
        aux: object = None,
    ) -> Any: ...

class TensorView:
    fits: bool
    tensor: Any
    def __init__(self, tensor: object) -> None: ...

def know_tensors(formats: dict[Any, bytes], like: Callable[..., Any]) -> None: ...
def weight_total(weight: Array, is_double: bool) -> tuple[bool, float]: ...
def elementwise(index: int, x: Array, y: Array) -> None: ...
def quick_elementwise(index: int, x: object, out: object) -> Array | None: ...
def names_of_pointwise() -> dict[str, int]: ...
def names_of_unary() -> dict[str, int]: ...
def check_labels(
    target: Array,
    classes: int,
    ignore_index: int | None,
    class_weight: Array | None,
    sample_weight: Array | None,
    is_double: bool,
) -> tuple[int, int, float]: ...
def cross_entropy(
    logits: Array,
    target: Array,
    soft: bool,
    options: dict[str, float],
    class_weight: Array | None,
    ignore_index: int | None,
    sample_weight: Array | None,
    upstream: Array | None,
    scale: float,
    grad: Array | None,
    hess: Array | None,
    unreduced: Array | None,
) -> float: ...
def quick_cross_entropy(
    plain: tuple[Any, ...], want: int, x: object, target: object, parameters: tuple[Any, ...], mean: bool, grad: object
) -> Any: ...
def row_loss(
    index: int,
    work: float,
    x: Array,
    target: Array,
    soft: bool,
    parameters: Array,
    class_weight: Array | None,
    class_factor: Array | None,
    factor: float,
    ignore_index: int | None,
    sample_weight: Array | None,
    upstream: Array | None,
    scale: float,
    grad: Array | None,
    hess: Array | None,
    unreduced: Array | None,
    first: bool,
) -> float | None: ...

class QuickRows:
    def __init__(
        self, name: str, work: float, variants: list[tuple[tuple[Any, ...], Array, Array, str, str]], ignored_at: int
    ) -> None: ...
    def run(
        self, want: int, x: object, target: object, parameters: tuple[Any, ...], mean: bool, grad: object
    ) -> Any: ...

def inside_domain(array: Array, is_double: bool, domain: str) -> bool: ...
def names_of_rows() -> dict[str, int]: ...
def softmax_rows(which: int, logits: Array, out: Array | None, values: Array | None) -> None: ...
def quick_softmax(which: int, x: object, out: object) -> Array | None: ...

class QuickPairs:
    def __init__(
        self,
        name: str,
        arrays: int,
        numbers: Callable[[tuple[Any, ...], bool], tuple[Any, ...]],
        other_label: int | None,
    ) -> None: ...
    def run(self, want: int, given: list[Any], parameters: tuple[Any, ...], mean: bool, grad_out: object) -> Any: ...

class QuickCenters:
    def __init__(self, name: str, work: float, unwanted: object) -> None: ...
    def run(self, want: int, given: list[Any], parameters: tuple[Any, ...], mean: bool, grad_out: object) -> Any: ...

def unit_rows(x: Array, out: Array, inverse: Array) -> bool: ...
def project_rows(unit: Array | None, inverse: Array | None, times: float, gradient: Array, out: Array) -> bool: ...
def dot_rows(a: Array, b: Array, out: Array) -> bool: ...
def arc_rows(arrays: list[Array], margin: tuple[float, ...]) -> None: ...
def centroids(gradients: bool, arrays: list[Array], shape: tuple[int, ...]) -> None: ...

few_kinds: tuple[int, int, int, int]

def is_few(queries: int, classes: int, columns: int) -> bool: ...
def few(
    kind: int,
    arrays: list[Array],
    label: Array,
    numbers: tuple[float, ...],
    utterances: int,
    weight: Array | None,
    upstream: Array | None,
    scale: float,
    class_weight: Array | None,
    unreduced: Array | None,
    gradients: list[Array | None],
) -> tuple[float, float]: ...

class QuickDice:
    def run(self, want: int, given: list[Any], parameters: tuple[Any, ...], mean: bool, grad_out: object) -> Any: ...

class QuickFew:
    def __init__(self, kind: int, numbers: Callable[[tuple[Any, ...], bool], tuple[Any, ...]]) -> None: ...
    def run(self, want: int, given: list[Any], parameters: tuple[Any, ...], mean: bool, grad_out: object) -> Any: ...

def pair_rows(
    index: int,
    arrays: Sequence[Array],
    centers: Array | None,
    label: Array | None,
    parameters: tuple[float, ...],
    work: float,
    scale: float,
    weight: Array | None,
    upstream: Array | None,
    unreduced: Array | None,
    gradients: Sequence[Array | None],
) -> float: ...
def center_gradients(
    x: Array,
    centers: Array,
    label: Array,
    scale: float,
    weight: Array | None,
    upstream: Array | None,
    gradient: Array,
) -> None: ...
def dice(
    x: Array,
    target: Array,
    rows: int,
    squared: bool,
    smooth: float,
    scale: float,
    weight: Array | None,
    upstream: Array | None,
    unreduced: Array | None,
    gradient: Array | None,
) -> float: ...
def names_of_pairs() -> dict[str, int]: ...
def set_process_threads(n: int) -> None: ...
def enter_threads(n: int) -> Token[int | None]: ...
def exit_threads(token: Token[int | None]) -> None: ...
def current_threads() -> int: ...
def openmp_version() -> int: ...
def compiler() -> str: ...
def isa_names() -> dict[str, tuple[bool, bool]]: ...
def isa_selected() -> str: ...
def isa_select(name: str) -> None: ...
def isa_best() -> str: ...

ROW_KEPT: int
ROW_CLIPPED: int
ROW_NONFINITE: int

def chacha20(key: Array, counter: int, nonce: int) -> Array: ...
def noise(laplace: bool, key: Array, first: int, scale: float, out: Array) -> None: ...
def new_array(shape: tuple[int, ...], dtype: Any) -> Array: ...
def kept_bytes() -> int: ...
def quick_clip_and_noise(
    grads: Any,
    max_grad_norm: Any,
    noise_multiplier: Any,
    divisor: Any,
    rng: Any,
    out: Any,
) -> Any: ...
def finish_sums(
    sums: Array, out: Array, divisor: float, laplace: bool, key: Array | None, first: int, scale: float
) -> None: ...
def discrete_noise(
    limits: Array, laplace: bool, inner_bits: int, outer_bits: int, key: Array, first: int, sums: Array
) -> None: ...
def grid_values(sums: Array, out: Array, grid: float, divisor: float) -> None: ...
def clip(
    arrays: list[Array],
    is_double: bool,
    group_of_array: Array,
    bounds: Array,
    l1: bool,
    automatic: bool,
    gamma: float,
    sums: Array | None,
    norms: Array,
    states: Array,
    units: float = 0.0,
) -> None: ...
