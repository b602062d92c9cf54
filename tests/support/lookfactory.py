"""Small looks for tests, built with ``onnx.helper`` to the contract of docs/architecture.md: no torch, no training.

Every look samples its exemplars through ``stmap`` and mixes them in by confidence, so ``carried`` works. What happens
to the rest of the image depends on the builder:

``identity``  the plate comes back
``gain``      each pixel times a number, reach 0
``guided``    each pixel times the guide's, reach 0
``blur``      a box blur with a known reach, per channel
``network``   a convolutional network of a trained look's size: the shaper's encoding, stride 2 twice, residual blocks
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["WORKING", "GraphBuilder", "blur", "card_for", "finish", "gain", "identity", "network"]

WORKING = "scene_linear"
"""The working colorspace that the looks claim: a role, so that it resolves in any config."""


class GraphBuilder:
    """Collects nodes and initializers; every call returns the name of the value that it made."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def slice(self, value: str, start: int, end: int, axis: int) -> str:
        bounds = [self.constant([n], np.int64) for n in (start, end, axis)]
        return self.op("Slice", value, *bounds)

    def size(self, value: str, start: int, end: int) -> str:
        return self.op("Shape", value, start=start, end=end)


def encode(b: GraphBuilder, x: str) -> str:
    """A curve like the shaper's: sRGB up to 1, logarithmic above, odd in x."""
    a = b.op("Abs", x)
    low = b.op("Clip", a, b.constant(0.0031308), b.constant(1.0))
    curve = b.op("Sub", b.op("Mul", b.op("Pow", low, b.constant(1 / 2.4)), b.constant(1.055)), b.constant(0.055))
    toe = b.op("Mul", a, b.constant(12.92))
    high = b.op("Add", b.op("Mul", b.op("Log", b.op("Max", a, b.constant(1.0))), b.constant(0.4396)), b.constant(1.0))
    bent = b.op("Where", b.op("Less", a, b.constant(0.0031308)), toe, curve)
    return b.op("Mul", b.op("Sign", x), b.op("Where", b.op("Greater", a, b.constant(1.0)), high, bent))


def decode(b: GraphBuilder, y: str) -> str:
    """The inverse of :func:`encode`."""
    a = b.op("Abs", y)
    low = b.op("Clip", a, b.constant(0.04045), b.constant(1.0))
    curve = b.op("Pow", b.op("Div", b.op("Add", low, b.constant(0.055)), b.constant(1.055)), b.constant(2.4))
    toe = b.op("Div", a, b.constant(12.92))
    high = b.op(
        "Exp",
        b.op(
            "Div", b.op("Sub", b.op("Clip", a, b.constant(1.0), b.constant(5.5)), b.constant(1.0)), b.constant(0.4396)
        ),
    )
    bent = b.op("Where", b.op("Less", a, b.constant(0.04045)), toe, curve)
    return b.op("Mul", b.op("Sign", y), b.op("Where", b.op("Greater", a, b.constant(1.0)), high, bent))


def sample(b: GraphBuilder, exemplar: np.ndarray, stmap: str, key: int) -> tuple[str, str]:
    """The exemplar (H, W, 3) seen through key's three STMap channels, and its confidence (N, 1, H, W)."""
    planes = [b.slice(stmap, 3 * key + i, 3 * key + i + 1, 1) for i in range(3)]
    x = b.op("Sub", b.op("Mul", planes[0], b.constant(2.0)), b.constant(1.0))
    y = b.op("Sub", b.constant(1.0), b.op("Mul", planes[1], b.constant(2.0)))
    grid = b.op("Transpose", b.op("Concat", x, y, axis=1), perm=[0, 2, 3, 1])
    batch = b.op("Concat", b.size(stmap, 0, 1), b.constant([1, 1, 1], np.int64), axis=0)
    picture = b.op("Expand", b.constant(exemplar.transpose(2, 0, 1)[None]), batch)
    seen = b.op("GridSample", picture, grid, mode="bilinear", padding_mode="border", align_corners=0)
    return seen, b.op("Clip", planes[2], b.constant(0.0), b.constant(1.0))


def card_for(exemplars: list[np.ndarray], *, halo: int, multiple: int, **changes: Any) -> dict[str, Any]:
    """The card of a test look; ``changes`` replace keys."""
    card: dict[str, Any] = {
        "format": 1,
        "name": "test",
        "working_colorspace": WORKING,
        "ocio_config": "",
        "shaper": {"name": "paintover-1"},
        "keyframes": [
            {
                "frame": 1001 + i,
                "exemplar_sha256": hashlib.sha256(e.tobytes()).hexdigest(),
                "width": e.shape[1],
                "height": e.shape[0],
            }
            for i, e in enumerate(exemplars)
        ],
        "halo": halo,
        "multiple": multiple,
        "guide_channels": 0,
        "trained": {"recipe": "test", "steps": 0, "seconds": 0.0, "seed": 0, "loss": 0.0, "losses": {}},
        "plate_colorspace": WORKING,
        "paint_colorspace": WORKING,
        "versions": {"paintover": "0.1.0"},
    }
    card.update(changes)
    return card


