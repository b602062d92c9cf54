"""Losses and guards; above all that nothing outside the matte ever has a say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine.training.machine import Machine
from engine.training.model.losses import (
    Discriminator,
    WashoutGuard,
    feature_matching,
    grid_pattern,
    masked_l1,
    texture_energy,
)
from engine.training.recipes import PaintoverRecipe
from tests.support.pairs import make_pair
from tests.support.procedural import TINY

FLOAT32 = Machine(torch.device("cpu"), torch.float32)


def test_masked_l1_is_a_weighted_mean() -> None:
    result = torch.zeros(1, 3, 2, 2)
    target = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    weight = torch.tensor([1.0, 0.5, 0.0, 0.5]).view(1, 1, 2, 2)
    assert masked_l1(result, target, weight) == pytest.approx((1 + 1 + 2) / 2)
    assert masked_l1(result, target, torch.zeros_like(weight)) == 0.0


def matte(height: int = 72, width: int = 96) -> np.ndarray:
    """Half painted, with a soft edge."""
    ramp = np.clip((np.arange(width, dtype=np.float32) - 40) / 8, 0, 1)
    return np.broadcast_to(ramp, (height, width)).copy()


@pytest.fixture(scope="module")
def recipe() -> PaintoverRecipe:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    made = PaintoverRecipe([make_pair(72, 96, matte())], replace(TINY, batch=4), FLOAT32, rng)
    for _ in range(3):
        made.step(0.1)
    return made


def test_no_gradient_reaches_an_unpainted_pixel(recipe: PaintoverRecipe) -> None:
    batch = recipe.sampler.next()
    outside = (batch.weight == 0).expand_as(batch.painting)
    assert outside.any() and not outside.all()
    painting = batch.painting.clone().requires_grad_(True)
    batch = replace(batch, painting=painting)
    result = recipe.net(batch.plate).detach().requires_grad_(True)
    shown, wanted = recipe._judged(batch, result)
    losses = recipe._generator_losses(batch, result, shown, wanted)
    assert set(losses) >= {"l1", "matching", "adversarial"}
    for loss in losses.values():
        (gradient,) = torch.autograd.grad(loss, result, retain_graph=True)
        assert (gradient[outside] == 0).all()
        assert gradient.abs().max() > 0
    (gradient,) = torch.autograd.grad(losses["l1"], painting, retain_graph=True)
    assert (gradient[outside] == 0).all() and gradient.abs().max() > 0


def test_the_discriminator_learns_nothing_from_unpainted_pixels(recipe: PaintoverRecipe) -> None:
    batch = recipe.sampler.next()
    painting = batch.painting.clone().requires_grad_(True)
    _, wanted = recipe._judged(replace(batch, painting=painting), batch.plate)
    recipe._train_discriminator(torch.zeros_like(wanted), wanted)
    outside = (batch.weight == 0).expand_as(painting)
    assert (painting.grad[outside] == 0).all() and painting.grad.abs().max() > 0


def test_garbage_outside_the_matte_changes_no_loss(recipe: PaintoverRecipe) -> None:
    batch = recipe.sampler.next()
    garbage = torch.where(batch.weight > 0, batch.painting, torch.full_like(batch.painting, 1e6))
    result = recipe.net(batch.plate).detach()
    values = []
    for painting in (batch.painting, garbage):
        given = replace(batch, painting=painting)
        losses = recipe._generator_losses(given, result, *recipe._judged(given, result))
        values.append({name: float(loss) for name, loss in losses.items()})
    assert values[0] == values[1]


def test_the_discriminators_outputs_have_the_promised_shapes() -> None:
    verdict, features = Discriminator(3, 8)(torch.rand(2, 3, 112, 112))
    assert verdict.shape == (2, 1, 26, 26)
    assert [f.shape[1] for f in features] == [8, 16, 32]


def test_feature_matching_averages_over_maps() -> None:
    a, b = [torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 2, 2)], [torch.ones(1, 2, 4, 4), torch.full((1, 1, 2, 2), 3.0)]
    assert feature_matching(a, b) == pytest.approx((1 + 3) / 2)
    with pytest.raises(ValueError):
        feature_matching(a, b[:1])


def test_texture_energy_is_the_laplacians_rms() -> None:
    image = torch.zeros(1, 3, 9, 9)
    image[:, :, 4, 4] = 1.0
    # One -4 and four 1 among the 7x7 pixels with a whole neighborhood.
    assert texture_energy(image) == pytest.approx((20 / 49) ** 0.5, rel=1e-6)
    assert texture_energy(2 * image) == pytest.approx(2 * (20 / 49) ** 0.5, rel=1e-6)
    assert texture_energy(torch.rand(1, 3, 1, 1).expand(1, 3, 9, 9)) == pytest.approx(0, abs=1e-5)


def test_texture_energy_counts_only_where_the_neighborhood_is_painted() -> None:
    image = torch.zeros(1, 3, 20, 20)
    image[..., 10:] = torch.rand(1, 3, 20, 10, generator=torch.Generator().manual_seed(0))
    weight = torch.zeros(1, 1, 20, 20)
    weight[..., :9] = 1
    assert texture_energy(image, weight) == 0.0
    weight[..., 10:] = 1
    assert texture_energy(image, weight) > 0.1


@pytest.mark.parametrize("size", [(1, 1), (17, 2), (2, 40)])
def test_an_image_too_small_for_texture_has_none(size: tuple[int, int]) -> None:
    assert texture_energy(torch.rand(1, 3, *size)) == 0.0
    assert texture_energy(torch.rand(1, 3, *size), torch.ones(1, 1, *size)) == 0.0


def observe(guard: WashoutGuard, *ratios: float) -> list[bool]:
    return [guard.observe(ratio) for ratio in ratios]


def test_the_guard_stops_after_three_fading_looks_in_a_row() -> None:
    guard = WashoutGuard()
    assert observe(guard, 0.8, 0.66, 0.66) == [True, False, False]
    assert not guard.stop
    assert observe(guard, 0.66) == [False]
    assert guard.stop


def test_one_good_look_forgives() -> None:
    guard = WashoutGuard()
    assert observe(guard, 0.8, 0.6, 0.6, 0.7, 0.6, 0.6) == [True, False, False, True, False, False]
    assert not guard.stop


def test_a_fall_within_the_tolerance_or_from_surplus_is_no_fading() -> None:
    guard = WashoutGuard()
    # Surplus counts as 0.85; 15% less is 0.7225.
    assert observe(guard, 2.0, 1.0, 0.9, 0.73) == [True] * 4
    assert observe(guard, 0.72) == [False]


def test_a_creeping_fall_is_measured_from_the_best() -> None:
    guard = WashoutGuard()
    assert observe(guard, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6) == [True, True, True, False, False, False]
    assert guard.stop


def test_a_pattern_on_the_networks_grid_is_penalized_and_an_even_residual_is_not() -> None:
    target, weight = torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    assert grid_pattern(target + 0.3, target, weight) == pytest.approx(0, abs=1e-6)
    screen = torch.zeros(4, 4)
    screen[1, 2] = 1.6
    dotted = target + screen.repeat(8, 8)
    # One phase of 16 is 1.6 high: deviations of 1.5 once and 0.1 fifteen times.
    assert grid_pattern(dotted, target, weight) == pytest.approx((1.5 + 15 * 0.1) / 16, abs=1e-5)
    assert grid_pattern(dotted, target, torch.zeros_like(weight)) == 0.0
