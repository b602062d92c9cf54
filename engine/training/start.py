"""Start of a training from an earlier one: the networks of a checkpoint, or the weights that a look still has.

A look's batch norms are folded into its convolutions. They are taken apart again by what they see on the keyframes:
each norm gets the mean and deviation that its input has there, so that it changes nothing, and training goes on from
there. A look has no discriminator and no optimizer: those begin anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from engine.base.errors import InputError
from engine.base.runtime import ort
from engine.color import shaper
from engine.look.card import LookFile, open_look
from engine.training.checkpoint import load_checkpoint
from engine.training.data.keyframes import LoadedKeyframe
from engine.training.export.look import reference
from engine.training.model.network import Residual, StrokeBranch, Translator
from engine.training.recipes import PaintoverRecipe, Recipe

__all__ = ["GOES_ON_FROM", "start_from"]

GOES_ON_FROM = 0.5
"""Progress that the learning rate begins at: half of the first one, for a network that knows most of it already."""
TOLERANCE = 1e-3
"""Largest difference between a look and what was made of it, working encoding."""
_CHECKED_PX = 256
_BATCHES = 4
_REMEDY = "name the checkpoint that it was trained with: work/train/checkpoint.safetensors"


def start_from(path: Path, recipe: Recipe, keyframes: list[LoadedKeyframe]) -> str:
    """Let a recipe begin where an earlier training ended; returns what was taken, for people.

    Args:
        path: a look (.onnx), a checkpoint (.safetensors), or a folder with one.
        keyframes: of the new training.

    Raises:
        InputError: it is missing, damaged, of another network, or a look whose weights cannot be taken apart.
    """
    if path.suffix.lower() == ".onnx":
        if not isinstance(recipe, PaintoverRecipe):
            raise InputError("only the recipe paintover goes on from a look", path=path, remedy="name its checkpoint")
        _take_look(open_look(path), recipe, keyframes)
        return f"goes on from the weights of {path.name}"
    state = load_checkpoint(path, recipe, None)
    if state is None:
        remedy = "name a look (.onnx), or a checkpoint (.safetensors) of work/train"
        raise InputError("there is no look and no checkpoint to go on from", path=path, remedy=remedy)
    if isinstance(recipe, PaintoverRecipe):
        recipe.set_steps(int(state["step"]))
        recipe.average_anew()
    return f"goes on from step {int(state['step'])} of {path.name}"


def _take_look(look: LookFile, recipe: PaintoverRecipe, keyframes: list[LoadedKeyframe]) -> None:
    net = recipe.net
    trained = look.card.trained.recipe
    if trained != "paintover":
        raise InputError(f"the look was trained by the recipe {trained}", path=look.path, remedy="train it anew")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    try:
        norms = _fill(net, _convolutions(look))
        _calibrate(net, norms, recipe)
        recipe.averaged.load_state_dict(net.state_dict())
        difference = _difference(look, recipe.averaged, keyframes[0])
    except BaseException:
        net.load_state_dict(before)
        raise
    finally:
        net.train()
    if not difference <= TOLERANCE:
        why = f"the look's weights cannot be taken apart: the result differs by {difference:.2g}"
        raise InputError(why, path=look.path, remedy=_REMEDY)


def _convolutions(look: LookFile) -> list[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
    """Weight and bias of the graph's convolutions over all channels, each once, in the graph's order."""
    graph = onnx.load_model_from_string(look.data).graph
    constants = {each.name: each for each in graph.initializer}
    found: dict[str, tuple[NDArray[np.float32], NDArray[np.float32] | None]] = {}
    for node in graph.node:
        grouped = any(attribute.name == "group" and attribute.i != 1 for attribute in node.attribute)
        if node.op_type != "Conv" or grouped or node.input[1] in found or node.input[1] not in constants:
            continue
        arrays = [np.array(numpy_helper.to_array(constants[name]), np.float32) for name in node.input[1:3]]
        found[node.input[1]] = (arrays[0], arrays[1] if len(arrays) > 1 else None)
    return list(found.values())


def _places(net: Translator) -> Iterator[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]]:
    """The network's convolutions in the order of an exported graph, with the norm that was folded into each."""
    yield "skip", net.skip, None
    yield from _hourglass(net)
    yield "smooth", net.smooth.conv, net.smooth.norm
    yield "correction", net.head, None
    yield from _hourglass(net.strokes)
    yield "repair", net.strokes.head, None


