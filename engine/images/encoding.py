"""Encoding: how pixels and a plate's header become the parts of a file to write."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import OpenImageIO as oiio

from engine.base.arrays import Floats
from engine.base.compression import is_lossless
from engine.base.errors import ImageError, InputError
from engine.images import provenance as provenance_fields
from engine.images.color_claims import erase_claims
from engine.images.foreign_text import file_name, readable
from engine.images.header import Header, Layer, Part, erase_attributes
from engine.images.layers import ColorChannels

__all__ = [
    "CHECKSUM",
    "HALF_MAX",
    "PlannedPart",
    "check_encoding",
    "checksum",
    "choose_depth",
    "divisor",
    "holds_16_bits",
    "keeps_float",
    "plan_exr",
    "plan_flat",
    "share_attributes",
]


HALF_MAX = 65504.0

CHECKSUM = "paintover/pixels"
"""EXR attribute with the checksum of all pixels: ZIP's own misses some damage, other compressions have none."""

_EXR_COMPRESSIONS = {"zip", "zips", "piz", "rle", "none", "pxr24", "b44", "b44a", "dwaa", "dwab"}

_LEAST_ALPHA = 1e-8
"""Smaller than any positive half; an alpha at or under it counts as 0, so that dividing by it stays finite."""

# What of a plate's metadata describes its encoding and not the picture: dropped when the format changes.
_ENCODING_OF_FORMAT = (
    r"(oiio|png|jpeg|tiff|dpx|openexr|targa|webp|bmp|pnm|jpegxl|gif)(:.*)?"
    r"|compression|planarconfig|Orientation|name|view|worldto(camera|screen|NDC)"
)
# Sizes and counts of the file that was read, wrong or meaningless in the one that is written.
_STALE_STRUCTURE = (
    r"openexr:(chunkCount|lineOrder|levelmode|roundingmode)|oiio:(subimages|subimagename|RowsPerChunk)"
    r"|textureformat|wrapmodes|fovcot|oiio:(SHA-1|AverageColor|ConstantColor|updirection|sampleborder)"
)

_SHARED = ("PixelAspectRatio", "smpte:TimeCode", "chromaticities")
"""Attributes that must not differ between parts of an EXR (openexr.com, "Multi-part files"), beside the format."""

_INTEGER_DEPTHS = {"uint8": 8, "uint16": 16}
_DEPTHS_OF_FORMAT = {
    "openexr": ("half", "float"),
    "png": ("uint16", "uint8"),
    "tiff": ("uint16", "uint8", "half", "float"),
    "dpx": ("uint16", "uint8"),
    "hdr": ("float",),
}
"""Bit depths that a format holds, its default first; others hold uint8."""


def divisor(alpha: Floats) -> Floats:
    """What color is multiplied by to be associated with ``alpha``: that, or 1 where it is 0."""
    return np.where(alpha > _LEAST_ALPHA, alpha, np.float32(1.0))


@dataclass(frozen=True, eq=False)
class PlannedPart:
    """One part, ready for OIIO."""

    spec: oiio.ImageSpec
    """What OIIO writes."""
    pixels: Layer
    """(H, W, C) in the order of the spec's channels."""
    layers: Mapping[str, Layer]
    """EXR's channels as they will be stored; empty for other formats."""


def check_encoding(path: str, depth: str | None, compression: str | None) -> None:
    """A sequence's format holds this depth and, where one of EXR's is named, has compressions of EXR.

    Raises:
        InputError: it does not. A format that cannot be written at all is nothing to say here.
    """
    suffix = Path(path).suffix
    writer = oiio.ImageOutput.create(file_name(suffix).lstrip(".")) if suffix else None
    if writer is None:
        oiio.geterror()
        return
    file_format = str(writer.format_name())
    if depth is not None and depth not in _DEPTHS_OF_FORMAT.get(file_format, ("uint8",)):
        raise InputError(f'"{path}" cannot hold numbers of depth {depth}', remedy="write .exr or .tif frames")
    if compression is not None and file_format != "openexr":
        raise InputError(f'"{path}" has no compression {compression}', remedy="write .exr frames")


def choose_depth(file_format: str, like: Header | None, asked: str | None, path: Path) -> str:
    possible = _DEPTHS_OF_FORMAT.get(file_format, ("uint8",))
    if asked is not None:
        if asked not in possible:
            raise ImageError(
                f"{file_format} cannot hold {asked}", path=path, remedy=f"choose one of {', '.join(possible)}"
            )
        return asked
    if like is not None and (keeps_float(like, file_format) or like.bit_depth in _INTEGER_DEPTHS):
        return like.bit_depth if file_format != "openexr" and like.bit_depth in possible else possible[0]
    return possible[0]


def holds_16_bits(file_format: str) -> bool:
    """Whether frames of OIIO's format of this name hold more than 8 bits."""
    return _DEPTHS_OF_FORMAT.get(file_format, ("uint8",))[0] != "uint8"


