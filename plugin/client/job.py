"""The versioned job that a host hands over, and the schema that both sides hold each other's words against.

Standard library only, Python 3.9: this runs inside hosts as well as in the worker. ``job.schema.json`` beside this file
is the contract; :func:`check` is a validator of the few keywords that it uses, so that a host needs nothing installed.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from .errors import JobError  # Relative: hosts get a copy of these modules under another name.

__all__ = [
    "DEPTH",
    "FARM",
    "LARGEST",
    "PROTOCOL",
    "SCHEMA",
    "VERSION",
    "Job",
    "JobKeyframe",
    "check",
    "check_message",
    "parse_line",
]

VERSION = 1
"""Of the job."""
FARM = "farm"
"""The host of a job that a farm's command made."""
PROTOCOL = 1
"""Of the messages between a host and the resident worker."""
LARGEST = 2**53
"""Of whole numbers, as JSON's readers agree on them."""
DEPTH = 16
"""Of objects and lists within one another; a request has four."""
SCHEMA = Path(__file__).with_name("job.schema.json")

_REMEDY = "update Paintover, or the host's part of it, so that both are of one version"
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


@dataclass(frozen=True)
class JobKeyframe:
    """A frame and its painting."""

    frame: int
    """The frame number."""
    painting: str
    """Path of the painted image."""
    matte: str | None = None
    """Path of the coverage, 0 to 1; None for everywhere."""
    colorspace: str | None = None
    """OCIO name of the painting's; None for what its file and the OCIO config say."""


@dataclass(frozen=True)
class Job:
    """A shot as a host knows it. Paths are absolute, because processes disagree about folders.

    Raises:
        JobError: a path is relative, or a value is out of the schema's range.
    """

    plate: str
    """Pattern of the source frames, such as ``/shots/a/plate.%04d.exr``, or a movie."""
    frames: str
    """Frame range, inclusive: ``1001-1100x2``."""
    work: str
    """Folder for STMaps, checkpoints, previews, and the look unless ``look`` says otherwise."""
    colorspace: str | None = None
    """OCIO name of the plate's; None for what each file and the OCIO config say."""
    keyframes: tuple[JobKeyframe, ...] = ()
    out: str | None = None
    """Pattern of the stylized frames; None where none are asked for."""
    look: str | None = None
    """The .onnx; None for ``look.onnx`` in the work folder."""
    out_colorspace: str | None = None
    """OCIO name; None for the plate's or the working one, as the output's format asks."""
    depth: str | None = None
    """Of the frames' numbers: half or float; None for the format's own."""
    compression: str | None = None
    """Of EXR frames: zip, zips, piz, dwaa:45, none; None for zip."""
    ocio: str | None = None
    """OCIO config; None for $OCIO or the built-in one."""
    budget_s: float | None = None
    """Seconds to train; at most one of this and ``steps``."""
    steps: int | None = None
    seed: int = 0
    device: str = "auto"
    """auto, cpu or cuda:N."""
    tile: int | None = None
    """Largest side of a tile in pixels; 0 for the whole frame, None for the default grid."""
    max_image_gib: float | None = None
    """GiB of memory that one decoded image may need; None for the usual limit."""
    carried: bool = False
    """Whether EXR frames also hold the layer ``paintover.carried``."""
    softness: float = 0.0
    """0..1: how far carried strokes are softened where the plate is out of focus."""
    matte: str | None = None
    """Pattern of a matte for every frame, 1 for the object; None for none."""
    matte_use: str = "both"
    """stylize: outside the plate stays; track: the object and what lies behind it are followed apart; or both."""
    guides: bool = True
    """Whether STMap sidecars in the work folder are used."""
    layer: str | None = None
    """Which layer or view of EXR plates is taken; None for the one that is called the picture."""
    host: str = "unknown"
    """Who made the job, for logs: ``Nuke 16.0``."""

    def __post_init__(self) -> None:
        if self.budget_s is not None and self.steps is not None:
            raise JobError("the job gives both budget_s and steps", "give one of them")
        named = [("plate", self.plate), ("work", self.work), ("out", self.out), ("look", self.look)]
        named += [("matte", self.matte)]
        for keyframe in self.keyframes:
            named += [(f"painting of keyframe {keyframe.frame}", keyframe.painting)]
            named += [(f"matte of keyframe {keyframe.frame}", keyframe.matte)]
        _check_text(self.to_dict(), "job")
        for name, path in named:
            if path is not None and not _is_absolute(path):
                raise JobError(f'the {name} "{path}" is not an absolute path', "give the whole path")
        frames = [keyframe.frame for keyframe in self.keyframes]
        if len(set(frames)) != len(frames):
            raise JobError("the job has two paintings for one keyframe", "keep one of them")
        check(self.to_dict(), "job")

    @property
    def look_path(self) -> str:
        """Where the look is, or will be."""
        return self.look or str(Path(self.work) / "look.onnx")

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; values that are None are left out."""
        flat = asdict(self)
        plate = {name: flat.pop(name) for name in ("frames", "colorspace", "layer")}
        plate["path"] = flat.pop("plate")
        keyframes = [_present(keyframe) for keyframe in flat.pop("keyframes")]
        return {"version": VERSION, "plate": _present(plate), "keyframes": keyframes, **_present(flat)}

    def to_json(self) -> str:
        """The text of a job file; :meth:`from_json` gives an equal job back."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_dict(cls, data: Any) -> Job:
        """The job in parsed JSON.

        Raises:
            JobError: of another version, or not as the schema has it.
        """
        _check_version(data, "version", VERSION, "job")
        check(data, "job")
        flat = dict(data)
        flat.pop("version")
        plate = flat.pop("plate")
        keyframes = tuple(
            JobKeyframe(int(k["frame"]), k["painting"], k.get("matte"), k.get("colorspace"))
            for k in flat.pop("keyframes", [])
        )
        for name in ("steps", "seed", "tile"):
            if flat.get(name) is not None:
                flat[name] = int(flat[name])
        read = {name: plate.get(name) for name in ("colorspace", "layer")}
        return cls(plate["path"], plate["frames"], keyframes=keyframes, **read, **flat)

    @classmethod
    def from_json(cls, text: str) -> Job:
        """The job in a job file's text.

        Raises:
            JobError: not JSON, or see :meth:`from_dict`.
        """
        return cls.from_dict(_parsed(text, "the job"))

    def arguments(self, verb: str) -> list[str]:
        """What follows ``paintover`` to run a verb on this job: key, prepare, train, desk, render or verify.

        Raises:
            JobError: the verb needs a value that the job lacks, or is none of these.
        """
        if verb not in _OPTIONS:
            raise JobError(f"a job cannot be handed to {verb!r}", f"use one of {', '.join(_OPTIONS)}")
        words = [verb]
        for option in _OPTIONS[verb]:
            words += self._option(option, verb)
        return words

    def _option(self, option: str, verb: str) -> list[str]:
        if option == "--keyframe":
            if not self.keyframes and verb != "desk":
                raise JobError("the job has no keyframe", "add a keyframe and paint it")
            return [f"--keyframe={_keyframe_words(keyframe)}" for keyframe in self.keyframes]
        if option == "--length":
            if self.steps is not None:
                return ["--steps", str(self.steps)]
            return [] if self.budget_s is None else ["--budget", f"{self.budget_s:.3f}s"]
        if option == "--out" and self.out is None and verb != "desk":
            raise JobError(f"the job names no output, which {verb} needs", "say where frames go")
        switches = {"--carried": self.carried, "--no-stmaps": not self.guides}
        if option in switches:
            return [option] if switches[option] else []
        value = {
            "--plate": self.plate,
            "--frames": self.frames,
            "--colorspace": self.colorspace,
            "--layer": self.layer,
            "--ocio": self.ocio,
            "--work": self.work,
            "--look": self.look_path,
            "--out": self.out,
            "--seed": self.seed,
            "--device": self.device,
            "--tile": self.tile,
            "--max-image-gib": self.max_image_gib,
            "--out-colorspace": self.out_colorspace,
            "--depth": self.depth,
            "--compression": self.compression,
            "--softness": self.softness or None,
            "--matte": self.matte,
            "--matte-use": None if self.matte is None else self.matte_use,
        }[option]
        # One word, because a negative frame range must not look like an option.
        return [] if value is None else [f"{option}={value}"]


