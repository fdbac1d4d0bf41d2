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

# Powers and polynomials of a probability: products of five factors and sums of eight terms, 4.6 found (float64).
POWER_LOSSES = frozenset({"focal_loss", "softmax_focal_loss", "poly_loss", "poly_cross_entropy"})
POWER_BOUND = 5.0

# The policy bounds values and gradients. A Hessian is a product of about twice as many factors.
HESSIAN_FACTOR = 2.0

# exp, log, ... and the elementwise activations. Without FMA their compensated steps round more often.
ELEMENTARY_BOUND = 1.0
ELEMENTARY_BOUND_WITHOUT_FMA = 1.5

# Temperature, softcap, z-loss, smoothing and class weights of row losses multiply and add several times more, and
# their slopes lift subnormal probabilities, which have fewer digits: ULPs below so many smallest normal numbers don't
# become smaller.
OPTIONS_EXTRA = 4.0
OPTIONS_FLOOR = 128.0

# Weight, upstream gradient and denominator round once each.
WEIGHTED_EXTRA = 3.0

# Sums of non-negative terms, relative, against math.fsum of the unreduced terms.
SUM_BOUNDS = {"float32": 1e-7, "float64": 1e-15}

# What the worked numbers of the source documents are met to, relative.
DOCUMENT_BOUND = 1e-14

# Noise against the reference's, in ULP of the standard deviation or of the value, whichever is larger.
NOISE_BOUND = 4.0

# Clipped sums, in ULP of the sum of absolute terms. So that the clipped norm is within its bound exactly, factors are
# lowered by (W / 32 + 17) 2^-53 for blocks of W <= 4096 columns, and float32 results are rounded towards zero.
CLIP_BOUNDS = {"float32": 2.0, "float64": 80.0}

# Scales and error bounds, relative, and the delta that a sigma has for the delta it was made for.
CALIBRATION_BOUND = 1e-11

# Norms, relative.
NORM_BOUND = 1e-14

# Instruction sets without fused multiply-add: not bound to the bits of the others.
WITHOUT_FMA = frozenset({"baseline"})


def loss_bound(name: str) -> float:
    """The bound of a loss's value and gradient."""
    return SIMPLE_BOUND if name in SIMPLE_LOSSES else POWER_BOUND if name in POWER_LOSSES else LOSS_BOUND


def clip_bound(real: str) -> float:
    """The bound of a clipped sum."""
    return CLIP_BOUNDS[real]


def elementary_bound(isa: str) -> float:
    """The bound of an elementary function."""
    return ELEMENTARY_BOUND_WITHOUT_FMA if isa in WITHOUT_FMA else ELEMENTARY_BOUND
