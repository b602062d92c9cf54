"""Losses of style looks: known changes, known motion, style images in pieces, and what leaves the range."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine.optimize.feedforward import losses
from engine.optimize.feedforward.losses import LAYERS, STYLES, PerceptualLoss, beyond_range, temporal_loss
from engine.optimize.gatys import VggMaps, gram
from engine.training.model.features import load_features
from tests.support.vgg_weights import tiny_vgg

CODES_10 = (10 / 255) ** 2


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> VggMaps:
    return VggMaps(load_features(str(tiny_vgg(tmp_path_factory.mktemp("vgg") / "vgg.safetensors")), LAYERS))


def noise(seed: int, height: int = 32, width: int = 40) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def test_a_result_that_moves_with_the_plate_is_steady() -> None:
    wide = noise(1, width=50)
    earlier, later = wide[..., 3:43], wide[..., :40]  # what was at x is at x + 3
    flow = torch.zeros(1, 2, 32, 40)
    flow[:, 0] = 3
    trust = torch.ones(1, 1, 32, 40)
    assert float(temporal_loss(earlier, later, flow, trust)) < 1e-6
    still = float(temporal_loss(earlier, later, torch.zeros_like(flow), trust))
    assert still == pytest.approx(float((earlier - later).square().mean()), rel=1e-5)
    brighter = float(temporal_loss(earlier, later + 10 / 255, flow, trust))
    assert brighter == pytest.approx(CODES_10, rel=1e-4)


def test_flicker_counts_where_the_flow_is_trusted_and_inside() -> None:
    earlier, later = torch.zeros(1, 3, 32, 40), torch.zeros(1, 3, 32, 40)
    later[..., :20] = 10 / 255
    flow, trust = torch.zeros(1, 2, 32, 40), torch.ones(1, 1, 32, 40)
    assert float(temporal_loss(earlier, later, flow, trust)) == pytest.approx(CODES_10 / 2, rel=1e-4)
    trust[..., :20] = 0
    assert float(temporal_loss(earlier, later, flow, trust)) == 0
    flow[:, 0] = -25  # only what is right of column 25 stays inside, and lands where it flickers
    assert float(temporal_loss(earlier, later, flow, trust)) == pytest.approx(CODES_10, rel=1e-4)


def test_a_style_image_is_the_mean_of_its_pieces(maps: VggMaps, monkeypatch: pytest.MonkeyPatch) -> None:
    style = noise(2, 48, 96)
    whole = PerceptualLoss(maps, [(style, 1.0)]).grams
    assert torch.equal(whole["relu3_3"], gram(maps(style)["relu3_3"], None))
    monkeypatch.setattr(losses, "_TILE_PX", 48)
    pieces = PerceptualLoss(maps, [(style, 1.0)]).grams
    halves = [gram(maps(style[..., columns])["relu3_3"], None) for columns in (slice(0, 48), slice(48, 96))]
    assert torch.allclose(pieces["relu3_3"], (halves[0] + halves[1]) / 2)
    for name in STYLES:
        assert float((pieces[name] - whole[name]).norm() / whole[name].norm()) < 0.2


def test_the_plate_has_its_own_content_and_the_style_image_its_own_style(maps: VggMaps) -> None:
    plate, style = noise(3), noise(4).round()
    loss = PerceptualLoss(maps, [(style, 1.0)], strength=2.0)
    same, other = loss(plate, plate), loss(style, plate)
    assert float(same["content"]) == 0 < float(other["content"])
    assert float(other["style"]) < 1e-6 * float(same["style"])
    assert float(same["style"]) == pytest.approx(
        2 * float(PerceptualLoss(maps, [(style, 1.0)])(plate, plate)["style"]), rel=1e-6
    )


def test_several_style_images_count_by_weight(maps: VggMaps) -> None:
    one, two = noise(5), noise(6).round()
    both = PerceptualLoss(maps, [(one, 0.25), (two, 0.75)]).grams["relu2_2"]
    alone = [PerceptualLoss(maps, [(each, 1.0)]).grams["relu2_2"] for each in (one, two)]
    assert torch.allclose(both, 0.25 * alone[0] + 0.75 * alone[1], rtol=1e-5)


def test_only_lightness_counts_where_it_is_asked_for(maps: VggMaps) -> None:
    plate = noise(7)
    light = torch.tensor([0.5, 0.25, 0.25]).view(1, 3, 1, 1)
    loss = PerceptualLoss(maps, [(noise(8), 1.0)], light=light)
    turned = plate + torch.tensor([0.1, -0.2, 0.0]).view(1, 3, 1, 1)  # of the same lightness
    assert float(loss(turned, plate)["content"]) < 1e-6
    assert float(loss(plate + 0.1, plate)["content"]) > 1e-3


def test_what_a_display_clips_is_counted() -> None:
    plate = torch.full((1, 3, 4, 4), 0.5)
    plate[..., 2:, :] = 1.4  # a highlight
    result = plate.clone()
    assert float(beyond_range(result, plate)) == 0
    result[..., :2, :] = -10 / 255
    assert float(beyond_range(result, plate)) == pytest.approx(CODES_10 / 2, rel=1e-4)
    white = torch.ones(1, 3, 4, 4)
    assert float(beyond_range(white + 10 / 255, white)) == pytest.approx(CODES_10, rel=1e-3)
