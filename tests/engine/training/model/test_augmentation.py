"""Augmentations of full frames: each does what its name says, and only while training."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from torch import nn

from engine.training.job.limits import AUGMENTATIONS
from engine.training.machine import Machine
from engine.training.model.augmentation import BLACK, DROPPED, LARGEST_OCCLUDER, NOISE, OCCLUDERS, Augmentation
from engine.training.recipes import TexlerRecipe
from tests.support.pairs import make_pair

HEIGHT, WIDTH = 100, 120


def spoiled(name: str, seed: int = 0) -> torch.Tensor:
    return Augmentation(name, np.random.default_rng(seed)).spoiled(torch.full((1, 3, HEIGHT, WIDTH), 0.5))


def test_noise_is_gaussian() -> None:
    difference = spoiled("noise") - 0.5
    assert abs(float(difference.std()) / NOISE - 1) < 0.02 and abs(float(difference.mean())) < 0.002
    beyond = float((difference.abs() > 2 * NOISE).float().mean())
    assert 0.04 < beyond < 0.052, "4.55 % of a normal distribution"
    assert not torch.equal(spoiled("noise", 1), spoiled("noise"))


def test_black_pixels_are_black_in_all_channels_and_the_rest_stays() -> None:
    found = spoiled("black-pixels")[0]
    black = (found == 0).all(0)
    assert abs(float(black.float().mean()) - BLACK) < 0.01
    assert bool((found[:, ~black] == 0.5).all())
    # Single pixels: hardly one has four black neighbors.
    inner = black[1:-1, 1:-1] & black[:-2, 1:-1] & black[2:, 1:-1] & black[1:-1, :-2] & black[1:-1, 2:]
    assert float(inner.float().mean()) < 0.002


def test_parts_are_occluded_by_black_rectangles() -> None:
    shares = []
    for seed in range(20):
        found = spoiled("occlusion", seed)[0]
        hidden = (found == 0).all(0)
        assert bool((found[:, ~hidden] == 0.5).all())
        shares.append(float(hidden.float().mean()))
        # Larger parts, not pixels: the edges of so many rectangles are few.
        edges = (hidden[:, 1:] != hidden[:, :-1]).sum()
        assert int(edges) <= 2 * OCCLUDERS * LARGEST_OCCLUDER * HEIGHT
    assert 0.02 < np.mean(shares) < OCCLUDERS * (LARGEST_OCCLUDER / 2) ** 2


def dropping(name: str) -> nn.Sequential:
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(200, 1, 1, bias=False), nn.Identity())
    nn.init.constant_(net[1].weight, 1.0)
    Augmentation(name, np.random.default_rng(0)).into(net)
    return net


@pytest.mark.parametrize("name", ["map-dropout", "pixel-dropout"])
def test_dropout_drops_maps_or_pixels_before_every_convolution_but_the_first(name: str) -> None:
    net = dropping(name)
    x, seen = torch.ones(2, 200, 20, 20), []
    net[1].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    net.train()
    net[1](x)
    kept = seen[-1]
    assert torch.allclose(kept[kept > 0], torch.tensor(1 / (1 - DROPPED)))
    assert abs(float((kept == 0).float().mean()) - DROPPED) < 0.03
    by_map = (kept == 0).float().mean((2, 3))
    whole = bool(((by_map == 0) | (by_map == 1)).all())
    assert whole == (name == "map-dropout")
    assert torch.equal(net[0].train()(torch.ones(1, 3, 4, 4)), net[0](torch.ones(1, 3, 4, 4)))
    net.eval()
    net[1](x)
    assert torch.equal(seen[-1], x)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_recipe_trains_with_it_and_the_look_knows_nothing_of_it(name: str) -> None:
    torch.manual_seed(0)
    machine = Machine(torch.device("cpu"), torch.float32)
    made = TexlerRecipe([make_pair(48, 48)], machine, np.random.default_rng(0), None, full_frame=True, augment=name)
    seen = []
    made.net.conv0.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0].detach().clone()))
    inner = []
    made.net.last.register_forward_hook(lambda module, inputs, output: inner.append(inputs[0].detach().clone()))
    losses = made.step(0.0)
    assert all(bool(torch.isfinite(loss)) for loss in losses.values())
    plain = made.sampler.next()[0] * 2 - 1
    assert torch.equal(seen[-1], plain) == name.endswith("dropout")
    assert (float((inner[-1] == 0).float().mean()) > 0.05) or not name.endswith("dropout")
    net, x = made.result(), torch.rand(1, 3, 48, 48)
    assert torch.equal(net(x), net(x))


def test_an_unknown_augmentation_is_none() -> None:
    with pytest.raises(ValueError, match="no augmentation blur"):
        Augmentation("blur", np.random.default_rng(0))
