"""From a trained network to a look: one .onnx with shaper, exemplars, network and the way back inside.

::

    plate (N,3,H,W) -> shaper -> pad edge to the multiple, and by a margin -> network -> crop --+
    stmap (N,3K,H,W) -> sample each exemplar, merge by confidence -> carried, its share --------+-> blend
                                                                          styled (N,3,H,W) <- inverse shaper
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import engine
from engine import shaper
from engine.card import CARD_KEY, FORMAT, weights_sha256
from engine.errors import ExportError
from engine.temporaries import replacing
from engine.training.graph import GraphWriter
from engine.training.patches import MARGIN

__all__ = ["TOLERANCE", "LookNetwork", "build_look", "check_look", "reference", "write_look"]

TOLERANCE = 1e-3
"""Largest difference between the look and the network, in the working encoding."""

CHECK_PIXELS = 1 << 20
"""A larger frame is checked on its central part."""


class LookNetwork(Protocol):
    """What a network offers to become a look."""

    reach: int
    multiple: int

    def emit(self, g: GraphWriter, x: str) -> str: ...

    def __call__(self, x: Tensor) -> Tensor: ...


def build_look(net: LookNetwork, exemplars: Sequence[NDArray[np.float32]], card: Mapping[str, Any]) -> onnx.ModelProto:
    """The look's graph.

    Args:
        net: in evaluation mode.
        exemplars: per keyframe the painting (H, W, 3), scene-linear working colorspace; or (H, W, 4), where the fourth
            channel is the coverage of a partial painting, 0..1: what is not painted is not carried.
        card: facts to store; format, shaper, halo, multiple, exemplar sizes and versions are filled in here.
    """
    g = GraphWriter()
    encoded = _emit_encode(g, "plate")
    padded = _emit_pad(g, encoded, net.multiple)
    plain = _emit_crop(g, net.emit(g, padded))
    carried_color, carried = _emit_carry(g, exemplars)
    one = g.constant(1.0)
    kept = g.op("Mul", plain, g.op("Sub", one, carried))
    blended = g.op("Add", kept, g.op("Mul", carried_color, carried))
    _emit_decode(g, blended, "styled")
    k = 3 * len(exemplars)
    model = g.model(
        {"plate": ("n", 3, "h", "w"), "stmap": ("n", k, "h", "w")},
        {"styled": ("n", 3, "h", "w"), "carried": ("n", 1, "h", "w")},
        {},
    )
    facts = {
        **card,
        "format": FORMAT,
        "shaper": {"name": shaper.NAME},
        "halo": -(-net.reach // net.multiple) * net.multiple,
        "multiple": net.multiple,
        "guide_channels": 0,
        "weights_sha256": weights_sha256(model),
        "versions": {
            "paintover": engine.__version__,
            "torch": torch.__version__.split("+")[0],
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
        },
    }
    onnx.helper.set_model_props(model, {CARD_KEY: json.dumps(facts, sort_keys=True)})
    return model


def _emit_encode(g: GraphWriter, x: str) -> str:
    """Emit :func:`engine.shaper.encode`."""
    one, cut = g.constant(1.0), g.constant(shaper.CUT)
    magnitude = g.op("Min", g.op("Abs", x), g.constant(shaper.LIMIT))
    # One logarithm serves both upper pieces, and an exponential is cheaper than a power.
    log = g.op("Log", g.op("Max", magnitude, cut))
    low = g.op("Exp", g.op("Mul", log, g.constant(1 / shaper.GAMMA)))
    low = g.op("Sub", g.op("Mul", low, g.constant(shaper.GAIN)), g.constant(shaper.OFFSET))
    high = g.op("Add", g.op("Mul", log, g.constant(shaper.SLOPE)), one)
    toe = g.op("Mul", magnitude, g.constant(shaper.TOE))
    curve = g.op("Where", g.op("LessOrEqual", magnitude, one), low, high)
    curve = g.op("Where", g.op("LessOrEqual", magnitude, cut), toe, curve)
    return g.op("Mul", curve, g.op("Sign", x))


def _emit_decode(g: GraphWriter, y: str, output: str) -> str:
    """Emit :func:`engine.shaper.decode`."""
    one, knee = g.constant(1.0), g.constant(shaper.TOE * shaper.CUT)
    magnitude = g.op("Abs", y)
    # Both upper pieces are exponentials: of the scaled logarithm up to 1, of the line above.
    base = g.op("Add", g.op("Clip", magnitude, knee, one), g.constant(shaper.OFFSET))
    low = g.op("Mul", g.op("Log", g.op("Mul", base, g.constant(1 / shaper.GAIN))), g.constant(shaper.GAMMA))
    high = g.op("Mul", g.op("Sub", magnitude, one), g.constant(1 / shaper.SLOPE))
    exponent = g.op("Where", g.op("LessOrEqual", magnitude, one), low, high)
    upper = g.op("Exp", g.op("Min", exponent, g.constant(float(np.log(shaper.LIMIT)))))
    toe = g.op("Mul", magnitude, g.constant(1 / shaper.TOE))
    curve = g.op("Where", g.op("LessOrEqual", magnitude, knee), toe, upper)
    return g.op("Mul", curve, g.op("Sign", y), output=output)


def _emit_pad(g: GraphWriter, x: str, multiple: int) -> str:
    size = g.slice(g.op("Shape", x), [2], [4], [0])
    missing = g.op("Mod", g.op("Neg", size), g.constant([multiple] * 2, np.int64))
    end = g.op("Add", missing, g.constant([MARGIN] * 2, np.int64))
    pads = g.op("Concat", g.constant([0, 0, MARGIN, MARGIN, 0, 0], np.int64), end, axis=0)
    return g.op("Pad", x, pads, mode="edge")


def _emit_crop(g: GraphWriter, y: str) -> str:
    size = g.slice(g.op("Shape", "plate"), [2], [4], [0])
    start = g.constant([MARGIN] * 2, np.int64)
    axes = g.constant([2, 3], np.int64)
    return g.op("Slice", y, start, g.op("Add", size, start), axes)


def _emit_carry(g: GraphWriter, exemplars: Sequence[NDArray[np.float32]]) -> tuple[str, str]:
    """Sample the exemplars through ``stmap`` and merge them by confidence: color (N,3,H,W), share (N,1,H,W).

    STMaps are Nuke's: u to the right and v upwards in 0..1, pixel centers at (i + 0.5) / size, so that u of the
    sampler, -1..1 with corners not aligned, is 2u - 1 and its v is 1 - 2v.
    """
    flip = g.constant(np.array([2.0, -2.0]).reshape(1, 2, 1, 1))
    shift = g.constant(np.array([-1.0, 1.0]).reshape(1, 2, 1, 1))
    zero, one = g.constant(0.0), g.constant(1.0)
    batch = g.slice(g.op("Shape", "stmap"), [0], [1], [0])
    repeat = g.op("Concat", batch, g.constant([1, 1, 1], np.int64), axis=0)
    colors, shares = [], []
    for index, exemplar in enumerate(exemplars):
        stored = shaper.encode(exemplar[..., :3])
        partial = exemplar.shape[2] == 4
        if partial:
            # Premultiplied, so that no unpainted color bleeds in at a soft edge.
            coverage = exemplar[..., 3:]
            stored = np.concatenate([stored * coverage, coverage], axis=2)
        image = g.op("Cast", g.constant(stored.transpose(2, 0, 1)[None], np.float16), to=onnx.TensorProto.FLOAT)
        image = g.op("Expand", image, repeat)
        uv = g.slice("stmap", [3 * index], [3 * index + 2], [1])
        grid = g.op("Add", g.op("Mul", uv, flip), shift)
        grid = g.op("Transpose", grid, perm=[0, 2, 3, 1])
        color = g.op("GridSample", image, grid, mode="linear", padding_mode="border", align_corners=0)
        confidence = g.op("Clip", g.slice("stmap", [3 * index + 2], [3 * index + 3], [1]), zero, one)
        share = confidence
        if partial:
            share = g.op("Mul", g.slice(color, [3], [4], [1]), confidence)
            color = g.slice(color, [0], [3], [1])
        colors.append(g.op("Mul", color, confidence))
        shares.append(share)
    if len(exemplars) == 1:
        total = carried = shares[0]
        color = colors[0]
    else:
        total, color = g.op("Sum", *shares), g.op("Sum", *colors)
        carried = g.op("Max", *shares)
    color = g.op("Div", color, g.op("Max", total, g.constant(1e-6)))
    return color, g.op("Identity", carried, output="carried")


@torch.no_grad()
def reference(net: nn.Module, plate: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network's own answer for a plate (H, W, 3) without carrying, in the working encoding (H, W, 3)."""
    multiple = int(net.multiple)  # type: ignore[arg-type]
    height, width = plate.shape[:2]
    device = next(net.parameters()).device
    x = torch.from_numpy(shaper.encode(plate)).permute(2, 0, 1)[None].to(device)
    padding = (MARGIN, MARGIN + -width % multiple, MARGIN, MARGIN + -height % multiple)
    x = torch.nn.functional.pad(x, padding, mode="replicate")
    y = net(x)[..., MARGIN : MARGIN + height, MARGIN : MARGIN + width]
    return y[0].permute(1, 2, 0).float().cpu().numpy()


