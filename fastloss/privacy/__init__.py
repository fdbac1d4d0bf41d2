"""Differential privacy: per-sample clipping whose bound holds exactly, and noise from a cryptographic stream."""

from fastloss.privacy.adaptive import AdaptiveClipper
from fastloss.privacy.calibration import gaussian_sigma, laplace_scale
from fastloss.privacy.clip import ClippedSum, clip_and_noise, clip_and_sum, per_sample_norms
from fastloss.privacy.comparison import Comparison, ComparisonTable, compare_mechanisms, error_bound
from fastloss.privacy.embedding import embedding_clip_and_noise, embedding_norms
from fastloss.privacy.linear import join_norms, linear_clip_and_noise, linear_norms
from fastloss.privacy.mechanisms import add_noise, gaussian_mechanism, laplace_mechanism
from fastloss.privacy.noise import NoiseGenerator
from fastloss.privacy.secure import SecureBudget, sampler_delta, secure_budget

__all__ = [
    "AdaptiveClipper",
    "ClippedSum",
    "Comparison",
    "ComparisonTable",
    "NoiseGenerator",
    "SecureBudget",
    "add_noise",
    "clip_and_noise",
    "clip_and_sum",
    "compare_mechanisms",
    "embedding_clip_and_noise",
    "embedding_norms",
    "error_bound",
    "gaussian_mechanism",
    "gaussian_sigma",
    "join_norms",
    "laplace_mechanism",
    "laplace_scale",
    "linear_clip_and_noise",
    "linear_norms",
    "per_sample_norms",
    "sampler_delta",
    "secure_budget",
]
