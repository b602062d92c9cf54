"""Image files in and out: pixels, alpha, metadata, windows, layers and parts.

Color here is the file's own; ``engine.color.config`` converts it. ``Image.rgb`` is not multiplied by alpha, whatever
the file does, because a translator must see the color of a soft edge and not its coverage.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio

from engine.base.arrays import Floats
from engine.base.errors import ImageError, OutputError, PaintoverError
from engine.base.signatures import not_a_picture
from engine.base.temporaries import clean_temporaries, output_error, replacing
from engine.images import provenance as provenance_fields
from engine.images.color_claims import ColorClaim, claims_of_header, write_claim
from engine.images.encoding import (
    CHECKSUM,
    PlannedPart,
    checksum,
    choose_depth,
    divisor,
    plan_exr,
    plan_flat,
    share_attributes,
)
from engine.images.foreign_text import clean_spec, error_of, file_name
from engine.images.header import Header, Layer, Part
from engine.images.layers import PartNames, PictureLayer, chroma_apart, find_picture, no_color, no_layer
from engine.images.limits import check_file, check_specs
from engine.images.opening import check_png_chunks, open_picture
from engine.images.photoshop import holds_its_picture
from engine.images.provenance import read_provenance
from engine.images.storage_remarks import storage_remarks

__all__ = [
    "Header",
    "Image",
    "check",
    "clean_temporaries",
    "read",
    "read_header",
    "read_matte",
    "read_provenance",
    "write",
]

log = logging.getLogger(__name__)


_ASSOCIATED_FORMATS = {"openexr", "tiff"}
_HARMLESS = "extraneous bytes before marker"
"""Some cameras pad their JPEGs; libjpeg mentions it and decodes every pixel."""

_METADATA_BYTES = 1 << 16
"""More than the header of any frame that a renderer writes."""

_LUMA_REC709 = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True, eq=False)
class Image:
    """One decoded image."""

    rgb: Floats
    """(H, W, 3), the data window in the file's colorspace, not multiplied by alpha; as stored where alpha is 0."""
    alpha: Floats | None
    """(H, W), 0..1 by convention but as stored."""
    header: Header
    """Everything else of the file."""
    bad_pixels: int
    """How many pixels had NaN or Inf; they are filled from the nearest finite pixel."""
    bad_mask: npt.NDArray[np.bool_] | None
    """(H, W), where; None where there are none."""


def read(path: Path | str, *, frame: int | None = None, coverage: bool = False, layer: str = "") -> Image:
    """Decodes all of ``path``. Safe to call from several threads.

    Args:
        path: one image, not a pattern.
        frame: the frame number, for messages only.
        coverage: of a matte, for which a single channel of coverage is enough.
        layer: the name of the layer, part or view to take; empty for the one that is called the picture.

    Raises:
        ImageError: missing, empty, not an image, damaged, deep, or without channels that could be a picture.
    """
    path = Path(path)
    with _opened(path, frame) as source:
        specs = _specs(source)
        check_specs(specs, path, frame)
        if any(spec.deep for spec in specs):
            raise ImageError("deep EXR is not supported", frame=frame, path=path, remedy="flatten it (DeepToImage)")
        picture = _picture(source, specs, path, frame, coverage, layer)
        index, color = picture.index, picture.color
        file_format = str(source.format_name())
        remarks = (*picture.remarks, *storage_remarks(source, specs[index]))
        parts = []
        stored: dict[str, Layer] = {}
        for number, spec in enumerate(specs):
            layers = _decode(source, number, spec, path, frame)
            if number == index:
                stored = {name: layers.pop(name) for name in color.names}
            parts.append(Part(spec, layers))

    if file_format != "openexr":
        stored = _upright(stored, parts, index)
    rgb = np.stack([stored[name].astype(np.float32) for name in (color.rgb * 3)[:3]], axis=2)
    alpha = None if color.alpha is None else stored[color.alpha].astype(np.float32)
    bad = _fill_bad(rgb, alpha)
    associated = file_format in _ASSOCIATED_FORMATS and not specs[index].get_int_attribute("oiio:UnassociatedAlpha", 0)
    if alpha is not None and associated:
        rgb /= divisor(alpha)[..., None]
    claims = _claims(path, specs, index, file_format)
    header = Header(tuple(parts), index, color, alpha, file_format, associated, claims, remarks)
    return Image(rgb, alpha, header, 0 if bad is None else int(bad.sum()), bad)