_PLATE = ("--plate", "--frames", "--layer", "--colorspace", "--ocio", "--max-image-gib")
_MATTES = ("--matte", "--matte-use")
_RENDERED = ("--look", "--work", "--out", "--tile", "--out-colorspace", "--depth", "--compression", "--softness")
_SWITCHES = ("--no-stmaps", "--carried")
_OPTIONS: dict[str, tuple[str, ...]] = {
    "key": (*_PLATE, "--out"),
    "prepare": (*_PLATE, "--keyframe", "--work", *_MATTES),
    "train": (*_PLATE, "--keyframe", "--work", "--look", "--length", "--seed", "--device"),
    "desk": (*_PLATE, "--keyframe", "--work", "--look", "--out", "--length", "--device", *_MATTES),
    "render": (*_PLATE, *_RENDERED, *_MATTES, *_SWITCHES, "--device"),
    "verify": (*_PLATE, *_RENDERED, *_MATTES, *_SWITCHES),
}


def check_message(message: Any, kind: str) -> dict[str, Any]:
    """A message between host and worker, after its version and then its shape are checked.

    Args:
        message: parsed JSON.
        kind: request or event.

    Raises:
        JobError: of another protocol, or not as the schema has it.
    """
    _check_version(message, "protocol", PROTOCOL, kind)
    check(message, kind)
    return dict(message)


def parse_line(line: str, kind: str) -> dict[str, Any]:
    """The message in one line of a stream; see :func:`check_message`.

    Raises:
        JobError: not JSON, or refused.
    """
    return check_message(_parsed(line, f"this {kind}", _REMEDY), kind)


