"""The recipe of style looks: when its norms fold, what a step is limited to, and what its losses are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine.base.frames import FrameRange, SequencePath
from engine.color.config import ColorConfig
from engine.optimize.feedforward import recipe as module
from engine.optimize.feedforward.frames import ShotFrames, load_frames
from engine.optimize.feedforward.losses import LAYERS, temporal_loss
from engine.optimize.feedforward.recipe import FOLDED_FROM, LARGEST_GRADIENT, StyleRecipe
from engine.optimize.gatys import VggMaps
from engine.shot.plate import PlateReader
from engine.training.machine import Machine
from engine.training.model.features import load_features
from tests.support.pictures import noise
from tests.support.style_shots import HEIGHT, WIDTH, style_shot


def loaded(folder: Path) -> tuple[ShotFrames, VggMaps]:
    config = ColorConfig.active(None)
    reader = PlateReader(SequencePath.parse(str(folder / "plate.%d.png")), None, config)
    frames = load_frames(reader, FrameRange.parse("0-2"), config)
    return frames, VggMaps(load_features(str(folder / "vgg.safetensors"), LAYERS))


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> tuple[ShotFrames, VggMaps]:
    return loaded(style_shot(tmp_path_factory.mktemp("shot")))


def made(shot: tuple[ShotFrames, VggMaps], monkeypatch: pytest.MonkeyPatch, **options: object) -> StyleRecipe:
    monkeypatch.setattr(module, "BLOCKS", 1)
    torch.manual_seed(0)
    machine = Machine(torch.device("cpu"), torch.float32)
    styles = [(noise(40, 48, 3, seed=1), 1.0)]
    return StyleRecipe(shot[0], styles, shot[1], machine, np.random.default_rng(0), **options)  # type: ignore[arg-type]


def statistics(recipe: StyleRecipe) -> torch.Tensor:
    return recipe.net.stem.norm.running_mean.clone()


def test_norms_fold_and_stay(shot: tuple[ShotFrames, VggMaps], monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = made(shot, monkeypatch)
    before = statistics(recipe)
    recipe.step(0.0)
    moved = statistics(recipe)
    assert not torch.equal(moved, before)
    recipe.step(FOLDED_FROM)
    folded = statistics(recipe)
    assert not torch.equal(folded, moved), "set anew by what the network sees now"
    recipe.step(FOLDED_FROM + 0.1)
    assert torch.equal(statistics(recipe), folded)
    assert not recipe.net.training and not recipe.result().training
    assert recipe.sampler_state() == {"steps": 3, "folded": True}
    other = made(shot, monkeypatch)
    other.restore_sampler(recipe.sampler_state())
    other.step(FOLDED_FROM + 0.2)
    assert torch.equal(statistics(other), before), "a resumed training folds no second time"


def test_steadiness_of_nothing_is_no_loss(shot: tuple[ShotFrames, VggMaps], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "temporal" in made(shot, monkeypatch).step(0.0)
    assert "temporal" not in made(shot, monkeypatch, steadiness=0.0).step(0.0)
    once, twice = (made(shot, monkeypatch, steadiness=factor).step(0.0)["temporal"] for factor in (1.0, 2.0))
    assert float(twice) == pytest.approx(2 * float(once), rel=1e-5)


def test_a_crop_far_from_the_style_moves_no_farther(
    shot: tuple[ShotFrames, VggMaps], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = made(shot, monkeypatch, strength=1e4)
    recipe.step(0.0)
    square = sum(float(each.grad.square().sum()) for each in recipe.net.parameters() if each.grad is not None)
    assert square**0.5 == pytest.approx(LARGEST_GRADIENT, rel=1e-3)


def test_style_images_are_scaled_to_the_frame(
    shot: tuple[ShotFrames, VggMaps], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = made(shot, monkeypatch)
    assert recipe._scaled(noise(40, 80, 3), 2.0).shape == (1, 3, WIDTH, 2 * WIDTH)
    assert recipe._scaled(noise(80, 40, 3), 1.0).shape == (1, 3, WIDTH, 32), "no side below what the features need"
    assert HEIGHT < WIDTH


@pytest.mark.slow
def test_steadiness_shows_on_frames_that_were_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    height, width = 64, 88
    frames, maps = loaded(style_shot(tmp_path, height=height, width=width))
    monkeypatch.setattr(module, "CROP_PX", 48)
    first = ShotFrames({f: frames.plates[f] for f in (0, 1)}, frames.pairs[:1], frames.size, {}, frames.plate_space)
    inside = (slice(None), slice(8, 8 + height), slice(8, 8 + width))
    flow, trust = (each[inside][None].float() for each in (frames.pairs[1].flow, frames.pairs[1].trust))
    changes = {}
    for steadiness in (0.0, 5.0):
        recipe = made((first, maps), monkeypatch, steadiness=steadiness)
        for step in range(30):
            recipe.step(step / 30)
        with torch.no_grad():
            plates = [torch.from_numpy(frames.encoded(f)).permute(2, 0, 1)[None] for f in (1, 2)]
            earlier, later = (recipe.result()(plate) for plate in plates)
        changes[steadiness] = float(temporal_loss(earlier, later, flow, trust))
    assert changes[5.0] < 0.7 * changes[0.0], changes
