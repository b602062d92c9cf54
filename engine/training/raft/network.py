"""The networks of RAFT (Teed and Deng 2020), large and small, and their weights.

No weights come with Paintover. The networks take torchvision's published ones by their own parameter names, from a
file or, where they are asked for by name, by download, checked against the hash in the file's name. What is tested is
the architecture: parameter names and counts, the correlation pyramid, the upsampling, and that it runs. The published
weights themselves were not at hand and have not been run here.

Images are (1, 3, H, W) float32 in -1..1, display-referred. Features have an eighth of the size. The memory of the
correlations grows with the square of the pixels: 0.35 GB at 960x540, which is why larger frames are shrunk first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.base.arrays import Floats
from engine.base.errors import InputError
from engine.images.provenance import file_sha256

__all__ = [
    "DOWNLOADS",
    "ITERATIONS",
    "LARGE",
    "LEAST_SIDE",
    "LONGEST_SIDE",
    "SMALL",
    "CorrelationPyramid",
    "Raft",
    "RaftArchitecture",
    "load_raft",
    "upsample",
]


DOWNLOADS = {
    "raft_large": "https://download.pytorch.org/models/raft_large_C_T_SKHT_V2-ff5fadd5.pth",
    "raft_small": "https://download.pytorch.org/models/raft_small_C_T_V2-01064c6d.pth",
}
"""What is fetched when the weights are given by one of these names."""

LEVELS = 4
STRIDE = 8
"""Of the features, in pixels."""
LEAST_SIDE = 128
"""In pixels: smaller images leave nothing of the coarsest level."""
ITERATIONS = 12
LONGEST_SIDE = 1280
"""In pixels: larger frames are shrunk to it, and their flow is enlarged."""

_HASH = re.compile(r"-([0-9a-f]{8,})\.\w+$")
_TOLD = "weights as torchvision publishes them for raft_large or raft_small"


@dataclass(frozen=True)
class RaftArchitecture:
    """What sets the published networks apart."""

    features: tuple[int, int, int, int, int]
    """Channels of the feature encoder: stem, three stages, output."""
    context: tuple[int, int, int, int, int]
    """The same of the context encoder."""
    bottleneck: bool
    """Residual blocks of three convolutions rather than two."""
    context_norm: bool
    """Batch norm in the context encoder; the feature encoder always has instance norm."""
    radius: int
    """Of the neighborhood in which correlations are looked up."""
    correlation: tuple[int, ...]
    """Channels of the motion encoder's convolutions over correlations."""
    flow: tuple[int, int]
    """The same over the flow."""
    motion: int
    """Channels that the motion encoder puts out, the flow's two included."""
    hidden: int
    """Channels of the recurrent state."""
    kernels: tuple[tuple[int, int], ...]
    """Of the recurrent units, one after the other."""
    flow_head: int
    """Channels inside the head that predicts a change of the flow."""
    convex: bool
    """Learned convex upsampling rather than bilinear."""


LARGE = RaftArchitecture(
    (64, 64, 96, 128, 256), (64, 64, 96, 128, 256), False, True, 4,
    (256, 192), (128, 64), 128, 128, ((1, 5), (5, 1)), 256, True,
)  # fmt: skip
"""5,257,536 parameters."""

SMALL = RaftArchitecture(
    (32, 32, 64, 96, 128), (32, 32, 64, 96, 160), True, False, 3,
    (96,), (64, 32), 82, 96, ((3, 3),), 128, False,
)  # fmt: skip
"""990,162 parameters."""


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, norm: type[nn.Module] | None = None, relu: bool = True
) -> nn.Sequential:
    # The published names number these layers, so their order is part of the format.
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)]
    layers += [] if norm is None else [norm(outputs)]
    layers += [nn.ReLU()] if relu else []
    return nn.Sequential(*layers)


