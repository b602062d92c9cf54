"""Motion vectors from files and into them: Middlebury ``.flo``, and EXR layers as Nuke and renderers write them.

Convention
    Inside Paintover a flow is that of ``engine.motion.flow``: float32 (H, W, 2) in pixels, (dx, dy), x right,
    y **down**, pixel centers at integers. The forward flow of frame f takes a pixel of f to f+1, the backward
    flow to f-1. A file belongs to the frame at which its vectors start.

``.flo`` (Baker et al. 2011, the Middlebury benchmark)
    The float 202021.25 ("PIEH"), width and height as int32, then rows of (dx, dy) float32, all little endian; y down.
    Components over 1e9 mean "unknown".

EXR
    Nuke's layers ``forward`` (u, v) and ``backward`` (u, v): offsets in pixels by which the next, or previous, frame is
    warped onto this one, hence from a pixel of this frame to its place in that one (Foundry, VectorGenerator). Nuke
    counts y **up**, so dy changes its sign on the way in and out. Nuke's layer ``motion`` is those four channels under
    one name and is stored under theirs. Also known, by the last word of a layer's name, in any case:

    ====================================  =============================================================
    ``forward``, ``backward``             u, v or x, y or r, g or red, green: that direction
    ``vector`` with x, y, z, w            Blender's pass: x, y is the backward flow, z, w the forward flow negated, y up
    ``motion``, ``motionvector``          the direction that the file was named for
    plain u, v or x, y or R, G            the direction that the file was named for
    ====================================  =============================================================

    The last two lines count only where each direction has files of its own: R and G of a file with both would be its
    picture. Renderers differ in what they call a vector: Arnold's is as long as its shutter is open, and V-Ray's
    ``velocity`` may be clamped and shifted. So other layers must be named, and ``scale`` and ``y_up`` correct them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import OpenImageIO as oiio

from engine.base.arrays import Floats
from engine.base.errors import ImageError, InputError, OutputError
from engine.base.frames import SequencePath
from engine.base.temporaries import replacing
from engine.base.whole_file import check_regular
from engine.images.foreign_text import clean_spec, error_of
from engine.images.limits import check_bytes, check_specs
from engine.images.opening import open_picture

__all__ = ["Direction", "FlowFiles", "read_flow", "write_flow"]

log = logging.getLogger(__name__)

Direction = Literal["forward", "backward"]

_MAGIC = np.float32(202021.25)
_HEADER_BYTES = 12
_LARGEST_SIDE = 99_999
_UNKNOWN = 1e9
_AXES = (("u", "v"), ("x", "y"), ("r", "g"), ("red", "green"))
_OWN_LAYERS = ("motion", "motionvector")


@dataclass(frozen=True)
class FlowFiles:
    """Where the vectors of a shot lie, and how they are meant.

    Raises:
        InputError: a movie or another kind of file than ``.flo`` and ``.exr``; ``.flo`` without a pattern for each
            direction; a ``scale`` that is 0 or not finite.
    """

    forward_path: SequencePath
    """Vectors from each frame to the next."""
    backward_path: SequencePath | None = None
    """Vectors from each frame to the previous one; None where the EXR files of ``forward_path`` have both."""
    forward_layer: str | None = None
    """An EXR layer to read instead of those known; "" for plain channels."""
    backward_layer: str | None = None
    """The same for the other direction."""
    y_up: bool | None = None
    """Whether y counts upwards in the files. None: in EXR it does, as in Nuke; in ``.flo`` it does not."""
    scale: float = 1.0
    """What stored vectors are multiplied by to be pixels per frame; 2 for vectors over half a frame's shutter."""
    size: tuple[int, int] | None = None
    """Height and width that a flow must have, in pixels: the plate's. None for what the files have."""

    def __post_init__(self) -> None:
        paths = [path for path in (self.forward_path, self.backward_path) if path is not None]
        for path in paths:
            if Path(path.text).suffix.lower() not in (".flo", ".exr"):
                raise InputError(f'"{path}" holds no motion vectors', remedy="give .flo or .exr files")
        if len(paths) == 1 and Path(paths[0].text).suffix.lower() == ".flo":
            raise InputError(f'"{paths[0]}" has one direction only', remedy="name the backward vectors as well")
        if not np.isfinite(self.scale) or self.scale == 0:
            raise InputError(f"vectors cannot be scaled by {self.scale}", remedy="give a number other than 0")

    def forward(self, frame: int) -> Floats:
        """The flow from ``frame`` to the next frame: float32 (H, W, 2) in pixels, dx right, dy down.

        Raises:
            ImageError: the file is missing, damaged, truncated, of another size, or lacks the layer.
        """
        return self._read(self.forward_path, "forward", frame, self.forward_layer)

    def backward(self, frame: int) -> Floats:
        """The flow from ``frame`` to the previous frame; as :meth:`forward`."""
        return self._read(self.backward_path or self.forward_path, "backward", frame, self.backward_layer)

    def _read(self, path: SequencePath, direction: Direction, frame: int, layer: str | None) -> Floats:
        return read_flow(
            path.path(frame),
            direction,
            frame=frame,
            shared=self.backward_path is None,
            layer=layer,
            y_up=self.y_up,
            scale=self.scale,
            size=self.size,
        )


