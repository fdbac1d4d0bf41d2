"""Differential privacy: per-sample clipping whose bound holds exactly, and noise from a cryptographic stream."""

from fastloss.privacy.clip import ClippedSum, clip_and_noise, clip_and_sum, per_sample_norms
from fastloss.privacy.noise import NoiseGenerator
from fastloss.privacy.secure import SecureBudget, sampler_delta, secure_budget

__all__ = [
    "ClippedSum",
    "NoiseGenerator",
    "SecureBudget",
    "clip_and_noise",
    "clip_and_sum",
    "per_sample_norms",
    "sampler_delta",
    "secure_budget",
]