class RaftResidual(nn.Module):
    """Two k3 convolutions, or k1, k3, k1 through a quarter of the channels, added to their input."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, norm: type[nn.Module] | None, *, bottleneck: bool
    ) -> None:
        super().__init__()
        if bottleneck:
            inner = outputs // 4
            self.convnormrelu1 = _convolution(inputs, inner, 1, norm=norm)
            self.convnormrelu2 = _convolution(inner, inner, 3, stride, norm)
            self.convnormrelu3: nn.Module = _convolution(inner, outputs, 1, norm=norm)
        else:
            self.convnormrelu1 = _convolution(inputs, outputs, 3, stride, norm)
            self.convnormrelu2 = _convolution(outputs, outputs, 3, norm=norm)
            self.convnormrelu3 = nn.Identity()
        same = stride == 1
        self.downsample = nn.Identity() if same else _convolution(inputs, outputs, 1, stride, norm, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.convnormrelu3(self.convnormrelu2(self.convnormrelu1(x)))
        return F.relu(self.downsample(x) + y)


class Encoder(nn.Module):
    """(B, 3, H, W) to (B, C, H/8, W/8)."""

    def __init__(self, channels: tuple[int, ...], norm: type[nn.Module] | None, *, bottleneck: bool) -> None:
        super().__init__()

        def stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
            first = RaftResidual(inputs, outputs, stride, norm, bottleneck=bottleneck)
            return nn.Sequential(first, RaftResidual(outputs, outputs, 1, norm, bottleneck=bottleneck))

        self.convnormrelu = _convolution(3, channels[0], 7, 2, norm)
        self.layer1 = stage(channels[0], channels[1], 1)
        self.layer2 = stage(channels[1], channels[2], 2)
        self.layer3 = stage(channels[2], channels[3], 2)
        self.conv = nn.Conv2d(channels[3], channels[4], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(self.convnormrelu(x))))
        result: Tensor = self.conv(x)
        return result


class CorrelationPyramid:
    """All pairs of two feature maps (1, C, h, w), multiplied, and averaged over ever larger cells of the second."""

    def __init__(self, a: Tensor, b: Tensor, radius: int) -> None:
        _, channels, height, width = a.shape
        pairs = a.flatten(2).transpose(1, 2) @ b.flatten(2) / channels**0.5  # (1, h w, h w)
        level = pairs.reshape(height * width, 1, height, width)
        self.levels = [level]
        for _ in range(LEVELS - 1):
            level = F.avg_pool2d(level, 2)
            self.levels.append(level)
        steps = torch.arange(-radius, radius + 1, dtype=a.dtype, device=a.device)
        # x varies slowest: the published weights expect the neighborhood column by column.
        self._offsets = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)[None]  # (1, s, s, 2)

    def look_up(self, at: Tensor) -> Tensor:
        """Correlations around ``at`` (1, 2, h, w), x and y in the second map: (1, levels s s, h, w); 0 outside."""
        _, _, height, width = at.shape
        centers = at.permute(0, 2, 3, 1).reshape(height * width, 1, 1, 2)
        found = []
        for index, level in enumerate(self.levels):
            rows, columns = level.shape[-2:]
            last = torch.tensor([columns - 1, rows - 1], dtype=at.dtype, device=at.device)
            grid = (centers / 2**index + self._offsets) * 2 / last - 1
            around = F.grid_sample(level, grid, align_corners=True)  # (h w, 1, s, s)
            found.append(around.reshape(1, height, width, -1))
        return torch.cat(found, -1).permute(0, 3, 1, 2)


class MotionEncoder(nn.Module):
    """Correlations and flow to motion features, the flow itself among them."""

    def __init__(self, made: RaftArchitecture) -> None:
        super().__init__()
        looked_up = LEVELS * (2 * made.radius + 1) ** 2
        first, last = made.correlation[0], made.correlation[-1]
        self.convcorr1 = _convolution(looked_up, first, 1)
        self.convcorr2 = _convolution(first, last, 3) if len(made.correlation) == 2 else nn.Identity()
        self.convflow1 = _convolution(2, made.flow[0], 7)
        self.convflow2 = _convolution(made.flow[0], made.flow[1], 3)
        self.conv = _convolution(last + made.flow[1], made.motion - 2, 3)

    def forward(self, flow: Tensor, correlations: Tensor) -> Tensor:
        seen = self.convcorr2(self.convcorr1(correlations))
        moved = self.convflow2(self.convflow1(flow))
        return torch.cat([self.conv(torch.cat([seen, moved], 1)), flow], 1)


class GatedUnit(nn.Module):
    """A convolutional gated recurrent unit."""

    def __init__(self, inputs: int, hidden: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        padding = (kernel[0] // 2, kernel[1] // 2)
        self.convz = nn.Conv2d(hidden + inputs, hidden, kernel, padding=padding)
        self.convr = nn.Conv2d(hidden + inputs, hidden, kernel, padding=padding)
        self.convq = nn.Conv2d(hidden + inputs, hidden, kernel, padding=padding)

    def forward(self, state: Tensor, x: Tensor) -> Tensor:
        both = torch.cat([state, x], 1)
        update, reset = torch.sigmoid(self.convz(both)), torch.sigmoid(self.convr(both))
        proposed = torch.tanh(self.convq(torch.cat([reset * state, x], 1)))
        return torch.lerp(state, proposed, update)


class RecurrentBlock(nn.Module):
    """One gated unit, or a horizontal one and then a vertical one."""

    def __init__(self, inputs: int, made: RaftArchitecture) -> None:
        super().__init__()
        self.convgru1 = GatedUnit(inputs, made.hidden, made.kernels[0])
        self.convgru2 = GatedUnit(inputs, made.hidden, made.kernels[1]) if len(made.kernels) == 2 else None

    def forward(self, state: Tensor, x: Tensor) -> Tensor:
        state = self.convgru1(state, x)
        return state if self.convgru2 is None else self.convgru2(state, x)


class FlowHead(nn.Module):
    """The recurrent state to a change of the flow."""

    def __init__(self, inputs: int, inner: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, inner, 3, padding=1)
        self.conv2 = nn.Conv2d(inner, 2, 3, padding=1)

    def forward(self, state: Tensor) -> Tensor:
        change: Tensor = self.conv2(F.relu(self.conv1(state)))
        return change


class UpdateBlock(nn.Module):
    """One refinement: the next state and the change of the flow."""

    def __init__(self, made: RaftArchitecture) -> None:
        super().__init__()
        self.motion_encoder = MotionEncoder(made)
        context = made.context[4] - made.hidden
        self.recurrent_block = RecurrentBlock(context + made.motion, made)
        self.flow_head = FlowHead(made.hidden, made.flow_head)

    def forward(self, state: Tensor, context: Tensor, correlations: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        motion = self.motion_encoder(flow, correlations)
        state = self.recurrent_block(state, torch.cat([context, motion], 1))
        return state, self.flow_head(state)


class MaskPredictor(nn.Module):
    """The recurrent state to the weights of the convex upsampling, (B, 9 * 64, h, w), before their softmax."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.convrelu = _convolution(inputs, 256, 3)
        self.conv = nn.Conv2d(256, 9 * STRIDE**2, 1)

    def forward(self, state: Tensor) -> Tensor:
        # The published training scaled its gradients by this factor, so the weights contain its inverse.
        return 0.25 * self.conv(self.convrelu(state))


