"""Color claims: what a file's own header says about the color of its pixels, and how that is written.

What a reader puts there by default (OIIO calls every PNG, JPEG and WebP sRGB, and every HDR linear Rec. 709) is no
claim of the file, so chunks of PNG are read here, and OIIO's ``oiio:ColorSpace`` counts only where EXR holds it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import OpenImageIO as oiio

from engine.images import provenance
from engine.images.gamuts import GAMUTS, INTEROP_IDS, SPOKEN_CURVES, SPOKEN_GAMUTS, Encoding, Gamut, is_gamut
from engine.images.header_bytes import bmp_color, hdr_primaries, png_chunks, targa_gamma, tiff_color
from engine.images.icc import profile_tags, rgb_of_gray
from engine.images.photoshop import document_mode

__all__ = [
    "ColorClaim",
    "can_claim",
    "claim_of_icc",
    "claims_of_cicp",
    "claims_of_header",
    "erase_claims",
    "holds_icc",
    "write_claim",
]

_SAME_CURVE = 4e-3
"""Between a table and a curve, in linear light."""
_NO_RGB = {
    "cmyk": "CMYK",
    "separated": "CMYK",
    "ycbcrk": "CMYK",
    "lab": "Lab",
    "multichannel": "inks",
    "duotone": "duotone",
}
"""Kinds of pixels by words in what OIIO and Photoshop call them."""
_MOST_PROFILE = 1 << 24
_ICC_INKS = {b"CMYK": "CMYK", b"Lab ": "Lab", b"CMY ": "CMY", b"XYZ ": "XYZ"}

# ITU-T H.273, tables 2 and 3; BT.709, BT.601 and BT.2020 are shown by the display of BT.1886.
_CICP_GAMUTS = {
    1: "rec709",
    4: "bt470m",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte170m",
    8: "film",
    9: "rec2020",
    11: "p3dci",
    12: "p3d65",
    22: "ebu3213",
}
_CICP_TRANSFERS = {
    1: "bt1886",
    4: "gamma 2.2",
    5: "gamma 2.8",
    6: "bt1886",
    7: "bt1886",
    8: "linear",
    13: "srgb",
    11: "bt1886",
    12: "bt1886",
    14: "bt1886",
    15: "bt1886",
    16: "pq",
    17: "gamma 2.6",
    18: "hlg",
}
_UNSPECIFIED = {0, 2, 3}
_CICP_OF_TRANSFER = {"bt1886": 1, "gamma 2.2": 4, "gamma 2.8": 5, "linear": 8, "srgb": 13, "pq": 16, "hlg": 18}

_NAMES = ("colorspace", "ColorSpace")
"""Attributes that name a colorspace; Nuke's ``nuke/input/colorspace`` is of the file before, not of this one."""
_ERASED = (
    r"chromaticities|adoptedNeutral|colorInteropID|acesImageContainerFlag|oiio:(ColorSpace|Gamma)|color[sS]pace"
    r"|ColorSpace|Exif:(ColorSpace|Gamma)|ICCProfile(:.*)?|CICP|dpx:(Transfer|Colorimetric)|Gamma"
)
_ICC_FORMATS = {"png", "jpeg", "tiff", "webp", "psd"}
_CLAIMING = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".jxl"}
_DPX_SAYS = {("linear", "rec709"), ("bt1886", "rec709")}
_DPX_LOG = {"Logarithmic", "Printing density"}
_DPX_VIDEO = {
    "Unspecified video",
    "SMPTE 274M",
    "ITU-R 709-4",
    "ITU-R 601-5 system B or G",
    "ITU-R 601-5 system M",
    "NTSC composite video",
    "PAL composite video",
}


@dataclass(frozen=True)
class ColorClaim:
    """One thing that a file says about its color; what it does not say is None or empty."""

    source: str
    """Where it stands, for people: "chromaticities in the file", "ICC profile Display P3"."""
    name: str = ""
    """A colorspace by name or interop identifier."""
    encoding: Encoding | None = None
    icc: bytes = b""
    """An ICC profile."""
    film_log: bool = False
    """Cineon's printing density curve."""
    is_copied: bool = True
    """Whether OIIO keeps it when it writes a file with this file's metadata."""
    refused: str = ""
    """Why the pixels cannot be taken by what the file says of them."""


