"""The networks: how far they really look, what they cost, and the closed-form start."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from torch import nn

from engine.training.job.job import Settings
from engine.training.model.carry import Carried
from engine.training.model.network import Answer, Architecture, Translator, fit_skip
from engine.training.model.texler import GeneratorJ, TexlerDiscriminator
from tests.support.networks import shake

DEFAULT = Architecture(width=Settings().width, blocks=Settings().blocks)


def measured_reach(net: nn.Module, side: int) -> int:
    """The farthest pixel with influence on an output pixel, along rows and columns, over all places in the grid.

    With positive weights and inputs every unit is alive and nothing cancels, so a zero gradient means no path.
    """
    generator = torch.Generator().manual_seed(6)
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.abs() * 0.01 + 1e-3)
    net = net.double().eval()
    farthest = 0
    for phase in range(net.multiple):
        center = side // 2 // net.multiple * net.multiple + phase
        for shape, axis in (((1, 3, 8, side), 3), ((1, 3, side, 8), 2)):
            # An exemplar everywhere: its light, its tone and what its detail proves look around as well.
            x, other = (torch.rand(shape, dtype=torch.float64, generator=generator) + 0.5 for _ in range(2))
            flat = torch.full((1, 6, *shape[2:]), 0.5, dtype=torch.float64)
            carried = torch.cat([flat[:, :3] * x, (x + other) / 2, flat[:, 3:]], 1).requires_grad_()
            x.requires_grad_()
            net(x, *([carried] if net.takes_carried else [])).select(axis, center).sum().backward()
            looked = [x.grad] + ([carried.grad] if net.takes_carried else [])
            gradient = sum(g.abs().sum([d for d in range(4) if d != axis]) for g in looked)
            seen = torch.nonzero(gradient).flatten()
            assert seen[0] > 0 and seen[-1] < side - 1, "the probe is too small to tell"
            farthest = max(farthest, center - int(seen[0]), int(seen[-1]) - center)
    return farthest


@pytest.mark.parametrize("architecture", [Architecture(16, 1), Architecture(16, 3), Architecture(24, 6)])
def test_the_declared_reach_is_an_upper_bound_and_tight(architecture: Architecture) -> None:
    net = shake(Translator(architecture))
    measured = measured_reach(net, 4 * 32)
    assert measured <= net.reach < measured + net.multiple


@pytest.mark.slow
def test_the_published_generator_looks_73_pixels_far() -> None:
    measured = measured_reach(shake(GeneratorJ()), 200)
    assert measured == 73
    assert GeneratorJ.reach == 76


def test_the_published_generator_has_the_published_size() -> None:
    assert sum(p.numel() for p in GeneratorJ().parameters()) == 3_267_523


def test_the_published_discriminator_judges_patches() -> None:
    assert TexlerDiscriminator()(torch.zeros(2, 3, 32, 32)).shape == (2, 1, 6, 6)


def macs_per_pixel(net: nn.Module, side: int = 64) -> float:
    total = 0

    def count(module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in net.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, side, side))
    for hook in hooks:
        hook.remove()
    return total / side**2


def test_the_translator_is_compact() -> None:
    ours, published = Translator(DEFAULT), GeneratorJ()
    assert macs_per_pixel(ours) <= 110_000
    # The published one multiplies more than ten times as often; that is what the speed comes from.
    assert macs_per_pixel(published) >= 10 * macs_per_pixel(ours)
    assert sum(p.numel() for p in ours.parameters()) < 1_000_000


def test_an_unfitted_translator_starts_as_the_identity() -> None:
    torch.manual_seed(0)
    net = Translator(Architecture(16, 1)).eval()
    x = torch.rand(1, 3, 16, 24) * 7 - 2
    with torch.no_grad():
        assert (net(x) - x).abs().max() <= 1e-6


def answers_of(net: Translator, seeds: tuple[int, int]) -> list[Answer]:
    """What a network makes of one plate with two exemplars carried to it."""
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    made = []
    for seed in seeds:
        carried = torch.rand(2, 9, 64, 64, generator=torch.Generator().manual_seed(seed))
        made.append(net.answer(x, Carried.of(carried)))
    return made


@pytest.mark.parametrize("trains", [True, False])
def test_the_plain_translation_knows_nothing_of_what_is_carried(trains: bool) -> None:
    """Not by its norms either, whose means in training are over all crops of a step."""
    net = shake(Translator(Architecture(16, 1))).train(trains)
    first, second = answers_of(net, (2, 3))
    assert torch.equal(first.plain, second.plain)
    assert (first.result - second.result).abs().mean() > 0.05 and first.gate.mean() > 0.05
    # It is the network without an exemplar.
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(first.plain, net(x))


def test_the_plain_translation_and_the_strokes_are_trained_apart() -> None:
    net = shake(Translator(Architecture(16, 1))).train()
    (answer,) = answers_of(net, (2, 2))[:1]
    strokes = {f"strokes.{name}" for name, _ in net.strokes.named_parameters()}
    everything = {name for name, _ in net.named_parameters()}
    for output, reached in ((answer.plain, everything - strokes), (answer.result, strokes)):
        net.zero_grad()
        output.square().sum().backward(retain_graph=True)
        assert {n for n, p in net.named_parameters() if p.grad is not None and p.grad.abs().max() > 0} == reached


MATRIX = torch.tensor([[0.9, 0.2, -0.1], [0.05, 0.7, 0.1], [0.0, 0.3, 0.6]])


def smooth(seed: int, side: int = 96) -> torch.Tensor:
    from tests.support.procedural import noise

    return torch.from_numpy(noise(side, side, seed=seed)).permute(2, 0, 1) * 0.4 + 0.5


def fitted(painting_of: object, weight: torch.Tensor | None = None, spoil: bool = False) -> tuple[Translator, float]:
    torch.manual_seed(0)
    net = Translator(Architecture(16, 1)).eval()
    pairs = []
    for seed in (1, 2):
        plate = smooth(seed)
        painting = painting_of(plate)  # type: ignore[operator]
        covered = torch.ones(1, *plate.shape[1:]) if weight is None else weight
        if spoil:
            painting = torch.where(covered > 0.5, painting, torch.full_like(painting, 1e4))
        pairs.append((plate, painting, covered))
    return net, fit_skip(net, pairs)


def inside(image: torch.Tensor) -> torch.Tensor:
    """Away from the border, where the skip's own zero padding is seen; a look keeps it off the picture."""
    return image[..., 4:-4, 4:-4]