def read_header(path: Path | str, *, frame: int | None = None, coverage: bool = False, layer: str = "") -> Header:
    """What ``read`` gives without pixels: no layers and no alpha, for questions about size, format and color.

    Args:
        path: one image, not a pattern.
        frame: the frame number, for messages only.
        coverage: of a matte, for which a single channel of coverage is enough.
        layer: the name of the layer, part or view to take; empty for the one that is called the picture.

    Raises:
        ImageError: missing, empty, not an image, or without channels that could be a picture.
    """
    path = Path(path)
    with _opened(path, frame, whole=False) as source:
        specs = _specs(source)
        picture = _picture(source, specs, path, frame, coverage, layer)
        index, color = picture.index, picture.color
        file_format = str(source.format_name())
        remarks = (*picture.remarks, *storage_remarks(source, specs[index]))
    parts = [Part(spec, {}) for spec in specs]
    if file_format != "openexr":
        _upright({}, parts, index)
    associated = file_format in _ASSOCIATED_FORMATS and not specs[index].get_int_attribute("oiio:UnassociatedAlpha", 0)
    claims = _claims(path, specs, index, file_format)
    return Header(tuple(parts), index, color, None, file_format, associated, claims, remarks)


def read_matte(path: Path | str, *, frame: int | None = None) -> Floats:
    """A matte, (H, W) in 0..1: the alpha of ``path`` unless that is 1 everywhere, else its luminance (Rec. 709).

    Raises:
        ImageError: as ``read``, but a single channel of coverage is enough.
    """
    image = read(path, frame=frame, coverage=True)
    if image.alpha is not None and bool((image.alpha != 1.0).any()):
        coverage = image.alpha
    elif len(image.header.color.rgb) == 1:
        coverage = image.rgb[..., 0]
    else:
        coverage = image.rgb @ _LUMA_REC709
    return np.clip(coverage, 0.0, 1.0, dtype=np.float32)


def check(path: Path | str) -> None:
    """Decodes every part and channel of ``path``, and compares EXR pixels with the checksum that ``write`` stored.

    Finds every truncation, and every change of pixels in a lossless EXR of ours and in a PNG. In EXRs of others it
    finds nearly all damage under ZIP or ZIPS (a chunk that did not shrink is stored without a checksum) and may miss
    flipped bits under other compressions. Cannot find: a flipped bit in TIFF, DPX, JPEG or lossy EXR data that still
    decodes, or in a header value that still makes sense.

    Raises:
        ImageError: missing, empty, not an image, damaged, or with pixels other than those that were written.
    """
    path = Path(path)
    with _opened(path, None) as source:
        stored, parts, specs = "", [], _specs(source)
        check_specs(specs, path)
        for number, spec in enumerate(specs):
            stored = spec.get_string_attribute(CHECKSUM) or stored
            if spec.deep:
                deep = source.read_native_deep_image(number, 0)
                if deep is None or source.has_error:
                    raise _damaged(path, None, error_of(source))
            else:
                parts.append(_decode(source, number, spec, path, None))
        if stored and source.format_name() == "openexr" and checksum(parts) != stored:
            raise _damaged(path, None, "its pixels are not those that were written")


