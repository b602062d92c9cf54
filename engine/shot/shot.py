"""A shot: plate, keyframes and where the results go; reads and writes shot.toml.

::

    look = "hero.onnx"
    out = "out/hero.%04d.exr"
    work = "work"
    budget_s = 60
    denoise = "aware"
    guides = "points"

    [plate]
    path = "plate/plate.%04d.exr"
    frames = "1001-1100"
    colorspace = "ACEScg"

    [matte]
    path = "matte/matte.%04d.png"

    [[keyframes]]
    frame = 1001
    painting = "paint/p1001.png"
    matte = "paint/m1001.png"

Paths in the file are relative to the file.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from engine.base.choices import DENOISE_MODES, FLOAT_DEPTHS, GUIDE_KINDS, UNPAINTED_MODES
from engine.base.compression import read_compression
from engine.base.errors import ImageError, InputError, OutputError
from engine.base.foreign_toml import read_toml
from engine.base.frames import FrameRange, SequencePath
from engine.images import movies
from engine.shot.keyframes import Keyframe
from engine.shot.matte_sequence import MatteSequence

__all__ = ["Keyframe", "Plate", "Shot"]


@dataclass(frozen=True)
class Plate:
    """The source frames."""

    path: SequencePath
    frames: FrameRange
    colorspace: str | None = None
    """OCIO name; None for what each file and the OCIO config say."""

    @classmethod
    def of(
        cls,
        path: SequencePath | str | Path,
        frames: FrameRange | str | int | Iterable[int] | None = None,
        colorspace: str | None = None,
        layer: str | None = None,
    ) -> Plate:
        """A plate from a pattern and a range as people write them.

        Args:
            path: a pattern such as ``plate.%04d.exr``, or a movie.
            frames: such as ``"1001-1100"``, a frame number, or several; None for every frame on disk or in the movie.
            colorspace: OCIO name; None for what each file and the OCIO config say.
            layer: the name of the layer or view that is taken; None for the one that is called the picture.

        Raises:
            InputError: no frame number in the pattern, no frame range, or a layer of a movie.
            ImageError: ``frames`` is None, and nothing is on disk.
        """
        pattern = SequencePath.of(path)
        pattern = pattern.with_layer(layer) if layer else pattern
        if frames is not None:
            return cls(pattern, FrameRange.of(frames), colorspace)
        if pattern.is_movie:
            return cls(pattern, FrameRange.of(range(movies.frame_count(pattern.path(0)))), colorspace)
        found = pattern.existing()
        if found is None:
            raise ImageError("no frame of the plate is on disk", path=pattern.text, remedy="check the path")
        return cls(pattern, found, colorspace)


@dataclass(frozen=True)
class Shot:
    """Everything that a job needs to know; checked where it is built.

    Raises:
        InputError: a keyframe outside the range or given twice, both a budget and steps, a number that is not finite
            or too small, a word that is none of its choices, an unknown compression, or an output that would overwrite
            the plate, a painting or a matte.
    """

    plate: Plate
    keyframes: tuple[Keyframe, ...] = ()
    out: SequencePath | None = None
    """Where rendered frames go."""
    work: Path | None = None
    """Folder for sidecars, checkpoints and the report."""
    look: Path | None = None
    """The ``.onnx`` to train, or to render with."""
    budget_s: float | None = None
    """Seconds of training; None where ``steps`` is set or the default serves."""
    steps: int | None = None
    """Steps of training."""
    seed: int = 0
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    stmaps: bool = True
    """Whether the keyframes are carried along by STMaps."""
    repaint: bool = True
    """Whether what no keyframe shows gets strokes of surfaces that look alike."""
    denoise: str | None = None
    """How the plate's grain is averaged away, one of ``DENOISE_MODES``; None for not at all."""
    guides: str | None = None
    """Which guide images the translator takes, one of ``GUIDE_KINDS``; None for none."""
    tile: int | None = None
    """Largest side of a tile in pixels; 0 for the whole frame."""
    workers: int = 1
    """Processes that render side by side."""
    unpainted: str | None = None
    """What becomes of what is not painted, one of ``UNPAINTED_MODES``; None keeps the plate where a painting has an
    alpha, and translates where only a matte limits it."""
    out_colorspace: str | None = None
    """OCIO name; None for the plate's or the working one, as the output's format asks."""
    depth: str | None = None
    """Of the frames, one of ``FLOAT_DEPTHS``; None for the format's own."""
    compression: str | None = None
    """Of EXR frames, as :func:`engine.base.compression.read_compression` has it; None for ZIP."""
    matte: MatteSequence | None = None
    """A matte for every frame, and what it is used for."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "keyframes", tuple(sorted(self.keyframes, key=lambda k: k.frame)))
        frames = [keyframe.frame for keyframe in self.keyframes]
        for frame in frames:
            if frames.count(frame) > 1:
                raise InputError(f"keyframe {frame} is given twice", remedy="keep one painting for each frame")
            if frame not in self.plate.frames:
                raise InputError(
                    f"keyframe {frame} is outside the frame range {self.plate.frames}",
                    remedy=f"include frame {frame} in the range or paint a frame of it",
                )
        if self.budget_s is not None and self.steps is not None:
            raise InputError("both a budget and steps are given", remedy="keep one of them")
        for name, least in (("budget_s", 0), ("steps", 1), ("seed", 0), ("tile", 0), ("workers", 1)):
            value = getattr(self, name)
            if value is not None and not least <= value < math.inf:
                raise InputError(f"{name} is {value}, a finite number of at least {least} is needed")
        for name, known in (
            ("denoise", DENOISE_MODES),
            ("guides", GUIDE_KINDS),
            ("depth", FLOAT_DEPTHS),
            ("unpainted", UNPAINTED_MODES),
        ):
            word = getattr(self, name)
            if word is not None and word not in known:
                raise InputError(f"{name} is {word!r}", remedy=f"use {', '.join(known)}")
        if self.compression is not None:
            object.__setattr__(self, "compression", read_compression(self.compression))
        if self.out is not None:
            refuse_overwriting(self.out, self.plate, self.keyframes, None if self.matte is None else self.matte.path)

    @classmethod
    def load(cls, path: str | Path) -> Shot:
        """Read a shot file.

        Raises:
            InputError: missing, not TOML, an unknown key (close matches are named), or a value of the wrong kind.
        """
        path = Path(path)
        try:
            data = read_toml(path)
        except OSError as error:
            why = f"cannot read the shot: {error.strerror or error}"
            raise InputError(why, path=path, remedy="give a shot.toml, or options instead") from error
        except ValueError as error:
            raise InputError(f"the shot file is not TOML: {error}", path=path) from error
        try:
            return _from_data(data, path.parent)
        except InputError as error:
            error.path = error.path or path
            raise

    def save(self, path: str | Path) -> None:
        """Write a shot file that :meth:`load` reads back to an equal shot, paths made relative to it where possible.

        Raises:
            OutputError: it cannot be written.
        """
        path = Path(path)
        root = path.absolute().parent
        document: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("plate", "matte", "keyframes") or value is None or value == field.default:
                continue
            document[field.name] = _relative(value, root) if isinstance(value, Path | SequencePath) else value
        document["plate"] = _without_none(
            path=_relative(self.plate.path, root),
            frames=str(self.plate.frames),
            colorspace=self.plate.colorspace,
            layer=self.plate.path.layer or None,
        )
        if self.matte is not None:
            document["matte"] = {"path": _relative(self.matte.path, root), "use": self.matte.use}
        document["keyframes"] = [
            _without_none(
                frame=keyframe.frame,
                painting=_relative(keyframe.painting, root),
                matte=None if keyframe.matte is None else _relative(keyframe.matte, root),
                colorspace=keyframe.colorspace,
            )
            for keyframe in self.keyframes
        ]
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_text(tomlkit.dumps(document), encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OutputError(f"cannot write the shot: {error.strerror or error}", path=path) from error


def refuse_overwriting(
    out: SequencePath, plate: Plate, keyframes: tuple[Keyframe, ...] = (), matte: SequencePath | None = None
) -> None:
    """Refuse an output that would overwrite what it is made from.

    Raises:
        InputError: ``out`` names a file of the plate, a painting or a matte, links in folders resolved; or a movie.
    """
    if out.is_movie:
        raise InputError("frames are written as images, not into a movie", path=out.text, remedy="use out.%04d.exr")
    frame = out.collides(plate.path, plate.frames)
    if frame is not None:
        raise InputError(
            "output onto the plate", frame=frame, path=plate.path.path(frame), remedy="choose another --out"
        )
    frame = None if matte is None else out.collides(matte, plate.frames)
    if matte is not None and frame is not None:
        raise InputError("output onto the mattes", frame=frame, path=matte.path(frame), remedy="choose another --out")
    for keyframe in keyframes:
        for source in (keyframe.painting, keyframe.matte):
            if source is None or out.folder.resolve() != source.parent.resolve():
                continue
            if any(out.path(number).name == source.name for number in plate.frames):
                raise InputError("output onto a painting or matte", path=source, remedy="choose another --out")


_PLATE_KEYS = {"path": str, "frames": (str, int), "colorspace": str, "layer": str}
_MATTE_KEYS = {"path": str, "use": str}
_KEYFRAME_KEYS = {"frame": int, "painting": str, "matte": str, "colorspace": str}
_SHOT_KEYS = {
    "plate": dict,
    "matte": (dict, str),
    "keyframes": list,
    "out": str,
    "work": str,
    "look": str,
    "budget_s": (int, float),
    "steps": int,
    "seed": int,
    "device": str,
    "stmaps": bool,
    "repaint": bool,
    "denoise": str,
    "guides": (str, bool),
    "unpainted": str,
    "tile": int,
    "workers": int,
    "out_colorspace": str,
    "depth": str,
    "compression": str,
}


def _from_data(data: Mapping[str, Any], root: Path) -> Shot:
    _check_keys(data, _SHOT_KEYS, "the shot", needed=("plate",))
    _check_keys(data["plate"], _PLATE_KEYS, "[plate]", needed=("path", "frames"))
    plate = data["plate"]
    keyframes = []
    for entry in data.get("keyframes", []):
        if not isinstance(entry, dict):
            raise InputError("keyframes are tables", remedy="write [[keyframes]] before each")
        _check_keys(entry, _KEYFRAME_KEYS, "[[keyframes]]", needed=("frame", "painting"))
        matte = entry.get("matte")
        keyframes.append(
            Keyframe(
                entry["frame"],
                root / entry["painting"],
                None if matte is None else root / matte,
                entry.get("colorspace"),
            )
        )
    apart = ("plate", "matte", "keyframes", "out", "work", "look")
    rest = {name: value for name, value in data.items() if name not in apart}
    if isinstance(rest.get("guides"), bool):
        # The name of ``stmaps`` from before there were guide images.
        rest.setdefault("stmaps", rest["guides"])
        del rest["guides"]
    return Shot(
        plate=Plate(
            _rooted(plate["path"], root).with_layer(plate.get("layer")),
            FrameRange.parse(str(plate["frames"])),
            plate.get("colorspace"),
        ),
        keyframes=tuple(keyframes),
        matte=None if "matte" not in data else _matte(data["matte"], root),
        out=None if "out" not in data else _rooted(data["out"], root),
        work=None if "work" not in data else root / data["work"],
        look=None if "look" not in data else root / data["look"],
        **rest,
    )


def _matte(entry: Mapping[str, Any] | str, root: Path) -> MatteSequence:
    """Of a table with a path and a use, or of a path by itself."""
    if isinstance(entry, str):
        return MatteSequence(_rooted(entry, root))
    _check_keys(entry, _MATTE_KEYS, "[matte]", needed=("path",))
    path = _rooted(entry["path"], root)
    return MatteSequence(path, entry["use"]) if "use" in entry else MatteSequence(path)


def _check_keys(data: Mapping[str, Any], known: Mapping[str, Any], where: str, needed: tuple[str, ...]) -> None:
    for key, value in data.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known)}"
            raise InputError(f'{where} has no setting "{key[:100]}"', remedy=hint)
        kinds = known[key] if isinstance(known[key], tuple) else (known[key],)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise InputError(f'"{key}" of {where} is {_shown(value)}, which is of the wrong kind')
        if isinstance(value, int) and abs(value) >= 2**63:
            raise InputError(f'"{key}" of {where} is a number beyond 64 bits')
        if isinstance(value, str) and "\0" in value:
            raise InputError(f'"{key}" of {where} has a zero character', remedy="write another name")
    for key in needed:
        if key not in data:
            raise InputError(f'{where} lacks "{key}"')


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _rooted(text: str, root: Path) -> SequencePath:
    parsed = SequencePath.parse(text)
    return SequencePath.parse(root / parsed.text)


def _relative(path: Path | SequencePath, root: Path) -> str:
    absolute = Path(os.path.abspath(str(path)))  # noqa: PTH100 (links stay as they were written)
    try:
        return Path(os.path.relpath(absolute, root)).as_posix()
    except ValueError:  # another drive of Windows
        return absolute.as_posix()


def _without_none(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
