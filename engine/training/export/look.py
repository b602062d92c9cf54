"""From a trained network to a look: one .onnx with shaper, exemplars, network and the way back inside.

::

    plate (N,3,H,W) -> shaper ----------------------------------+
    stmap (N,3K,H,W) -> sample each exemplar, merge by confidence +-> pad edge to the multiple, and by a margin
                                          styled (N,3,H,W) <- inverse shaper <- crop <- network <-+

A look from style images has no exemplars, and no ``stmap``.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

import engine
from engine.base.errors import ExportError
from engine.base.runtime import ort
from engine.base.temporaries import replacing
from engine.color import shaper
from engine.look.card import CARD_KEY, CARRYING_FORMAT, FORMAT, weights_sha256
from engine.look.softness import SOFTNESS
from engine.training.export.fold import fold
from engine.training.export.graph import GraphWriter
from engine.training.export.operators import record
from engine.training.export.trace import Symbol
from engine.training.model import curve
from engine.training.model.carry import Carried, Exemplar, StoredExemplar, sample
from engine.training.model.edges import cropped, margins
from engine.training.model.network import Translator

__all__ = [
    "CHECK_PIXELS",
    "QUICK_CHECK_PIXELS",
    "TOLERANCE",
    "LookModule",
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
    """What a network offers to become a look: a module, in evaluation mode.

    One that takes exemplars has a ``translate``, as :meth:`engine.training.model.network.Translator.translate`; one
    that knows only the plate is called with it.
    """

    reach: int
    multiple: int
    takes_carried: bool
    """Whether exemplars enter the network, sampled with a cubic filter; one that knows only the plate has them blended
    over its result, sampled with a bilinear one."""
    guide_channels: int
    """Of the guide that it takes beside the plate; 0 for none. Only one that takes exemplars can take a guide."""


class LookModule(nn.Module):
    """All of a look in torch, as its graph computes it; see the module's picture."""

    def __init__(self, net: LookNetwork, exemplars: Sequence[Exemplar]) -> None:
        super().__init__()
        self.net: Any = net
        self.exemplars = exemplars

    def forward(self, plate: Tensor, stmap: Tensor | None = None, guide: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """A scene-linear plate (N, 3, H, W) stylized, and how far each pixel is carried, (N, 1, H, W).

        Args:
            stmap: (N, 3K, H, W), u, v and confidence of each exemplar; None where there are none.
            guide: (N, G, H, W) in 0..1, for a network that takes one.
        """
        result, carried = self.translate(curve.encode(plate), stmap, guide)
        return curve.decode(result), carried

    def translate(self, encoded: Tensor, stmap: Tensor | None, guide: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, from working encoding to working encoding; without ``stmap`` nothing is carried."""
        sides = margins(encoded, self.net.multiple)

        def padded(image: Tensor) -> Tensor:
            return F.pad(image, sides, mode="replicate")

        takes_carried = bool(self.net.takes_carried)
        if not takes_carried and stmap is None:
            nothing = torch.where(encoded[:, :1] <= 0, 0.0, 0.0)
            return cropped(self.net(padded(encoded)), encoded), nothing
        if stmap is None:
            arrived = Carried.nothing(encoded)
        else:
            arrived = sample(self.exemplars, stmap, takes_carried)
        if takes_carried:
            seen = None if guide is None else padded(guide)
            result, gate = self.net.translate(padded(encoded), arrived.each(padded), seen)
            return cropped(result, encoded), cropped(gate, encoded)
        plain = cropped(self.net(padded(encoded)), encoded)
        return plain + arrived.share * (arrived.painting - plain), arrived.share


@contextmanager
def _named_softness(net: Translator) -> Iterator[None]:
    """What is recorded meanwhile takes its softness from the graph."""
    before, net.softness = net.softness, Symbol("Input", name=SOFTNESS)
    try:
        yield
    finally:
        net.softness = before


def build_look(net: LookNetwork, exemplars: Sequence[StoredExemplar], card: Mapping[str, Any]) -> onnx.ModelProto:
    """The look's graph.

    Args:
        net: in evaluation mode.
        exemplars: per keyframe; what is not painted is not carried. None for a network that knows only the plate.
        card: facts to store; format, shaper, halo, multiple, exemplar sizes and versions are filled in here.
    """
    stored = [Exemplar(Symbol.constant(each.encoded.stack)) for each in exemplars]  # type: ignore[arg-type]
    channels = {"plate": 3}
    if exemplars:
        channels["stmap"] = 3 * len(exemplars)
    guides = net.guide_channels
    if guides:
        channels["guide"] = guides
    softened = net if isinstance(net, Translator) and not net.architecture.crisp else None
    with nullcontext() if softened is None else _named_softness(softened):
        styled, carried = record(LookModule(net, stored), channels)
    g = GraphWriter()
    g.write(fold({"styled": styled, "carried": carried}))
    if softened is not None:
        # A constant under a name of its own: a host that knows nothing of it gets crisp strokes.
        g.initializers.append(numpy_helper.from_array(np.zeros((1, 1, 1, 1), np.float32), SOFTNESS))
    model = g.model(
        {name: ("n", count, "h", "w") for name, count in channels.items()},
        {"styled": ("n", 3, "h", "w"), "carried": ("n", 1, "h", "w")},
        {},
    )
    facts = {
        **card,
        "format": CARRYING_FORMAT if exemplars else FORMAT,
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
    device = next(net.parameters()).device
    look = LookModule(net, [Exemplar(each.encoded.stack.to(device)) for each in exemplars])  # type: ignore[arg-type]

    def batch(image: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(_batch(image)).to(device)

    maps, planes = (None if image is None else batch(image) for image in (stmap, guide))
    result, _ = look.translate(batch(shaper.encode(plate)), maps, planes)
    return result[0].permute(1, 2, 0).float().cpu().numpy()


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
    wandering = [_wandering_maps(plate.shape[0], plate.shape[1], len(exemplars))] if exemplars else []
    for stmap in (None, *wandering):
        expected = np.clip(reference(net, plate, exemplars, stmap, guide), -limit, limit)
        feed = {"plate": _batch(plate)}
        if exemplars:
            maps = np.zeros((*plate.shape[:2], 3 * len(exemplars)), np.float32) if stmap is None else stmap
            feed["stmap"] = _batch(maps)
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
