"""Gamuts and curves: the primaries that files and displays have by name, and a curve with one of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["D65", "GAMUTS", "INTEROP_IDS", "SPOKEN_CURVES", "SPOKEN_GAMUTS", "Encoding", "Gamut", "is_gamut"]

Gamut = tuple[float, float, float, float, float, float, float, float]
"""Red, green, blue and white as CIE 1931 xy, as EXR's attribute ``chromaticities`` has them."""

D65 = (0.3127, 0.3290)
_ACES_WHITE = (0.32168, 0.33767)
GAMUTS: dict[str, Gamut] = {
    "rec709": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *D65),
    "ap1": (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, *_ACES_WHITE),
    "ap0": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, *_ACES_WHITE),
    "p3d65": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *D65),
    "rec2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *D65),
    "adobergb": (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *D65),
    "p3dci": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    "bt470m": (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316),
    "bt470bg": (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *D65),
    "smpte170m": (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *D65),
    "film": (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, 0.310, 0.316),
    "ebu3213": (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *D65),
}
"""By name: ITU-R BT.709, BT.2020, BT.470 B/G, SMPTE 170M, RP 431-2, EG 432-1, Adobe RGB (1998), SMPTE ST 2065-1."""

_XY_TOLERANCE = 2e-3
"""Of published roundings, such as 0.3457 for 0.34567; distinct gamuts are further apart."""

SPOKEN_CURVES = {"pq": "PQ", "hlg": "HLG", "bt1886": "BT.1886", "srgb": "sRGB curve"}
SPOKEN_GAMUTS = {
    "rec709": "Rec.709",
    "ap1": "AP1",
    "ap0": "AP0",
    "p3d65": "P3-D65",
    "rec2020": "Rec.2020",
    "adobergb": "Adobe RGB",
    "p3dci": "P3-DCI",
    "bt470m": "BT.470 M",
    "bt470bg": "BT.470 B/G",
    "smpte170m": "SMPTE 170M",
    "film": "generic film",
    "ebu3213": "EBU 3213",
}

INTEROP_IDS: dict[str, tuple[str, str]] = {
    "lin_ap0_scene": ("ap0", "linear"),
    "lin_ap1_scene": ("ap1", "linear"),
    "lin_rec709_scene": ("rec709", "linear"),
    "lin_p3d65_scene": ("p3d65", "linear"),
    "lin_rec2020_scene": ("rec2020", "linear"),
    "lin_adobergb_scene": ("adobergb", "linear"),
    "srgb_rec709_scene": ("rec709", "srgb"),
    "srgb_p3d65_scene": ("p3d65", "srgb"),
    "srgb_ap1_scene": ("ap1", "srgb"),
    "g22_rec709_scene": ("rec709", "gamma 2.2"),
    "g18_rec709_scene": ("rec709", "gamma 1.8"),
    "g22_adobergb_scene": ("adobergb", "gamma 2.2"),
    "g22_ap1_scene": ("ap1", "gamma 2.2"),
    "srgb_rec709_display": ("rec709", "srgb"),
    "g22_rec709_display": ("rec709", "gamma 2.2"),
    "g24_rec709_display": ("rec709", "bt1886"),
    "srgb_p3d65_display": ("p3d65", "srgb"),
    "g26_p3d65_display": ("p3d65", "gamma 2.6"),
    "pq_p3d65_display": ("p3d65", "pq"),
    "pq_rec2020_display": ("rec2020", "pq"),
    "hlg_rec2020_display": ("rec2020", "hlg"),
}
"""Gamut and curve of identifiers of the Color Interop Forum (recommendations of textures and displays, 2025)."""


@dataclass(frozen=True)
class Encoding:
    """A gamut and a curve, which is what most claims are about."""

    gamut: Gamut
    transfer: str
    """linear, srgb, bt1886, pq, hlg, or such as "gamma 2.2"."""

    @property
    def gamut_name(self) -> str:
        """Its key in :data:`GAMUTS`; empty for one that is not there."""
        for name, known in GAMUTS.items():
            if all(abs(a - b) < _XY_TOLERANCE for a, b in zip(known, self.gamut, strict=True)):
                return name
        return ""

    def __str__(self) -> str:
        values = " ".join(f"{value:.5g}" for value in self.gamut)
        gamut = SPOKEN_GAMUTS.get(self.gamut_name, f"chromaticities {values}")
        return f"{SPOKEN_CURVES.get(self.transfer, self.transfer)}, {gamut}"


def is_gamut(values: Sequence[float]) -> bool:
    """Whether eight numbers are primaries that mix to a white: some files hold zeros, or one point thrice."""
    rx, ry, gx, gy, bx, by, wx, wy = values
    if not all(math.isfinite(value) and abs(value) < 10 for value in values) or wy <= 0:
        return False
    columns = np.array([[rx, gx, bx], [ry, gy, by], [1 - rx - ry, 1 - gx - gy, 1 - bx - by]])
    if abs(np.linalg.det(columns)) < 1e-6:
        return False
    return bool((np.linalg.solve(columns, [wx / wy, 1.0, (1 - wx - wy) / wy]) > 0).all())