def write(
    path: Path | str,
    rgb: Floats,
    *,
    like: Header | None = None,
    alpha: Floats | None = None,
    extra: Mapping[str, Floats] | None = None,
    provenance: Mapping[str, str] | None = None,
    bit_depth: str | None = None,
    compression: str | None = None,
    color: ColorClaim | None = None,
) -> None:
    """Writes one image, whole or not at all, and decodes it again before it takes its name.

    The same input gives the same bytes: no time, path or process enters the file.

    Args:
        path: the extension selects the format.
        rgb: (H, W, 3) float32, not multiplied by alpha, in the colorspace the file shall have. NaN becomes 0.
        like: the plate's header, whose data window ``rgb`` has. EXR from EXR keeps windows, metadata, other channels
            and other parts; other formats hold the display window.
        alpha: (H, W); the plate's own where None.
        extra: more (H, W) channels by name, stored as half in EXR; other formats have no place for them.
        provenance: facts for ``read_provenance``.
        bit_depth: "uint8", "uint16", "half" or "float". EXR defaults to half, integer formats to the plate's depth.
        compression: OIIO's name with an optional quality, such as "dwaa:45" or "jpeg:98". EXR defaults to ZIP.
        color: what the file shall say about its color, in the way of its format and in place of what ``like`` says;
            None for what ``like`` says where the format stays, and nothing otherwise.

    Raises:
        ImageError: the size differs from ``like``'s, or the format or depth cannot be written.
        OutputError: disk full, or another failure while writing.
        NoPermissionError: the folder or the file may not be written.
    """
    path = Path(path)
    name = file_name(path)
    writer = oiio.ImageOutput.create(path.suffix.lstrip(".") or name)
    if writer is None:
        error_of(oiio)
        raise ImageError(f"no image format for {path.suffix!r}", path=path, remedy="use .exr, .png, .tif, .jpg or .dpx")
    file_format = str(writer.format_name())
    depth = choose_depth(file_format, like, bit_depth, path)
    alpha = alpha if alpha is not None or like is None else like.alpha
    size = rgb.shape[:2] if like is None else (like.height, like.width)
    for pixels in (rgb, *([alpha] if alpha is not None else []), *(extra or {}).values()):
        if pixels.shape[:2] != size:
            got = f"{pixels.shape[1]}x{pixels.shape[0]}"
            raise ImageError(f"cannot write {got} like a plate of {size[1]}x{size[0]}", path=path)

    if file_format == "openexr":
        plan = plan_exr(rgb, alpha, like, extra or {}, depth, compression)
    else:
        if extra:
            log.info("%s has no place for the channels %s", path.name, ", ".join(extra))
        plan = [plan_flat(rgb, alpha, like, file_format, depth, compression, bool(writer.supports("alpha")))]
    picture = like.index if like is not None and file_format == "openexr" else 0
    if color is not None:
        write_claim(plan[picture].spec, file_format, color)
    if len(plan) > 1:
        share_attributes(plan, picture)
    provenance_fields.attach(plan[picture].spec, file_format, provenance or {})
    with replacing(path) as temporary:
        if file_format == "jpeg":
            # libjpeg ends the whole process when the disk is full, so that is found out first.
            _probe_space(temporary, plan)
        problem = _encode(writer, temporary, plan)
        if problem:
            raise _write_failure(path, temporary, plan, problem)
        if file_format == "dpx":
            created = "" if like is None else like.spec.get_string_attribute("DateTime")
            provenance_fields.stamp_dpx(temporary, provenance or {}, created)
        try:
            check(temporary)
        except ImageError as error:
            raise _write_failure(path, temporary, plan, error.message) from error


# Reading


@contextmanager
def _opened(path: Path, frame: int | None, *, whole: bool = True) -> Iterator[oiio.ImageInput]:
    check_file(path, frame)
    try:
        if whole and path.suffix.lower() == ".png":
            check_png_chunks(path, frame)
    except OSError as error:
        raise ImageError(f"cannot read: {error.strerror}", frame=frame, path=path) from error
    hints = oiio.ImageSpec()
    hints.attribute("oiio:UnassociatedAlpha", 1)
    source = open_picture(path, hints, frame=frame)
    if source is None:
        detail = _first_line(error_of(oiio))
        other = not_a_picture(path)
        if other is not None:
            raise ImageError(f"not an image but {other[0]}", frame=frame, path=path, remedy=other[1])
        if "Subsampled channels" in detail:
            reason, remedy = chroma_apart()
            raise ImageError(reason, frame=frame, path=path, remedy=remedy)
        raise ImageError(
            f"not an image, or damaged: {detail}", frame=frame, path=path, remedy="look at it, or copy it again"
        )
    try:
        if source.format_name() == "psd" and not holds_its_picture(path):
            raise ImageError(
                "the document holds layers and no picture of them, only a placeholder",
                frame=frame,
                path=path,
                remedy='save it with "Maximize compatibility", or export it as PNG or TIFF',
            )
        yield source
    except MemoryError as error:
        remedy = "free some, or give fewer --workers"
        raise PaintoverError(
            "memory ran out while the image was decoded", frame=frame, path=path, remedy=remedy
        ) from error
    finally:
        source.close()