def upsample(flow: Tensor, mask: Tensor | None) -> Tensor:
    """A flow (1, 2, h, w) in cells of 8 pixels as (1, 2, 8h, 8w) in pixels.

    With a mask (1, 576, h, w) each fine vector is a convex combination of the 3x3 coarse ones around it, by the
    softmax of the mask's 9 values for it (Teed and Deng 2020, section 3.3); without, bilinear with aligned corners.
    """
    _, _, height, width = flow.shape
    if mask is None:
        size = (STRIDE * height, STRIDE * width)
        return STRIDE * F.interpolate(flow, size, mode="bilinear", align_corners=True)
    weights = mask.view(9, STRIDE, STRIDE, height, width).softmax(0)
    around = F.unfold(STRIDE * flow, 3, padding=1).view(2, 9, height, width)
    fine = torch.einsum("nabhw,cnhw->chawb", weights, around)  # rows h a, columns w b
    return fine.reshape(1, 2, STRIDE * height, STRIDE * width)


class Raft(nn.Module):
    """The whole network; its parameters have torchvision's names."""

    def __init__(self, made: RaftArchitecture = LARGE) -> None:
        super().__init__()
        self.made = made
        norm = nn.BatchNorm2d if made.context_norm else None
        self.feature_encoder = Encoder(made.features, nn.InstanceNorm2d, bottleneck=made.bottleneck)
        self.context_encoder = Encoder(made.context, norm, bottleneck=made.bottleneck)
        self.update_block = UpdateBlock(made)
        self.mask_predictor = MaskPredictor(made.hidden) if made.convex else None

    def forward(self, a: Tensor, b: Tensor, iterations: int = ITERATIONS) -> Tensor:
        """The flow (1, 2, H, W) in pixels from a to b, both (1, 3, H, W) in -1..1, H and W multiples of 8, >= 128."""
        features = self.feature_encoder(torch.cat([a, b]))
        pyramid = CorrelationPyramid(features[:1], features[1:], self.made.radius)
        seen = self.context_encoder(a)
        state, context = torch.tanh(seen[:, : self.made.hidden]), F.relu(seen[:, self.made.hidden :])
        y, x = torch.meshgrid(*(torch.arange(n, device=a.device, dtype=a.dtype) for n in seen.shape[2:]), indexing="ij")
        start = torch.stack([x, y])[None]
        flow = torch.zeros_like(start)
        for _ in range(iterations):
            state, change = self.update_block(state, context, pyramid.look_up(start + flow), flow)
            flow = flow + change
        return upsample(flow, None if self.mask_predictor is None else self.mask_predictor(state))

    @torch.inference_mode()
    def estimate(
        self, a: Floats, b: Floats, *, iterations: int = ITERATIONS, longest_side: int = LONGEST_SIDE
    ) -> Floats:
        """The flow from a to b, float32 (H, W, 2) in pixels, dx right, dy down, at any size.

        Args:
            a, b: (H, W, 3) float32 display-referred RGB in 0..1 (clipped), of one size.
            iterations: refinements; published evaluations use 12 to 32.
            longest_side: in pixels; a larger frame is shrunk for the estimate.
        """
        height, width = a.shape[:2]
        shrunk = min(1.0, longest_side / max(height, width))
        rows, columns = max(1, round(height * shrunk)), max(1, round(width * shrunk))
        sides = _padding(columns) + _padding(rows)
        device = next(self.parameters()).device
        pair = []
        for image in (a, b):
            small = image if shrunk == 1.0 else cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
            x = torch.from_numpy(np.clip(small, 0, 1).astype(np.float32) * 2 - 1).permute(2, 0, 1)[None]
            pair.append(F.pad(x, sides, mode="replicate").to(device))
        flow = self(*pair, iterations)[0].permute(1, 2, 0).float().cpu().numpy()
        flow = np.ascontiguousarray(flow[sides[2] : sides[2] + rows, sides[0] : sides[0] + columns])
        if shrunk < 1.0:
            flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)
            flow *= np.array([width / columns, height / rows], np.float32)
        return np.asarray(flow, np.float32)


