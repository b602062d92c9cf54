"""Gatys optimization: the pixels whose deep features have a plate's content and the statistics of style images.

After Gatys, Ecker and Bethge, "Image style transfer using convolutional neural networks" (2016), with the weights of
the reference implementation: content at relu4_2, Gram matrices of relu1_1 to relu5_1, total variation, L-BFGS. Coarse
scales first, as in Gatys et al., "Controlling perceptual factors in neural style transfer" (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from engine.training.model.features import MEAN_BGR, DeepFeatures

__all__ = ["CONTENT_LAYER", "STYLE_LAYERS", "StyleLoss", "VggMaps", "gram", "optimize", "pyramid_sizes"]

CONTENT_LAYER = "relu4_2"
STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")

CONTENT_WEIGHT, STYLE_WEIGHT, TV_WEIGHT = 5.0, 100.0, 0.05
"""On features in units of 0..255. Total variation is a mean over pixels here: it weighs alike at every size."""
LEAST_SIDE = 128
"""A scale is added while the shorter side keeps so many pixels."""
CHUNK = 10
"""Iterations between reports."""
_HISTORY_BYTES = 2**30
_UNIT = 57.4
"""255 by the mean deviation of ImageNet's channels: what torchvision's features are smaller by."""
_MEAN_RGB, _DEVIATION_RGB = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VggMaps(nn.Module):
    """The maps that the features' layers name, after their ReLU, in units of 0..255, whatever the layout of the file.

    Stage by stage; with ``thrifty`` only the maps at the start of each stage are kept for the way back, and the rest
    is computed again: memory for one stage at a time.
    """

    def __init__(self, features: DeepFeatures) -> None:
        super().__init__()
        self.features = features
        mean, deviation = torch.tensor(_MEAN_RGB).view(1, 3, 1, 1), torch.tensor(_DEVIATION_RGB).view(1, 3, 1, 1)
        bgr = torch.tensor(MEAN_BGR).view(1, 3, 1, 1)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", bgr if features.bgr_255 else mean)
        self.register_buffer("deviation", torch.ones(1, 3, 1, 1) if features.bgr_255 else deviation)
        self.unit = 1.0 if features.bgr_255 else _UNIT
        stages = sorted({name[4] for name in features.names})
        self.stages = [[name for name in features.names if name[4] == stage] for stage in stages]

    def forward(self, rgb: Tensor, *, thrifty: bool = False) -> dict[str, Tensor]:
        """(1, 3, H, W) RGB in 0..1 to the maps by name."""
        x = ((rgb.flip(1) * 255 if self.features.bgr_255 else rgb) - self.mean) / self.deviation
        found: dict[str, Tensor] = {}
        for index, names in enumerate(self.stages):
            if index:
                x = F.max_pool2d(x, 2)

            def stage(x: Tensor, names: list[str] = names) -> tuple[Tensor, ...]:
                kept = []
                for name in names:
                    weight, bias = getattr(self.features, name + "_w"), getattr(self.features, name + "_b")
                    x = F.relu(F.conv2d(x, weight, bias, padding=1), inplace=True)
                    if name.replace("conv", "relu") in self.features.layers:
                        kept.append(x)
                return (*kept, x)

            maps = checkpoint(stage, x, use_reentrant=False) if thrifty else stage(x)
            kept = [n for n in (name.replace("conv", "relu") for name in names) if n in self.features.layers]
            found.update({name: each * self.unit for name, each in zip(kept, maps, strict=False)})
            x = maps[-1]
        return found


def gram(maps: Tensor, weight: Tensor | None) -> Tensor:
    """(C, C) products of the channels of (1, C, H, W), a mean over pixels that ``weight`` (1, 1, H, W) counts."""
    flat = maps.flatten(2)[0]
    if weight is None:
        return flat @ flat.T / flat.numel()
    counted = _resized(weight, maps.shape[2:]).flatten(2)[0]
    return (flat * counted) @ flat.T / (len(flat) * counted.sum().clamp_min(1e-6))


@dataclass
class StyleLoss:
    """The loss of one scale, a function of the pixels.

    Args:
        maps: the features.
        content: (1, 3, h, w) of the plate, RGB in 0..1.
        styles: pictures likewise, and their weights, which sum to 1.
        weight: (1, 1, h, w) in 0..1, where the style counts; None for everywhere.
        strength: factor on the weight of the style.
        layers: factors on the weights of :data:`STYLE_LAYERS`, in their order.
        margin_px: how far the picture goes on beyond its border, mirrored. Without, the features see black there, and
            the last few columns, which fewer features see, are painted less.
    """

    maps: VggMaps
    content: Tensor
    styles: Sequence[tuple[Tensor, float]]
    weight: Tensor | None = None
    strength: float = 1.0
    thrifty: bool = True
    layers: Sequence[float] = (1.0,) * len(STYLE_LAYERS)
    margin_px: int = 0

    def __post_init__(self) -> None:
        with torch.no_grad():
            self._content = self.maps(self._mirrored(self.content))[CONTENT_LAYER]
            self._weight = None if self.weight is None else self._mirrored(self.weight)
            targets: dict[str, Tensor] = {}
            for picture, share in self.styles:
                found = self.maps(picture)
                for name in STYLE_LAYERS:
                    targets[name] = targets.get(name, torch.zeros(())) + share * gram(found[name], None)
            self._grams = targets

    def __call__(self, x: Tensor) -> Tensor:
        found = self.maps(self._mirrored(x), thrifty=self.thrifty)
        content = F.mse_loss(found[CONTENT_LAYER], self._content)
        style = sum(
            (
                layer * F.mse_loss(gram(found[name], self._weight), self._grams[name])
                for name, layer in zip(STYLE_LAYERS, self.layers, strict=True)
                if layer
            ),
            torch.zeros(()),
        )
        rows, columns = (x[..., 1:, :] - x[..., :-1, :]) * 255, (x[..., 1:] - x[..., :-1]) * 255
        variation = rows.square().mean() + columns.square().mean()
        return CONTENT_WEIGHT * content + self.strength * STYLE_WEIGHT * style + TV_WEIGHT * variation

    def _mirrored(self, picture: Tensor) -> Tensor:
        return F.pad(picture, (self.margin_px,) * 4, mode="reflect") if self.margin_px else picture


def optimize(
    loss: Callable[[Tensor], Tensor],
    x: Tensor,
    iterations: int,
    *,
    weight: Tensor | None = None,
    report: Callable[[int, float, Tensor], None] = lambda done, loss, x: None,
    check: Callable[[], None] = lambda: None,
) -> tuple[Tensor, list[float]]:
    """Descend from ``x`` by L-BFGS with a line search, so that no iteration ends higher than it began.

    Args:
        loss: of (1, 3, h, w).
        x: the start; not changed.
        weight: (1, 1, h, w) factor on the gradient: where it is 0, pixels stay.
        report: receives the iterations done, the loss and the pixels, every :data:`CHUNK` iterations and at the end.
        check: called before each evaluation; what it raises ends all.

    Returns:
        The pixels, and the losses at the start and after each chunk.
    """
    x = x.detach().clone(memory_format=torch.contiguous_format).requires_grad_(True)
    history = max(5, min(100, _HISTORY_BYTES // (8 * x.numel())))
    optimizer = torch.optim.LBFGS(
        [x],
        max_iter=CHUNK,
        max_eval=10 * CHUNK,
        history_size=history,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        check()
        optimizer.zero_grad()
        value = loss(x)
        value.backward()
        if weight is not None and x.grad is not None:
            x.grad *= weight
        return value

    losses: list[float] = []
    for done in range(0, iterations, CHUNK):
        optimizer.param_groups[0]["max_iter"] = min(CHUNK, iterations - done)
        before = optimizer.step(closure)
        losses.append(float(before.detach()))
        report(min(done + CHUNK, iterations), losses[-1], x.detach())
    check()
    with torch.no_grad():
        losses.append(float(loss(x.detach())))
    return x.detach(), losses


def pyramid_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """(height, width) of the scales, coarse to fine, each half of the next; the last one is the frame's own."""
    sizes = [(height, width)]
    while min(sizes[0]) // 2 >= LEAST_SIDE:
        sizes.insert(0, (sizes[0][0] // 2, sizes[0][1] // 2))
    return sizes


def _resized(picture: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(picture, size=tuple(size), mode="bilinear", antialias=True, align_corners=False)