def keeps_float(like: Header, file_format: str) -> bool:
    """Whether a frame of this format holds float because its plate, of the same format, does; EXR always may."""
    return like.file_format == file_format == "tiff" and like.bit_depth not in _INTEGER_DEPTHS


def _finite(pixels: Floats, limit: float) -> Floats:
    return np.clip(np.nan_to_num(pixels, nan=0.0, posinf=limit, neginf=-limit), -limit, limit)


def plan_exr(
    rgb: Floats,
    alpha: Floats | None,
    like: Header | None,
    extra: Mapping[str, Floats],
    depth: str,
    compression: str | None,
) -> list[PlannedPart]:
    if like is not None and like.file_format == "openexr":
        parts, index, color = list(like.parts), like.index, like.color
    else:
        spec = _foreign_spec(like, rgb.shape[1], rgb.shape[0])
        parts, index, color = [Part(spec, {})], 0, ColorChannels(("R", "G", "B"), None)

    limit = HALF_MAX if depth == "half" else float(np.finfo(np.float32).max)
    kind = np.float16 if depth == "half" else np.float32
    picture = rgb if alpha is None else rgb * divisor(alpha)[..., None]
    names = color.rgb if len(color.rgb) == 3 else ("R", "G", "B")
    planes: dict[str, Layer] = {}
    for channel, name in enumerate(names):
        planes[name] = _finite(picture[..., channel], limit).astype(kind)
    if alpha is not None:
        layer, dot, letter = names[0].rpartition(".")
        own = color.alpha or layer + dot + ("a" if letter == "r" else "A")
        planes[own] = _finite(alpha, limit).astype(kind)

    planned, identifiers = [], []
    for number, part in enumerate(parts):
        layers = {name: plane for name, plane in part.layers.items() if name not in extra}
        if number == index:
            layers = {**planes, **{name: plane for name, plane in layers.items() if name not in planes}}
            for name, plane in extra.items():
                layers[name] = _finite(plane, HALF_MAX).astype(np.float16)
        # OIIO converts a mixed part through float, which 32-bit identifiers do not survive: they get their own part.
        whole = {name: plane for name, plane in layers.items() if plane.dtype == np.uint32}
        if whole and len(whole) < len(layers):
            identifiers.append(_exr_part(part.spec, whole, compression))
            layers = {name: plane for name, plane in layers.items() if name not in whole}
        planned.append(_exr_part(part.spec, layers, compression))
    planned += identifiers
    if len(planned) > 1:
        _name_parts(planned)
    # OIIO writes the compression of the picture's part for every part.
    if is_lossless(str(planned[index].spec.get_string_attribute("compression"))):
        planned[index].spec.attribute(CHECKSUM, checksum([part.layers for part in planned]))
    return planned


def share_attributes(planned: list[PlannedPart], picture: int) -> None:
    """Gives every part what EXR wants to be the same in all: the format, pixel aspect, timecode and primaries.

    They are those of the picture's part, because the others tell as little of a look's frame as they did of a plate's.
    """
    own = planned[picture].spec
    for part in planned:
        spec = part.spec
        if spec is own:
            continue
        spec.full_x, spec.full_y = own.full_x, own.full_y
        spec.full_width, spec.full_height = own.full_width, own.full_height
        erase_attributes(spec, "|".join(_SHARED))
        for item in own.extra_attribs:
            if item.name in _SHARED:
                spec.attribute(item.name, item.type, item.value)


def checksum(parts: Iterable[Mapping[str, Layer]]) -> str:
    """CRC-32 over every part's channels, by name, as stored; one NaN counts as any other."""
    value = 0
    for layers in parts:
        for name in sorted(layers):
            plane = layers[name]
            if plane.dtype.kind == "f" and np.isnan(plane).any():
                plane = np.where(np.isnan(plane), plane.dtype.type(np.nan), plane)
            value = zlib.crc32(np.ascontiguousarray(plane).view(np.uint8).data, zlib.crc32(name.encode(), value))
    return f"{value:08x}"


def _exr_part(like: oiio.ImageSpec, layers: Mapping[str, Layer], compression: str | None) -> PlannedPart:
    spec = like.copy()
    erase_attributes(spec, _STALE_STRUCTURE)
    provenance_fields.detach(spec)
    names = tuple(layers)
    kinds = {"float16": oiio.TypeHalf, "float32": oiio.TypeFloat, "uint32": oiio.TypeUInt32}
    formats = tuple(kinds[str(plane.dtype)] for plane in layers.values())
    spec.nchannels = len(names)
    spec.channelnames = names
    spec.format = formats[0]
    spec.channelformats = formats if len({str(item) for item in formats}) > 1 else ()
    spec.alpha_channel = next((i for i, name in enumerate(names) if name.split(".")[-1].lower() == "a"), -1)
    spec.z_channel = next((i for i, name in enumerate(names) if name.split(".")[-1].lower() == "z"), -1)
    spec.tile_width = spec.tile_height = spec.tile_depth = 0
    if compression or like.get_string_attribute("compression") not in _EXR_COMPRESSIONS:
        spec.attribute("compression", compression or "zip")
    _keep_date(spec)
    same = all(item.dtype == next(iter(layers.values())).dtype for item in layers.values())
    pixels = np.stack([plane if same else plane.astype(np.float32) for plane in layers.values()], axis=2)
    return PlannedPart(spec, pixels, layers)