def _padding(side: int) -> tuple[int, int]:
    """Pixels before and after, to a multiple of the stride and the least side."""
    whole = max(LEAST_SIDE, -(-side // STRIDE) * STRIDE)
    return (whole - side) // 2, whole - side - (whole - side) // 2


def load_raft(source: str) -> Raft:
    """RAFT with weights from a file (.pth, .safetensors), or fetched for ``raft_large`` or ``raft_small``.

    A file whose name ends in a hash, as published ones do, must have it.

    Raises:
        InputError: missing, of another hash, unreadable, or not RAFT by its parameters' names and shapes.
    """
    path = Path(source)
    try:
        if source in DOWNLOADS:
            state = torch.hub.load_state_dict_from_url(DOWNLOADS[source], map_location="cpu", check_hash=True)
        else:
            named = _HASH.search(path.name)
            if named and not file_sha256(path).startswith(named[1]):
                raise InputError("the weights are damaged: their hash is not the one in their name", path=path)
            if path.suffix == ".safetensors":
                from safetensors.torch import load_file

                state = load_file(source)
            else:
                state = torch.load(source, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:
        if source in DOWNLOADS:
            raise InputError(f"cannot fetch the weights {source}: {error}", remedy=f"give a file of {_TOLD}") from error
        if isinstance(error, OSError):
            why = f"cannot load the weights: {error.strerror or 'no such file'}"
            raise InputError(why, path=path, remedy=f"give {_TOLD}") from error
        raise InputError("not a weights file", path=path, remedy=f"give {_TOLD}") from error
    if not isinstance(state, dict) or "feature_encoder.convnormrelu.0.weight" not in state:
        raise InputError("no RAFT in the weights", path=path, remedy=f"give {_TOLD}")
    net = Raft(LARGE if "mask_predictor.conv.weight" in state else SMALL)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        detail = str(error).splitlines()[-1].strip()
        raise InputError(f"not RAFT's parameters: {detail}", path=path, remedy=f"give {_TOLD}") from error
    return net.eval()