def claims_of_header(path: Path, spec: oiio.ImageSpec, file_format: str) -> tuple[ColorClaim, ...]:
    """What an image file says, the strongest first.

    Args:
        path: the file, whose own bytes are asked where OIIO does not tell.
        spec: of its picture.
        file_format: OIIO's name.
    """
    found: list[ColorClaim] = []
    if file_format == "openexr":
        found += _of_exr(spec)
    elif file_format == "png":
        found += _of_png(path, spec)
    elif file_format in {"dpx", "cineon"}:
        found += _of_dpx(spec, file_format)
    elif file_format == "hdr":
        found += _of_hdr(path)
    elif file_format == "targa":
        found += _of_targa(path)
    elif file_format == "bmp":
        found += _of_bmp(path)
    if file_format not in {"openexr", "png"}:
        icc = _icc_of(spec)
        found += [icc] if icc else []
        found += _of_inks(path, spec, file_format)
        found += _of_exif(spec)
    if file_format == "tiff":
        found += _of_tiff(path, spec)
    for name in _NAMES:
        value = spec.get_string_attribute(name)
        if value:
            found.append(ColorClaim(f"{name} in its metadata says {value}", name=value))
    facts = provenance.read_provenance(path) if file_format == "dpx" else provenance.facts_of(spec)
    ours = facts.get("colorspace", "")
    if ours:
        found.append(ColorClaim(f"Paintover wrote it as {ours}", name=ours))
    return tuple(found)


def claims_of_cicp(primaries: int, transfer: int, where: str) -> tuple[ColorClaim, ...]:
    """What code points of ITU-T H.273 say; nothing where they say nothing, and no encoding for one unknown here."""
    if {primaries, transfer} <= _UNSPECIFIED:
        return ()
    curve = _CICP_TRANSFERS.get(transfer, "bt1886" if transfer in _UNSPECIFIED else "")
    gamut = _CICP_GAMUTS.get(primaries, "rec709" if primaries in _UNSPECIFIED else "")
    if not curve or not gamut:
        unknown = f"transfer {transfer}" if not curve else f"primaries {primaries}"
        return (ColorClaim(f"{where}: {unknown} of ITU-T H.273"),)
    gamut = "rec2020" if curve in {"pq", "hlg"} and primaries in _UNSPECIFIED else gamut
    spoken = "" if gamut == "rec709" else f", {SPOKEN_GAMUTS[gamut]}"
    return (ColorClaim(f"{where}: {SPOKEN_CURVES.get(curve, curve)}{spoken}", encoding=Encoding(GAMUTS[gamut], curve)),)


def erase_claims(spec: oiio.ImageSpec) -> None:
    """Removes everything that claims a color, each attribute by its own name."""
    for item in list(spec.extra_attribs):
        if re.fullmatch(_ERASED, item.name) or item.name == "nuke/input/colorspace":
            spec.erase_attribute(re.sub(r"([\\^$.*\[\]])", r"\\\1", item.name))


def holds_icc(file_format: str) -> bool:
    """Whether OIIO writes ICC profiles into this format."""
    return file_format in _ICC_FORMATS


def can_claim(suffix: str, claim: ColorClaim) -> bool:
    """Whether files of this suffix can say this in a way that other programs read."""
    encoding = claim.encoding
    if suffix == ".exr":
        return bool(claim.name) or (encoding is not None and encoding.transfer == "linear")
    if suffix == ".dpx":
        return claim.film_log or (encoding is not None and (encoding.transfer, encoding.gamut_name) in _DPX_SAYS)
    if suffix not in _CLAIMING:
        return False
    srgb = encoding is not None and (encoding.transfer, encoding.gamut_name) == ("srgb", "rec709")
    return srgb or bool(claim.icc) or (suffix == ".png" and _cicp_of(encoding) is not None)


