"""Card of a look, and what is checked of a look before any of it runs.

A look is data: everything here reads the file with ``onnx`` alone, so a file that is truncated, points outside itself
or asks for foreign code is refused before a session sees it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from engine.base.choices import DENOISE_MODES, GUIDE_KINDS
from engine.base.errors import LookError
from engine.base.foreign_json import parse_json
from engine.base.whole_file import read_whole
from engine.look.graph_check import REMEDY, check_structure
from engine.look.graph_cost import GraphPlan
from engine.look.wire_check import check_wire

__all__ = [
    "CARD_KEY",
    "CARRYING_FORMAT",
    "FORMAT",
    "Card",
    "ExemplarFact",
    "LookFile",
    "StyleFact",
    "TrainingFacts",
    "look_file",
    "open_look",
    "read_card",
    "weights_sha256",
]

CARD_KEY = "paintover.card"
FORMAT = 2
"""The newest that is read: a look may have no exemplars, and then no input for STMaps."""
CARRYING_FORMAT = 1
"""Of a look with exemplars, which earlier versions read too."""
MAX_CARD_BYTES = 2**20
MAX_KEYFRAMES = 1024
MAX_TEXT = 4096
"""Characters of a name."""
MAX_SECONDS = 1e10
CHECKED_SIDES = (32, 64, 1024)
"""Sides in pixels of the images for which a run's cost is checked before a session is made."""
MAX_BYTES = 2**31 - 1
"""Of a file: what ONNX can hold."""