def check(value: Any, name: str) -> None:
    """Hold a value against a definition of ``job.schema.json``: job, keyframe, request or event.

    Raises:
        JobError: the first thing that does not fit, with its place.
    """
    fault = _fault(value, {"$ref": f"#/$defs/{name}"}, name)
    if fault:
        raise JobError(fault)


def _parsed(text: str, what: str, remedy: str = "") -> Any:
    try:
        value = json.loads(text, parse_int=_integer, parse_constant=_no_number)
    except RecursionError:
        raise JobError(f"{what} has more than {DEPTH} objects within one another") from None
    except ValueError as error:
        raise JobError(f"{what} is not JSON: {error}", remedy) from error
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > DEPTH + 1:
            raise JobError(f"{what} has more than {DEPTH} objects within one another")
        inner = [list(one.values()) if isinstance(one, dict) else one for one in level if isinstance(one, (dict, list))]
        level = [one for each in inner for one in each]
    return value


def _integer(digits: str) -> int:
    # Before it is read: a million digits take seconds.
    if len(digits) > len(str(-LARGEST)) or abs(int(digits)) > LARGEST:
        raise ValueError(f"a number has {len(digits)} digits, and the largest is {LARGEST}")
    return int(digits)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _check_text(value: Any, place: str) -> None:
    """Hold texts against what paths can be."""
    if isinstance(value, dict):
        for name, item in value.items():
            _check_text(item, f"{place}.{name}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_text(item, f"{place}[{index}]")
    elif isinstance(value, str):
        try:
            whole = b"\0" not in os.fsencode(value)
        except UnicodeEncodeError:
            whole = False
        if not whole:
            raise JobError(f"{place} is {_shown(value)}, which no file can be named")


@functools.lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return loaded


def _check_version(data: Any, key: str, known: int, what: str) -> None:
    if not isinstance(data, dict):
        raise JobError(f"a {what} is a JSON object, not {type(data).__name__}")
    if key not in data:
        raise JobError(f"the {what} does not say its {key}", _REMEDY)
    found = data[key]
    if isinstance(found, bool) or found != known:
        raise JobError(f"the {what} is of {key} {_shown(found)}, and this Paintover knows {key} {known}", _REMEDY)


def _fault(value: Any, rule: Mapping[str, Any], place: str) -> str:
    """What is wrong with a value, empty where nothing is. Keywords as JSON Schema 2020-12 has them."""
    if "$ref" in rule:
        rule = _schema()["$defs"][rule["$ref"].rsplit("/", 1)[1]]
    if "const" in rule and not _equal(value, rule["const"]):
        return f"{place} is {_shown(value)}, not {rule['const']!r}"
    if "enum" in rule and not any(_equal(value, one) for one in rule["enum"]):
        return f"{place} is {_shown(value)}, not one of {', '.join(map(str, rule['enum']))}"
    kinds = rule.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is_a(value, kind) for kind in kinds):
        return f"{place} is {_shown(value)}, not {' or '.join(kinds)}"
    if isinstance(value, str) and len(value) < rule.get("minLength", 0):
        return f"{place} is empty"
    if _is_a(value, "number") and not abs(value) < math.inf:
        return f"{place} is no number"
    if _is_a(value, "integer") and abs(value) > LARGEST:
        return f"{place} is over {LARGEST}"
    if _is_a(value, "number") and "minimum" in rule and not value >= rule["minimum"]:
        return f"{place} is {value:g}, the least is {rule['minimum']:g}"
    if isinstance(value, list) and "items" in rule:
        for index, item in enumerate(value):
            fault = _fault(item, rule["items"], f"{place}[{index}]")
            if fault:
                return fault
    return _object_fault(value, rule, place) if isinstance(value, dict) else ""


def _object_fault(value: Mapping[str, Any], rule: Mapping[str, Any], place: str) -> str:
    properties = rule.get("properties", {})
    missing = [name for name in rule.get("required", []) if name not in value]
    if missing:
        return f"{place} lacks {missing[0]}"
    for name, item in value.items():
        if name in properties:
            fault = _fault(item, properties[name], f"{place}.{name}")
            if fault:
                return fault
        elif rule.get("additionalProperties") is False:
            return f"{place} has {_shown(name)}, which this version does not know"
    return ""


def _is_a(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def _equal(a: Any, b: Any) -> bool:
    """JSON's equality: 1 is 1.0, and true is not 1."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)


def _shown(value: Any) -> str:
    # Cut before it is written out: a value may be of any size.
    if isinstance(value, int) and abs(value) > LARGEST:
        return f"a number of {value.bit_length()} bits"
    text = repr(value[:60] if isinstance(value, (str, list)) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _is_absolute(path: str) -> bool:
    return PurePosixPath(path).is_absolute() or PureWindowsPath(path).is_absolute()


def _keyframe_words(keyframe: JobKeyframe) -> str:
    words = f"{keyframe.frame}={keyframe.painting}"
    words += "" if keyframe.matte is None else f",matte={keyframe.matte}"
    return words if keyframe.colorspace is None else f"{words},colorspace={keyframe.colorspace}"