def write_claim(spec: oiio.ImageSpec, file_format: str, claim: ColorClaim) -> None:
    """Claims ``claim`` in ``spec``, in the way of the format, and nothing else."""
    erase_claims(spec)
    encoding = claim.encoding
    if file_format == "openexr":
        if encoding is not None and encoding.transfer == "linear":
            spec.attribute("chromaticities", oiio.TypeDesc("float[8]"), encoding.gamut)
        if claim.name:
            spec.attribute("colorInteropID", claim.name)
        return
    if file_format == "dpx":
        transfer = "Linear" if encoding is not None and encoding.transfer == "linear" else ""
        transfer = "ITU-R 709-4" if encoding is not None and encoding.transfer == "bt1886" else transfer
        spec.attribute("dpx:Transfer", "Logarithmic" if claim.film_log else transfer or "User defined")
        return
    srgb = encoding is not None and encoding.transfer == "srgb" and encoding.gamut_name == "rec709"
    # Another name than sRGB keeps OIIO from writing PNG's sRGB chunk, which it does by default.
    spec.attribute("oiio:ColorSpace", "srgb_rec709_scene" if srgb else "unknown")
    cicp = _cicp_of(encoding)
    if file_format == "png" and cicp is not None and not srgb:
        spec.attribute("CICP", oiio.TypeDesc("int[4]"), cicp)
    if claim.icc and holds_icc(file_format) and not srgb and (file_format != "png" or cicp is None):
        spec.attribute("ICCProfile", oiio.TypeDesc(f"uint8[{len(claim.icc)}]"), claim.icc)


def _cicp_of(encoding: Encoding | None) -> tuple[int, int, int, int] | None:
    if encoding is None:
        return None
    codes = {name: code for code, name in reversed(list(_CICP_GAMUTS.items()))}
    primaries, transfer = codes.get(encoding.gamut_name), _CICP_OF_TRANSFER.get(encoding.transfer)
    # H.273's "gamma 2.2" and "gamma 2.8" are curves of BT.470 with its own primaries.
    if primaries is None or transfer is None or transfer in {4, 5}:
        return None
    return primaries, transfer, 0, 1


def _of_exr(spec: oiio.ImageSpec) -> Iterator[ColorClaim]:
    identifier = spec.get_string_attribute("colorInteropID")
    if identifier and identifier != "unknown":
        known = INTEROP_IDS.get(identifier)
        encoding = Encoding(GAMUTS[known[0]], known[1]) if known else None
        yield ColorClaim(f"colorInteropID in the file says {identifier}", name=identifier, encoding=encoding)
    values = spec.getattribute("chromaticities")
    if isinstance(values, tuple) and len(values) == 8 and not any(isinstance(value, str) for value in values):
        yield _claim_of("chromaticities in the file", _gamut(values), "linear", is_copied=True)
    if spec.get_int_attribute("acesImageContainerFlag", 0):
        yield ColorClaim("ACES image container (SMPTE ST 2065-4)", encoding=Encoding(GAMUTS["ap0"], "linear"))
    named = spec.get_string_attribute("oiio:ColorSpace")
    if named and named != identifier:
        yield ColorClaim(f"oiio:ColorSpace in the file says {named}", name=named)


def _of_png(path: Path, spec: oiio.ImageSpec) -> Iterator[ColorClaim]:
    """In the order of the PNG specification, third edition: cICP, iCCP, sRGB, gAMA with cHRM."""
    chunks = dict(png_chunks(path))
    cicp = chunks.get(b"cICP", b"")
    if len(cicp) >= 4:
        claims = claims_of_cicp(cicp[0], cicp[1], "cICP chunk")
        if cicp[2] or cicp[3] != 1:
            what = "a matrix, as of YUV" if cicp[2] else "narrow range, with black at 16"
            claims = (ColorClaim("cICP chunk", refused=f"the picture's cICP chunk says {what}, which is not read"),)
        yield from claims
    if b"iCCP" in chunks:
        yield _icc_of(spec) or _icc_of_chunk(chunks[b"iCCP"])
    if b"sRGB" in chunks:
        yield ColorClaim("sRGB chunk", encoding=Encoding(GAMUTS["rec709"], "srgb"))
        return
    gamut, exponent = GAMUTS["rec709"], 0.0
    if len(chunks.get(b"cHRM", b"")) == 32:
        wx, wy, *colors = (value / 1e5 for value in struct.unpack(">8I", chunks[b"cHRM"]))
        gamut = _gamut((*colors, wx, wy))
    if len(chunks.get(b"gAMA", b"")) == 4:
        exponent = int(struct.unpack(">I", chunks[b"gAMA"])[0]) / 1e5
    if 0.2 < exponent < 1.5:
        yield _claim_of("gAMA chunk", gamut, _curve_of(1 / exponent, gamut))
    elif b"cHRM" in chunks:
        yield _claim_of("cHRM chunk", gamut, "srgb")


