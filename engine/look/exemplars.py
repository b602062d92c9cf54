"""Exemplars of a look: how a keyframe is stored in its graph, and a look with another frame in a keyframe's place.

The network that a look was trained to be stays as it is; only what it carries, and from where, is another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, numpy_helper

from engine.base.arrays import Floats
from engine.base.errors import ImageError, LookError
from engine.color import shaper
from engine.look.card import CARD_KEY, LookFile, look_file, weights_sha256

__all__ = ["exemplar_stack", "with_exemplar"]

_PASSES = {"Cast", "Expand", "Identity", "Unsqueeze"}
"""What may stand between a stored exemplar and its sampler."""


def exemplar_stack(painting: Floats, coverage: Floats, plate: Floats) -> npt.NDArray[np.float16]:
    """A keyframe as a look stores it: painting times coverage, coverage where it is not 1 everywhere, plate.

    Args:
        painting, plate: (H, W, 3), scene-linear working colorspace.
        coverage: (H, W) in 0..1.

    Returns:
        (7, H, W) or (6, H, W), working encoding.
    """
    share = coverage[..., None]
    # Premultiplied, so that no unpainted color bleeds in at a soft edge.
    layers = [shaper.encode(painting) * share, shaper.encode(plate)]
    if (share < 1).any():
        layers.insert(1, share)
    stack = np.concatenate(layers, axis=2).transpose(2, 0, 1)
    return np.ascontiguousarray(stack, np.float16)


def with_exemplar(look: LookFile, painting: Floats, plate: Floats, frame: int = 0) -> LookFile:
    """The look with another frame in the place of its first keyframe; the others stay, and want confidence 0.

    Args:
        painting: (H, W, 3), scene-linear light of the look's working colorspace, all of it painted.
        plate: (H, W, 3), likewise: the frame that was painted.
        frame: its number.

    Raises:
        ImageError: painting and plate have different shapes.
        LookError: the look does not store its keyframes as ours do.
    """
    if painting.shape != plate.shape or plate.ndim != 3 or plate.shape[2] != 3:
        raise ImageError(f"a painting of {painting.shape} cannot lie on a frame of {plate.shape}")
    model = onnx.load_model_from_string(look.data)
    graph = model.graph
    stored = {each.name: each for each in graph.initializer}
    sampler = next((node for node in graph.node if node.op_type == "GridSample"), None)
    if sampler is None:
        raise _unlike(look)
    holder = _holder(graph.node, stored, sampler.input[0])
    if holder is None:
        raise _unlike(look)
    old = numpy_helper.to_array(stored[holder.input[0]])
    channels = old.shape[-3] if old.ndim in (3, 4) else 0
    if channels not in (6, 7):
        raise _unlike(look)
    height, width = plate.shape[:2]
    stack = exemplar_stack(painting, np.ones((height, width), np.float32), plate)
    if channels == 7:
        stack = np.concatenate([stack[:3], np.ones((1, height, width), np.float16), stack[3:]])
    names = _Names(set(stored))
    _put(graph, holder, 0, stack.astype(old.dtype).reshape((1,) * (old.ndim - 3) + stack.shape), names)
    before = np.array([old.shape[-1], -old.shape[-2]], np.float32)
    for node, index in _sizes(graph.node, stored, sampler.input[1], before):
        _put(graph, node, index, np.array([width, -height], np.float32).reshape(1, 2, 1, 1), names)
    _drop_unused(graph)
    _restate(model, frame, stack, width, height)
    return look_file(look.path, model.SerializeToString())


class _Names:
    """Names of constants that are not taken."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken

    def new(self) -> str:
        count = len(self._taken)
        while f"exemplar_{count}" in self._taken:
            count += 1
        name = f"exemplar_{count}"
        self._taken.add(name)
        return name


def _holder(nodes: list[NodeProto], stored: dict[str, onnx.TensorProto], value: str) -> NodeProto | None:
    """The node that takes the stored exemplar on its way to the sampler."""
    makers = {name: node for node in nodes for name in node.output}
    while (node := makers.get(value)) is not None and node.op_type in _PASSES:
        if node.input[0] in stored:
            return node
        value = node.input[0]
    return None


def _sizes(
    nodes: list[NodeProto], stored: dict[str, onnx.TensorProto], grid: str, size: npt.NDArray[np.float32]
) -> Iterator[tuple[NodeProto, int]]:
    """Where the exemplar's width and height multiply the coordinates that the sampler gets, and at which input."""
    makers = {name: node for node in nodes for name in node.output}
    places = grid
    while (node := makers.get(places)) is not None and node.op_type in ("Transpose", "Add", "Mul"):
        places = next((name for name in node.input if name not in stored), "")
    for node in nodes:
        if node.op_type != "Mul" or places not in node.input:
            continue
        for index, name in enumerate(node.input):
            if name in stored and np.array_equal(numpy_helper.to_array(stored[name]).ravel(), size):
                yield node, index


def _put(graph: onnx.GraphProto, node: NodeProto, index: int, array: npt.NDArray[np.generic], names: _Names) -> None:
    name = names.new()
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
    node.input[index] = name


def _drop_unused(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    for each in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(each)


def _restate(model: onnx.ModelProto, frame: int, stack: npt.NDArray[np.float16], width: int, height: int) -> None:
    entry = next(each for each in model.metadata_props if each.key == CARD_KEY)
    card = json.loads(entry.value)
    digest = hashlib.sha256(stack.tobytes()).hexdigest()
    card["keyframes"][0] = {"frame": frame, "exemplar_sha256": digest, "width": width, "height": height}
    card["weights_sha256"] = weights_sha256(model)
    entry.value = json.dumps(card, sort_keys=True)


def _unlike(look: LookFile) -> LookError:
    return LookError(
        "this look does not store its keyframes in a way that another frame can take their place",
        path=look.path,
        remedy="train it with the recipe paintover",
    )