def read_flow(
    path: Path | str,
    direction: Direction = "forward",
    *,
    frame: int | None = None,
    shared: bool = False,
    layer: str | None = None,
    y_up: bool | None = None,
    scale: float = 1.0,
    size: tuple[int, int] | None = None,
) -> Floats:
    """One flow, float32 (H, W, 2) in pixels, dx right, dy down; vectors that are NaN, Inf or unknown become 0.

    Args:
        path: a ``.flo`` or ``.exr`` file.
        direction: which of an EXR's vectors; a ``.flo`` has one flow, whatever its direction.
        frame: the frame number, for messages only.
        shared: whether the EXR file is to hold both directions; see the module's table.
        layer, y_up, scale, size: as in :class:`FlowFiles`. An EXR whose data window is not of that size is placed in
            its display window, with no motion around it; without a size that is always done.

    Raises:
        ImageError: the file is missing, empty, damaged, truncated, of another size, or lacks the layer.
    """
    path = Path(path)
    is_flo = path.suffix.lower() == ".flo"
    flow = _read_flo(path, frame) if is_flo else _read_exr(path, direction, frame, shared, layer, size)
    if size is not None and flow.shape[:2] != size:
        raise ImageError(
            f"the vectors are {flow.shape[1]}x{flow.shape[0]}, the plate is {size[1]}x{size[0]}",
            frame=frame,
            path=path,
            remedy="render the vectors at the plate's size",
        )
    with np.errstate(invalid="ignore"):
        bad = ~(np.abs(flow) <= _UNKNOWN).all(axis=2)
    if bad.any():
        flow[bad] = 0
        where = path.name if frame is None else f"frame {frame}: {path.name}"
        log.warning("%s: %d vectors are unknown or not finite and are taken as no motion", where, int(bad.sum()))
    flow *= np.float32(scale)
    if y_up if y_up is not None else not is_flo:
        flow[..., 1] *= -1
    # A negated zero is the same vector, but not the same bytes.
    flow += np.float32(0)
    return flow


def write_flow(path: Path | str, forward: Floats | None = None, backward: Floats | None = None) -> None:
    """Writes flows, float32 (H, W, 2) in pixels, dx right, dy down, whole or not at all.

    Args:
        path: ``.flo`` holds one flow, of either direction. ``.exr`` holds the layers ``forward`` and ``backward`` in
            32-bit float with y up, as Nuke has them, and only those that are given.

    Raises:
        InputError: no flow, two for a ``.flo``, flows that differ in size or are no flows, or another extension.
        OutputError, NoPermissionError: the file cannot be written.
    """
    path = Path(path)
    given = {name: flow for name, flow in (("forward", forward), ("backward", backward)) if flow is not None}
    shapes = {flow.shape for flow in given.values()}
    suffix = path.suffix.lower()
    if suffix not in (".flo", ".exr"):
        raise InputError(f"no vectors are written as {path.suffix!r}", path=path, remedy="use .flo or .exr")
    if len(shapes) != 1 or (suffix == ".flo" and len(given) != 1):
        raise InputError("a .flo file holds one flow, an EXR file one or two of one size", path=path)
    shape = shapes.pop()
    if len(shape) != 3 or shape[2] != 2 or 0 in shape:
        raise InputError(f"a flow has the shape (H, W, 2), not {shape}", path=path)
    with replacing(path) as temporary:
        if suffix == ".flo":
            flow = next(iter(given.values()))
            sides = np.array([shape[1], shape[0]], "<i4").tobytes()
            pixels = np.ascontiguousarray(flow, "<f4").tobytes()
            temporary.write_bytes(np.array(_MAGIC, "<f4").tobytes() + sides + pixels)
        else:
            _write_exr(temporary, path, given)