def _picture(
    source: oiio.ImageInput, specs: list[oiio.ImageSpec], path: Path, frame: int | None, coverage: bool, layer: str
) -> PictureLayer:
    several = len(specs) > 1
    parts = []
    for spec in specs:
        views = spec.getattribute("multiView") or spec.get_string_attribute("view") or ()
        views = (views,) if isinstance(views, str) else views
        views = tuple(view for view in views if isinstance(view, str)) if isinstance(views, tuple) else ()
        parts.append(PartNames(tuple(spec.channelnames), spec.get_string_attribute("name") if several else "", views))
    found = find_picture(tuple(parts), coverage=coverage, layer=layer)
    if found is None:
        reason, remedy = no_layer(layer, tuple(parts)) if layer else no_color(tuple(parts))
        raise ImageError(reason, frame=frame, path=path, remedy=remedy)
    spec = specs[found.index]
    kinds = [str(kind) for kind in spec.channelformats or [spec.format] * spec.nchannels]
    names = ", ".join(found.color.rgb)
    if source.format_name() == "openexr" and "uint" in [kinds[spec.channelindex(name)] for name in found.color.rgb]:
        reason = f"{names} are 32-bit whole numbers: identifiers, and no color"
        raise ImageError(reason, frame=frame, path=path, remedy="give the file of the beauty pass")
    return found


def _claims(path: Path, specs: list[oiio.ImageSpec], index: int, file_format: str) -> tuple[ColorClaim, ...]:
    """Of the picture's part, else of another one: chromaticities are an attribute that all parts of an EXR share."""
    order = [specs[index], *(spec for number, spec in enumerate(specs) if number != index)]
    return next((found for spec in order if (found := claims_of_header(path, spec, file_format))), ())


def _specs(source: oiio.ImageInput) -> list[oiio.ImageSpec]:
    specs: list[oiio.ImageSpec] = []
    while source.seek_subimage(len(specs), 0):
        spec = source.spec().copy()
        changed = clean_spec(spec)
        if changed:
            log.info("text that is no UTF-8 is taken as Latin-1: %s", ", ".join(changed))
        specs.append(spec)
        if source.format_name() != "openexr":
            # Pages of a TIFF or frames of a GIF are other pictures, not other layers of this one.
            break
    error_of(source)
    return specs


def _decode(
    source: oiio.ImageInput, part: int, spec: oiio.ImageSpec, path: Path, frame: int | None
) -> dict[str, Layer]:
    """Every channel of one part: float16, float32 or uint32 as stored in EXR, float32 in 0..1 for integer formats."""
    formats = [str(item) for item in spec.channelformats] or [str(spec.format)] * spec.nchannels
    kind = "half" if set(formats) == {"half"} else "float"
    pixels = source.read_image(part, 0, 0, spec.nchannels, kind)
    message = error_of(source)
    if pixels is None or (message and _HARMLESS not in message):
        raise _damaged(path, frame, message)
    layers: dict[str, Layer] = {}
    for channel, name in enumerate(spec.channelnames):
        if formats[channel] == "uint" and source.format_name() == "openexr":
            exact = source.read_image(part, 0, channel, channel + 1, "uint")
            if exact is None:
                raise _damaged(path, frame, error_of(source))
            layers[name] = exact[..., 0].reshape(spec.height, spec.width)
        else:
            plane = pixels.reshape(spec.height, spec.width, spec.nchannels)[..., channel]
            layers[name] = plane.astype(np.float16 if formats[channel] == "half" else np.float32)
    return layers


