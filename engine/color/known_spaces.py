"""Known colorspaces: what configs of several generations call a gamut with a curve, and which that of a space is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.base.errors import ColorError
from engine.color.made_spaces import FILM_LOG, gamut_to_aces, to_xy
from engine.images.color_claims import ColorClaim
from engine.images.gamuts import GAMUTS, INTEROP_IDS, Encoding
from engine.images.icc import profile_of

if TYPE_CHECKING:
    from engine.color.config import ColorConfig

__all__ = [
    "FILM_LOG_NAMES",
    "LINEAR_REC709",
    "SRGB",
    "claim_for",
    "encoding_of",
    "film_log_of",
    "known_space",
    "same_space",
]

SRGB = ("srgb_texture", "srgb_tx", "sRGB - Texture", "srgb_rec709_scene", "Utility - sRGB - Texture", "sRGB")
LINEAR_REC709 = ("lin_rec709_srgb", "lin_rec709", "lin_srgb", "Utility - Linear - sRGB", "Linear Rec.709 (sRGB)")
FILM_LOG_NAMES = ("Cineon", "cineon", "ADX10", "Input - ADX - ADX10")

_P3 = ("srgb_p3d65_scene", "srgb_encoded_p3d65", "srgb_displayp3", "srgb_p3d65", "Display P3 - Display")
_VIDEO = ("Rec.1886 Rec.709 - Display", "rec1886_rec709_display", "g24_rec709_scene", "g24_rec709", "rec709_display")
_KNOWN: dict[tuple[str, str], tuple[str, ...]] = {
    ("rec709", "srgb"): (*SRGB, "srgb_rec709_display", "srgb_display", "sRGB - Display"),
    ("rec709", "linear"): LINEAR_REC709,
    ("rec709", "bt1886"): _VIDEO,
    ("rec709", "gamma 2.2"): ("g22_rec709_scene", "g22_rec709", "Gamma 2.2 Rec.709 - Texture", "g22_rec709_tx"),
    ("rec709", "gamma 1.8"): ("g18_rec709_scene", "g18_rec709", "Gamma 1.8 Rec.709 - Texture", "g18_rec709_tx"),
    ("p3d65", "srgb"): _P3,
    ("p3d65", "linear"): ("lin_p3d65_scene", "lin_p3d65", "Linear P3-D65", "Utility - Linear - P3-D65"),
    ("p3d65", "gamma 2.6"): ("g26_p3d65_display", "p3d65_display", "Gamma 2.6 P3-D65 - Display", "P3-D65 - Display"),
    ("p3d65", "pq"): ("pq_p3d65_display", "st2084_p3d65_display", "ST2084-P3-D65 - Display"),
    ("adobergb", "gamma 2.2"): ("g22_adobergb_scene", "g22_adobergb", "adobergb"),
    ("adobergb", "linear"): ("lin_adobergb_scene", "lin_adobergb", "Utility - Linear - Adobe RGB"),
    ("rec2020", "linear"): ("lin_rec2020_scene", "lin_rec2020", "Linear Rec.2020", "Utility - Linear - Rec.2020"),
    ("rec2020", "pq"): ("pq_rec2020_display", "rec2100_pq_display", "Rec.2100-PQ - Display"),
    ("rec2020", "hlg"): ("hlg_rec2020_display", "rec2100_hlg_display", "Rec.2100-HLG - Display"),
    ("ap1", "linear"): ("lin_ap1_scene", "lin_ap1", "ACEScg", "ACES - ACEScg"),
    ("ap0", "linear"): ("lin_ap0_scene", "lin_ap0", "ACES2065-1", "ACES - ACES2065-1"),
    ("ap1", "srgb"): ("srgb_ap1_scene", "srgb_ap1"),
    ("ap1", "gamma 2.2"): ("g22_ap1_scene", "g22_ap1"),
}

_INTEROP = {what: name for name, what in INTEROP_IDS.items() if name.endswith("_scene")}

# In 0..1 and of every channel's own value, so that gamut and curve both show.
_PROBE = np.array(
    [[[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [0.9, 0.1, 0.2], [0.15, 0.8, 0.3], [0.2, 0.1, 0.7], [0.02, 0.03, 0.05]]],
    np.float32,
)
_SAME = 3e-3
"""In linear light; ICC profiles hold 16-bit numbers, and tables of 1024 entries."""


def known_space(config: ColorConfig, encoding: Encoding) -> str:
    """The config's space for a gamut and a curve; empty where it has none."""
    names = _KNOWN.get((encoding.gamut_name, encoding.transfer), ())
    return next((space for space in map(config.find, names) if space), "")


def film_log_of(config: ColorConfig) -> str:
    """The config's film log, else Cineon's curve into the working space."""
    return next((space for space in map(config.find, FILM_LOG_NAMES) if space not in ("", FILM_LOG)), FILM_LOG)


def same_space(config: ColorConfig, one: str) -> str:
    """The config's known space that does what ``one`` does; empty where there is none, or it cannot be told."""
    try:
        wanted = config.to_working(_PROBE, one)
        for names in _KNOWN.values():
            space = next((space for space in map(config.find, names) if space), "")
            if space and float(np.abs(config.to_working(_PROBE, space) - wanted).max()) < _SAME:
                return space
    except ColorError:
        pass
    return ""


def encoding_of(config: ColorConfig, space: str) -> Encoding | None:
    """Gamut and curve of a space; None where it is neither known nor linear."""
    made = config.made_encoding(space)
    if made is not None:
        return made
    for (gamut, transfer), names in _KNOWN.items():
        if space in map(config.find, names):
            return Encoding(GAMUTS[gamut], transfer)
    linear = _linear(config, space)
    same = "" if linear is not None or config.is_data(space) else same_space(config, space)
    return encoding_of(config, same) if same and same != space else linear


def claim_for(config: ColorConfig, space: str) -> ColorClaim:
    """What a file that holds ``space`` can say about it."""
    icc = config.made_profile(space)
    if icc:
        return ColorClaim("written", icc=icc)
    if space == FILM_LOG or space in [config.find(name) for name in FILM_LOG_NAMES]:
        return ColorClaim("written", film_log=True)
    encoding = encoding_of(config, space)
    if encoding is None:
        return ColorClaim("written", name=config.interop_id(space))
    name = _INTEROP.get((encoding.gamut_name, encoding.transfer), "")
    return ColorClaim("written", name=name, encoding=encoding, icc=profile_of(encoding, space))


def _linear(config: ColorConfig, space: str) -> Encoding | None:
    """The gamut of a linear space, measured, where the config can tell what its spaces are."""
    axes = np.eye(3, dtype=np.float32)[None]
    try:
        once, twice = config.to_aces(axes, space), config.to_aces(axes * np.float32(2.0), space)
        black = config.to_aces(np.zeros((1, 1, 3), np.float32), space)
    except ColorError:
        return None
    if config.is_data(space) or np.abs(black).max() > 1e-6 or np.abs(twice - 2 * once).max() > 1e-4:
        return None
    matrix = once[0].T.astype(np.float64)
    for gamut in GAMUTS.values():
        if np.abs(gamut_to_aces(gamut) - matrix).max() < 5e-4:
            return Encoding(gamut, "linear")
    if not np.isfinite(matrix).all():
        return None
    try:
        with np.errstate(all="ignore"):
            measured = to_xy(matrix)
        gamut_to_aces(measured)
    except ColorError:
        return None
    return Encoding(measured, "linear")
