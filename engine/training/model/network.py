"""Our translator: a compact, purely local network in the working encoding.

::

    encoded plate, carried exemplar (B, 3 + 7, H, W)
      -> space to depth 2            (B, 12 + 28, H/2, W/2) ----------------------+--- skip k3 (plate) ---+
      -> stem k3                     (B, h, H/2, W/2) -----------------+          |                       |
      -> down k3 s2                  (B, w, H/4, W/4)                  |          |                       |
      -> blocks x (k3, k1, add)      (B, w, H/4, W/4)                  |          |                       |
      -> lateral k3, nearest x2      (B, f, H/2, W/2) -- add -+           |                               |
      -> fuse k3                     (B, f, H/2, W/2) -- of fine and encoded -- norm, relu                |
      -> smooth k3, head k3          (B, 12 + 12 + 4, H/2, W/2)                                           |
      -> depth to space 2            correction, repair (B, 3, H, W), trust (B, 1, H, W)                  |
      -> plain = skip + tone of the paint around + correction <-------------------------------------------+
      -> plain (1 - gate) + (exposed exemplar + repair) gate

Where the finest detail of the carried plate is the frame's own, it proves that the strokes lie where they belong: the
gate then takes share and trust as two witnesses, whose odds are multiplied. Elsewhere it is share times trust; in
between, as much of each as is proven. Strokes are shown as sampled, with what the sampling filter lost between pixels,
and as sharp as both plates: where these are out of focus, strokes are softened. Crisp strokes need no proof and are
never softened. The gate is 0 where the share is, and where nothing is carried near a pixel that is the plain
translation. Beyond the end of the carried paint the translation takes on its tone and loses it again over some thirty
pixels, so that no seam shows.
A guide, where there is one, joins the encoded plate and the exemplar as G more channels; only the skip never sees it.
There is no clamp on the way out and nothing depends on the whole image, so tiles equal the full frame. The skip is a
plain linear filter whose best value is known before training starts: see :func:`fit_skip`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from engine.training.export.graph import GraphWriter
from engine.training.model.carry import CELL, TENT, Carried, evidence, exposed, sharpened, softened, tone
from engine.training.model.carry_graph import (
    CarriedNames,
    emit_evidence,
    emit_exposed,
    emit_sharpened,
    emit_softened,
    emit_tone,
)

__all__ = ["Architecture", "ConvNorm", "Translator", "fit_skip", "folded"]

SUREST = 0.95
"""How sure either witness can be: where two that are quite sure contradict each other, their odds mean nothing."""
GATE_START = 2.0
"""Logit of the gate before training: an exemplar is trusted until experience says otherwise."""


@dataclass(frozen=True)
class Architecture:
    """The translator's size."""

    width: int = 96
    """Channels at quarter resolution; half of it at half resolution."""
    blocks: int = 6
    """Residual blocks at quarter resolution."""
    skip_kernel: int = 3
    """Side of the linear skip filter, in half-resolution pixels."""
    guide_channels: int = 0
    """Channels of the guide beside the plate."""
    crisp: bool = False
    """Whether carried strokes keep their finest detail everywhere, not only where the plate is sharp."""

    multiple: int = CELL
    """Origins of tiles must be multiples of this many pixels."""

    @property
    def reach(self) -> int:
        """How far, in pixels, an output pixel looks: an upper bound, tight to the multiple."""
        half_resolution = 2 * (1 + 1 + 1 + 1)  # stem, down, smooth, head
        quarter_resolution = 4 * (self.blocks + 1)  # and the lateral
        block_alignment = 4
        # The tone: the skip, a cell and a half of the interpolation, the filter. Light, evidence and the strokes'
        # filters look less far.
        around = 2 * (self.skip_kernel // 2) + 1 + CELL * (1 + len(TENT) // 2) + CELL // 2 - 1
        return max(half_resolution + quarter_resolution + block_alignment, around)


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weight (O, I, k, k) and bias (O,) of ``conv`` followed by ``norm`` in evaluation, as one convolution."""
    weight = conv.weight.detach().double().cpu()
    bias = torch.zeros(weight.shape[0]).double() if conv.bias is None else conv.bias.detach().double().cpu()
    if norm is not None:
        mean, var = running(norm)
        scale = norm.weight.detach().double().cpu() / torch.sqrt(var + norm.eps)
        weight = weight * scale[:, None, None, None]
        bias = (bias - mean) * scale + norm.bias.detach().double().cpu()
    return weight.float().numpy(), bias.float().numpy()


def running(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Running mean and variance, float64 on the CPU.

    Raises:
        ValueError: the norm keeps none.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics cannot be folded")
    return norm.running_mean.detach().double().cpu(), norm.running_var.detach().double().cpu()


class ConvNorm(nn.Module):
    """Convolution, batch norm, activation: (B, I, H, W) -> (B, O, H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, leak: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.leak = leak

    def forward(self, x: Tensor, more: Tensor | None = None) -> Tensor:
        """``more`` (B, O, H/stride, W/stride) is added before the norm."""
        y = self.conv(x)
        return F.leaky_relu(self.norm(y if more is None else y + more), self.leak)

    def emit(self, g: GraphWriter, x: str) -> str:
        weight, bias = folded(self.conv, self.norm)
        y = g.conv(x, weight, bias, stride=self.conv.stride[0])
        return g.op("LeakyRelu", y, alpha=self.leak) if self.leak else g.op("Relu", y)


class Residual(nn.Module):
    """x + k1(relu(norm(k3(x)))): (B, C, H, W) -> (B, C, H, W).

    One 3x3 a block keeps the reach short, so that most of a training crop is judged with its real context.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))

    def emit(self, g: GraphWriter, x: str) -> str:
        return g.op("Add", x, g.conv(self.first.emit(g, x), *folded(self.second, None)))


class Translator(nn.Module):
    """Encoded plate (B, 3, H, W) and carried exemplar -> encoded result (B, 3, H, W); see the module's picture."""

    takes_carried = True

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        wide = architecture.width
        half, fuse = wide // 2, wide * 2 // 3
        seen = 12 + 28 + 4 * architecture.guide_channels
        self.stem = ConvNorm(seen, half, leak=0.2)
        self.down = ConvNorm(half, wide, stride=2, leak=0.2)
        self.body = nn.Sequential(*[Residual(wide) for _ in range(architecture.blocks)])
        # Added, not concatenated, and before it is enlarged: a quarter of the work, and no copies.
        self.lateral = nn.Conv2d(wide, fuse, 3, padding=1, bias=False)
        self.fuse = ConvNorm(half + seen, fuse)
        self.smooth = ConvNorm(fuse, fuse)
        self.head = nn.Conv2d(fuse, 12 + 12 + 4, 3, padding=1)
        self.skip = nn.Conv2d(12, 12, architecture.skip_kernel, padding=architecture.skip_kernel // 2)
        # Training starts from the skip and the exemplar alone, whatever the rest was drawn as.
        with torch.no_grad():
            for start in (self.head.weight, *(b for b in (self.head.bias, self.skip.bias) if b is not None)):
                start.zero_()
            if self.head.bias is not None:
                self.head.bias[24:] = GATE_START
        nn.init.dirac_(self.skip.weight)

    @property
    def reach(self) -> int:
        return self.architecture.reach

    @property
    def multiple(self) -> int:
        return self.architecture.multiple

    @property
    def guide_channels(self) -> int:
        return self.architecture.guide_channels

    def forward(self, x: Tensor, carried: Tensor | None = None, guide: Tensor | None = None) -> Tensor:
        """Translate; H and W are multiples of 8.

        Args:
            x: the encoded plate (B, 3, H, W).
            carried: :attr:`Carried.stacked` (B, 9, H, W); None for nothing.
            guide: (B, G, H, W) in 0..1, for an architecture with G guide channels; None for a black one.
        """
        if carried is None:
            carried = x.new_zeros(x.shape[0], sum(Carried.CHANNELS), *x.shape[2:])
        arrived = Carried.of(carried)
        share = arrived.share
        hint = torch.cat([(arrived.painting * 2 - 1) * share, (x - arrived.plate) * (2 * share), share], 1)
        z = F.pixel_unshuffle(x * 2 - 1, 2)  # (B, 12, H/2, W/2)
        parts = [z, F.pixel_unshuffle(hint, 2)]
        if self.guide_channels:
            guide = x.new_zeros(x.shape[0], self.guide_channels, *x.shape[2:]) if guide is None else guide
            parts.append(F.pixel_unshuffle(guide * 2 - 1, 2))
        both = torch.cat(parts, 1).contiguous(memory_format=torch.channels_last)  # (B, 40 + 4 G, H/2, W/2)
        fine = self.stem(both)  # (B, h, H/2, W/2)
        deep = self.body(self.down(fine))  # (B, w, H/4, W/4)
        deep = F.interpolate(self.lateral(deep), scale_factor=2.0, mode="nearest")  # (B, f, H/2, W/2)
        fused = self.fuse(torch.cat([fine, both.to(fine.dtype)], 1), deep)  # (B, f, H/2, W/2)
        head = self.head(self.smooth(fused)).float()  # (B, 28, H/2, W/2)
        correction, repair, trust = (F.pixel_shuffle(part, 2) for part in head.split((12, 12, 4), 1))
        # Only what is shown changes: the network sees the strokes as they arrived, and no farther for it.
        strokes = sharpened(arrived)
        if self.architecture.crisp:
            proven = torch.ones_like(share)
        else:
            proven, sharp = evidence(x, arrived.plate)
            strokes = softened(strokes, share, sharp)
        painted = exposed(x, replace(arrived, painting=strokes)) * 2 - 1
        before = F.pixel_shuffle(self.skip(F.pixel_unshuffle(arrived.plate * 2 - 1, 2)).float(), 2)
        plain = F.pixel_shuffle(self.skip(z).float(), 2) + correction
        plain = plain + tone(before, arrived.painting * 2 - 1, share)
        trust = torch.sigmoid(trust)
        bare = share * trust  # (B, 1, H, W)
        one, other = share * SUREST, trust * SUREST
        odds = one * other / (one * other + (1 - one) * (1 - other))
        gate = bare + proven * (odds - bare)
        y = plain + gate * (painted + repair - plain)
        return (y + 1) / 2

    def emit(self, g: GraphWriter, x: str, carried: CarriedNames, guide: str | None = None) -> tuple[str, str]:
        """Write this network's nodes; ``x`` is the encoded plate (N, 3, H, W) with H and W multiples of 8.

        ``guide`` is (N, G, H, W), for an architecture with G guide channels.

        Returns:
            The result (N, 3, H, W), encoded, and the gate (N, 1, H, W).
        """
        two, one = g.constant(2.0), g.constant(1.0)
        share = carried.share
        color = g.op("Mul", g.op("Sub", g.op("Mul", carried.painting, two), one), share)
        difference = g.op("Mul", g.op("Sub", x, carried.plate), g.op("Mul", share, two))
        hint = space_to_depth(g, g.op("Concat", color, difference, share, axis=1), 7)
        z = space_to_depth(g, g.op("Sub", g.op("Mul", x, two), one), 3)
        parts = [z, hint]
        if guide is not None:
            parts.append(space_to_depth(g, g.op("Sub", g.op("Mul", guide, two), one), self.guide_channels))
        both = g.op("Concat", *parts, axis=1)
        fine = self.stem.emit(g, both)
        deep = self.down.emit(g, fine)
        for block in self.body:
            deep = block.emit(g, deep)  # type: ignore[operator]
        # The norm's factor goes into both convolutions that are added before it, its summand into one of them.
        lateral, _ = folded(self.lateral, self.fuse.norm)
        deep = upsample_nearest(g, g.conv(deep, lateral, np.zeros(len(lateral), np.float32)))
        fused = g.conv(g.op("Concat", fine, both, axis=1), *folded(self.fuse.conv, self.fuse.norm))
        y = self.smooth.emit(g, g.op("Relu", g.op("Add", fused, deep)))
        # The way from -1..1 to 0..1 is linear, so the last convolutions take it along.
        weight, bias = folded(self.head, None)
        skip, skip_bias = folded(self.skip, None)
        scale = np.where(np.arange(28) < 24, np.float32(0.5), np.float32(1))
        head = g.conv(y, weight * scale[:, None, None, None], bias * scale)
        correction, repair, trust = (g.slice(head, [a], [b], [1]) for a, b in ((0, 12), (12, 24), (24, 28)))
        trust = g.op("Sigmoid", depth_to_space(g, trust))
        strokes = emit_sharpened(g, carried)
        witnesses = [g.op("Mul", witness, g.constant(SUREST)) for witness in (share, trust)]
        agree = g.op("Mul", *witnesses)
        against = g.op("Mul", *[g.op("Sub", one, witness) for witness in witnesses])
        gate = g.op("Div", agree, g.op("Add", agree, against))
        if not self.architecture.crisp:
            (proven, sharp), bare = emit_evidence(g, x, carried.plate), g.op("Mul", share, trust)
            strokes = emit_softened(g, strokes, share, sharp)
            gate = g.op("Add", bare, g.op("Mul", proven, g.op("Sub", gate, bare)))
        skip, skip_bias = skip * np.float32(0.5), (skip_bias + 1) * np.float32(0.5)
        before = space_to_depth(g, g.op("Sub", g.op("Mul", carried.plate, two), one), 3)
        before = depth_to_space(g, g.conv(before, skip, skip_bias))
        plain = depth_to_space(g, g.op("Add", g.conv(z, skip, skip_bias), correction))
        plain = g.op("Add", plain, emit_tone(g, before, carried.painting, share))
        painted = emit_exposed(g, x, replace(carried, painting=strokes))
        repaired = g.op("Add", painted, depth_to_space(g, repair))
        return g.op("Add", plain, g.op("Mul", gate, g.op("Sub", repaired, plain))), gate


def space_to_depth(g: GraphWriter, x: str, channels: int) -> str:
    """Emit ``pixel_unshuffle(x, 2)``: the operator's block-major channels, put in the framework's order."""
    y = g.op("SpaceToDepth", x, blocksize=2)  # (N, 4 * C, H/2, W/2), channel = block * C + channel
    order = [block * channels + channel for channel in range(channels) for block in range(4)]
    return g.op("Gather", y, g.constant(order, np.int64), axis=1)


def depth_to_space(g: GraphWriter, x: str) -> str:
    """Emit ``pixel_shuffle(x, 2)``."""
    return g.op("DepthToSpace", x, blocksize=2, mode="CRD")


def upsample_nearest(g: GraphWriter, x: str) -> str:
    """Emit nearest-neighbor upsampling by 2."""
    scales = g.constant([1.0, 1.0, 2.0, 2.0])
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return g.op("Resize", x, "", scales, **how)


@torch.no_grad()
def fit_skip(net: Translator, pairs: list[tuple[Tensor, Tensor, Tensor]], ridge: float = 1e-4) -> float:
    """Set the skip to the linear filter that explains the paintings best, in closed form.

    Ridge least squares from each half-resolution neighborhood of the plate to the painting. It gives the exact answer
    for an identity or a color matrix, and otherwise the best linear filter, which passes only that detail of the plate
    that the painting kept; the network then learns the remainder.

    Args:
        net: the translator to initialize.
        pairs: per keyframe the encoded plate (3, H, W), painting (3, H, W) and weight (1, H, W); H, W multiples of 4.
        ridge: Tikhonov factor towards the identity, per sample.

    Returns:
        The mean absolute residual over the painted pixels, in the working encoding.
    """
    kernel = net.architecture.skip_kernel
    columns = 12 * kernel * kernel + 1
    normal = torch.zeros(columns, columns, dtype=torch.float64)
    right = torch.zeros(columns, 12, dtype=torch.float64)
    total = 0.0
    rows = []
    for plate, painting, weight in pairs:
        z = F.pixel_unshuffle(plate[None].float().cpu() * 2 - 1, 2)
        target = F.pixel_unshuffle(painting[None].float().cpu() * 2 - 1, 2)[0].flatten(1).T  # (P, 12)
        inside = F.pixel_unshuffle(weight[None].float().cpu(), 2).amin(1)[0].flatten()  # (P,)
        a = F.unfold(z, kernel, padding=kernel // 2)[0].T  # (P, 12 k k)
        a = torch.cat([a, torch.ones(len(a), 1)], 1)
        keep = inside > 0.5
        a, target = a[keep].double(), target[keep].double()
        normal += a.T @ a
        right += a.T @ target
        total += len(a)
        rows.append((a, target))
    if total < columns:
        return float("nan")
    identity = torch.zeros(columns, 12, dtype=torch.float64)
    start = nn.init.dirac_(torch.empty(12, 12, kernel, kernel))
    identity[:-1] = start.reshape(12, -1).T.double()
    damp = ridge * total
    solution = torch.linalg.solve(normal + damp * torch.eye(columns, dtype=torch.float64), right + damp * identity)
    net.skip.weight.copy_(solution[:-1].T.reshape(12, 12, kernel, kernel).float())
    if net.skip.bias is not None:
        net.skip.bias.copy_(solution[-1].float())
    residual = sum(float((a @ solution - target).abs().sum()) for a, target in rows)
    return residual / (total * 12) / 2