def _curve_of(gamma: float, gamut: Gamut) -> str:
    """1/2.2 is how PNG has approximated sRGB since before the sRGB chunk."""
    if Encoding(gamut, "linear").gamut_name == "rec709" and abs(1 / gamma - 0.45455) < 5e-4:
        return "srgb"
    return "linear" if abs(gamma - 1) < 1e-3 else f"gamma {gamma:.4g}"


def _claim_of(source: str, gamut: Gamut, transfer: str, *, is_copied: bool = False) -> ColorClaim:
    """A gamut and a curve, unless the gamut is none."""
    if is_gamut(gamut):
        return ColorClaim(source, encoding=Encoding(gamut, transfer), is_copied=is_copied)
    return ColorClaim(f"{source}, whose primaries are no colors")


def _of_tiff(path: Path, spec: oiio.ImageSpec) -> Iterator[ColorClaim]:
    gamut, curve = tiff_color(path)
    if not gamut and not curve.size:
        return
    source = "TIFF's tags of primaries and transfer function"
    transfer = "linear" if str(spec.format) in {"half", "float"} else "srgb"
    if curve.size:
        transfer = _fitted(curve)
        if not transfer:
            yield ColorClaim(f"{source}, a curve of its own")
            return
    yield _claim_of(source, _gamut(gamut) if gamut else GAMUTS["rec709"], transfer)


def _fitted(curve: np.ndarray) -> str:
    """The curve of a table (n,) of linear light by code; empty for another one."""
    code = np.linspace(0.0, 1.0, len(curve))
    inside = (code > 0.2) & (curve > 0)
    if len(curve) < 16 or not inside.any():
        return ""
    gamma = float(np.median(np.log(curve[inside][:-1]) / np.log(code[inside][:-1])))
    srgb = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    if np.abs(curve - srgb).max() < _SAME_CURVE:
        return "srgb"
    same = gamma > 0 and np.abs(curve - code**gamma).max() < _SAME_CURVE
    return ("linear" if abs(gamma - 1) < 0.01 else f"gamma {gamma:.4g}") if same else ""


def _of_bmp(path: Path) -> Iterator[ColorClaim]:
    is_srgb, profile, colors, gamma = bmp_color(path)
    if is_srgb:
        yield ColorClaim("BMP header says sRGB", encoding=Encoding(GAMUTS["rec709"], "srgb"))
    elif profile:
        yield replace(claim_of_icc(profile, "in the BMP header"), is_copied=False)
    elif colors and gamma > 0:
        points = np.array(colors).reshape(3, 3)
        white = points.sum(axis=0)
        xy = [float(value) for row in (*points, white) for value in row[:2] / (row.sum() or 1.0)]
        yield _claim_of("BMP header", _gamut(xy), _curve_of(gamma, _gamut(xy)))


def _of_dpx(spec: oiio.ImageSpec, file_format: str) -> Iterator[ColorClaim]:
    if file_format == "cineon":
        yield ColorClaim("Cineon holds printing density", film_log=True)
        return
    transfer = spec.get_string_attribute("dpx:Transfer")
    colorimetric = spec.get_string_attribute("dpx:Colorimetric")
    where = f"DPX transfer says {transfer}"
    if transfer in _DPX_LOG or (transfer in {"", "Undefined"} and colorimetric == "Printing density"):
        yield ColorClaim(where, film_log=True)
    elif transfer == "Linear":
        yield ColorClaim(where, encoding=Encoding(GAMUTS["rec709"], "linear"))
    elif transfer in _DPX_VIDEO:
        gamut = "bt470bg" if "B or G" in transfer or "PAL" in transfer else "rec709"
        gamut = "smpte170m" if "system M" in transfer or "NTSC" in transfer else gamut
        yield ColorClaim(where, encoding=Encoding(GAMUTS[gamut], "bt1886"))


