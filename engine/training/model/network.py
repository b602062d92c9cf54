"""Our translator: a compact, purely local network in the working encoding.

::

    encoded plate (B, 3, H, W)
      -> space to depth 2            (B, 12, H/2, W/2) --------------------------+--- skip k3 ---+
      -> stem k3                     (B, h, H/2, W/2) ----------------+          |               |
      -> down k3 s2                  (B, w, H/4, W/4)                 |          |               |
      -> blocks x (k3, k1, add)      (B, w, H/4, W/4)                 |          |               |
      -> lateral k3, nearest x2      (B, f, H/2, W/2) -- add -+          |                       |
      -> fuse k3                     (B, f, H/2, W/2) -- of fine and encoded -- norm, relu       |
                                     (B, f, H/2, W/2) = known                                    |
      -> smooth k3, head k3, depth to space 2: correction (B, 3, H, W)                           |
      -> plain = skip + correction <-------------------------------------------------------------+

    carried exemplar (B, 7, H, W) -> space to depth 2, with the plate -> the same in small, known joins at fuse
      -> head k3, depth to space 2: repair (B, 3, H, W), trust (B, 1, H, W)
      -> (plain + tone of the paint around) (1 - gate) + (exposed exemplar + repair) gate

The plain translation knows nothing of exemplars: it is trained on every crop, and carrying costs it nothing
(docs/decisions/021-plain-translation.md).

Where the finest detail of the carried plate is the frame's own, it proves that the strokes lie where they belong: the
gate then takes share and trust as two witnesses, whose odds are multiplied. Elsewhere it is share times trust; in
between, as much of each as is proven. Strokes are shown as sampled, with what the sampling filter lost between pixels,
and as sharp as both plates: where these are out of focus, strokes are softened. Crisp strokes need no proof and are
never softened. The gate is 0 where the share is, and where nothing is carried near a pixel that is the plain
translation. Beyond the end of the carried paint the translation takes on its tone and loses it again over some thirty
pixels, so that no seam shows.
A guide, where there is one, joins the encoded plate as G more channels; only the skip never sees it.
There is no clamp on the way out and nothing depends on the whole image, so tiles equal the full frame. The skip is a
plain linear filter whose best value is known before training starts: see :func:`fit_skip`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.training.model.carry import CELL, TENT, Carried, evidence, exposed, sharpened, softened, tone

__all__ = ["Answer", "Architecture", "ConvNorm", "StrokeBranch", "Translator", "fit_skip"]

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
    """Whether carried strokes are trusted as much where the plate does not prove their place, and are never softened:
    without it, :attr:`Translator.softness` is theirs who render."""

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


class StrokeBranch(nn.Module):
    """What is made of a carried exemplar, from it, the plate and the plain translation's own features.

    It has a size and norms of its own, so that carrying costs the plain translation nothing.

    Args:
        seen: channels of the plate and the guide, at half resolution.
        known: of the plain translation's features there.
    """

    WIDTH = 24
    """Channels at half resolution; twice as many at a quarter."""
    BLOCKS = 2

    def __init__(self, seen: int, known: int) -> None:
        super().__init__()
        wide = 2 * self.WIDTH
        self.stem = ConvNorm(28 + seen, self.WIDTH, leak=0.2)
        self.down = ConvNorm(self.WIDTH, wide, stride=2, leak=0.2)
        self.body = nn.Sequential(*[Residual(wide) for _ in range(self.BLOCKS)])
        self.lateral = nn.Conv2d(wide, self.WIDTH, 3, padding=1, bias=False)
        # What is known comes in as late as the plain translation itself ends, so nothing looks farther for it.
        self.fuse = ConvNorm(self.WIDTH + known, self.WIDTH)
        self.head = nn.Conv2d(self.WIDTH, 12 + 4, 3, padding=1)

    def forward(self, hint: Tensor, seen: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Repair (B, 12, H/2, W/2) and trust, a logit (B, 4, H/2, W/2), from maps at half resolution."""
        both = torch.cat([hint, seen], 1).contiguous(memory_format=torch.channels_last)
        fine = self.stem(both)
        deep = F.interpolate(self.lateral(self.body(self.down(fine))), scale_factor=2.0, mode="nearest")
        found = self.head(self.fuse(torch.cat([fine, known], 1), deep)).float()
        repair, trust = found.split((12, 4), 1)
        return repair, trust


@dataclass(frozen=True)
class Answer:
    """What the translator makes of a frame, working encoding."""

    plain: Tensor
    """(B, 3, H, W): the translation of the plate alone."""
    result: Tensor
    """(B, 3, H, W): with what is carried."""
    gate: Tensor
    """(B, 1, H, W) in 0..1: how far each pixel is carried."""