def finish(
    path: Path,
    b: GraphBuilder,
    translated: str,
    exemplars: list[np.ndarray],
    card: dict[str, Any] | str,
    *,
    opset: int = 17,
    ir_version: int = 8,
    guide: int = 0,
) -> Path:
    """Mixes the exemplars in, names the outputs, attaches the card and writes the file."""
    styled, missing = translated, b.constant(1.0)
    for key, exemplar in enumerate(exemplars):
        seen, confidence = sample(b, exemplar, "stmap", key)
        rest = b.op("Sub", b.constant(1.0), confidence)
        styled = b.op("Add", b.op("Mul", styled, rest), b.op("Mul", seen, confidence))
        missing = b.op("Mul", missing, rest)
    b.nodes.append(helper.make_node("Identity", [styled], ["styled"]))
    b.nodes.append(helper.make_node("Sub", [b.constant(1.0), missing], ["carried"]))

    def value(name: str, channels: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, "H", "W"])

    graph = helper.make_graph(
        b.nodes,
        "look",
        [value("plate", 3), value("stmap", 3 * len(exemplars))] + ([value("guide", guide)] if guide else []),
        [value("styled", 3), value("carried", 1)],
        b.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="paintover-test")
    model.ir_version = ir_version
    helper.set_model_props(model, {"paintover.card": card if isinstance(card, str) else json.dumps(card)})
    path.write_bytes(model.SerializeToString())
    return path


def exemplars_of(k: int, size: tuple[int, int] = (12, 16)) -> list[np.ndarray]:
    """K random exemplars (H, W, 3), scene-linear."""
    return [np.random.default_rng(i).random((*size, 3), dtype=np.float32) for i in range(k)]


def gain(path: Path, factor: float = 2.0, *, k: int = 1, **changes: Any) -> Path:
    """A look that multiplies each pixel."""
    b, exemplars = GraphBuilder(), exemplars_of(k)
    value = b.op("Mul", "plate", b.constant(factor))
    return finish(path, b, value, exemplars, card_for(exemplars, **{"halo": 0, "multiple": 1, **changes}))


def guided(path: Path, kind: str = "points", **changes: Any) -> Path:
    """A look that multiplies the plate with its guide."""
    b, exemplars = GraphBuilder(), exemplars_of(1)
    value = b.op("Mul", "plate", "guide")
    facts = {"halo": 0, "multiple": 1, "guide_channels": 3, "guide_kind": kind, **changes}
    return finish(path, b, value, exemplars, card_for(exemplars, **facts), guide=3)


def identity(path: Path, *, k: int = 1, **changes: Any) -> Path:
    """A look that returns the plate."""
    return gain(path, 1.0, k=k, **changes)


def blur(path: Path, reach: int = 5, *, k: int = 1, **changes: Any) -> Path:
    """A box blur over (2 reach + 1) squared pixels."""
    b, exemplars = GraphBuilder(), exemplars_of(k)
    side = 2 * reach + 1
    kernel = b.constant(np.full((3, 1, side, side), 1 / side**2))
    value = b.op("Conv", "plate", kernel, group=3, pads=[reach] * 4)
    return finish(path, b, value, exemplars, card_for(exemplars, **{"halo": reach, "multiple": 1, **changes}))


def network(
    path: Path,
    *,
    channels: tuple[int, int, int] = (32, 64, 96),
    blocks: int = 5,
    k: int = 1,
    seed: int = 0,
    **changes: Any,
) -> Path:
    """A translator of a trained look's size, about 95,000 multiplications a pixel as it stands; weights are random."""
    b, exemplars, rng = GraphBuilder(), exemplars_of(k), np.random.default_rng(seed)

    def conv(x: str, c_in: int, c_out: int, stride: int = 1, relu: bool = True) -> str:
        weight = rng.standard_normal((c_out, c_in, 3, 3)) * np.sqrt(2 / (9 * c_in))
        y = b.op(
            "Conv",
            x,
            b.constant(weight),
            b.constant(rng.standard_normal(c_out) * 0.01),
            pads=[1] * 4,
            strides=[stride] * 2,
        )
        return b.op("LeakyRelu", y, alpha=0.1) if relu else y

    def up(x: str) -> str:
        return b.op("Resize", x, "", b.constant([1, 1, 2, 2]), mode="nearest", nearest_mode="floor",
                    coordinate_transformation_mode="asymmetric")  # fmt: skip

    full, half, quarter = channels
    size = b.size("plate", 2, 4)
    four = b.constant([4, 4], np.int64)
    extra = b.op("Mod", b.op("Sub", four, b.op("Mod", size, four)), four)
    pads = b.op("Concat", b.constant([0] * 6, np.int64), extra, axis=0)
    x0 = conv(b.op("Pad", encode(b, "plate"), pads, mode="edge"), 3, full)
    x1 = conv(x0, full, half, 2)
    x2 = conv(x1, half, quarter, 2)
    for _ in range(blocks):
        y = conv(conv(x2, quarter, quarter), quarter, quarter, relu=False)
        x2 = b.op("Add", x2, b.op("Mul", y, b.constant(0.3)))
    y1 = b.op("Add", conv(up(x2), quarter, half), x1)
    y0 = b.op("Add", conv(up(y1), half, full), x0)
    y = b.op("Mul", conv(y0, full, 3, relu=False), b.constant(0.2))
    zeros, axes = b.constant([0, 0], np.int64), b.constant([2, 3], np.int64)
    y = b.op("Slice", y, zeros, size, axes)
    # Reach in pixels: 1 at full size for each conv there, 2 at half, 4 at a quarter, and 8 spare.
    halo = (1 + 2 + 4 * 2 * blocks + 2 + 1 + 1) + 4 + 4
    return finish(path, b, decode(b, y), exemplars, card_for(exemplars, **{"halo": halo, "multiple": 4, **changes}))
