"""Deep features of VGG-16 and VGG-19 (Simonyan and Zisserman 2015), for losses that ask for them.

No weights come with Paintover. They are read from a file, or fetched on request (``vgg19``, ``vgg16``) from the usual
place and checked against the hash in the file's name. Two layouts of a file are known: torchvision's
(``features.N.weight``, RGB) and the convolutional trunk by layer names (``conv1_1.weight``, BGR).
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import InputError

__all__ = ["DOWNLOADS", "DeepFeatures", "load_features"]

STAGES = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions in each of the five stages; a 2x2 maximum pool between stages."""

CHANNELS = (64, 128, 256, 512, 512)

DOWNLOADS = {
    "vgg16": "https://download.pytorch.org/models/vgg16-397923af.pth",
    "vgg19": "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
}

MEAN_BGR = (103.939, 116.779, 123.68)


class DeepFeatures(nn.Module):
    """The first layers of a VGG, cut after the last layer asked for.

    Input (B, 3, H, W) display-referred RGB in 0..1 (values outside are accepted). Output: one map per name in
    ``layers``, for example ``conv1_1`` (before its ReLU) or ``relu1_2``.
    """

    def __init__(self, weights: dict[str, Tensor], layers: tuple[str, ...], *, bgr_255: bool) -> None:
        super().__init__()
        self.layers = layers
        self.bgr_255 = bgr_255
        last = max(tuple(int(v) for v in name[4:].split("_")) for name in layers)
        self.names = [n for n in _layer_names(weights) if tuple(int(v) for v in n[4:].split("_")) <= last]
        for name in self.names:
            self.register_buffer(name + "_w", weights[f"{name}.weight"].float(), persistent=False)
            self.register_buffer(name + "_b", weights[f"{name}.bias"].float(), persistent=False)
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(MEAN_BGR).view(1, 3, 1, 1), persistent=False)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        # The published loss feeds -1..1 to the torchvision weights as they are; the BGR trunk gets its own input, and
        # its maps are brought to the same unit, since they scale with it.
        x = rgb.flip(1) * 255 - self.mean if self.bgr_255 else rgb * 2 - 1
        unit = 127.5 if self.bgr_255 else 1.0
        found: dict[str, Tensor] = {}
        stage = 1
        for name in self.names:
            if int(name[4]) > stage:
                x = F.max_pool2d(x, 2)
                stage = int(name[4])
            x = F.conv2d(x, getattr(self, name + "_w"), getattr(self, name + "_b"), padding=1)
            found[name] = x / unit
            x = F.relu(x)
            found[name.replace("conv", "relu")] = x / unit
        return [found[name] for name in self.layers]


def _layer_names(weights: dict[str, Tensor]) -> list[str]:
    return sorted({key.rsplit(".", 1)[0] for key in weights}, key=lambda n: tuple(int(v) for v in n[4:].split("_")))


def _from_torchvision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename ``features.N.*`` to ``convS_I.*``; the depth is told by the number of convolutions."""
    indices = sorted({int(k.split(".")[1]) for k in state if k.startswith("features.")})
    depth = {13: 16, 16: 19}.get(len(indices))
    if depth is None:
        raise InputError(f"feature weights with {len(indices)} convolutions", remedy="VGG-16 and VGG-19 are known")
    names = [f"conv{s}_{i}" for s, count in enumerate(STAGES[depth], 1) for i in range(1, count + 1)]
    return {
        f"{name}.{part}": state[f"features.{index}.{part}"]
        for name, index in zip(names, indices, strict=True)
        for part in ("weight", "bias")
    }


def load_features(source: str, layers: tuple[str, ...]) -> DeepFeatures:
    """Load VGG weights from a file (.safetensors, .pth), or fetch ``vgg16`` or ``vgg19`` and verify their hash.

    Raises:
        InputError: the file is missing, cannot be read, or holds no VGG of a known layout.
    """
    try:
        if source in DOWNLOADS:
            state = torch.hub.load_state_dict_from_url(DOWNLOADS[source], map_location="cpu", check_hash=True)
        elif Path(source).suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(source)
        else:
            state = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        remedy = "give a .safetensors or .pth file of VGG-16 or VGG-19, or leave --features out"
        raise InputError(f"cannot load feature weights {source}: {error}", remedy=remedy) from error
    if any(key.startswith("features.") for key in state):
        weights, bgr = _from_torchvision(state), False
    elif "conv1_1.weight" in state:
        weights, bgr = dict(state), True
    else:
        raise InputError(f"no VGG in {source}", remedy="keys features.N.weight or convS_I.weight are known")
    first = weights["conv1_1.weight"]
    if tuple(first.shape) != (CHANNELS[0], 3, 3, 3):
        raise InputError(f"conv1_1 of {source} has shape {tuple(first.shape)}", remedy="VGG-16 and VGG-19 are known")
    return DeepFeatures(weights, layers, bgr_255=bgr)
