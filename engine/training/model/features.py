"""Deep features of VGG-16 and VGG-19 (Simonyan and Zisserman 2015), for losses that ask for them.

No weights come with Paintover. They are read from a file, or fetched on request (``vgg19``, ``vgg16``) from the usual
place and checked against the hash in the file's name. Two layouts of a file are known: torchvision's
(``features.N.weight``, RGB) and the convolutional trunk by layer names (``conv1_1.weight``, BGR).
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.base.errors import InputError

__all__ = ["DOWNLOADS", "DeepFeatures", "load_features"]

STAGES = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions in each of the five stages; a 2x2 maximum pool between stages."""

CHANNELS = (64, 128, 256, 512, 512)

DOWNLOADS = {
    "vgg16": "https://download.pytorch.org/models/vgg16-397923af.pth",
    "vgg19": "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
}

REMEDY = "VGG-16 and VGG-19 are known"

_LAYER = re.compile(r"conv(\d)_(\d)\.weight$")

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
    """The trunk's layers in order; what else a file holds is left alone."""
    matches = {match for match in map(_LAYER.match, weights) if match}
    places = sorted({(int(m[1]), int(m[2])) for m in matches})
    return [f"conv{stage}_{index}" for stage, index in places]


def _check_trunk(weights: dict[str, Tensor], layers: tuple[str, ...], source: str) -> None:
    """Every layer up to the last one asked for is there, and their channels chain.

    Raises:
        InputError: they do not.
    """
    last = max(tuple(int(v) for v in name[4:].split("_")) for name in layers)
    channels = 3
    for stage, count in enumerate(STAGES[19 if "conv3_4.weight" in weights else 16], 1):
        for index in range(1, count + 1):
            if (stage, index) > last:
                return
            weight, bias = (weights.get(f"conv{stage}_{index}.{part}") for part in ("weight", "bias"))
            if weight is None or bias is None:
                raise InputError(f"no VGG in {source}: conv{stage}_{index} is incomplete", remedy=REMEDY)
            first = (stage, index) == (1, 1)
            if weight.shape[1:] != (channels, 3, 3) or (first and len(weight) != CHANNELS[0]):
                shape = tuple(weight.shape)
                raise InputError(f"no VGG in {source}: conv{stage}_{index} has shape {shape}", remedy=REMEDY)
            channels = len(weight)


def _from_torchvision(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename ``features.N.*`` to ``convS_I.*``; the depth is told by the number of convolutions."""
    indices = sorted({int(k.split(".")[1]) for k in state if k.startswith("features.")})
    depth = {13: 16, 16: 19}.get(len(indices))
    if depth is None:
        raise InputError(f"no VGG: {len(indices)} convolutions instead of 13 or 16", remedy=REMEDY)
    names = [f"conv{s}_{i}" for s, count in enumerate(STAGES[depth], 1) for i in range(1, count + 1)]
    return {
        f"{name}.{part}": state[f"features.{index}.{part}"]
        for name, index in zip(names, indices, strict=True)
        for part in ("weight", "bias")
        if f"features.{index}.{part}" in state
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
        if source in DOWNLOADS:
            raise InputError(f"cannot fetch the feature weights {source}: {error}", remedy=remedy) from error
        if isinstance(error, OSError):
            why = f"cannot load feature weights: {error.strerror or 'no such file'}"
            raise InputError(why, path=source, remedy=remedy) from error
        # What torch says of such a file is a page of advice on how to load it all the same.
        raise InputError("not a weights file", path=source, remedy=remedy) from error
    if not isinstance(state, dict):
        raise InputError(f"no VGG in {source}: it holds no named weights", remedy=REMEDY)
    if any(key.startswith("features.") for key in state):
        weights, bgr = _from_torchvision(state), False
    elif "conv1_1.weight" in state:
        weights, bgr = dict(state), True
    else:
        raise InputError(
            f"no VGG in {source}", remedy="VGG-16 and VGG-19 are known, by features.N.weight or convS_I.weight"
        )
    _check_trunk(weights, layers, source)
    return DeepFeatures(weights, layers, bgr_255=bgr)
