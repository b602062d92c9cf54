"""Choices: the words that options, cards and job files share. It imports nothing, for those who must start fast."""

from __future__ import annotations

__all__ = [
    "DENOISE_MODES",
    "EXR_COMPRESSIONS",
    "FLOAT_DEPTHS",
    "GUIDE_KINDS",
    "MATTE_USES",
    "PAINT_STYLES",
    "UNPAINTED_MODES",
]

DENOISE_MODES = ("aware", "published")
"""How to denoise: with a test for occlusion, or without one as published."""

GUIDE_KINDS = ("gaussian", "points", "grid")
"""The Gaussian guide as published; points that are hidden when occluded, and return; a lattice as rigid as possible."""

FLOAT_DEPTHS = ("half", "float")
"""The numbers that rendered frames may hold where their format has them: 16 bits of floating point, or 32."""

EXR_COMPRESSIONS = ("none", "rle", "zips", "zip", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab")
"""Compressions of EXR that every OpenEXR 2 reads."""

MATTE_USES = ("both", "stylize", "track")
"""What a matte for every frame is for: where to stylize, and an object to follow apart from what lies behind it."""

UNPAINTED_MODES = ("plate", "translate")
"""What becomes of what is not painted: it stays as the plate has it, or the look makes of it what it thinks best."""

PAINT_STYLES = ("oil", "impressionist", "expressionist", "gouache", "pastel")
"""How the painter paints."""
