"""Differential privacy: per-sample clipping whose bound holds exactly, and noise from a cryptographic stream."""

from fastloss.privacy.calibration import gaussian_sigma, laplace_scale
from fastloss.privacy.clip import ClippedSum, clip_and_noise, clip_and_sum, per_sample_norms
from fastloss.privacy.comparison import Comparison, ComparisonTable, compare_mechanisms, error_bound
from fastloss.privacy.mechanisms import add_noise, gaussian_mechanism, laplace_mechanism
from fastloss.privacy.noise import NoiseGenerator
from fastloss.privacy.secure import SecureBudget, sampler_delta, secure_budget

__all__ = [
    "ClippedSum",
    "Comparison",
    "ComparisonTable",
    "NoiseGenerator",
    "SecureBudget",
    "add_noise",
    "clip_and_noise",
    "clip_and_sum",
    "compare_mechanisms",
    "error_bound",
    "gaussian_mechanism",
    "gaussian_sigma",
    "laplace_mechanism",
    "laplace_scale",
    "per_sample_norms",
    "sampler_delta",
    "secure_budget",
]