@dataclass(frozen=True)
class ExemplarFact:
    """What a card says of one exemplar."""

    frame: int
    """The keyframe's number in its plate."""
    exemplar_sha256: str
    """Of the painted image's file."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""


@dataclass(frozen=True)
class StyleFact:
    """What a card says of one style image."""

    name: str
    """Of its file."""
    image_sha256: str
    """Of the file."""
    weight: float
    """How much it counted beside the others."""


@dataclass(frozen=True)
class TrainingFacts:
    """How a look was trained."""

    recipe: str
    steps: int
    seconds: float
    seed: int
    loss: float
    losses: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Card:
    """Facts about a look, as its file carries them in the metadata key ``paintover.card``."""

    format: int
    name: str
    working_colorspace: str
    """OCIO name of the colorspace that the look takes and returns, scene-linear."""
    ocio_config: str
    """Name of the config that the look was trained with."""
    shaper: Mapping[str, Any]
    keyframes: tuple[ExemplarFact, ...]
    """None in a look that was trained from style images."""
    halo: int
    """Pixels that the network reaches to each side."""
    multiple: int
    """Windows start on multiples of this many pixels."""
    guide_channels: int
    trained: TrainingFacts
    plate_colorspace: str
    paint_colorspace: str
    versions: Mapping[str, str]
    guide_kind: str | None = None
    """Which guide the look takes, one of ``engine.base.choices.GUIDE_KINDS``; None where it takes none."""
    denoise: str | None = None
    """How the plate was denoised that it was trained on, one of ``engine.base.choices.DENOISE_MODES``; None for not."""
    styles: tuple[StyleFact, ...] = ()
    """The style images of a look without keyframes."""

    @classmethod
    def parse(cls, text: str) -> Card:
        """Parse the JSON of a card; keys that this version does not know are ignored.

        Raises:
            LookError: not JSON, of a newer format, or a key is missing or of the wrong kind.
        """
        try:
            data = parse_json(text, MAX_CARD_BYTES)
            if not isinstance(data, dict):
                raise TypeError("not an object")
            version = data["format"]
            if isinstance(version, int) and version > FORMAT:
                raise LookError(
                    f"the look was made by a newer Paintover (card format {version}, this one reads {FORMAT})",
                    remedy="update Paintover on this machine",
                )
            trained = data["trained"]
            if len(data["keyframes"]) > MAX_KEYFRAMES:
                raise ValueError(f"{len(data['keyframes']):,} keyframes")
            card = cls(
                format=_integer(data, "format", 1, FORMAT),
                name=_text(data, "name"),
                working_colorspace=_text(data, "working_colorspace"),
                ocio_config=_text(data, "ocio_config"),
                shaper=dict(data["shaper"]),
                keyframes=tuple(
                    ExemplarFact(
                        frame=_integer(k, "frame", -(2**31), 2**31),
                        exemplar_sha256=_text(k, "exemplar_sha256"),
                        width=_integer(k, "width", 1, 2**20),
                        height=_integer(k, "height", 1, 2**20),
                    )
                    for k in data["keyframes"]
                ),
                halo=_integer(data, "halo", 0, 2**14),
                multiple=_integer(data, "multiple", 1, 2**12),
                guide_channels=_integer(data, "guide_channels", 0, 2**10),
                trained=TrainingFacts(
                    recipe=_text(trained, "recipe"),
                    steps=_integer(trained, "steps", 0, 2**53),
                    seconds=_seconds(trained, "seconds"),
                    seed=_integer(trained, "seed", -(2**64), 2**64),
                    loss=float(trained["loss"]),
                    losses={str(name): float(loss) for name, loss in dict(trained["losses"]).items()},
                ),
                plate_colorspace=_text(data, "plate_colorspace"),
                paint_colorspace=_text(data, "paint_colorspace"),
                versions={str(name): str(number) for name, number in dict(data["versions"]).items()},
                guide_kind=_choice(data, "guide_kind", GUIDE_KINDS),
                denoise=_choice(data, "denoise", DENOISE_MODES),
                styles=tuple(
                    StyleFact(_text(each, "name"), _text(each, "image_sha256"), float(each["weight"]))
                    for each in _list(data.get("styles", []))
                ),
            )
        except KeyError as error:
            raise LookError(f"the look's card has no {error}", remedy=REMEDY) from error
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            raise LookError(f"the look's card is unreadable: {error}", remedy=REMEDY) from error
        if not card.keyframes and card.format == CARRYING_FORMAT:
            raise LookError("the look's card names no keyframe", remedy=REMEDY)
        if (card.guide_kind is None) != (card.guide_channels == 0):
            raise LookError("the look's card does not say which guide it takes", remedy=REMEDY)
        if not card.working_colorspace:
            raise LookError("the look's card names no working colorspace", remedy=REMEDY)
        return card


@dataclass(frozen=True)
class LookFile:
    """A look that passed every check; ``data`` is exactly what was hashed and what a session loads."""

    path: Path
    data: bytes = field(repr=False)
    sha256: str
    """Of the file."""
    card: Card
    graph: GraphPlan = field(repr=False, compare=False)
    """What its runs cost."""


def read_card(path: str | Path) -> Card:
    """The card of a look, after every check of :func:`open_look`."""
    return open_look(path).card


def open_look(path: str | Path) -> LookFile:
    """Read a look once and check it before anything runs.

    Raises:
        LookError: the file is missing, not ONNX, truncated or damaged; has external data, custom operators, an opset
            over 21 or IR over 10; its card is missing, unreadable or newer; its inputs are not a look's.
    """
    path = Path(path)
    try:
        data = read_whole(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        is_folder = isinstance(error, IsADirectoryError)
        remedy = "give the .onnx file that training wrote" if is_folder else "check --look, or train it first"
        reason = getattr(error, "strerror", None) or error
        raise LookError(f"cannot read the look: {reason}", path=path, remedy=remedy) from error
    return look_file(path, data)


def look_file(path: Path, data: bytes) -> LookFile:
    """Check the bytes of a look, as :func:`open_look` does with its file.

    Args:
        path: for messages, and as the look's own.

    Raises:
        LookError: as :func:`open_look`.
    """
    try:
        return _examine(path, data)
    except LookError as error:
        error.path = path
        raise
    except UnicodeDecodeError as error:
        # ONNX's parser takes any bytes as text; its checker, and whoever asks for a name, trips over them.
        raise LookError("the look holds names that are no UTF-8", path=path, remedy=REMEDY) from error


def weights_sha256(model: onnx.ModelProto) -> str:
    """SHA-256 over the names and raw bytes of a model's initializers, in order.

    A card may hold it as ``weights_sha256``; it then finds a hole of zeros in a half-copied look.
    """
    digest = hashlib.sha256()
    for tensor in model.graph.initializer:
        digest.update(tensor.name.encode() + b"\0" + tensor.raw_data)
    return digest.hexdigest()


def _examine(path: Path, data: bytes) -> LookFile:
    model = onnx.ModelProto()
    try:
        check_wire(data)
    except ValueError as error:
        raise LookError(f"not an ONNX file, or a truncated one: {error}", remedy=REMEDY) from error
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise LookError("not an ONNX file, or a truncated one", remedy=REMEDY) from error
    if not model.graph.node or not model.opset_import:
        raise LookError("not an ONNX file, or a truncated one", remedy=REMEDY)
    check_structure(model)
    text = next((entry.value for entry in model.metadata_props if entry.key == CARD_KEY), None)
    if text is None:
        raise LookError("this ONNX file has no Paintover card, or it was cut off", remedy=REMEDY)
    card = Card.parse(text)
    stored = parse_json(text, MAX_CARD_BYTES).get("weights_sha256")
    if stored is not None and stored != weights_sha256(model):
        raise LookError("the look's weights are damaged", remedy=REMEDY)
    _check_signature(model, card)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise LookError(f"not a valid ONNX graph: {str(error).splitlines()[0]}", remedy=REMEDY) from error
    graph = GraphPlan(model)
    for side in CHECKED_SIDES:
        graph.check_size(side, side)
    return LookFile(path, data, hashlib.sha256(data).hexdigest(), card, graph)


def _check_signature(model: onnx.ModelProto, card: Card) -> None:
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: _channels(value) for value in model.graph.input if value.name not in stored}
    outputs = {value.name: _channels(value) for value in model.graph.output}
    expected = {"plate": 3}
    if card.keyframes:
        expected["stmap"] = 3 * len(card.keyframes)
    if card.guide_channels:
        expected["guide"] = card.guide_channels
    if inputs != expected or outputs != {"styled": 3, "carried": 1}:
        raise LookError(
            f"the look's inputs {inputs} and outputs {outputs} are not those of a look with"
            f" {len(card.keyframes)} keyframes",
            remedy=REMEDY,
        )


def _channels(value: onnx.ValueInfoProto) -> int:
    kind = value.type.tensor_type
    dims = kind.shape.dim
    return dims[1].dim_value if kind.elem_type == onnx.TensorProto.FLOAT and len(dims) == 4 else -1


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_KEYFRAMES:
        raise ValueError("style images that are no list")
    return value


def _integer(data: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = data[key]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{key} is {value!r}")
    return value


def _seconds(data: Mapping[str, Any], key: str) -> float:
    value = float(data[key])
    if not 0 <= value < MAX_SECONDS:
        raise ValueError(f"{key} is {value!r}")
    return value


def _choice(data: Mapping[str, Any], key: str, known: Sequence[str]) -> str | None:
    """One of some words, or None where the card says nothing."""
    value = data.get(key)
    if value is not None and value not in known:
        raise ValueError(f"{key} is {str(value)[:60]!r}, known are {', '.join(known)}")
    return value


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is no text")
    if len(value) > MAX_TEXT or "\0" in value:
        raise ValueError(f"{key} is a text of {len(value):,} characters, over {MAX_TEXT:,} or with a zero")
    return value
