"""From a trained network to a look: one .onnx with shaper, exemplars, network and the way back inside.

::

    plate (N,3,H,W) -> shaper ----------------------------------+
    stmap (N,3K,H,W) -> sample each exemplar, merge by confidence +-> pad edge to the multiple, and by a margin
                                          styled (N,3,H,W) <- inverse shaper <- crop <- network <-+
"""

from __future__ import annotations

import itertools
import json
import math
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import engine
from engine.base.errors import ExportError
from engine.base.runtime import ort
from engine.base.temporaries import replacing
from engine.color import shaper
from engine.look.card import CARD_KEY, FORMAT, weights_sha256
from engine.training.data.patches import MARGIN
from engine.training.export.graph import GraphWriter
from engine.training.model.carry import Exemplar, sample
from engine.training.model.carry_graph import CarriedNames, StoredExemplar, emit_sampled

__all__ = [
    "CHECK_PIXELS",
    "QUICK_CHECK_PIXELS",
    "TOLERANCE",
    "LookNetwork",
    "build_look",
    "check_look",
    "reference",
    "write_look",
]

TOLERANCE = 1e-3
"""Largest difference between the look and the network, in the working encoding."""

CHECK_PIXELS = 1 << 20
"""A larger frame is checked on its central part."""
QUICK_CHECK_PIXELS = 1 << 14
"""As much is checked where somebody waits for the process to end."""


class LookNetwork(Protocol):
    """What a network offers to become a look."""

    reach: int
    multiple: int
    takes_carried: bool
    """Whether exemplars enter the network, sampled with a cubic filter; one that knows only the plate has them blended
    over its result, sampled with a bilinear one."""
    guide_channels: int
    """Of the guide that it takes beside the plate; 0 for none. Only one that takes exemplars can take a guide."""


