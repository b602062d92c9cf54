"""Color claims: what a file's own header says about the color of its pixels, and how that is written.

What a reader puts there by default (OIIO calls every PNG, JPEG and WebP sRGB, and every HDR linear Rec. 709) is no
claim of the file, so chunks of PNG are read here, and OIIO's ``oiio:ColorSpace`` counts only where EXR holds it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import OpenImageIO as oiio

from engine.images import provenance

__all__ = [
    "D65",
    "GAMUTS",
    "ColorClaim",
    "Encoding",
    "Gamut",
    "claims_of_cicp",
    "claims_of_header",
    "erase_claims",
    "holds_icc",
    "write_claim",
]

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
    "bt470bg": (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *D65),
    "smpte170m": (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *D65),
}
"""By name: ITU-R BT.709, BT.2020, BT.470 B/G, SMPTE 170M, RP 431-2, EG 432-1, Adobe RGB (1998), SMPTE ST 2065-1."""

_XY_TOLERANCE = 2e-3
"""Of published roundings, such as 0.3457 for 0.34567; distinct gamuts are further apart."""

# ITU-T H.273, tables 2 and 3; BT.709, BT.601 and BT.2020 are shown by the display of BT.1886.
_CICP_GAMUTS = {
    1: "rec709",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte170m",
    9: "rec2020",
    11: "p3dci",
    12: "p3d65",
}
_CICP_TRANSFERS = {
    1: "bt1886",
    4: "gamma 2.2",
    5: "gamma 2.8",
    6: "bt1886",
    7: "bt1886",
    8: "linear",
    13: "srgb",
    14: "bt1886",
    15: "bt1886",
    16: "pq",
    17: "gamma 2.6",
    18: "hlg",
}
_UNSPECIFIED = {0, 2, 3}
_CICP_OF_TRANSFER = {"bt1886": 1, "gamma 2.2": 4, "gamma 2.8": 5, "linear": 8, "srgb": 13, "pq": 16, "hlg": 18}

_SPOKEN = {"pq": "PQ", "hlg": "HLG", "bt1886": "BT.1886", "srgb": "sRGB curve"}
_SPOKEN_GAMUTS = {
    "rec709": "Rec.709",
    "ap1": "AP1",
    "ap0": "AP0",
    "p3d65": "P3-D65",
    "rec2020": "Rec.2020",
    "adobergb": "Adobe RGB",
    "p3dci": "P3-DCI",
    "bt470bg": "BT.470 B/G",
    "smpte170m": "SMPTE 170M",
}

_NAMES = ("colorspace", "ColorSpace")
"""Attributes that name a colorspace; Nuke's ``nuke/input/colorspace`` is of the file before, not of this one."""
_ERASED = (
    r"chromaticities|adoptedNeutral|colorInteropID|acesImageContainerFlag|oiio:(ColorSpace|Gamma)|color[sS]pace"
    r"|ColorSpace|Exif:(ColorSpace|Gamma)|ICCProfile(:.*)?|CICP|dpx:(Transfer|Colorimetric)|Gamma"
)
_ICC_FORMATS = {"png", "jpeg", "tiff", "webp", "psd"}
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
        gamut = _SPOKEN_GAMUTS.get(self.gamut_name, f"chromaticities {values}")
        return f"{_SPOKEN.get(self.transfer, self.transfer)}, {gamut}"


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
    if file_format not in {"openexr", "png"}:
        icc = _icc_of(spec)
        found += [icc] if icc else []
        found += _of_exif(spec)
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
    """What code points of ITU-T H.273 say; nothing where the transfer is not specified or has no curve here."""
    curve = _CICP_TRANSFERS.get(transfer)
    gamut = _CICP_GAMUTS.get(primaries, "rec709" if primaries in _UNSPECIFIED else "")
    if curve is None and transfer in _UNSPECIFIED and primaries in {9, 11, 12}:
        curve = "bt1886"
    if curve is None or not gamut:
        return ()
    gamut = "rec2020" if curve in {"pq", "hlg"} and primaries in _UNSPECIFIED else gamut
    return (ColorClaim(f"{where}: {_SPOKEN.get(curve, curve)}", encoding=Encoding(GAMUTS[gamut], curve)),)