def _read_flo(path: Path, frame: int | None) -> Floats:
    try:
        stored_bytes = check_regular(path).st_size
        with path.open("rb") as handle:
            data = handle.read(_HEADER_BYTES)
    except OSError as error:
        raise _unreadable(path, frame, error) from error
    except ValueError as error:
        raise ImageError(f"cannot read the motion vectors: {error}", frame=frame) from error
    if len(data) < _HEADER_BYTES or np.frombuffer(data, "<f4", 1)[0] != _MAGIC:
        what = "not a .flo file" if len(data) >= _HEADER_BYTES else f"not a .flo file ({len(data)} bytes)"
        raise ImageError(what, frame=frame, path=path, remedy="give Middlebury .flo files, or EXR")
    width, height = (int(side) for side in np.frombuffer(data, "<i4", 2, 4))
    if not (1 <= width <= _LARGEST_SIDE and 1 <= height <= _LARGEST_SIDE):
        raise ImageError(f"the .flo file claims a size of {width}x{height}", frame=frame, path=path)
    expected = _HEADER_BYTES + 8 * width * height
    if stored_bytes != expected:
        state = "truncated" if stored_bytes < expected else "longer than its size says"
        raise ImageError(
            f"the .flo file is {state}: {stored_bytes} bytes instead of {expected} for {width}x{height}",
            frame=frame,
            path=path,
            remedy="write or copy it again",
        )
    check_bytes(2 * expected, f"{width}x{height} vectors", path, frame)
    pixels = np.fromfile(path, "<f4", 2 * width * height, offset=_HEADER_BYTES)
    if pixels.size != 2 * width * height:
        raise ImageError("the .flo file changed while it was read", frame=frame, path=path, remedy="try again")
    return pixels.reshape(height, width, 2).astype(np.float32)


def _unreadable(path: Path, frame: int | None, error: OSError) -> ImageError:
    if isinstance(error, FileNotFoundError):
        remedy = "check the path and the frames"
        return ImageError("there are no motion vectors", frame=frame, path=path, remedy=remedy)
    return ImageError(f"cannot read the motion vectors: {error.strerror}", frame=frame, path=path)


# EXR


@dataclass(frozen=True)
class _Plane:
    """One channel of a file, by its place."""

    part: int
    index: int


_Layers = dict[str, dict[str, _Plane]]
"""Planes by layer and axis, both in small letters; the layer "" has the plain channels."""


@contextmanager
def _opened(path: Path, frame: int | None) -> Iterator[oiio.ImageInput]:
    try:
        empty = check_regular(path).st_size == 0
    except OSError as error:
        raise _unreadable(path, frame, error) from error
    source = None if empty else open_picture(path, frame=frame)
    if source is None:
        lines = error_of(oiio).splitlines() or ["the file is empty"]
        raise ImageError(f"not an EXR file, or damaged: {lines[0]}", frame=frame, path=path, remedy="write it again")
    try:
        yield source
    finally:
        source.close()


def _read_exr(
    path: Path, direction: Direction, frame: int | None, shared: bool, layer: str | None, size: tuple[int, int] | None
) -> Floats:
    with _opened(path, frame) as source:
        specs: list[oiio.ImageSpec] = []
        while source.seek_subimage(len(specs), 0):
            spec = source.spec().copy()
            clean_spec(spec)
            specs.append(spec)
        error_of(source)
        check_specs(specs, path, frame)
        layers = _layers_of(specs)
        planes, sign = _find(layers, direction, shared, layer, path, frame)
        found = []
        for plane in planes:
            spec = specs[plane.part]
            pixels = source.read_image(plane.part, 0, plane.index, plane.index + 1, "float")
            message = error_of(source)
            if pixels is None or message:
                lines = message.splitlines() or ["unknown reason"]
                what = f"the motion vectors are damaged or truncated: {lines[0]}"
                raise ImageError(what, frame=frame, path=path, remedy="write or copy it again")
            found.append(np.asarray(pixels, np.float32).reshape(spec.height, spec.width))
    flow = np.stack(found, axis=2) * np.float32(sign)
    return flow if flow.shape[:2] == size else _in_display_window(flow, specs[planes[0].part])