def build_look(net: LookNetwork, exemplars: Sequence[StoredExemplar], card: Mapping[str, Any]) -> onnx.ModelProto:
    """The look's graph.

    Args:
        net: in evaluation mode; its ``emit`` takes the names of the padded plate and, where it takes them, of the
            carried exemplars and of the guide.
        exemplars: per keyframe; what is not painted is not carried.
        card: facts to store; format, shaper, halo, multiple, exemplar sizes and versions are filled in here.
    """
    g = GraphWriter()
    encoded = _emit_encode(g, "plate")
    arrived = emit_sampled(g, exemplars, net.takes_carried)
    guides = net.guide_channels
    everything = [encoded, arrived.stacked(g)] + (["guide"] if guides else [])
    stacked = _emit_pad(g, g.op("Concat", *everything, axis=1), net.multiple)
    padded = g.slice(stacked, [0], [3], [1])
    ends = np.cumsum([3, *arrived.channels]).tolist()
    arrived = CarriedNames(*(g.slice(stacked, [a], [b], [1]) for a, b in itertools.pairwise(ends)))
    if guides:
        guide = g.slice(stacked, ends[-1:], [ends[-1] + guides], [1])
        result, gate = net.emit(g, padded, arrived, guide)  # type: ignore[attr-defined]
    elif net.takes_carried:
        result, gate = net.emit(g, padded, arrived)  # type: ignore[attr-defined]
    else:
        plain, gate = net.emit(g, padded), arrived.share  # type: ignore[attr-defined]
        result = g.op("Add", plain, g.op("Mul", gate, g.op("Sub", arrived.painting, plain)))
    _emit_decode(g, _emit_crop(g, result), "styled")
    g.op("Identity", _emit_crop(g, gate), output="carried")
    k = 3 * len(exemplars)
    inputs = {"plate": ("n", 3, "h", "w"), "stmap": ("n", k, "h", "w")}
    if guides:
        inputs["guide"] = ("n", guides, "h", "w")
    model = g.model(
        inputs,
        {"styled": ("n", 3, "h", "w"), "carried": ("n", 1, "h", "w")},
        {},
    )
    facts = {
        **card,
        "format": FORMAT,
        "shaper": {"name": shaper.NAME},
        "halo": -(-net.reach // net.multiple) * net.multiple,
        "multiple": net.multiple,
        "guide_channels": guides,
        "weights_sha256": weights_sha256(model),
        "versions": {
            "paintover": engine.__version__,
            "torch": torch.__version__.split("+")[0],
            "onnxruntime": ort.__version__,
            "python": platform.python_version(),
        },
    }
    onnx.helper.set_model_props(model, {CARD_KEY: json.dumps(facts, sort_keys=True)})
    return model


def _emit_encode(g: GraphWriter, x: str) -> str:
    """Emit :func:`engine.color.shaper.encode`."""
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
    """Emit :func:`engine.color.shaper.decode`."""
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


@torch.no_grad()
def reference(
    net: nn.Module,
    plate: NDArray[np.float32],
    exemplars: Sequence[StoredExemplar] = (),
    stmap: NDArray[np.float32] | None = None,
    guide: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """The network's own answer for a plate (H, W, 3), in the working encoding (H, W, 3).

    Args:
        stmap: (H, W, 3K) for the exemplars; None for the plain translator.
        guide: (H, W, G) in 0..1, for a network that takes one.
    """
    multiple = int(net.multiple)  # type: ignore[arg-type]
    height, width = plate.shape[:2]
    device = next(net.parameters()).device
    x = torch.from_numpy(shaper.encode(plate)).permute(2, 0, 1)[None]
    padding = (MARGIN, MARGIN + -width % multiple, MARGIN, MARGIN + -height % multiple)
    x = torch.nn.functional.pad(x, padding, mode="replicate").to(device)
    carried = None
    if stmap is not None:
        maps = torch.from_numpy(np.ascontiguousarray(stmap.transpose(2, 0, 1)[None]))
        arrived = sample([_as_exemplar(e) for e in exemplars], maps, bool(net.takes_carried)).stacked
        carried = torch.nn.functional.pad(arrived, padding, mode="replicate").to(device)
    if guide is not None:
        planes = torch.from_numpy(np.ascontiguousarray(guide.transpose(2, 0, 1)[None]))
        y = net(x, carried, torch.nn.functional.pad(planes, padding, mode="replicate").to(device))
    elif carried is None:
        y = net(x)
    elif net.takes_carried:
        y = net(x, carried)
    else:
        y = torch.lerp(net(x), carried[:, :3], carried[:, 6:7])
    y = y[..., MARGIN : MARGIN + height, MARGIN : MARGIN + width]
    return y[0].permute(1, 2, 0).float().cpu().numpy()


def _as_exemplar(stored: StoredExemplar) -> Exemplar:
    """As the look holds it: encoded, in half floats."""

    def half(image: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(image.astype(np.float16).astype(np.float32)).permute(2, 0, 1)

    coverage = stored.coverage[..., None]
    painting, plate = shaper.encode(stored.painting) * coverage, shaper.encode(stored.plate)
    return Exemplar(torch.cat([half(painting), half(coverage), half(plate)]))


def check_look(
    model: bytes,
    net: nn.Module,
    plate: NDArray[np.float32],
    exemplars: Sequence[StoredExemplar],
    guide: NDArray[np.float32] | None = None,
    *,
    check_px: int = CHECK_PIXELS,
) -> float:
    """Largest difference between a look in onnxruntime and the network in torch, working encoding, on a real frame.

    It is checked as the plain translator, and with the exemplars carried by maps that wander.

    Args:
        plate: (H, W, 3) scene-linear.
        guide: (H, W, G), the frame's own, for a network that takes one.
        check_px: a larger frame is checked on its central part of about as many pixels.
    """
    height, width = plate.shape[:2]
    if height * width > check_px:
        side = math.isqrt(check_px)
        rows, columns = min(height, side), min(width, side)
        top, left = (height - rows) // 2, (width - columns) // 2
        plate = plate[top : top + rows, left : left + columns]
        guide = None if guide is None else guide[top : top + rows, left : left + columns]
    # A look holds its result to half floats, which the network overshoots at a clipped highlight.
    limit = shaper.encode(np.array(shaper.LIMIT, np.float32))
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    largest = 0.0
    for stmap in (None, _wandering_maps(plate.shape[0], plate.shape[1], len(exemplars))):
        expected = np.clip(reference(net, plate, exemplars, stmap, guide), -limit, limit)
        maps = np.zeros((*plate.shape[:2], 3 * len(exemplars)), np.float32) if stmap is None else stmap
        feed = {"plate": _batch(plate), "stmap": _batch(maps)}
        if guide is not None:
            feed["guide"] = _batch(guide)
        styled, carried = session.run(["styled", "carried"], feed)
        if not np.isfinite(styled).all() or (stmap is None and carried.any()):
            return float("inf")
        largest = max(largest, float(np.abs(shaper.encode(styled[0].transpose(1, 2, 0)) - expected).max()))
    return largest


def _batch(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None])


def _wandering_maps(height: int, width: int, count: int) -> NDArray[np.float32]:
    """(H, W, 3 count): STMaps that bend smoothly, with confidence from 0 to 1."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    u, v = (x + 0.5) / width, 1 - (y + 0.5) / height
    planes: list[NDArray[np.float32]] = []
    for index in range(count):
        confidence = np.clip(0.5 + 0.8 * np.sin(9 * u + 5 * v + index), 0, 1)
        planes += [u + 0.02 * np.sin(6 * v + index), v + 0.02 * np.cos(7 * u), confidence]
    return np.stack(planes, axis=2).astype(np.float32)


def write_look(
    path: Path,
    net: nn.Module,
    exemplars: Sequence[StoredExemplar],
    card: Mapping[str, Any],
    plate: NDArray[np.float32],
    guide: NDArray[np.float32] | None = None,
    *,
    check_px: int = CHECK_PIXELS,
) -> float:
    """Build, check and write a look; a look that fails its check is not written.

    Args:
        path: the .onnx; replaced atomically.
        net: a network in evaluation mode; see :class:`LookNetwork`.
        exemplars, card: as in :func:`build_look`.
        plate: (H, W, 3) scene-linear, the frame to check on.
        guide: (H, W, G), that frame's guide image, for a network that takes one.
        check_px: see :func:`check_look`.

    Returns:
        The check's largest difference.

    Raises:
        ExportError: the look differs from the network by more than ``TOLERANCE``.
        OutputError: it cannot be written.
    """
    model = build_look(net, exemplars, card).SerializeToString()  # type: ignore[arg-type]
    difference = check_look(model, net, plate, exemplars, guide, check_px=check_px)
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