def _first_line(message: str) -> str:
    return next((line.strip() for line in message.splitlines() if line.strip()), "unknown reason")


def _damaged(path: Path, frame: int | None, message: str) -> ImageError:
    return ImageError(
        f"the image is damaged or truncated: {_first_line(message)}",
        frame=frame,
        path=path,
        remedy="render or copy it again",
    )


def _upright(stored: dict[str, Layer], parts: list[Part], index: int) -> dict[str, Layer]:
    """Turns a camera's image as its Exif orientation says, and resets that to 1; windows start at 0."""
    spec = parts[index].spec
    orientation = spec.get_int_attribute("Orientation", 1)
    layers = dict(parts[index].layers)
    if 2 <= orientation <= 8:
        stored = {name: _turned(plane, orientation) for name, plane in stored.items()}
        layers = {name: _turned(plane, orientation) for name, plane in layers.items()}
        spec.attribute("Orientation", 1)
        if orientation >= 5:
            spec.width, spec.height = spec.height, spec.width
            aspect = spec.get_float_attribute("PixelAspectRatio", 1.0)
            if aspect not in (0.0, 1.0):
                spec.attribute("PixelAspectRatio", 1.0 / aspect)
    spec.x = spec.y = spec.full_x = spec.full_y = 0
    spec.full_width, spec.full_height = spec.width, spec.height
    parts[index] = Part(spec, layers)
    return stored


def _turned(plane: Layer, orientation: int) -> Layer:
    """``plane`` as seen; the values are Exif 2.3's tag 274."""
    turned = plane.T if orientation >= 5 else plane
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def _fill_bad(rgb: Floats, alpha: Floats | None) -> npt.NDArray[np.bool_] | None:
    """Replaces, in place, pixels with NaN or Inf by the nearest finite one (0 where there is none)."""
    finite = np.isfinite(rgb).all(axis=2)
    if alpha is not None:
        finite &= np.isfinite(alpha)
    if finite.all():
        return None
    bad: npt.NDArray[np.bool_] = np.logical_not(finite)
    if not finite.any():
        rgb[...] = 0.0
        if alpha is not None:
            alpha[...] = 0.0
        return bad
    _, labels = cv2.distanceTransformWithLabels(
        bad.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.empty(int(labels.max()) + 1, np.int64)
    nearest[labels[finite]] = np.flatnonzero(finite)
    source = nearest[labels[bad]]
    rgb[bad] = rgb.reshape(-1, 3)[source]
    if alpha is not None:
        alpha[bad] = alpha.reshape(-1)[source]
    return bad


# Writing


def _encode(writer: oiio.ImageOutput, path: Path, plan: list[PlannedPart]) -> str:
    """Writes the parts; returns OIIO's message where that failed, else nothing."""
    specs = tuple(part.spec for part in plan)
    opened = writer.open(str(path), specs) if len(plan) > 1 else writer.open(str(path), specs[0])
    done = bool(opened)
    for number, part in enumerate(plan):
        if done and number:
            done = bool(writer.open(str(path), part.spec, "AppendSubimage"))
        done = done and bool(writer.write_image(np.ascontiguousarray(part.pixels)))
    message = "" if done else error_of(writer) or "unknown reason"
    closed = writer.close()
    return message or ("" if closed else error_of(writer) or "could not finish the file")


def _write_failure(path: Path, temporary: Path, plan: list[PlannedPart], message: str) -> PaintoverError:
    """The reason behind OIIO's text: the file system is asked again, through calls that tell it."""
    try:
        _probe_space(temporary, plan)
    except OSError as error:
        return output_error(path, error)
    return OutputError(f"cannot write: {_first_line(message)}", path=path)


def _probe_space(temporary: Path, plan: list[PlannedPart]) -> None:
    """Raises the OSError that writing the parts uncompressed into ``temporary`` meets; leaves it empty if none does."""
    with temporary.open("r+b") as handle:
        handle.write(bytes(sum(part.pixels.nbytes for part in plan) + _METADATA_BYTES))
        handle.flush()
        os.fsync(handle.fileno())
        handle.truncate(0)
