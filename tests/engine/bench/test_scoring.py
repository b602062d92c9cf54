"""Scores of the benchmark: judgments by numbers, and the self-test by lies."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.base.errors import InputError, PaintoverError
from engine.bench import scoring
from engine.bench.methods import Case
from engine.bench.scenes import Scene
from engine.bench.scoring import find_distance, score, self_test, texture_distance
from engine.review import metrics
from tests.support.bench_shots import FRAMES, shots, small_scene, written_case


@pytest.fixture(scope="module")
def scene() -> Scene:
    return small_scene()


@pytest.fixture(scope="module")
def case(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return written_case(scene, tmp_path_factory.mktemp("cache"))


def test_a_score_is_the_mean_over_frames_and_pairs(case: Case) -> None:
    truths = {frame: np.full((8, 10, 3), 0.5, np.float32) for frame in (1, 2, 5)}
    results = {frame: truths[frame] + np.float32(0.1 * (frame == 2)) for frame in truths}
    mask = np.zeros((8, 10), np.float32)
    mask[:4] = 1
    found = score(results, truths, {frame: mask for frame in truths}, metrics.l1)
    assert found.distance == pytest.approx(0.1 / 3) and found.worst == pytest.approx(0.1)
    assert found.dt == pytest.approx(0.1)  # 2 and 5 are no neighbors
    # Half of the pixels are hidden: their error, over their share, is the error of each.
    assert found.occluded == pytest.approx(0.1 / 3)


def test_nothing_hidden_is_not_scored() -> None:
    truths = {frame: np.full((8, 10, 3), 0.5, np.float32) for frame in FRAMES}
    hidden = {frame: np.zeros((8, 10), np.float32) for frame in FRAMES}
    assert score(truths, truths, hidden, metrics.l1).occluded is None


def test_frames_without_neighbors_are_refused() -> None:
    pictures = {frame: np.zeros((8, 8, 3), np.float32) for frame in (1, 3)}
    with pytest.raises(InputError, match="no two neighbors"):
        score(pictures, pictures, pictures, metrics.l1)


def test_the_self_test_passes_on_a_true_shot(case: Case, scene: Scene) -> None:
    drawn = {frame: scene.painted(frame) for frame in FRAMES}
    self_test(drawn, shots(case, "painted"), shots(case, "plate"), shots(case, "occ"), metrics.structure_distance)


def test_the_self_test_finds_a_blind_distance_and_wrong_truth(case: Case, scene: Scene) -> None:
    drawn = {frame: scene.painted(frame) for frame in FRAMES}
    rest = shots(case, "plate"), shots(case, "occ")
    with pytest.raises(PaintoverError, match=r"self-test failed: distance gives the truth 1\.0000 and blurred"):
        self_test(drawn, shots(case, "painted"), *rest, lambda a, b: 1.0)
    washed = {frame: cv2.GaussianBlur(x, (0, 0), 1.5) for frame, x in shots(case, "painted").items()}
    with pytest.raises(PaintoverError, match="hf gives the truth"):
        self_test(drawn, washed, *rest, metrics.structure_distance)
    late = {frame: scene.painted(frame - 1) for frame in FRAMES}
    with pytest.raises(PaintoverError, match="self-test failed"):
        self_test(late, shots(case, "painted"), *rest, metrics.structure_distance)


def test_without_the_scorer_there_is_a_distance(tmp_path: Path) -> None:
    assert find_distance(tmp_path / "score.py") == ("structure", metrics.structure_distance)
    (tmp_path / "score.py").write_text("raise SystemExit('no models')\n")
    with pytest.raises(PaintoverError, match="the scorer cannot be used: no models"):
        find_distance(tmp_path / "score.py")


@pytest.mark.skipif(not scoring.SCORER.is_file(), reason="needs ../shared/bench/score.py")
def test_the_deep_distance_is_the_scorers(case: Case) -> None:
    torch = pytest.importorskip("torch")
    name, distance = find_distance()
    module = __import__("importlib.util").util
    spec = module.spec_from_file_location("scorer", scoring.SCORER)
    scorer = module.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    a, b = case.read("plate", 3), case.read("painted", 3)
    tensors = [torch.from_numpy(x.transpose(2, 0, 1).copy())[None] for x in (a, b)]
    assert name == "deep"
    for _ in range(2):  # remembered features give the same
        assert distance(a, b) == pytest.approx(scorer.Perceptual().distance(*tensors), rel=1e-5)


def test_texture_has_no_place_and_blur_has_another() -> None:
    rng = np.random.default_rng(0)
    grain = cv2.GaussianBlur(rng.random((64, 64, 3)).astype(np.float32), (0, 0), 1.0)
    everywhere = np.ones((64, 64), bool)
    moved = np.roll(grain, (17, 23), axis=(0, 1))
    assert texture_distance(grain, grain, everywhere) == 0
    # Other strokes of the same kind are the same; softer ones, or other colors, are not.
    assert texture_distance(moved, grain, everywhere) < 0.03
    soft = cv2.GaussianBlur(grain, (0, 0), 1.5)
    assert texture_distance(soft, grain, everywhere) > 0.3
    assert texture_distance(grain + np.float32(0.1), grain, everywhere) > 0.2
    # What lies elsewhere does not count.
    half = everywhere.copy()
    half[:, 32:] = False
    assert texture_distance(np.where(half[..., None], grain, 0), grain, half) < 0.12


def test_hidden_pixels_have_detail_and_texture_of_their_own(case: Case) -> None:
    truths = shots(case, "painted")
    mask = np.zeros((96, 160), np.float32)
    mask[20:60, 20:80] = 1
    hidden = dict.fromkeys(FRAMES, mask)
    soft = {f: np.where(mask[..., None] > 0, cv2.GaussianBlur(x, (0, 0), 2), x) for f, x in truths.items()}
    right = score(truths, truths, hidden, metrics.l1)
    washed = score(soft, truths, hidden, metrics.l1)
    assert right.hidden_hf == pytest.approx(1) and right.hidden_texture == 0
    assert washed.hidden_hf is not None and washed.hidden_hf < 0.5
    assert washed.hidden_texture is not None and washed.hidden_texture > 0.1
