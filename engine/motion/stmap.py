"""STMap sidecars as rendering takes them: where they lie, and their channels for a look's ``stmap`` input.

Convention
    R = u and G = v are Nuke's: 0..1, origin lower left, pixel centers at (i + 0.5) / size. So the map that changes
    nothing has u = (x + 0.5) / W in column x, and v = 1 - (y + 0.5) / H in row y from the top. A is the confidence,
    0..1. In arrays the channels are u, v, confidence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio

from engine.base.arrays import Floats
from engine.base.errors import ImageError
from engine.base.temporaries import output_error, replacing
from engine.images.foreign_text import error_of, file_name
from engine.images.limits import check_file, check_specs
from engine.images.opening import open_picture
from engine.images.provenance import file_sha256

__all__ = [
    "HASH_ATTRIBUTE",
    "find_sidecars",
    "joined_sha256",
    "read_sidecars",
    "read_stmap",
    "sidecar_path",
    "sidecars_sha256",
    "write_sidecar",
    "write_stmap",
]


_LOST, _FOUND = 0.3, 0.5
"""Confidence of a tracked keyframe up to which another one may repaint the pixel, and from which none may."""
_AS_GOOD = 0.6
"""Share of the best repainting's confidence with which an earlier keyframe's is taken."""
HASH_ATTRIBUTE = "paintover/stmap"
"""In the header of a map of ours: of what it was made from."""


def sidecar_path(work: str | Path, key_frame: int, frame: int) -> Path:
    """The STMap that carries the exemplar of ``key_frame`` to ``frame``, in a work folder.

    Put one of your own there and it is used as it is, and never replaced.
    """
    return Path(work) / "stmap" / f"key_{key_frame:04d}" / f"{frame:04d}.exr"


def find_sidecars(work: Path | None, key_frames: Sequence[int], frame: int) -> tuple[Path | None, ...]:
    """For each keyframe its sidecar for ``frame``, or None where there is none."""
    if work is None:
        return (None,) * len(key_frames)
    paths = [sidecar_path(work, key, frame) for key in key_frames]
    return tuple(path if path.is_file() else None for path in paths)


def sidecars_sha256(paths: Sequence[Path | None]) -> str:
    """Identifies what :func:`read_sidecars` will read; "none" where there is nothing."""
    return joined_sha256([None if path is None else file_sha256(path) for path in paths])


def joined_sha256(hashes: Sequence[str | None]) -> str:
    """:func:`sidecars_sha256` where the hash of each sidecar is known; None for one that is not there."""
    if not any(hashes):
        return "none"
    digest = hashlib.sha256()
    for each in hashes:
        digest.update(b"-" if each is None else bytes.fromhex(each))
    return digest.hexdigest()


def read_sidecars(
    paths: Sequence[Path | None], height: int, width: int, *, frame: int | None, tracked: bool = False
) -> Floats | None:
    """(H, W, 3K): u, v and confidence for each keyframe, confidence 0 for one without a sidecar; None without any.

    u and v lie in the channels R and G, or u and v, in any case, as they are: not multiplied by A, which holds the
    confidence and is clipped to 0..1. A map without A, such as one made by hand in Nuke or Mocha, is sure wherever it
    points into the picture. With ``tracked``, what no match proves in a map of ours has no confidence.

    Raises:
        ImageError: a sidecar is damaged, of another size than the plate, or has no coordinates.
    """
    if not any(paths):
        return None
    result = np.zeros((height, width, 3 * len(paths)), np.float32)
    elsewhere = np.zeros((height, width, len(paths)), bool)
    for key, path in enumerate(paths):
        if path is None:
            continue
        check_file(path, frame, what="STMap")
        source = open_picture(path, frame=frame)
        if source is None:
            raise ImageError("unreadable STMap sidecar", frame=frame, path=path, remedy=f"prepare again ({_reason()})")
        try:
            spec, names = source.spec(), list(source.spec().channelnames)
            if (spec.height, spec.width) != (height, width):
                raise ImageError(
                    f"the STMap sidecar is {spec.width}x{spec.height} and the plate {width}x{height}",
                    frame=frame,
                    path=path,
                    remedy="prepare again",
                )
            channels = _channels(names)
            if channels is None:
                raise ImageError(
                    f"the STMap sidecar has neither R and G nor u and v, but {', '.join(names) or 'nothing'}",
                    frame=frame,
                    path=path,
                    remedy="write u to R and v to G, or prepare again",
                )
            check_specs([spec], path, frame)
            pixels = source.read_image(oiio.FLOAT)
            if pixels is None or source.has_error:
                raise ImageError(
                    f"damaged STMap sidecar: {error_of(source)}", frame=frame, path=path, remedy="prepare again"
                )
        finally:
            source.close()
        picture = np.asarray(pixels, np.float32).reshape(height, width, len(names))
        planes = result[..., 3 * key : 3 * key + 3]
        u, v, confidence = channels
        planes[..., 0], planes[..., 1] = picture[..., u], picture[..., v]
        planes[..., 2] = _inside(planes) if confidence is None else picture[..., confidence]
        if spec.get_string_attribute(HASH_ATTRIBUTE) and "B" in names:
            elsewhere[..., key] = picture[..., names.index("B")] > 0.5
        # A vector that points nowhere carries nothing.
        planes[~np.isfinite(planes).all(axis=2)] = 0.0
        np.clip(planes[..., 2], 0.0, 1.0, out=planes[..., 2])
    if tracked:
        result[..., 2::3][elsewhere] = 0.0
    elif len(paths) > 1 and elsewhere.any():
        _repaint_once(result[..., 2::3], elsewhere)
    return result


def _repaint_once(confidence: Floats, elsewhere: npt.NDArray[np.bool_]) -> None:
    """Let one keyframe repaint each pixel that none shows, the same on both sides of where two of them meet.

    That is the first one whose plate is nearly as much alike as the best one's. Where any keyframe is tracked, that one
    counts, as far as it is sure.

    Args:
        confidence: (H, W, K), changed in place.
        elsewhere: (H, W, K), where it is of what was repainted.
    """
    shown = np.where(elsewhere, 0, confidence).max(axis=2)
    fade = np.clip((_FOUND - shown) / (_FOUND - _LOST), 0, 1).astype(np.float32)
    lent = np.where(elsewhere, confidence, 0)
    chosen = np.argmax((lent >= _AS_GOOD * lent.max(axis=2, keepdims=True)) & (lent > 0), axis=2)
    kept = np.arange(lent.shape[2]) == chosen[..., None]
    confidence[elsewhere] = (lent * kept * fade[..., None])[elsewhere]


def read_stmap(path: str | Path) -> Floats:
    """An STMap from a file, for one keyframe.

    Args:
        path: float EXR or TIFF with u and v in R and G (or channels u and v), and the confidence in A; without A it is
            1 wherever u and v point into the picture.

    Returns:
        (H, W, 3) float32: u, v as they are, and confidence in 0..1; all 0 where one of them is not finite.

    Raises:
        ImageError: missing, damaged, or without coordinates.
    """
    path = Path(path)
    source = open_picture(path) if path.is_file() else None
    if source is None:
        what = f"not an image ({_reason()})" if path.is_file() else "there is no such STMap"
        raise ImageError(what, path=path, remedy="check the path, or prepare again")
    try:
        height, width = int(source.spec().height), int(source.spec().width)
        check_specs([source.spec()], path)
    finally:
        source.close()
    found = read_sidecars([path], height, width, frame=None)
    if found is None:
        raise ImageError("there is no such STMap", path=path)
    return found


def write_stmap(path: str | Path, stmap: Floats) -> None:
    """Write an STMap of your own, float EXR, whole or not at all; its folder is created.

    At :func:`sidecar_path` it is used as it is, and never replaced by ``prepare``.

    Args:
        stmap: (H, W, 3) floating point: u, v and confidence.

    Raises:
        ImageError: another shape, or another format than EXR.
        OutputError: it cannot be written.
    """
    pixels = np.asarray(stmap)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ImageError(f"an STMap of one keyframe is (H, W, 3), not {pixels.shape}", path=path)
    if Path(path).suffix.lower() != ".exr":
        raise ImageError("an STMap is written as float EXR", path=path, remedy="name it .exr")
    u, v, confidence = (np.asarray(pixels[..., channel], np.float32) for channel in range(3))
    _write(Path(path), np.stack([u, v, np.zeros_like(u), confidence], axis=2), "")


def _channels(names: Sequence[str]) -> tuple[int, int, int | None] | None:
    """Where u, v and confidence are, the last None where there is none; None without coordinates."""
    lower = [name.lower() for name in names]
    for u, v in (("r", "g"), ("u", "v")):
        if u in lower and v in lower:
            return lower.index(u), lower.index(v), lower.index("a") if "a" in lower else None
    return None


def _inside(planes: Floats) -> npt.NDArray[np.bool_]:
    """(H, W): whether u and v point into the picture; NaN does not."""
    u, v = planes[..., 0], planes[..., 1]
    return np.asarray((u >= 0) & (u <= 1) & (v >= 0) & (v <= 1))


def _reason() -> str:
    return str(error_of(oiio)).strip() or "not an image"


def flow_to_stmap(flow: Floats, height: int, width: int) -> tuple[Floats, Floats]:
    """u and v, (H, W) each, of a flow (H, W, 2) in pixels into an image of this size."""
    rows, columns = np.mgrid[0 : flow.shape[0], 0 : flow.shape[1]].astype(np.float32)
    u = (columns + flow[..., 0] + 0.5) / np.float32(width)
    v = 1 - (rows + flow[..., 1] + 0.5) / np.float32(height)
    return u.astype(np.float32), v.astype(np.float32)


def stmap_to_flow(u: Floats, v: Floats, height: int, width: int) -> Floats:
    """The inverse of :func:`flow_to_stmap`."""
    rows, columns = np.mgrid[0 : u.shape[0], 0 : u.shape[1]].astype(np.float32)
    return np.stack([u * width - 0.5 - columns, (1 - v) * height - 0.5 - rows], axis=2).astype(np.float32)


def write_sidecar(
    path: Path,
    flow: Floats,
    confidence: Floats,
    size: tuple[int, int],
    digest: str = "",
    borrowed: npt.NDArray[np.bool_] | None = None,
) -> None:
    """Write a sidecar, atomically: u, v, 1 where it is borrowed, confidence.

    Args:
        flow: (H, W, 2) pixels, from the frame to the keyframe.
        confidence: (H, W) in 0..1.
        size: rows and columns of the keyframe.
        digest: of what it was made from.
        borrowed: (H, W), where no match proves the flow; None for nowhere.

    Raises:
        OutputError: it cannot be written.
    """
    u, v = flow_to_stmap(flow, *size)
    elsewhere = np.zeros_like(u) if borrowed is None else borrowed.astype(np.float32)
    _write(path, np.stack([u, v, elsewhere, confidence], axis=2), digest)


def _write(path: Path, pixels: Floats, digest: str) -> None:
    """u, v, borrowed and confidence as R, G, B and A."""
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], 4, oiio.FLOAT)
    spec.attribute("compression", "zips:2")
    # The alpha is no coverage: nobody may multiply or divide the coordinates by it.
    spec.attribute("oiio:UnassociatedAlpha", 1)
    # Else OIIO writes the time of the day, and no two files are the same.
    spec.attribute("DateTime", "")
    if digest:
        spec.attribute(HASH_ATTRIBUTE, digest)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path.parent, error) from error
    with replacing(path) as temporary:
        writer = oiio.ImageOutput.create(file_name(temporary))
        if writer is None or not writer.open(str(temporary), spec):
            raise OSError(f"cannot write EXR: {error_of(oiio)}")
        wrote = writer.write_image(np.ascontiguousarray(pixels))
        said = error_of(writer)
        if not writer.close() or not wrote:
            # OpenImageIO does not tell a full disk from other failures; the system does.
            temporary.write_bytes(bytes(pixels.nbytes))
            raise OSError(said or "the EXR could not be finished")
