"""Carried exemplars: sampling, merging, the change of light, and the errors that training makes on purpose."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine.color import shaper
from engine.training.model.carry import (
    Carried,
    Exemplar,
    Spoiler,
    blur_between_pixels,
    brightened,
    evidence,
    exposed,
    sample,
    sharpened,
    softened,
    tone,
)
from tests.support.procedural import painting_of, plate


def exemplar(height: int = 64, width: int = 96, seed: int = 0) -> Exemplar:
    scene = plate(height, width, seed=seed)

    def encoded(image: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(shaper.encode(image)).permute(2, 0, 1)

    return Exemplar.of(encoded(painting_of(scene)), torch.ones(1, height, width), encoded(scene))


def maps(height: int, width: int, confidence: float, dx: float = 0.0) -> torch.Tensor:
    u = ((torch.arange(width) + 0.5 + dx) / width).expand(height, width)
    v = (1 - (torch.arange(height) + 0.5) / height)[:, None].expand(height, width)
    return torch.stack([u, v, torch.full((height, width), confidence)])[None]


def test_a_shifted_map_shows_the_shifted_exemplar() -> None:
    key = exemplar()
    got = sample([key], maps(64, 96, 0.6, dx=3))
    assert torch.allclose(got.painting[0, :, :, :-3], key.stack[:3][:, :, 3:], atol=1e-4)
    assert torch.allclose(got.plate[0, :, :, :-3], key.stack[4:][:, :, 3:], atol=1e-4)
    assert torch.allclose(got.share, torch.tensor(0.6))


def test_the_surer_of_two_exemplars_wins_without_a_ghost() -> None:
    first, second = exemplar(seed=1), exemplar(seed=2)
    got = sample([first, second], torch.cat([maps(64, 96, 0.9), maps(64, 96, 0.6)], 1))
    apart = (first.stack[:3] - second.stack[:3]).abs().mean()
    assert (got.painting[0] - first.stack[:3]).abs().mean() < 0.01 * apart
    assert got.share.mean() == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("stops", [-1.0, -0.3, 0.5, 1.0])
def test_a_change_of_exposure_is_followed(stops: float) -> None:
    key = exemplar()
    scene = shaper.decode(key.stack[4:].permute(1, 2, 0).numpy())
    painting = shaper.decode(key.stack[:3].permute(1, 2, 0).numpy())
    there = Carried(key.stack[:3][None], key.stack[4:][None], torch.ones(1, 1, 64, 96), torch.zeros(1, 2, 64, 96))
    here = torch.from_numpy(shaper.encode(scene * 2**stops)).permute(2, 0, 1)[None]
    found = exposed(here, there)[0]
    wanted = torch.from_numpy(shaper.encode(painting * 2**stops)).permute(2, 0, 1)
    before = float((key.stack[:3] - wanted).abs().mean())
    # The floor that steadies dark areas and the toe of the curve cost a little.
    assert float((found - wanted).abs().mean()) < 0.15 * before


def test_without_a_share_the_light_is_not_followed() -> None:
    key = exemplar()
    there = Carried(key.stack[:3][None], key.stack[4:][None], torch.zeros(1, 1, 64, 96), torch.zeros(1, 2, 64, 96))
    assert torch.allclose(exposed(key.stack[4:][None] * 0.5, there)[0], key.stack[:3], atol=1e-5)


def test_brightening_is_a_gain_of_light() -> None:
    linear = np.array([[[0.02, 0.18, 0.45]]], np.float32)
    found = brightened(torch.from_numpy(shaper.encode(linear)), 2 ** (1 / shaper.GAMMA)).numpy()
    np.testing.assert_allclose(shaper.decode(found), linear * 2, rtol=0.08)


def test_spoiled_exemplars_are_near_wrong_or_missing() -> None:
    key = exemplar(192, 192)
    spoiler = Spoiler(np.random.default_rng(0))
    crops = torch.stack([spoiler.crop(key, 16, 16, 128, 128)[0] for _ in range(60)])
    share = crops[:, 6]
    assert share.min() >= 0 and share.max() <= 1
    empty = (share.amax((1, 2)) == 0).float().mean()
    assert 0.3 < empty < 0.6, "some crops are the plain translator's"
    trusted = share > 0.8
    error = (crops[:, :3] - key.stack[:3][None, :, 16:144, 16:144]).abs().mean(1)
    assert 0.2 < trusted.float().mean() < 0.6
    apart = (key.stack[:3][:, 16:144, 16:144] - key.stack[:3][:, 16:144, 16:144].flip(2)).abs().mean()
    assert 0.0 < error[trusted].mean() < 0.5 * apart, "near, but never a copy"
    assert (error[trusted] > apart).any(), "sometimes wrong at full confidence"


def test_the_same_seed_spoils_alike() -> None:
    key = exemplar(96, 96)
    first, second = (Spoiler(np.random.default_rng(5)) for _ in range(2))
    for _ in range(5):
        assert torch.equal(first.crop(key, 0, 8, 64, 64)[0], second.crop(key, 0, 8, 64, 64)[0])


def test_what_to_make_of_a_spoiled_crop_is_the_painting_displaced_by_a_pixel_at_most() -> None:
    key = exemplar(192, 192)
    spoiler = Spoiler(np.random.default_rng(1))
    whole, right = key.stack[:3], key.stack[:3, 16:144, 16:144]
    seen = [wanted for _, wanted in (spoiler.crop(key, 16, 16, 128, 128) for _ in range(40))]
    assert any(wanted is None for wanted in seen), "plain crops are judged by the painting itself"
    for wanted in seen:
        if wanted is None:
            continue
        reach = range(-2, 3)
        near = torch.stack([whole[:, 16 + y : 144 + y, 16 + x : 144 + x] for y in reach for x in reach])
        low, high = near.amin(0), near.amax(0)
        slack = 0.25 * (high - low) + 1e-3  # cubic sampling overshoots
        assert ((wanted[:3] > low - slack) & (wanted[:3] < high + slack)).float().mean() > 0.999
    assert any(wanted is not None and (wanted[:3] - right).abs().mean() > 1e-3 for wanted in seen)


def test_the_target_is_displaced_only_where_the_right_thing_is_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    key = exemplar(192, 192)
    hole = np.zeros((128, 128), np.float32)
    hole[:, 64:] = 1
    monkeypatch.setattr(Spoiler, "_holes", lambda self, rows, columns: hole)
    monkeypatch.setattr(Spoiler, "PLAIN", 0.0)
    spoiler = Spoiler(np.random.default_rng(2))
    right = key.stack[:3, 16:144, 16:144]
    off = torch.stack([(spoiler.crop(key, 16, 16, 128, 128)[1][:3] - right).abs().mean(0) for _ in range(12)]).mean(0)
    # Three deviations of the blur behind the hole's edge there is nothing left of it.
    assert off[:, 76:].max() < 1e-4
    assert off[:, :52].mean() > 5e-3
    assert off[:, 52:64].mean() < off[:, :52].mean()


def finely(height: int, width: int, seed: int) -> torch.Tensor:
    """(1, 3, H, W) with detail of a pixel everywhere."""
    grain = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))
    return 0.3 + 0.2 * grain


def proof(plate: torch.Tensor, carried: torch.Tensor) -> torch.Tensor:
    return evidence(plate, carried)[0]


def test_detail_that_two_plates_share_proves_the_place_under_any_light() -> None:
    scene = finely(64, 96, 1)
    # Up to the border, where there is less of a neighborhood.
    assert proof(scene, scene).min() == 1
    assert proof(0.6 * scene + 0.1, scene).min() == 1
    assert proof(scene, finely(64, 96, 2)).max() < 0.2, "chance"
    assert proof(scene, scene.roll(3, 3)).max() < 0.2
    assert proof(torch.full_like(scene, 0.4), scene).max() == 0, "where there is no detail there is no proof"


def test_two_plates_are_as_sharp_as_the_one_that_is_less() -> None:
    scene, other = finely(64, 96, 1), finely(64, 96, 2)
    for first, second, wanted in ((0.5, 0.02, 0.0), (0.02, 0.5, 0.0), (0.5, 0.5, 1.0), (0.0, 0.5, 0.0)):
        sharp = evidence(0.3 + first * (scene - 0.3), 0.3 + second * (other - 0.3))[1]
        assert (sharp.min(), sharp.max()) == (wanted, wanted)
    # On the keyframe itself: down to three quarters of a code.
    same = 0.3 + (0.75 / 255) / 0.031 * (scene - 0.3)
    assert evidence(same, same)[1].min() > 0.8 and evidence(same, other)[1].max() == 0
    # 0.2 / sqrt(12) in each of three channels, of whose mean a ninth is taken away; 1.3 codes are half way.
    deviation = 0.2 / np.sqrt(12 * 3) * np.sqrt(8 / 9)
    half = 0.3 + (1.3 / 255) / deviation * (scene - 0.3)
    assert evidence(half, other)[1].mean() == pytest.approx(0.5, abs=0.05)


def test_a_plate_out_of_focus_in_one_half_is_sharp_in_the_other() -> None:
    scene = finely(64, 160, 1)
    sharp = evidence(torch.cat([scene[..., :80], torch.full_like(scene[..., 80:], 0.4)], 3), scene)[1][0, 0]
    assert sharp[:, :60].min() == 1 and sharp[:, 104:].max() == 0


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize(("dx", "left"), [(0.5, 0.45), (-0.4, 0.5), (0.25, 0.85)])
def test_a_sample_between_pixels_gets_back_what_the_filter_lost(dx: float, left: float, axis: int) -> None:
    """Waves near the finest, of which a cubic filter loses a third, and slow ones, which it overshoots a little."""
    size, places = 96, torch.arange(96) + 0.5
    for wave, loses in ((2.7, 0.25), (3.0, 0.16), (8.0, 0.024)):
        frequency = 2 * torch.pi / wave

        def image(offset: float, frequency: float = frequency) -> torch.Tensor:
            line = 0.5 + 0.3 * torch.cos(frequency * (places + offset))
            return line.expand(1, 3, size, size) if axis == 3 else line[:, None].expand(1, 3, size, size)

        key = Exemplar.of(image(0)[0], torch.ones(1, size, size), image(0)[0])
        u, v = torch.meshgrid(places / size, 1 - places / size, indexing="xy")
        if axis == 3:
            u = u + dx / size
        else:
            v = v - dx / size
        got = sample([key], torch.stack([u, v, torch.ones_like(u)])[None])
        inner = np.s_[:, :, 8:-8, 8:-8]
        wanted = image(dx)[inner]
        size_of_wave = (wanted - 0.5).abs().mean()
        lost = (got.painting[inner] - wanted).abs().mean() / size_of_wave
        after = (sharpened(got)[inner] - wanted).abs().mean() / size_of_wave
        assert lost > loses
        assert after < (left if wave < 4 else 0.95) * lost


def test_on_pixels_nothing_is_sharpened_and_half_way_all_is() -> None:
    assert blur_between_pixels(torch.tensor([0.5, 1.5, 40.5])).abs().max() < 1e-6
    assert torch.equal(blur_between_pixels(torch.tensor([1.0, 17.0])), torch.ones(2))
    key = exemplar()
    got = sample([key], maps(64, 96, 1.0, dx=3))
    assert torch.allclose(sharpened(got), got.painting, atol=1e-6)
    flat = torch.full((1, 3, 9, 7), 0.7)
    halfway = Carried(flat, flat, torch.ones(1, 1, 9, 7), torch.ones(1, 2, 9, 7))
    assert torch.allclose(sharpened(halfway), flat, atol=1e-6), "no border shows"


@pytest.mark.parametrize(("dx", "dy"), [(0.5, 0.0), (0.25, 0.5), (0.0, 0.75)])
@pytest.mark.parametrize("sharp", [0.0, 1.0])
def test_nothing_from_beyond_a_mattes_edge_is_filtered_in(dx: float, dy: float, sharp: float) -> None:
    """A painting of one color with a hard edge: beyond it the division by the coverage makes up colors."""
    coverage = torch.zeros(1, 48, 64)
    coverage[:, 12:36, 16:48] = 1
    flat = torch.full((3, 48, 64), 0.6)
    places = maps(48, 64, 1.0, dx=dx)
    places[:, 1] -= dy / 48
    got = sample([Exemplar.of(flat, coverage, flat)], places)
    shown = softened(sharpened(got), got.share, torch.full((1, 1, 48, 64), sharp))
    wrong = (shown - 0.6).abs() * got.share
    assert got.share.max() == 1 and wrong.max() < 2e-3


def test_a_hole_in_the_track_lends_no_color_to_its_surroundings() -> None:
    painting, share = torch.full((1, 3, 32, 48), 0.3), torch.ones(1, 1, 32, 48)
    painting[..., 24:], share[..., 24:] = 0.9, 0
    got = Carried(painting, painting, share, torch.ones(1, 2, 32, 48))
    for found in (sharpened(got), softened(painting, share, torch.zeros(1, 1, 32, 48))):
        assert torch.allclose(found[..., :24], painting[..., :24], atol=1e-6)


def test_proof_is_of_the_place() -> None:
    scene, other = finely(64, 160, 1), finely(64, 160, 2)
    found = proof(scene, torch.cat([scene[..., :80], other[..., 80:]], 3))[0, 0]
    # The cells at the seam are half way; a cell and a half of the interpolation and one of the filter around it.
    assert found[:, :60].min() == 1 and found[:, 100:].max() == 0
    assert ((found > 0.05) & (found < 0.95)).any()
    assert (found.diff(dim=1) <= 1e-6).all()


def test_a_proof_looks_twenty_pixels_far() -> None:
    scene = finely(96, 96, 1)
    half = (scene + 2 * finely(96, 96, 2)).requires_grad_()
    center = proof(scene, half)[0, 0, 44:52, 44:52]
    assert 0 < center.min() and center.max() < 1, "nothing is held at its limits, where no change would show"
    center.sum().backward()
    rows, columns = torch.nonzero(half.grad.abs().sum((0, 1)), as_tuple=True)
    for seen in (rows, columns):
        assert 20 <= max(51 - int(seen.min()), int(seen.max()) - 44) <= 20 + 7


def test_strokes_are_softened_as_far_as_the_plate_is_not_sharp() -> None:
    dot = torch.zeros(1, 3, 8, 8)
    dot[..., 4, 4] = 1
    sure = torch.ones(1, 1, 8, 8)
    assert torch.equal(softened(dot, sure, torch.ones(1, 1, 8, 8)), dot)
    soft = softened(dot, sure, torch.zeros(1, 1, 8, 8))
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    assert torch.allclose(soft[0, 1, 2:7, 2:7], torch.outer(line, line), atol=1e-6)
    assert torch.allclose(softened(dot, sure, torch.full((1, 1, 8, 8), 0.25)), soft + 0.25 * (dot - soft), atol=1e-6)
    flat = torch.full((1, 3, 5, 7), 0.7)
    nowhere = torch.zeros(1, 1, 5, 7)
    assert torch.allclose(softened(flat, 1 - nowhere, nowhere), flat, atol=1e-6), "no border shows"


def test_the_tone_of_paint_reaches_beyond_its_end_and_fades() -> None:
    share = torch.zeros(1, 1, 64, 192)
    share[..., :96] = 1
    plain, painted = torch.zeros(1, 3, 64, 192), torch.full((1, 3, 64, 192), 0.25)
    found = tone(plain, painted, share)[0, 0, 32]
    assert torch.allclose(found[40:80], torch.tensor(0.25), atol=0.01)
    assert found[100] > 0.2, "no seam where the paint ends"
    assert (found[40:].diff() <= 1e-6).all() and found[136:].abs().max() < 1e-6
    assert not tone(plain, painted, torch.zeros_like(share)).any()