class Translator(nn.Module):
    """Encoded plate (B, 3, H, W) and carried exemplar -> encoded result (B, 3, H, W); see the module's picture."""

    takes_carried = True

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.softness: Any = 0.0
        """In 0..1: how far carried strokes are softened where the plate is out of focus. A number, or what stands for
        one in a look's graph."""
        wide = architecture.width
        half, fuse = wide // 2, wide * 2 // 3
        seen = 12 + 4 * architecture.guide_channels
        self.stem = ConvNorm(seen, half, leak=0.2)
        self.down = ConvNorm(half, wide, stride=2, leak=0.2)
        self.body = nn.Sequential(*[Residual(wide) for _ in range(architecture.blocks)])
        # Added, not concatenated, and before it is enlarged: a quarter of the work, and no copies.
        self.lateral = nn.Conv2d(wide, fuse, 3, padding=1, bias=False)
        self.fuse = ConvNorm(half + seen, fuse)
        self.smooth = ConvNorm(fuse, fuse)
        self.head = nn.Conv2d(fuse, 12, 3, padding=1)
        self.skip = nn.Conv2d(12, 12, architecture.skip_kernel, padding=architecture.skip_kernel // 2)
        self.strokes = StrokeBranch(seen, fuse)
        # Training starts from the skip and the exemplar alone, whatever the rest was drawn as.
        with torch.no_grad():
            for head in (self.head, self.strokes.head, self.skip):
                if head.bias is not None:
                    head.bias.zero_()
            self.head.weight.zero_()
            self.strokes.head.weight.zero_()
            if self.strokes.head.bias is not None:
                self.strokes.head.bias[12:] = GATE_START
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

    @property
    def hidden(self) -> list[Tensor]:
        """Weights of the plain translation's convolutions between its first and its last."""
        parts = (self.down, self.body, self.lateral, self.fuse, self.smooth)
        return [each.weight for part in parts for each in part.modules() if isinstance(each, nn.Conv2d)]

    def forward(self, x: Tensor, carried: Tensor | None = None, guide: Tensor | None = None) -> Tensor:
        """Translate; H and W are multiples of 8.

        Args:
            x: the encoded plate (B, 3, H, W).
            carried: :attr:`Carried.stacked` (B, 9, H, W); None for nothing.
            guide: (B, G, H, W) in 0..1, for an architecture with G guide channels; None for a black one.
        """
        return self.translate(x, Carried.nothing(x) if carried is None else Carried.of(carried), guide)[0]

    def translate(self, x: Tensor, arrived: Carried, guide: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As :meth:`forward`, with what is carried by its fields.

        Returns:
            The result (B, 3, H, W), encoded, and the gate (B, 1, H, W).
        """
        answer = self.answer(x, arrived, guide)
        return answer.result, answer.gate

    def answer(self, x: Tensor, arrived: Carried, guide: Tensor | None = None) -> Answer:
        """As :meth:`translate`, and the plain translation beside it.

        In training no gradient comes back from the result to the plain translation, which is judged on its own.
        """
        share = arrived.share
        hint = torch.cat([(arrived.painting * 2 - 1) * share, (x - arrived.plate) * (share * 2), share], 1)
        seen, plain, fused = self.translate_plain(x, guide)
        translated = plain
        before = F.pixel_shuffle(self._skipped(F.pixel_unshuffle(arrived.plate * 2 - 1, 2)), 2)
        if self.training:
            plain, before, fused = plain.detach(), before.detach(), fused.detach()
        repair, trust = self.strokes(F.pixel_unshuffle(hint, 2), seen, fused)
        plain = plain + tone(before, arrived.painting, share)
        # Only what is shown changes: the network sees the strokes as they arrived, and no farther for it.
        strokes = sharpened(arrived)
        trust = torch.sigmoid(F.pixel_shuffle(trust, 2))  # (B, 1, H, W)
        one, other = share * SUREST, trust * SUREST
        agree = one * other
        gate = agree / (agree + (1 - one) * (1 - other))
        if not self.architecture.crisp:
            proven, sharp = evidence(x, arrived.plate)
            if not (isinstance(self.softness, float) and self.softness == 0):
                strokes = softened(strokes, share, 1 - (1 - sharp) * self.softness)
            bare = share * trust
            gate = bare + proven * (gate - bare)
        painted = exposed(x, replace(arrived, painting=strokes)) + F.pixel_shuffle(repair / 2, 2)
        return Answer(translated, plain + gate * (painted - plain), gate)

    def translate_plain(self, x: Tensor, guide: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The translation of the plate alone.

        Returns:
            What it saw, the plate and the guide at half resolution (B, 12 + 4 G, H/2, W/2); the plain translation
            (B, 3, H, W), encoded; and its features (B, f, H/2, W/2).
        """
        z = F.pixel_unshuffle(x * 2 - 1, 2)  # (B, 12, H/2, W/2)
        parts = [z]
        if self.guide_channels:
            guide = x.new_zeros(x.shape[0], self.guide_channels, *x.shape[2:]) if guide is None else guide
            parts.append(F.pixel_unshuffle(guide * 2 - 1, 2))
        seen = torch.cat(parts, 1).contiguous(memory_format=torch.channels_last)  # (B, 12 + 4 G, H/2, W/2)
        fine = self.stem(seen)  # (B, h, H/2, W/2)
        deep = self.body(self.down(fine))  # (B, w, H/4, W/4)
        deep = F.interpolate(self.lateral(deep), scale_factor=2.0, mode="nearest")  # (B, f, H/2, W/2)
        fused = self.fuse(torch.cat([fine, seen.to(fine.dtype)], 1), deep)  # (B, f, H/2, W/2)
        correction = self.head(self.smooth(fused)).float()  # (B, 12, H/2, W/2)
        return seen, F.pixel_shuffle(self._skipped(z) + correction / 2, 2), fused

    def _skipped(self, z: Tensor) -> Tensor:
        """A plate in -1..1 and at half resolution (B, 12, H/2, W/2) by the linear filter alone, back in 0..1."""
        return (self.skip(z).float() + 1) / 2


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
