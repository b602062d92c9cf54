"""Choices: the words that options, cards and job files share. It imports nothing, for those who must start fast."""

from __future__ import annotations

__all__ = ["DENOISE_MODES", "GUIDE_KINDS"]

DENOISE_MODES = ("aware", "published")
"""How to denoise: with a test for occlusion, or without one as published."""

GUIDE_KINDS = ("gaussian", "points", "grid")
"""The Gaussian guide as published; points that are hidden when occluded, and return; a lattice as rigid as possible."""