def check_look(model: bytes, net: nn.Module, plate: NDArray[np.float32], keyframes: int) -> float:
    """Largest difference between a look in onnxruntime and the network in torch, working encoding, on a real frame.

    Args:
        plate: (H, W, 3) scene-linear; a frame over a megapixel is checked on its central part.
    """
    height, width = plate.shape[:2]
    if height * width > CHECK_PIXELS:
        rows, columns = min(height, 1024), min(width, 1024)
        top, left = (height - rows) // 2, (width - columns) // 2
        plate = plate[top : top + rows, left : left + columns]
    # A look holds its result to half floats, which the network overshoots at a clipped highlight.
    limit = shaper.encode(np.array(shaper.LIMIT, np.float32))
    expected = np.clip(reference(net, plate), -limit, limit)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    feed = {
        "plate": np.ascontiguousarray(plate.transpose(2, 0, 1)[None]),
        "stmap": np.zeros((1, 3 * keyframes, *plate.shape[:2]), np.float32),
    }
    styled, carried = session.run(["styled", "carried"], feed)
    if not np.isfinite(styled).all() or carried.any():
        return float("inf")
    return float(np.abs(shaper.encode(styled[0].transpose(1, 2, 0)) - expected).max())


def write_look(
    path: Path,
    net: nn.Module,
    exemplars: Sequence[NDArray[np.float32]],
    card: Mapping[str, Any],
    plate: NDArray[np.float32],
) -> float:
    """Build, check and write a look; a look that fails its check is not written.

    Args:
        path: the .onnx; replaced atomically.
        net: a network in evaluation mode; see :class:`LookNetwork`.
        exemplars, card: as in :func:`build_look`.
        plate: (H, W, 3) scene-linear, the frame to check on.

    Returns:
        The check's largest difference.

    Raises:
        ExportError: the look differs from the network by more than ``TOLERANCE``.
        OutputError: it cannot be written.
    """
    model = build_look(net, exemplars, card).SerializeToString()  # type: ignore[arg-type]
    difference = check_look(model, net, plate, len(exemplars))
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the exported look differs from the trained network by {difference:.2g}, more than {TOLERANCE:g}",
            path=path,
            remedy="nothing was written; train again, with --debug for a report",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(model)
    return difference
