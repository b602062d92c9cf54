"""Card of a look, and what is checked of a look before any of it runs.

A look is data: everything here reads the file with ``onnx`` alone, so a file that is truncated, points outside itself
or asks for foreign code is refused before a session sees it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from engine.base.choices import DENOISE_MODES, GUIDE_KINDS
from engine.base.errors import LookError

__all__ = [
    "CARD_KEY",
    "FORMAT",
    "Card",
    "ExemplarFact",
    "LookFile",
    "TrainingFacts",
    "open_look",
    "read_card",
    "weights_sha256",
]

CARD_KEY = "paintover.card"
FORMAT = 1
MAX_OPSET = 21
MAX_IR = 10
STANDARD_DOMAINS = ("", "ai.onnx")
REMEDY = "export the look again, or copy it again from where it was trained"


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

    @classmethod
    def parse(cls, text: str) -> Card:
        """Parse the JSON of a card; keys that this version does not know are ignored.

        Raises:
            LookError: not JSON, of a newer format, or a key is missing or of the wrong kind.
        """
        try:
            data = json.loads(text)
            if not isinstance(data, dict):
                raise TypeError("not an object")
            version = data["format"]
            if isinstance(version, int) and version > FORMAT:
                raise LookError(
                    f"the look was made by a newer Paintover (card format {version}, this one reads {FORMAT})",
                    remedy="update Paintover on this machine",
                )
            trained = data["trained"]
            card = cls(
                format=_integer(data, "format", 1),
                name=_text(data, "name"),
                working_colorspace=_text(data, "working_colorspace"),
                ocio_config=_text(data, "ocio_config"),
                shaper=dict(data["shaper"]),
                keyframes=tuple(
                    ExemplarFact(
                        frame=_integer(k, "frame", None),
                        exemplar_sha256=_text(k, "exemplar_sha256"),
                        width=_integer(k, "width", 1),
                        height=_integer(k, "height", 1),
                    )
                    for k in data["keyframes"]
                ),
                halo=_integer(data, "halo", 0),
                multiple=_integer(data, "multiple", 1),
                guide_channels=_integer(data, "guide_channels", 0),
                trained=TrainingFacts(
                    recipe=_text(trained, "recipe"),
                    steps=_integer(trained, "steps", 0),
                    seconds=float(trained["seconds"]),
                    seed=_integer(trained, "seed", None),
                    loss=float(trained["loss"]),
                    losses={str(name): float(loss) for name, loss in dict(trained["losses"]).items()},
                ),
                plate_colorspace=_text(data, "plate_colorspace"),
                paint_colorspace=_text(data, "paint_colorspace"),
                versions={str(name): str(number) for name, number in dict(data["versions"]).items()},
                guide_kind=_choice(data, "guide_kind", GUIDE_KINDS),
                denoise=_choice(data, "denoise", DENOISE_MODES),
            )
        except KeyError as error:
            raise LookError(f"the look's card has no {error}", remedy=REMEDY) from error
        except (ValueError, TypeError, AttributeError) as error:
            raise LookError(f"the look's card is unreadable: {error}", remedy=REMEDY) from error
        if not card.keyframes:
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
        data = path.read_bytes()
    except OSError as error:
        remedy = "give the .onnx file that training wrote" if path.is_dir() else "check --look, or train it first"
        raise LookError(f"cannot read the look: {error.strerror or error}", path=path, remedy=remedy) from error
    try:
        return _examine(path, data)
    except LookError as error:
        error.path = path
        raise


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
        model.ParseFromString(data)
    except DecodeError as error:
        raise LookError("not an ONNX file, or a truncated one", remedy=REMEDY) from error
    if not model.graph.node or not model.opset_import:
        raise LookError("not an ONNX file, or a truncated one", remedy=REMEDY)
    _refuse_foreign(model)
    text = next((entry.value for entry in model.metadata_props if entry.key == CARD_KEY), None)
    if text is None:
        raise LookError("this ONNX file has no Paintover card, or it was cut off", remedy=REMEDY)
    card = Card.parse(text)
    stored = json.loads(text).get("weights_sha256")
    if stored is not None and stored != weights_sha256(model):
        raise LookError("the look's weights are damaged", remedy=REMEDY)
    _check_signature(model, card)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise LookError(f"not a valid ONNX graph: {str(error).splitlines()[0]}", remedy=REMEDY) from error
    return LookFile(path, data, hashlib.sha256(data).hexdigest(), card)


def _refuse_foreign(model: onnx.ModelProto) -> None:
    if model.ir_version > MAX_IR:
        raise LookError(f"the look is of ONNX IR {model.ir_version}, hosts read up to {MAX_IR}", remedy=REMEDY)
    for opset in model.opset_import:
        if opset.domain not in STANDARD_DOMAINS:
            raise LookError(f'the look asks for custom operators ("{opset.domain}")', remedy=REMEDY)
        if opset.version > MAX_OPSET:
            raise LookError(f"the look is of opset {opset.version}, hosts read up to {MAX_OPSET}", remedy=REMEDY)
    if model.functions:
        raise LookError("the look defines functions of its own", remedy=REMEDY)
    for node in _nodes(model.graph):
        if node.domain not in STANDARD_DOMAINS:
            raise LookError(f'the look uses the custom operator "{node.domain}.{node.op_type}"', remedy=REMEDY)
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise LookError("the look keeps weights in another file", remedy=REMEDY)


def _check_signature(model: onnx.ModelProto, card: Card) -> None:
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: _channels(value) for value in model.graph.input if value.name not in stored}
    outputs = {value.name: _channels(value) for value in model.graph.output}
    expected = {"plate": 3, "stmap": 3 * len(card.keyframes)}
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


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                if inner.node:
                    yield from _graphs(inner)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for inner in _graphs(graph):
        yield from inner.node


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    for inner in _graphs(graph):
        yield from inner.initializer
        for sparse in inner.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        for node in inner.node:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors)


def _integer(data: Mapping[str, Any], key: str, least: int | None) -> int:
    value = data[key]
    if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
        raise ValueError(f"{key} is {value!r}")
    return value


def _choice(data: Mapping[str, Any], key: str, known: Sequence[str]) -> str | None:
    """One of some words, or None where the card says nothing."""
    value = data.get(key)
    if value is not None and value not in known:
        raise ValueError(f"{key} is {value!r}, known are {', '.join(known)}")
    return value


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is {value!r}")
    return value