def _keep_date(spec: oiio.ImageSpec) -> None:
    """An empty date stops OIIO from inventing one; the plate's is kept."""
    if not spec.get_string_attribute("DateTime"):
        spec.attribute("DateTime", "")


def _name_parts(planned: list[PlannedPart]) -> None:
    """EXR wants distinct part names."""
    taken: set[str] = set()
    for number, part in enumerate(planned):
        name = part.spec.get_string_attribute("name") or f"part{number}"
        while name in taken:
            name += ".ids" if part.pixels.dtype == np.uint32 else f".{number}"
        taken.add(name)
        part.spec.attribute("name", name)


def _foreign_spec(like: Header | None, width: int, height: int) -> oiio.ImageSpec:
    """A spec of the given size with the metadata of another format's file that means the same anywhere."""
    spec = oiio.ImageSpec(width, height, 3, oiio.TypeFloat)
    if like is not None:
        for item in like.spec.extra_attribs:
            # A damaged name, which no call takes.
            if readable(item.name) == item.name:
                spec.attribute(item.name, item.type, item.value)
        erase_attributes(spec, _ENCODING_OF_FORMAT)
        erase_claims(spec)
    provenance_fields.detach(spec)
    return spec


def plan_flat(
    rgb: Floats,
    alpha: Floats | None,
    like: Header | None,
    file_format: str,
    depth: str,
    compression: str | None,
    holds_alpha: bool,
) -> PlannedPart:
    alpha = alpha if holds_alpha else None
    pixels = rgb if alpha is None else np.dstack([rgb, alpha])
    associated = like is not None and like.associated and like.file_format == file_format
    if alpha is not None and associated:
        pixels = np.dstack([rgb * divisor(alpha)[..., None], alpha])
    if like is not None and like.data != like.display:
        pixels = like.to_display(pixels)

    height, width, channels = pixels.shape
    spec = _foreign_spec(like, width, height)
    if like is not None and like.file_format == file_format:
        spec = like.spec.copy()
        erase_attributes(spec, _STALE_STRUCTURE)
        provenance_fields.detach(spec)
        spec.width = spec.full_width = width
        spec.height = spec.full_height = height
        spec.tile_width = spec.tile_height = spec.tile_depth = 0
        spec.channelformats = ()
    spec.nchannels = channels
    spec.channelnames = ("R", "G", "B", "A")[:channels]
    spec.alpha_channel = 3 if channels == 4 else -1
    erase_attributes(spec, "(oiio|tiff):UnassociatedAlpha|tiff:PhotometricInterpretation|dpx:ImageDescriptor")
    if alpha is not None and not associated:
        spec.attribute("oiio:UnassociatedAlpha", 1)
    if file_format == "tiff":
        _keep_date(spec)
    if file_format == "jpeg":
        spec.attribute("jpeg:subsampling", "4:4:4")
        spec.attribute("compression", compression or "jpeg:95")
    elif file_format == "png" and compression:
        # OIIO takes the level of a PNG by this name alone.
        spec.attribute("png:compressionLevel", int(compression.partition(":")[2] or 6))
    elif compression:
        spec.attribute("compression", compression)

    bits = _INTEGER_DEPTHS.get(depth)
    if bits is None:
        spec.format = oiio.TypeDesc(depth)
        limit = HALF_MAX if depth == "half" else float(np.finfo(np.float32).max)
        return PlannedPart(spec, _finite(pixels, limit).astype(np.float32), {})
    spec.format = oiio.TypeDesc(depth)
    if like is not None and like.file_format == file_format and 0 < like.bits_per_sample < bits:
        spec.attribute("oiio:BitsPerSample", like.bits_per_sample)
    else:
        spec.erase_attribute("oiio:BitsPerSample")
    return PlannedPart(spec, _quantized(pixels, bits, spec.get_int_attribute("oiio:BitsPerSample", bits)), {})


def _quantized(pixels: Floats, bits: int, significant: int) -> Layer:
    """Codes of ``bits``, rounded to ``significant`` ones whose top bits repeat below, as OIIO expands 10-bit DPX."""
    top = (1 << significant) - 1
    codes = np.floor(np.clip(np.nan_to_num(pixels, nan=0.0), 0.0, 1.0).astype(np.float64) * top + 0.5).astype(np.uint32)
    shift = bits - significant
    if shift:
        codes = (codes << shift | codes >> max(significant - shift, 0)).astype(np.uint32)
    return codes.astype(np.uint8 if bits == 8 else np.uint16)
