"""The recipe of a style look: what one training step does. :mod:`engine.optimize.feedforward.train` is the loop."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.base.arrays import Floats
from engine.optimize.colors import color_map, match_colors, match_lightness
from engine.optimize.feedforward.frames import LEAST_SIDE_PX, ShotFrames
from engine.optimize.feedforward.losses import PerceptualLoss, beyond_range, temporal_loss
from engine.optimize.feedforward.network import StyleTranslator
from engine.optimize.gatys import VggMaps
from engine.training.machine import Machine
from engine.training.model.losses import grid_pattern
from engine.training.model.network import Architecture

__all__ = ["StyleRecipe"]

CROP_PX = 160
"""Side of what is judged in a step. Johnson et al. took four pictures of 256; a shot is less varied than theirs."""
BLOCKS = 6
RATE = 1.5e-3
BETAS = (0.9, 0.99)
LARGEST_GRADIENT = 1.0
WARMUP_STEPS = 10
FOLDED_FROM = 0.4
"""Progress from which the norms stay as they are: before, norms of each crop keep large steps from going astray."""
AVERAGING = 0.98
TEMPORAL_WEIGHT = 500.0
RANGE_WEIGHT = 100.0
GRID_WEIGHT = 60.0
"""Of patterns with the network's own sampling grid, which the style loss would take for strokes."""
_SETTLED_ON = 8
"""Crops that the norms are set by."""
_COLOR_FRAMES = 4
_PERIOD = 4
"""Of the network's sampling grid, pixels."""
LAYOUT = torch.channels_last


class StyleRecipe:
    """Adam on perceptual and temporal losses, cosine rate, averaged weights; norms that stay as they were set."""

    network: type[StyleTranslator] = StyleTranslator

    def __init__(
        self,
        frames: ShotFrames,
        styles: Sequence[tuple[Floats, float]],
        maps: VggMaps,
        machine: Machine,
        rng: np.random.Generator,
        *,
        style_scale: float = 1.0,
        strength: float = 1.0,
        steadiness: float = 1.0,
        color: str = "style",
    ) -> None:
        """
        Args:
            styles: pictures (h, w, 3), working encoding, and their weights.
            color: one of ``COLOR_MODES``.
        """
        self.frames, self.machine, self.rng, self.steadiness = frames, machine, rng, steadiness
        numbers = sorted(frames.plates)
        some = [numbers[round(place)] for place in np.linspace(0, len(numbers) - 1, min(_COLOR_FRAMES, len(numbers)))]
        plate = np.concatenate([np.clip(frames.encoded(number), 0, 1).reshape(-1, 1, 3) for number in some])
        total = sum(share for _, share in styles)
        pictures = []
        for picture, share in styles:
            pictures.append((self._scaled(_colored(picture, plate, color), style_scale), share / total))
        net = self.network(Architecture(blocks=BLOCKS), lightness=color == "luminance")
        if color == "style":
            largest = max(styles, key=lambda style: style[1])[0]
            net.start_with_colors(*color_map(plate, np.clip(largest, 0, 1)))
        self.net = net.to(machine.device, memory_format=LAYOUT)  # type: ignore[call-overload]
        self.loss = PerceptualLoss(maps, pictures, strength, self.net.light if color == "luminance" else None)
        self._settle()
        self.averaged = copy.deepcopy(self.net).requires_grad_(False).eval()
        self.adam = torch.optim.Adam(self.net.parameters(), RATE, BETAS, fused=machine.device.type == "cuda")
        self.modules: Mapping[str, nn.Module] = {"net": self.net, "averaged": self.averaged}
        self.optimizers: Mapping[str, torch.optim.Adam] = {"adam": self.adam}
        self._steps = 0
        self._folded = False

    def _settle(self) -> None:
        """Set the norms by what the network sees of some crops."""
        draws = [np.random.default_rng(index) for index in range(_SETTLED_ON)]
        self.net.settle_norms(
            torch.cat([self.frames.crop(CROP_PX, draw, self.machine.device).plates[:1] for draw in draws])
        )

    def step(self, progress: float) -> dict[str, Tensor]:
        """One update; ``progress`` in 0..1 drives the schedule. Returns the losses, unsynchronized scalars."""
        warm = min(1.0, (self._steps + 1) / WARMUP_STEPS)
        for group in self.adam.param_groups:
            group["lr"] = max(RATE * warm * (0.5 + 0.5 * math.cos(math.pi * min(progress, 1.0))), 1e-6)
        crop = self.frames.crop(CROP_PX, self.rng, self.machine.device)
        judged = int(self.rng.integers(len(crop.plates)))
        if progress >= FOLDED_FROM and not self._folded:
            self._settle()
            self._folded = True
        self.net.train(not self._folded)
        with self.machine.autocast():
            results = crop.judged(self.net(crop.plates)).float()
            plates = crop.judged(crop.plates)
            one = slice(judged, judged + 1)
            losses = self.loss(results[one].contiguous(), plates[one].contiguous())
        made, given = _whole_periods(results[one]), _whole_periods(plates[one])
        losses["grid"] = GRID_WEIGHT * grid_pattern(made, given, torch.ones_like(made[:, :1]))
        losses["range"] = RANGE_WEIGHT * beyond_range(results, plates)
        if len(results) > 1 and self.steadiness:
            changed = temporal_loss(results[:1], results[1:], crop.flow, crop.trust)
            losses["temporal"] = self.steadiness * TEMPORAL_WEIGHT * changed
        total = torch.stack(list(losses.values())).sum()
        self.adam.zero_grad(set_to_none=True)
        total.backward()
        # One crop that is far from the style would stall Adam for all the others.
        nn.utils.clip_grad_norm_(self.net.parameters(), LARGEST_GRADIENT)
        self.adam.step()
        self._steps += 1
        self._average()
        return {"loss": total.detach(), **{name: loss.detach() for name, loss in losses.items()}}

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(AVERAGING, (self._steps + 1) / (self._steps + 10))
        mean, new = self.averaged.state_dict(), self.net.state_dict()
        names = [name for name, value in mean.items() if value.is_floating_point()]
        torch._foreach_lerp_([mean[n] for n in names], [new[n] for n in names], 1 - decay)

    def result(self) -> nn.Module:
        """The network to export, in evaluation mode."""
        return self.averaged

    def sampler_state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside weights and the random state."""
        return {"steps": self._steps, "folded": self._folded}

    def restore_sampler(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._steps, self._folded = int(state["steps"]), bool(state["folded"])

    def _scaled(self, picture: Floats, scale: float) -> Tensor:
        """A style image (1, 3, h, w) whose longer side is ``scale`` of the frame's."""
        high, wide = picture.shape[:2]
        factor = max(self.frames.size) * scale / max(high, wide)
        size = (max(LEAST_SIDE_PX, round(high * factor)), max(LEAST_SIDE_PX, round(wide * factor)))
        x = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None].to(self.machine.device)
        return torch.nn.functional.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)


def _whole_periods(picture: Tensor) -> Tensor:
    """The part of (B, C, h, w) whose sides are multiples of the grid's period."""
    return picture[..., : picture.shape[2] // _PERIOD * _PERIOD, : picture.shape[3] // _PERIOD * _PERIOD]


def _colored(style: Floats, plate: Floats, mode: str) -> Floats:
    if mode == "style":
        return style
    style = np.clip(style, 0, 1)
    return match_colors(style, plate) if mode == "histogram" else match_lightness(style, plate)