def erase_claims(spec: oiio.ImageSpec) -> None:
    """Removes everything that claims a color, each attribute by its own name."""
    for item in list(spec.extra_attribs):
        if re.fullmatch(_ERASED, item.name) or item.name == "nuke/input/colorspace":
            spec.erase_attribute(re.sub(r"([\\^$.*\[\]])", r"\\\1", item.name))


def holds_icc(file_format: str) -> bool:
    """Whether OIIO writes ICC profiles into this format."""
    return file_format in _ICC_FORMATS


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
        yield ColorClaim(f"colorInteropID in the file says {identifier}", name=identifier)
    values = spec.getattribute("chromaticities")
    if isinstance(values, tuple) and len(values) == 8 and not any(isinstance(value, str) for value in values):
        yield ColorClaim("chromaticities in the file", encoding=Encoding(_gamut(values), "linear"))
    if spec.get_int_attribute("acesImageContainerFlag", 0):
        yield ColorClaim("ACES image container (SMPTE ST 2065-4)", encoding=Encoding(GAMUTS["ap0"], "linear"))
    named = spec.get_string_attribute("oiio:ColorSpace")
    if named and named != identifier:
        yield ColorClaim(f"oiio:ColorSpace in the file says {named}", name=named)


def _of_png(path: Path, spec: oiio.ImageSpec) -> Iterator[ColorClaim]:
    """In the order of the PNG specification, third edition: cICP, iCCP, sRGB, gAMA with cHRM."""
    chunks = dict(_png_chunks(path))
    if len(chunks.get(b"cICP", b"")) >= 2:
        yield from claims_of_cicp(chunks[b"cICP"][0], chunks[b"cICP"][1], "cICP chunk")
    icc = _icc_of(spec) if b"iCCP" in chunks else None
    if icc:
        yield icc
    if b"sRGB" in chunks:
        yield ColorClaim("sRGB chunk", encoding=Encoding(GAMUTS["rec709"], "srgb"))
        return
    if b"gAMA" not in chunks or len(chunks[b"gAMA"]) != 4:
        return
    exponent = int(struct.unpack(">I", chunks[b"gAMA"])[0]) / 1e5
    if not 0.2 < exponent < 1.5:
        return
    gamut = GAMUTS["rec709"]
    if len(chunks.get(b"cHRM", b"")) == 32:
        wx, wy, *colors = (value / 1e5 for value in struct.unpack(">8I", chunks[b"cHRM"]))
        gamut = (*colors, wx, wy)
    # 1/2.2 is how PNG has approximated sRGB since before the sRGB chunk.
    near = Encoding(gamut, "linear").gamut_name == "rec709" and abs(exponent - 0.45455) < 5e-4
    curve = "srgb" if near else "linear" if abs(exponent - 1) < 1e-3 else f"gamma {1 / exponent:.4g}"
    yield ColorClaim("gAMA chunk", encoding=Encoding(gamut, curve))


def _png_chunks(path: Path) -> Iterator[tuple[bytes, bytes]]:
    """Those before the pixels."""
    with path.open("rb") as handle:
        if handle.read(8) != b"\x89PNG\r\n\x1a\n":
            return
        while True:
            head = handle.read(8)
            if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
                return
            (length,) = struct.unpack(">I", head[:4])
            yield head[4:], handle.read(min(length, 1 << 22))
            handle.seek(max(0, length - (1 << 22)) + 4, 1)


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
    with path.open("rb") as handle:
        head = handle.read(4096).split(b"\n\n", 1)[0]
    found = re.search(rb"^PRIMARIES=\s*((?:-?\d*\.?\d+\s+){7}-?\d*\.?\d+)\s*$", head, re.MULTILINE)
    if found:
        gamut = _gamut([float(word) for word in found[1].split()])
        yield ColorClaim("PRIMARIES in the file", encoding=Encoding(gamut, "linear"))


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
    return ColorClaim(f"ICC profile {named}", icc=data)
