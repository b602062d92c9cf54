"""Gatys optimization: the loss falls, comes as low as a plain loop's, and memory-saving changes nothing."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.support import SHARED

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

import torch.nn.functional as F
from torch import Tensor, nn

from engine.optimize.gatys import (
    CONTENT_LAYER,
    CONTENT_WEIGHT,
    STYLE_LAYERS,
    STYLE_WEIGHT,
    TV_WEIGHT,
    StyleLoss,
    VggMaps,
    gram,
    optimize,
    pyramid_sizes,
)
from engine.training.model.features import load_features
from tests.support.vgg_weights import tiny_vgg

VGG = SHARED / "models" / "vgg16_hed_fp16.safetensors"
LAYERS = (*STYLE_LAYERS, CONTENT_LAYER)


def pictures() -> tuple[Tensor, Tensor]:
    """A plate of soft shapes, and a style image of stripes."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 48), torch.linspace(0, 1, 64), indexing="ij")
    plate = torch.stack([x, (x * y).sqrt(), 0.5 + 0.5 * torch.sin(6 * y)])[None]
    stripes = 0.5 + 0.5 * torch.sign(torch.sin(40 * (x + y)))
    return plate, torch.stack([stripes, 1 - stripes, 0.3 + 0 * x])[None]


@pytest.fixture
def weights(tmp_path: Path) -> str:
    return str(tiny_vgg(tmp_path / "vgg.safetensors"))


def plain_loop(source: str, plate: Tensor, style: Tensor, start: Tensor, iterations: int) -> float:
    """The loss that a loop of a few lines reaches with the features as they are loaded."""
    features = load_features(source, LAYERS)
    unit = 127.5  # load_features brings its maps to -1..1

    def maps(x: Tensor) -> list[Tensor]:
        return [each * unit for each in features(x)]

    def grams(x: Tensor) -> list[Tensor]:
        return [torch.einsum("bihw,bjhw->ij", m, m) / m.numel() for m in maps(x)[:-1]]

    content, targets = maps(plate)[-1], grams(style)
    x = start.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS([x], max_iter=iterations, history_size=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = CONTENT_WEIGHT * F.mse_loss(maps(x)[-1], content)
        total = total + STYLE_WEIGHT * sum(F.mse_loss(g, t) for g, t in zip(grams(x), targets, strict=True))
        steps = x.diff(dim=2).square().mean() + x.diff(dim=3).square().mean()
        total = total + TV_WEIGHT * 255**2 * steps
        total.backward()
        return total

    optimizer.step(loss)
    return float(loss().detach())


def compared(source: str, iterations: int) -> tuple[list[float], float]:
    plate, style = pictures()
    start = plate + 0.02 * torch.randn(plate.shape, generator=torch.Generator().manual_seed(1))
    loss = StyleLoss(VggMaps(load_features(source, LAYERS)), plate, [(style, 1.0)])
    _, losses = optimize(loss, start, iterations)
    return losses, plain_loop(source, plate, style, start, iterations)


def test_the_loss_falls_and_comes_as_low_as_a_plain_loops(weights: str) -> None:
    losses, plain = compared(weights, 40)
    assert len(losses) == 5
    assert all(after < before for before, after in itertools.pairwise(losses)), losses
    assert losses[-1] <= 1.05 * plain
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
@pytest.mark.skipif(not VGG.is_file(), reason="needs ../shared/models (a VGG-16 trunk)")
def test_real_features_likewise() -> None:
    losses, plain = compared(str(VGG), 20)
    assert all(after < before for before, after in itertools.pairwise(losses)), losses
    assert losses[-1] <= 1.05 * plain


def test_maps_that_are_computed_again_have_the_same_gradient(weights: str) -> None:
    plate, style = pictures()
    maps = VggMaps(load_features(weights, LAYERS))
    found = []
    for thrifty in (False, True):
        x = (plate * 0.9).requires_grad_(True)
        value = StyleLoss(maps, plate, [(style, 1.0)], thrifty=thrifty)(x)
        value.backward()
        found.append((value.detach(), x.grad))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_the_maps_are_those_of_the_loaded_features(weights: str) -> None:
    plate, _ = pictures()
    features = load_features(weights, LAYERS)
    found = VggMaps(features)(plate)
    for name, expected in zip(LAYERS, features(plate), strict=True):
        torch.testing.assert_close(found[name], expected * 127.5, rtol=1e-5, atol=1e-4)


def test_a_mirrored_margin_paints_the_border_as_well(weights: str) -> None:
    """By how much the loss moves the outermost columns, in units of those in the middle."""
    plate, style = pictures()
    start = plate + 0.05 * torch.randn(plate.shape, generator=torch.Generator().manual_seed(1))
    maps = VggMaps(load_features(weights, LAYERS))
    right = []
    for margin_px in (0, 8):
        x = start.clone().requires_grad_(True)
        StyleLoss(maps, plate, [(style, 1.0)], torch.ones(1, 1, 48, 64), margin_px=margin_px)(x).backward()
        assert x.grad is not None
        moved = x.grad.abs().mean(dim=(0, 1, 2))
        right.append(float(moved[-1] / moved[-20:-10].mean()))
    assert right[0] < 0.6
    assert 0.7 < right[1] < 1.6


def test_a_gram_counts_only_weighted_pixels() -> None:
    maps = torch.randn(1, 4, 6, 8, generator=torch.Generator().manual_seed(2))
    weight = torch.zeros(1, 1, 6, 8)
    weight[..., :4] = 1
    torch.testing.assert_close(gram(maps, weight), gram(maps[..., :4], None))


def test_several_styles_are_between_each_alone(weights: str) -> None:
    plate, style = pictures()
    maps = VggMaps(load_features(weights, LAYERS))
    other = style.flip(1)
    mixed = StyleLoss(maps, plate, [(style, 0.25), (other, 0.75)])
    first, second = StyleLoss(maps, plate, [(style, 1.0)]), StyleLoss(maps, plate, [(other, 1.0)])
    for name in STYLE_LAYERS:
        expected = 0.25 * first._grams[name] + 0.75 * second._grams[name]
        torch.testing.assert_close(mixed._grams[name], expected)


def test_layers_count_by_their_weights(weights: str) -> None:
    plate, style = pictures()
    maps = VggMaps(load_features(weights, LAYERS))
    x = style[..., :48, :64]

    def value(layers: tuple[float, ...]) -> float:
        return float(StyleLoss(maps, plate, [(style.flip(2), 1.0)], layers=layers)(x))

    alone = [value(tuple(float(index == layer) for index in range(5))) for layer in range(5)]
    rest = value((0.0,) * 5)
    assert all(each > rest for each in alone)
    mixed = rest + sum(weight * (each - rest) for weight, each in zip((0.5, 2, 0, 1, 3), alone, strict=True))
    assert value((0.5, 2.0, 0.0, 1.0, 3.0)) == pytest.approx(mixed, rel=1e-5)


VGG19 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512)
"""Channels of VGG-19's convolutions, 0 for a pool (Simonyan and Zisserman 2015, table 1, column E)."""