def _layers_of(specs: list[oiio.ImageSpec]) -> _Layers:
    layers: _Layers = {}
    for number, spec in enumerate(specs):
        # Programs that write a part for each layer may leave the layer's name to the part.
        part = spec.get_string_attribute("oiio:subimagename") if len(specs) > 1 else ""
        for index, name in enumerate(spec.channelnames):
            layer, dot, axis = str(name).rpartition(".")
            place = layer if dot else part
            layers.setdefault(place.lower(), {}).setdefault(axis.lower(), _Plane(number, index))
    return layers


def _find(
    layers: _Layers, direction: Direction, shared: bool, layer: str | None, path: Path, frame: int | None
) -> tuple[tuple[_Plane, _Plane], float]:
    """The planes of dx and dy, and the sign that both are stored with."""
    if layer is not None:
        wanted: tuple[str, ...] = (layer.lower(),)
    elif shared:
        wanted = (direction,)
    else:
        wanted = (direction, *_OWN_LAYERS, "")
    for name in (*wanted, *(("vector",) if layer is None else ())):
        places = [name] if name in layers else [place for place in layers if name and place.split(".")[-1] == name]
        pairs = {place: pair for place in places if (pair := _pair(layers[place], name, direction)) is not None}
        if len(pairs) > 1:
            what = f"several layers could be the {direction} vectors: {', '.join(sorted(pairs))}"
            raise ImageError(what, frame=frame, path=path, remedy="name one of them")
        if pairs:
            planes = next(iter(pairs.values()))
            return planes, -1.0 if name == "vector" and layer is None and direction == "forward" else 1.0
    known = ", ".join(sorted(f"{place or 'plain'} ({', '.join(axes)})" for place, axes in layers.items()))
    raise ImageError(
        f"no {direction} motion vectors, its layers are {known}",
        frame=frame,
        path=path,
        remedy=f"write a layer {wanted[0] or direction} with the channels u and v, or name the layer that has them",
    )


def _pair(axes: dict[str, _Plane], name: str, direction: Direction) -> tuple[_Plane, _Plane] | None:
    if name == "vector" and {"x", "y", "z", "w"} <= set(axes):
        return (axes["x"], axes["y"]) if direction == "backward" else (axes["z"], axes["w"])
    if name == "vector":
        return None
    return next(((axes[u], axes[v]) for u, v in _AXES if u in axes and v in axes), None)


def _in_display_window(flow: Floats, spec: oiio.ImageSpec) -> Floats:
    """Nuke stores the part of an image that is not black; the rest of the format has no motion."""
    if (spec.x, spec.y, spec.width, spec.height) == (spec.full_x, spec.full_y, spec.full_width, spec.full_height):
        return flow
    placed = np.zeros((spec.full_height, spec.full_width, 2), np.float32)
    left, top = spec.x - spec.full_x, spec.y - spec.full_y
    right, bottom = min(left + spec.width, spec.full_width), min(top + spec.height, spec.full_height)
    if right > max(left, 0) and bottom > max(top, 0):
        inner = flow[max(-top, 0) : bottom - top, max(-left, 0) : right - left]
        placed[max(top, 0) : bottom, max(left, 0) : right] = inner
    return placed


def _write_exr(temporary: Path, path: Path, flows: dict[str, Floats]) -> None:
    names = [f"{layer}.{axis}" for layer in flows for axis in "uv"]
    pixels = np.concatenate([flow * np.array([1, -1], np.float32) for flow in flows.values()], axis=2)
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], len(names), "float")
    spec.channelnames = names
    spec.attribute("compression", "zip")
    # Else OpenImageIO writes the time of the day, and no two files are the same.
    spec.attribute("DateTime", "")
    writer = oiio.ImageOutput.create("exr")
    if writer is None:
        raise OutputError(f"cannot write EXR: {error_of(oiio)}", path=path)
    stored = np.ascontiguousarray(pixels + np.float32(0), np.float32)
    message = "" if writer.open(str(temporary), spec) and writer.write_image(stored) else error_of(writer) or "failed"
    # Closing writes what is still in memory, so it may be what fails.
    message = (error_of(writer) or message or "failed") if not writer.close() else message
    if message:
        raise OutputError(f"cannot write the motion vectors: {message.splitlines()[0]}", path=path)