def test_the_start_reproduces_an_identity() -> None:
    net, residual = fitted(lambda plate: plate)
    x = smooth(3)[None]
    with torch.no_grad():
        assert inside(net(x) - x).abs().max() <= 1e-5
    assert residual <= 1e-5


def test_the_start_reproduces_a_color_matrix_on_unseen_plates() -> None:
    def graded(plate: torch.Tensor) -> torch.Tensor:
        return torch.einsum("ij,jhw->ihw", MATRIX, plate) + 0.1

    net, residual = fitted(graded)
    x = smooth(3)
    with torch.no_grad():
        found = net(x[None])[0]
    assert inside(found - graded(x)).abs().mean() <= 1e-3  # a quarter of an 8-bit code
    assert inside(found - graded(x)).abs().max() <= 4e-3
    assert residual <= 1e-3


def test_the_start_reads_nothing_outside_a_partial_matte() -> None:
    weight = torch.zeros(1, 96, 96)
    weight[:, 10:60, 20:77] = 1  # odd edges: a half-resolution pixel that is covered in part must not count
    clean, _ = fitted(lambda plate: 1 - plate, weight)
    spoiled, residual = fitted(lambda plate: 1 - plate, weight, spoil=True)
    assert torch.equal(clean.skip.weight, spoiled.skip.weight)
    assert torch.equal(clean.skip.bias, spoiled.skip.bias)
    assert residual <= 1e-2


def test_the_start_keeps_the_identity_where_almost_nothing_is_painted() -> None:
    weight = torch.zeros(1, 96, 96)
    weight[:, 40:44, 40:44] = 1
    net, residual = fitted(lambda plate: 1 - plate, weight)
    assert np.isnan(residual)
    x = smooth(3)[None]
    with torch.no_grad():
        assert (net(x) - x).abs().max() <= 1e-6