@pytest.mark.slow
def test_a_vgg19_by_torchvisions_names_has_the_paintings_layers(tmp_path: Path) -> None:
    """Weights of the real shapes, in a module numbered as torchvision's: relu4_2 is its layer 22, relu5_1 its 29."""
    layers: list[nn.Module] = []
    channels = 3
    generator = torch.Generator().manual_seed(4)
    for count in VGG19:
        if not count:
            layers.append(nn.MaxPool2d(2))
            continue
        made = nn.Conv2d(channels, count, 3, padding=1)
        nn.init.normal_(made.weight, std=(2 / (9 * channels)) ** 0.5, generator=generator)
        layers += [made, nn.ReLU()]
        channels = count
    state = {f"features.{name}": each for name, each in nn.Sequential(*layers).state_dict().items()}
    assert len(state) == 32 and state["features.34.weight"].shape == (512, 512, 3, 3)
    torch.save({**state, "classifier.0.weight": torch.zeros(3)}, tmp_path / "vgg19.pth")
    rgb = torch.rand(1, 3, 32, 40, generator=generator)
    found = VggMaps(load_features(str(tmp_path / "vgg19.pth"), LAYERS))(rgb)
    mean, deviation = (torch.tensor(each).view(1, 3, 1, 1) for each in IMAGENET)
    x, numbers = (rgb - mean) / deviation, {1: "relu1_1", 6: "relu2_1", 11: "relu3_1", 20: "relu4_1", 22: "relu4_2"}
    numbers[29] = "relu5_1"
    with torch.no_grad():
        for number, layer in enumerate(layers):
            x = layer(x)
            if number in numbers:
                torch.testing.assert_close(found[numbers[number]] / 57.4, x, rtol=1e-4, atol=1e-4)
    assert set(found) == set(numbers.values())


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and deviation of RGB, as torchvision's weights were trained with."""


def test_pixels_without_weight_stay(weights: str) -> None:
    plate, style = pictures()
    weight = torch.zeros(1, 1, 48, 64)
    weight[..., 32:] = 1
    loss = StyleLoss(VggMaps(load_features(weights, LAYERS)), plate, [(style, 1.0)], weight)
    x, _ = optimize(loss, plate, 10, weight=weight)
    assert torch.equal(x[..., :32], plate[..., :32])
    assert (x[..., 32:] - plate[..., 32:]).abs().max() > 0.02


def test_the_pyramid_halves_down_to_128_pixels() -> None:
    assert pyramid_sizes(1080, 1920) == [(135, 240), (270, 480), (540, 960), (1080, 1920)]
    assert pyramid_sizes(255, 400) == [(255, 400)]