def _of_hdr(path: Path) -> Iterator[ColorClaim]:
    """Radiance's PRIMARIES line; the format's pixels are linear."""
    values = hdr_primaries(path)
    if values:
        yield _claim_of("PRIMARIES in the file", _gamut(values), "linear")


def _of_targa(path: Path) -> Iterator[ColorClaim]:
    gamma, gamut = targa_gamma(path), GAMUTS["rec709"]
    if 0.6 < gamma < 5:
        yield _claim_of("gamma in the Targa file", gamut, _curve_of(gamma, gamut), is_copied=True)


def _of_inks(path: Path, spec: oiio.ImageSpec, file_format: str) -> Iterator[ColorClaim]:
    """What OIIO hands out as RGB though it is none; inks mean no color without a profile, and that is not read."""
    said = spec.get_string_attribute(f"{file_format}:ColorSpace").lower() if file_format in {"jpeg", "tiff"} else ""
    if file_format == "psd":
        said = document_mode(path)
    kind = next((name for word, name in _NO_RGB.items() if word in said), "")
    if kind:
        yield ColorClaim(f"{kind} pixels", refused=f"the picture is {kind}, which is not read")


def _gamut(values: Sequence[float]) -> Gamut:
    rx, ry, gx, gy, bx, by, wx, wy = (float(value) for value in values)
    return rx, ry, gx, gy, bx, by, wx, wy


def _of_exif(spec: oiio.ImageSpec) -> Iterator[ColorClaim]:
    space = spec.get_int_attribute("Exif:ColorSpace", 0)
    if space == 1:
        yield ColorClaim("Exif says sRGB", encoding=Encoding(GAMUTS["rec709"], "srgb"))
    elif space == 2 or spec.get_string_attribute("Exif:InteroperabilityIndex") == "R03":
        yield ColorClaim("Exif says Adobe RGB", encoding=Encoding(GAMUTS["adobergb"], "gamma 2.2"))


def _icc_of(spec: oiio.ImageSpec) -> ColorClaim | None:
    profile = spec.getattribute("ICCProfile")
    if profile is None:
        return None
    try:
        data = bytes(bytearray(int(value) for value in profile))
    except (TypeError, ValueError):
        return None  # Something else of that name.
    named = spec.get_string_attribute("ICCProfile:profile_description").strip("\0 ") or "without a name"
    return claim_of_icc(data, named)


def _icc_of_chunk(data: bytes) -> ColorClaim:
    """PNG's iCCP where libpng lets no profile through: it is stricter than those who wrote them."""
    name, _, packed = data.partition(b"\0")
    spoken = name.decode("latin-1").strip() or "without a name"
    try:
        return claim_of_icc(zlib.decompressobj().decompress(packed[1:], _MOST_PROFILE), spoken)
    except zlib.error:
        return ColorClaim(f"ICC profile {spoken}", refused=f"the ICC profile {spoken} is damaged")


def claim_of_icc(profile: bytes, name: str) -> ColorClaim:
    """What an ICC profile says: primaries and curves, gray's curve, or H.273's code points (ICC.1:2022, cicpTag)."""
    source = f"ICC profile {name}"
    kind = profile[16:20]
    tags = profile_tags(profile)
    coded = tags.get(b"cicp", b"")
    if kind == b"RGB " and len(coded) >= 12:
        found = claims_of_cicp(coded[8], coded[9], source)
        if found and found[0].encoding is not None:
            return found[0]
    if kind == b"GRAY" and b"kTRC" in tags:
        return ColorClaim(source, icc=rgb_of_gray(tags[b"kTRC"], name))
    if kind in _ICC_INKS:
        return ColorClaim(source, refused=f"the {source} is for {_ICC_INKS[kind]}, which is not read")
    if any(tag in tags for tag in (b"A2B0", b"A2B1", b"D2B0", b"D2B1")):
        return ColorClaim(source, refused=f"the {source} is made of tables, which are not read")
    return ColorClaim(source, icc=profile)
