"""Image files as scene-linear arrays: read into a working colorspace, and written from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from engine import images
from engine.base.arrays import Floats
from engine.base.errors import ImageError
from engine.color.config import ColorConfig

__all__ = ["read_image", "write_image"]

_FLOAT_SUFFIXES = {".exr", ".hdr"}
_FLOAT_DEPTHS = {"half", "float"}


def read_image(path: str | Path, *, colorspace: str | None = None, working: str | None = None) -> Floats:
    """An image file as scene-linear light.

    Args:
        path: EXR, PNG, TIFF, JPEG, DPX or what else OpenImageIO reads.
        colorspace: OCIO name of what is in the file; None for what the file, the OCIO config's rules and the format
            say, in this order. ``"raw"`` takes the values as they are.
        working: OCIO name of what to return; None for the config's ``scene_linear``. For a look, its card's
            ``working_colorspace``.

    Returns:
        (H, W, 3) float32, the data window, not multiplied by alpha, not clipped. NaN and Inf are filled from the
        nearest pixel.

    Raises:
        ImageError: missing, not an image, or damaged.
        ColorError: an unknown colorspace.
    """
    config = ColorConfig.active()
    image = images.read(path)
    space = colorspace or config.guess(image.header, path)
    return _converted(config, image.rgb, space, working or config.working)


def write_image(
    path: str | Path,
    rgb: Floats,
    *,
    colorspace: str | None = None,
    working: str | None = None,
    like: str | Path | None = None,
    alpha: Floats | None = None,
    extra: Mapping[str, Floats] | None = None,
    bit_depth: str | None = None,
    compression: str | None = None,
) -> None:
    """Write scene-linear light as an image file, whole or not at all; folders must exist.

    Args:
        path: the extension selects the format.
        rgb: (H, W, 3), floating point, not multiplied by alpha. NaN becomes 0; other values are kept where the format
            holds them, and integer formats clip.
        colorspace: OCIO name of what the file shall hold, and say that it holds; None for what :func:`read_image` takes
            a file for that does not say: by the OCIO config's rules, else scene-linear in float formats and sRGB in
            others.
        working: OCIO name of ``rgb``; None for the config's ``scene_linear``.
        like: a file of the same size whose metadata, windows, alpha and other layers to keep, such as the plate.
        alpha: (H, W), 0..1; None for that of ``like``.
        extra: more (H, W) channels by name, such as ``{"paintover.carried": styled.carried}``; EXR only.
        bit_depth: uint8, uint16, half or float; None for the format's own (EXR: half).
        compression: OpenImageIO's name, such as ``dwaa:45``; None for the format's own (EXR: ZIP).

    Raises:
        ImageError: a wrong shape or type, another size than ``like``, or a format or depth that cannot be written.
        ColorError: an unknown colorspace.
        OutputError: disk full, or no permission.
    """
    pixels = np.asarray(rgb)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ImageError(f"an image is (H, W, 3), not {pixels.shape}", path=path)
    if not np.issubdtype(pixels.dtype, np.floating):
        remedy = "codes are not light: divide them by their largest value and convert their colorspace first"
        raise ImageError(f"the image is {pixels.dtype}, but float32 is needed", path=path, remedy=remedy)
    config = ColorConfig.active()
    held = config.resolve(working or config.working)
    # An integer format with float pixels is read back by those.
    float_pixels = bit_depth in _FLOAT_DEPTHS and Path(path).suffix.lower() not in _FLOAT_SUFFIXES
    space = config.resolve(colorspace or (held if float_pixels else config.guess(None, path)))
    images.write(
        path,
        _converted(config, pixels, held, space),
        like=None if like is None else images.read(like).header,
        alpha=alpha,
        extra=extra,
        bit_depth=bit_depth,
        compression=compression,
        color=config.claim_for(space),
    )


def _converted(config: ColorConfig, rgb: Floats, source: str, target: str) -> Floats:
    """(H, W, 3) float32 of one colorspace in another, through the config's working one."""
    source, target = config.resolve(source), config.resolve(target)
    if source == target:
        return np.ascontiguousarray(rgb, np.float32)
    pixels = config.to_working(rgb, source)
    return pixels if target == config.working else config.from_working(pixels, target)
