"""How far a kernel's result may be from the exact one: the numeric policy, in the one place that check reads.

Bounds are units in the last place (ULP) of the result, or of its largest term where it is a difference of nearly
equal numbers; for unweighted, unreduced losses and inputs already rounded to the computing type.
"""

# Losses of a few additions and products, none of which can magnify a rounding.
SIMPLE_LOSSES = frozenset(
    {"mse_loss", "half_mse_loss", "l1_loss", "huber_loss", "hinge_loss", "squared_hinge_loss", "quantile_loss"}
)
SIMPLE_BOUND = 2.0

# Every other loss, and softmax and its relatives.
LOSS_BOUND = 4.0

# The policy bounds values and gradients. A Hessian is a product of about twice as many factors.
HESSIAN_FACTOR = 2.0

# exp, log, ... and the elementwise activations. Without FMA their compensated steps round more often.
ELEMENTARY_BOUND = 1.0
ELEMENTARY_BOUND_WITHOUT_FMA = 1.5

# Temperature, softcap, z-loss, smoothing and class weights of row losses multiply and add several times more, and their
# slopes lift probabilities that are subnormal: results below so many smallest normal numbers have that many fewer digits.
OPTIONS_EXTRA = 4.0
OPTIONS_FLOOR = 128.0

# Weight, upstream gradient and denominator round once each.
WEIGHTED_EXTRA = 3.0

# Sums of non-negative terms, relative, against math.fsum of the unreduced terms.
SUM_BOUNDS = {"float32": 1e-7, "float64": 1e-15}

# What the worked numbers of the source documents are met to, relative.
DOCUMENT_BOUND = 1e-14

# Instruction sets without fused multiply-add: not bound to the bits of the others.
WITHOUT_FMA = frozenset({"baseline"})


def loss_bound(name: str) -> float:
    """The bound of a loss's value and gradient."""
    return SIMPLE_BOUND if name in SIMPLE_LOSSES else LOSS_BOUND


def elementary_bound(isa: str) -> float:
    """The bound of an elementary function."""
    return ELEMENTARY_BOUND_WITHOUT_FMA if isa in WITHOUT_FMA else ELEMENTARY_BOUND
