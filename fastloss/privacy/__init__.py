"""Differential privacy: per-sample clipping whose bound holds exactly, and noise from a cryptographic stream."""

from fastloss.privacy.clip import ClippedSum, clip_and_noise, clip_and_sum, per_sample_norms
from fastloss.privacy.noise import NoiseGenerator

__all__ = ["ClippedSum", "NoiseGenerator", "clip_and_noise", "clip_and_sum", "per_sample_norms"]