def _hourglass(part: Translator | StrokeBranch) -> Iterator[tuple[str, nn.Conv2d, nn.BatchNorm2d | None]]:
    """What goes down to a quarter and comes up again."""
    yield "stem", part.stem.conv, part.stem.norm
    yield "fuse", part.fuse.conv, part.fuse.norm
    yield "down", part.down.conv, part.down.norm
    for block in part.body:
        if isinstance(block, Residual):
            yield "first", block.first.conv, block.first.norm
            yield "second", block.second, None
    yield "lateral", part.lateral, None


@torch.no_grad()
def _fill(net: Translator, found: list[tuple[NDArray[np.float32], NDArray[np.float32] | None]]) -> list[nn.BatchNorm2d]:
    """Put a graph's convolutions into the network, norms as summands alone; returns the norms.

    Raises:
        InputError: it is of another network.
    """
    places = list(_places(net))
    if [weight.shape for weight, _ in found] != [tuple(place.weight.shape) for _, place, _ in places]:
        size = net.architecture
        why = f"the look is of another network than {size.width} channels and {size.blocks} blocks"
        raise InputError(why, remedy="train with the --settings, --guides and --crisp that it was trained with")
    norms = []
    for (name, conv, norm), (weight, bias) in zip(places, found, strict=True):
        summand = np.zeros(len(weight), np.float32) if bias is None else bias
        if name == "skip":
            # From -1..1 to 0..1, folded.
            weight, summand = 2 * weight, 2 * summand - 1
        elif name in ("correction", "repair"):
            # Both enter by half; the trust behind the repair does not.
            factor = np.where(np.arange(len(weight)) < 12, 2, 1).astype(np.float32)
            weight, summand = weight * factor[:, None, None, None], summand * factor
        conv.weight.copy_(torch.from_numpy(np.ascontiguousarray(weight)))
        if norm is not None:
            norm.bias.copy_(torch.from_numpy(np.ascontiguousarray(summand)))
            norms.append(norm)
        elif conv.bias is not None:
            conv.bias.copy_(torch.from_numpy(np.ascontiguousarray(summand)))
    return norms


@torch.no_grad()
def _calibrate(net: Translator, norms: list[nn.BatchNorm2d], recipe: PaintoverRecipe) -> None:
    """Give every norm the statistics of what it sees on the keyframes, so that it leaves it as it is."""

    def settle(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].float()
        mean, variance = values.mean((0, 2, 3)), values.var((0, 2, 3), unbiased=False)
        if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_((variance + norm.eps).sqrt())
            norm.bias.add_(mean)

    hooks = [norm.register_forward_pre_hook(settle) for norm in norms]
    try:
        batches = [recipe.sampler.next() for _ in range(_BATCHES)]
        same = [batch for batch in batches if batch.plate.shape == batches[0].plate.shape]
        guides = [batch.guide for batch in same if batch.guide is not None]
        net.eval()
        net(
            torch.cat([batch.plate for batch in same]),
            torch.cat([batch.carried for batch in same]),
            torch.cat(guides) if guides else None,
        )
    finally:
        for hook in hooks:
            hook.remove()


def _difference(look: LookFile, net: nn.Module, keyframe: LoadedKeyframe) -> float:
    """Largest difference between a look and a network on a part of a keyframe, nothing carried, working encoding."""
    height, width = keyframe.plate.shape[:2]
    rows, columns = min(_CHECKED_PX, height), min(_CHECKED_PX, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    window = (slice(top, top + rows), slice(left, left + columns))
    plate = np.ascontiguousarray(keyframe.plate[window])
    guide = None if keyframe.guide is None else np.ascontiguousarray(keyframe.guide[window])
    session = ort.InferenceSession(look.data, providers=["CPUExecutionProvider"])
    feed = {"plate": plate.transpose(2, 0, 1)[None]}
    feed["stmap"] = np.zeros((1, 3 * len(look.card.keyframes), rows, columns), np.float32)
    if guide is not None:
        feed["guide"] = guide.transpose(2, 0, 1)[None]
    styled = session.run(["styled"], feed)[0][0].transpose(1, 2, 0)
    limit = shaper.encode(np.array(shaper.LIMIT, np.float32))
    expected = np.clip(reference(net, plate, guide=guide), -limit, limit)
    return float(np.abs(shaper.encode(styled) - expected).max())
