"""Coverage: what a painting carries in shots whose answer is known, and the frames that are chosen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio
import pytest

from engine.base.errors import ImageError, InputError, Interrupted
from engine.motion.flow import one_thread
from engine.motion.stmap import flow_to_stmap, sidecar_path, write_sidecar
from engine.review.coverage import sidecar_maps, suggest
from engine.review.painted import painted_confidence
from engine.review.steadiness import plate_step, temporal_error

SIZE = (90, 160)


def texture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A cloudy picture with detail at several scales, (H, W) uint8, full contrast."""
    rng = np.random.default_rng(seed)
    layers = sum(
        sigma * cv2.GaussianBlur(rng.standard_normal(size).astype(np.float32), (0, 0), sigma) for sigma in (1.5, 4, 10)
    )
    return cv2.normalize(layers, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def sliding(seed: int, count: int, step_px: int) -> list[np.ndarray]:
    """A camera that moves along a wide picture."""
    wide = texture(seed, (SIZE[0], SIZE[1] + count * step_px))
    return [wide[:, index * step_px : index * step_px + SIZE[1]].copy() for index in range(count)]


# Choosing


def test_a_static_shot_is_carried_wholly_by_one_painting() -> None:
    plan = suggest(range(1001, 1010), [texture(1)] * 9)
    assert [one.frame for one in plan.chosen] == [1005]
    assert (plan.chosen[0].alone, plan.total, plan.next_gain) == (1.0, 1.0, 0.0)
    assert plan.curve == (1.0,) * 9


def test_a_cut_demands_a_painting_on_each_side() -> None:
    plan = suggest(range(12), [texture(1)] * 5 + [texture(2)] * 7, count=4)
    first, second = plan.chosen
    assert len(plan.chosen) == 2 and first.frame >= 5 > second.frame
    assert first.alone == pytest.approx(7 / 12, abs=0.005) and second.gain == pytest.approx(5 / 12, abs=0.005)
    assert first.curve[:5] == (0.0,) * 5 and second.curve[5:] == (0.0,) * 7
    assert plan.total > 0.99


def test_greedy_takes_the_two_frames_that_cover_a_shot() -> None:
    """Two scenes of which each slides by: its middle frame reaches both ends best."""
    plan = suggest(range(22), sliding(3, 11, 6) + sliding(4, 11, 6), count=2)
    assert [one.frame in range(3, 8) or one.frame in range(14, 19) for one in plan.chosen] == [True, True]
    assert {one.frame < 11 for one in plan.chosen} == {True, False}
    # A frame five steps away still shows 1 - 30/160 of it, and drift takes a little more.
    assert plan.total == pytest.approx(1 - 16.4 / 160, abs=0.06)
    assert plan.chosen[0].gain >= plan.chosen[1].gain - 1e-3


def test_what_leaves_the_frame_is_not_carried() -> None:
    plan = suggest(range(6), sliding(5, 6, 8), count=1, painted={0: None}, least_gain=0.5)
    # After n steps of 8 pixels the rightmost 8n of 160 columns are new, and each step costs 1 % for drift.
    for index, share in enumerate(plan.painted[0].curve):
        assert share == pytest.approx((1 - 8 * index / 160) * 0.99**index, abs=0.03)
    assert plan.carried[5][:, -16:].max() < 60 and plan.carried[5][5:-5, 8:40].min() > 200


def test_painted_frames_count_and_the_others_fill_the_gap() -> None:
    shot = [texture(1)] * 5 + [texture(2)] * 7
    plan = suggest(range(12), shot, painted={2: None})
    assert [one.frame for one in plan.painted] == [2] and plan.painted[0].gain == pytest.approx(5 / 12, abs=0.005)
    assert len(plan.chosen) == 1 and plan.chosen[0].frame >= 5
    done = suggest(range(12), shot, painted={2: None, 8: None})
    assert done.chosen == () and done.next_gain < 0.02 and done.total > 0.99


def test_maps_that_are_given_are_believed() -> None:
    maps = np.zeros((9, 45, 80), np.uint8)
    maps[:, :, :40] = 255
    plan = suggest(range(9), [texture(1)] * 9, painted={4: maps})
    assert plan.painted[0].alone == pytest.approx(0.5, abs=1e-3)
    assert len(plan.chosen) == 1 and plan.chosen[0].gain == pytest.approx(0.5, abs=1e-3)


def test_a_change_of_exposure_is_followed() -> None:
    base = texture(6).astype(np.float32) * 0.6 + 20
    shot = [np.clip(base + 4 * index, 0, 255).astype(np.uint8) for index in range(9)]
    assert suggest(range(9), shot, count=1).total > 0.97


def test_long_shots_are_searched_coarsely_then_refined() -> None:
    """90 frames, so every third is a candidate at first; the cut lies between two of them."""
    plan = suggest(range(90), [texture(1, (36, 64))] * 31 + [texture(2, (36, 64))] * 59)
    assert len(plan.chosen) == 2 and plan.total > 0.99
    assert plan.chosen[0].frame > 30 >= plan.chosen[1].frame


def test_a_count_and_a_least_gain_limit_the_frames() -> None:
    shot = [texture(seed) for seed in range(6)]
    assert len(suggest(range(6), shot, count=2).chosen) == 2
    assert len(suggest(range(6), shot, count=6).chosen) == 6
    assert len(suggest(range(6), shot, count=6, least_gain=0.2).chosen) == 1


def test_the_same_plate_gives_the_same_plan_and_threads_are_given_back() -> None:
    shot = sliding(7, 8, 5)
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        one, two = suggest(range(8), shot), suggest(range(8), shot)
        assert one.chosen == two.chosen and np.array_equal(one.carried, two.carried)
        assert cv2.getNumThreads() == 3
        with pytest.raises(ZeroDivisionError), one_thread():
            assert cv2.getNumThreads() == 1
            raise ZeroDivisionError
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_a_tick_can_stop_it() -> None:
    told: list[float] = []

    def tick(fraction: float) -> None:
        told.append(fraction)
        if fraction > 0.5:
            raise Interrupted("stopped on request")

    with pytest.raises(Interrupted):
        suggest(range(8), sliding(8, 8, 5), tick=tick)
    assert told == sorted(told) and told[-1] < 1.0


def test_wrong_input_is_one_line() -> None:
    with pytest.raises(InputError, match="frame 1: the plate changes its size: 160x90 and 100x50 when reduced"):
        suggest(range(2), [texture(1), texture(1, (50, 100))])
    with pytest.raises(InputError, match="keyframe 7 is outside the shot; include it in the frame range"):
        suggest(range(2), [texture(1)] * 2, painted={7: None})
    with pytest.raises(InputError, match="0 frames to paint is too few"):
        suggest(range(2), [texture(1)] * 2, count=0)
    with pytest.raises(InputError, match="3 frames and 2 plates"):
        suggest(range(3), [texture(1)] * 2)


def test_one_frame_is_its_own_best() -> None:
    plan = suggest([7], [texture(1)])
    assert [one.frame for one in plan.chosen] == [7] and plan.total == 1.0


# Sidecars


def sidecar(work: Path, key: int, frame: int, confidence: np.ndarray) -> None:
    path = sidecar_path(work, key, frame)
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = confidence.shape
    spec = oiio.ImageSpec(width, height, 4, "float")
    spec.channelnames = ("R", "G", "B", "A")
    out = oiio.ImageOutput.create(str(path))
    out.open(str(path), spec)
    planes = np.full((height, width, 4), 0.5, np.float32)
    planes[..., 3] = confidence
    out.write_image(planes)
    out.close()


def test_maps_of_sidecars_hold_their_confidence(tmp_path: Path) -> None:
    confidence = np.zeros((60, 100), np.float32)
    confidence[:, :50] = 0.8
    sidecar(tmp_path, 3, 3, np.ones((60, 100), np.float32))
    assert sidecar_maps(tmp_path, 3, [3, 4], (60, 100)) is None
    sidecar(tmp_path, 3, 4, confidence)
    maps = sidecar_maps(tmp_path, 3, [3, 4], (60, 100), width_px=20)
    assert maps is not None and maps.shape == (2, 12, 20) and maps.dtype == np.uint8
    assert (maps[0] == 255).all() and (maps[1, :, :10] == 204).all() and (maps[1, :, 10:] == 0).all()
    with pytest.raises(ImageError, match="frame 3"):
        sidecar_maps(tmp_path, 3, [3, 4], (61, 100))


# Where another painting would help


def lacking(shares: list[float], height: int = 45) -> np.ndarray:
    """Maps of a painting that carries the left part of each frame, (N, height, 80)."""
    maps = np.zeros((len(shares), height, 80), np.uint8)
    for index, share in enumerate(shares):
        maps[index, :, : round(80 * share)] = 255
    return maps


def test_the_frame_whose_neighborhood_lacks_most_is_next() -> None:
    uncarried = [0.0] * 5 + [0.4, 0.5, 0.5, 0.5, 0.4] + [0.0] * 5 + [0.9] + [0.0] * 4
    maps = lacking([1.0 - share for share in uncarried])
    # A cut after frame 9: what is behind it, no painting of a frame before it reaches.
    plan = suggest(range(20), [texture(1)] * 10 + [texture(2)] * 10, painted={0: maps}, count=1)
    assert 5 <= plan.chosen[0].frame <= 9 and plan.chosen[0].gain == pytest.approx(2.3 / 20, abs=0.003)
    around = plan.lacking
    assert around is not None and (around.first, around.last) == (5, 9)
    assert around.uncarried == pytest.approx(0.46, abs=0.003)
    assert plan.painted_curve == pytest.approx([1.0 - share for share in uncarried], abs=0.003)
    # Behind cuts, only the frame itself would be carried, and the worst one wins.
    alone = suggest(range(20), [texture(seed) for seed in range(20)], painted={0: maps}, count=1)
    around = alone.lacking
    assert around is not None and (alone.chosen[0].frame, around.first, around.last) == (15, 15, 15)
    assert alone.chosen[0].gain == pytest.approx(0.9 / 20, abs=0.003)


def test_painted_frames_are_not_proposed_again() -> None:
    maps = lacking([1.0, 0.5, 0.5, 0.5])
    plan = suggest(range(4), [texture(1)] * 4, painted={2: maps}, count=1)
    assert plan.chosen[0].frame in (1, 3)
    done = suggest([0], [texture(1)], painted={0: lacking([0.5])})
    assert done.chosen == () and done.lacking is None and done.painted_total == pytest.approx(0.5)


# What is painted of a keyframe


def test_a_partial_painting_carries_what_it_covers() -> None:
    left = np.zeros((45, 80), np.float32)
    left[:, :40] = 1.0
    plan = suggest(range(9), [texture(1)] * 9, painted={4: None}, coverage={4: left})
    assert plan.painted[0].alone == pytest.approx(0.5, abs=0.01)
    assert plan.chosen[0].gain == pytest.approx(0.5, abs=0.01) and plan.total > 0.99
    whole = suggest(range(9), [texture(1)] * 9, painted={4: None}, coverage={4: None})
    assert whole.painted[0].alone == 1.0 and whole.chosen == ()


def test_coverage_moves_with_the_picture() -> None:
    """The camera goes 8 pixels to the right with each frame, so what is painted goes to the left."""
    left = np.zeros(SIZE, np.float32)
    left[:, :80] = 1.0
    plan = suggest(range(4), sliding(5, 4, 8), painted={0: None}, coverage={0: left}, least_gain=1.0)
    for index, share in enumerate(plan.painted[0].curve):
        assert share == pytest.approx((80 - 8 * index) / 160 * 0.99**index, abs=0.03)


def test_maps_of_a_painting_outside_the_shot_count() -> None:
    plan = suggest(range(3), [texture(1)] * 3, painted={-5: lacking([1.0, 0.75, 0.75])}, count=1)
    assert [one.frame for one in plan.painted] == [-5] and plan.painted_total == pytest.approx(2.5 / 3)


def test_confidence_counts_where_the_painting_covers(tmp_path: Path) -> None:
    half = np.zeros((60, 100), np.float32)
    half[:, :50] = 1.0
    still = stmap_planes(60, 100, confidence=0.8)
    planes = np.concatenate([still, still], axis=2)
    confidence = painted_confidence(planes, [half, None])
    assert confidence.shape == (60, 100, 2) and (confidence[..., 1] == np.float32(0.8)).all()
    assert confidence[30, 20, 0] == pytest.approx(0.8) and confidence[30, 80, 0] == 0.0
    path = sidecar_path(tmp_path, 3, 3)
    path.parent.mkdir(parents=True)
    write_sidecar(path, np.zeros((60, 100, 2), np.float32), np.ones((60, 100), np.float32), (60, 100))
    maps = sidecar_maps(tmp_path, 3, [3], (60, 100), width_px=20, coverage=half)
    assert maps is not None and (maps[0, 1:-1, :9] == 255).all() and (maps[0, :, 11:] == 0).all()


def stmap_planes(height: int, width: int, *, confidence: float) -> np.ndarray:
    """A map of a frame onto itself, (H, W, 3)."""
    u, v = flow_to_stmap(np.zeros((height, width, 2), np.float32), height, width)
    return np.stack([u, v, np.full_like(u, confidence)], axis=2)


# Temporal error


def color(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., None], 3, axis=2)


def test_temporal_error_is_what_the_plates_motion_does_not_explain() -> None:
    here, after = (color(one) for one in sliding(9, 2, 4))
    step = plate_step(here, after)
    assert step.retention > 0.9
    steady = temporal_error(here, after, step)
    assert steady is not None and steady.mean < 0.6
    flicker = temporal_error(here // 2, after // 2 + 10, step)
    assert flicker is not None and flicker.mean == pytest.approx(10.0, abs=0.4)
    assert flicker.image.shape == SIZE and flicker.image[20:60, 20:100].mean() == pytest.approx(10.0, abs=0.4)


def test_temporal_error_of_still_frames_is_zero_and_of_a_cut_unknown() -> None:
    here = color(texture(1))
    still = temporal_error(here, here, plate_step(here, here))
    assert still is not None and still.mean == 0.0
    step = plate_step(here, here)
    step.trust[...] = 0.0
    assert temporal_error(here, here, step) is None
    with pytest.raises(ImageError, match="the frame is 160x90 and the next one 100x50"):
        temporal_error(here, color(texture(1, (50, 100))), step)
