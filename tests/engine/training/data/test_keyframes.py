"""Keyframes from disk: what is wrong with them in one line each, and what of a painting counts."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import OpenImageIO as oiio
import pytest
from msgspec.structs import replace

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine import images
from engine.base.errors import ColorError, ImageError, InputError, PaintoverError
from engine.color import shaper
from engine.color.config import ColorConfig
from engine.training.data.keyframes import LoadedKeyframe, load_keyframes
from engine.training.job.job import TrainingJob
from engine.training.preview import LABEL_HEIGHT
from engine.training.train import train
from tests.support.procedural import TINY, ProceduralShot, painting_of, plate

SIZE = (72, 96)


@pytest.fixture
def shot(tmp_path: Path) -> ProceduralShot:
    return ProceduralShot.write(tmp_path)


def load(job: TrainingJob) -> list[LoadedKeyframe]:
    return load_keyframes(job, ColorConfig.active())


def refused(job: TrainingJob, kind: type[PaintoverError] = InputError) -> str:
    """The one line that says no; nothing may have been written."""
    with pytest.raises(kind) as caught:
        train(job, lambda event: None, settings=TINY)
    assert caught.value.exit_code == 2
    assert not job.look.exists()
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_a_keyframe_as_it_is(shot: ProceduralShot) -> None:
    (key,) = load(shot.job())
    assert key.plate.shape == (*SIZE, 3) and key.weight.shape == SIZE
    assert (key.weight == 1).all() and key.frame == 0
    np.testing.assert_allclose(key.painting, painting_of(plate(*SIZE)), rtol=1e-6)


def test_a_missing_painting(shot: ProceduralShot) -> None:
    line = refused(shot.job(keyframes=(shot.keyframe(painting=shot.folder / "no.exr"),)), ImageError)
    assert line.startswith("frame 0: the painting is missing") and "no.exr" in line and "--keyframe" in line


def test_a_truncated_painting(shot: ProceduralShot) -> None:
    data = shot.painting().read_bytes()
    shot.painting().write_bytes(data[: len(data) // 2])
    assert "frame 0" in refused(shot.job(), ImageError)


def test_a_missing_plate_frame(shot: ProceduralShot) -> None:
    shot.plate(0).unlink()
    line = refused(shot.job(), ImageError)
    assert "frame 0" in line and "plate.0000.exr" in line


def test_a_painting_of_another_size_offers_what_to_do(shot: ProceduralShot) -> None:
    images.write(shot.painting(), painting_of(plate(36, 48)), bit_depth="float")
    line = refused(shot.job(), ImageError)
    assert "frame 0: the painting is 48x36, its plate frame 96x72" in line
    assert "resize it to 96x72, or pass --fit-paintings" in line


@pytest.mark.parametrize("size", [(36, 48), (144, 192), (100, 96)])
def test_fitted_paintings_are_resampled(shot: ProceduralShot, size: tuple[int, int]) -> None:
    picture = cv2.resize(painting_of(plate(*SIZE)), size[::-1], interpolation=cv2.INTER_LINEAR)
    images.write(shot.painting(), picture, bit_depth="float")
    (key,) = load(shot.job(fit_paintings=True))
    assert key.painting.shape == (*SIZE, 3) and (key.weight == 1).all()
    # The forms stay in place; strokes two pixels wide do not survive half the size.
    assert np.corrcoef(key.painting.ravel(), painting_of(plate(*SIZE)).ravel())[0, 1] > 0.95
    assert train(shot.job(fit_paintings=True, steps=1), lambda event: None, settings=TINY).look.is_file()


def test_a_keyframe_outside_the_range(shot: ProceduralShot) -> None:
    line = refused(shot.job(frames="1-2"))
    assert "keyframe 0 is outside the frame range 1-2" in line and "--frames" in line


def test_a_keyframe_given_twice(shot: ProceduralShot) -> None:
    assert "keyframe 0 is given twice" in refused(shot.job(keyframes=(shot.keyframe(), shot.keyframe())))


def test_no_keyframe_too_small_a_budget_and_both_lengths(shot: ProceduralShot) -> None:
    with pytest.raises(InputError, match="no keyframe"):
        shot.job(keyframes=())
    with pytest.raises(InputError, match="a budget of 2 s is too small to train; give 5 s or more"):
        shot.job(budget_s=2.0)
    with pytest.raises(InputError, match="a budget or a number of steps"):
        replace(shot.job(), budget_s=30.0)
    with pytest.raises(InputError, match="0 steps are too few"):
        shot.job(steps=0)
    with pytest.raises(InputError, match="nan s is too small"):
        shot.job(budget_s=float("nan"))
    with pytest.raises(InputError, match="unknown recipe 'oils'"):
        shot.job(recipe="oils")


def test_an_unknown_colorspace(shot: ProceduralShot) -> None:
    assert "Rec.1234" in refused(shot.job(plate_colorspace="Rec.1234"), ColorError)
    wrong = replace(shot.keyframe(), colorspace="Rec.4321")
    assert "Rec.4321" in refused(shot.job(keyframes=(wrong,)), ColorError)


def write_matte(shot: ProceduralShot, coverage: np.ndarray) -> Path:
    path = shot.folder / "matte.png"
    images.write(path, np.repeat(coverage[..., None], 3, 2).astype(np.float32), bit_depth="uint8")
    return path


def test_an_empty_matte(shot: ProceduralShot) -> None:
    path = write_matte(shot, np.zeros(SIZE))
    line = refused(shot.job(keyframes=(shot.keyframe(matte=path),)))
    assert "frame 0: nothing is painted, the matte or alpha is empty everywhere" in line and "matte.png" in line


def test_a_missing_matte_and_one_of_another_size(shot: ProceduralShot) -> None:
    assert "no.png" in refused(shot.job(keyframes=(shot.keyframe(matte=shot.folder / "no.png"),)), ImageError)
    path = write_matte(shot, np.ones((10, 20)))
    line = refused(shot.job(keyframes=(shot.keyframe(matte=path),)), ImageError)
    assert "the matte is 20x10, its plate frame 96x72" in line and f"({path})" in line


def test_a_matte_weighs_pixels(shot: ProceduralShot) -> None:
    coverage = np.zeros(SIZE)
    coverage[10:30, 20:40], coverage[30:40, 20:40] = 1.0, 0.5
    (key,) = load(shot.job(keyframes=(shot.keyframe(matte=write_matte(shot, coverage)),)))
    np.testing.assert_allclose(key.weight, coverage, atol=0.51 / 255)
    assert (key.painting[coverage == 0] == 0).all() and (key.painting[15, 25] > 0).all()


def paint_with_alpha(shot: ProceduralShot, alpha: np.ndarray, painting: np.ndarray | None = None) -> Path:
    path = shot.folder / "partial.exr"
    rgb = painting_of(plate(*SIZE)) if painting is None else painting
    images.write(path, rgb, alpha=alpha.astype(np.float32), bit_depth="float")
    return path


def test_a_partial_painting_counts_where_its_alpha_is(shot: ProceduralShot) -> None:
    alpha = np.zeros(SIZE)
    alpha[:, 48:], alpha[:, 40:48] = 1.0, 0.5
    path = paint_with_alpha(shot, alpha)
    (key,) = load(shot.job(keyframes=(shot.keyframe(painting=path),), unpainted="translate"))
    np.testing.assert_allclose(key.weight, alpha, atol=1e-6)
    covered = alpha > 0
    # The file is premultiplied; a soft edge keeps its own color.
    np.testing.assert_allclose(key.painting[covered], painting_of(plate(*SIZE))[covered], rtol=1e-5)


def test_alpha_and_matte_multiply(shot: ProceduralShot) -> None:
    alpha, matte = np.zeros(SIZE), np.zeros(SIZE)
    alpha[:, :60], matte[30:, :] = 1.0, 1.0
    path = paint_with_alpha(shot, alpha)
    keys = (shot.keyframe(painting=path, matte=write_matte(shot, matte)),)
    (key,) = load(shot.job(keyframes=keys, unpainted="translate"))
    np.testing.assert_array_equal(key.weight, alpha * matte)
    (kept,) = load(shot.job(keyframes=keys))
    outside = alpha * matte == 0
    np.testing.assert_array_equal(kept.painting[outside], kept.plate[outside])
    assert (kept.weight == 1).all() and (kept.painting[~outside] != kept.plate[~outside]).any()


def test_a_painting_with_alpha_lies_over_its_plate(shot: ProceduralShot) -> None:
    """The rest is the plate to the last bit, a half covered stroke half way in the working encoding."""
    alpha = np.zeros(SIZE)
    alpha[:, 48:], alpha[:, 40:48] = 1.0, 0.5
    keys = (shot.keyframe(painting=paint_with_alpha(shot, alpha)),)
    (key,) = load(shot.job(keyframes=keys))
    assert (key.weight == 1).all()
    np.testing.assert_array_equal(key.painting[:, :40], key.plate[:, :40])
    painted = painting_of(plate(*SIZE))
    np.testing.assert_allclose(key.painting[:, 48:], painted[:, 48:], rtol=1e-5)
    half = (shaper.encode(key.plate) + shaper.encode(painted)) / 2
    np.testing.assert_allclose(shaper.encode(key.painting)[:, 40:48], half[:, 40:48], atol=1e-5)


def test_a_matte_alone_translates_the_rest_unless_asked(shot: ProceduralShot) -> None:
    coverage = np.zeros(SIZE)
    coverage[10:30, 20:40] = 1.0
    keys = (shot.keyframe(matte=write_matte(shot, coverage)),)
    (kept,) = load(shot.job(keyframes=keys, unpainted="plate"))
    (translated,) = load(shot.job(keyframes=keys))
    np.testing.assert_array_equal(kept.painting[coverage == 0], kept.plate[coverage == 0])
    assert (kept.weight == 1).all() and (translated.painting[coverage == 0] == 0).all()
    with pytest.raises(InputError, match="'erase' is unknown; use plate, translate"):
        shot.job(unpainted="erase")


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_alpha_that_is_the_same_everywhere_says_nothing(shot: ProceduralShot, value: float) -> None:
    path = paint_with_alpha(shot, np.full(SIZE, value))
    (key,) = load(shot.job(keyframes=(shot.keyframe(painting=path),)))
    assert (key.weight == 1).all()


def test_a_transparent_empty_layer_is_no_painting(shot: ProceduralShot) -> None:
    path = paint_with_alpha(shot, np.zeros(SIZE), np.zeros((*SIZE, 3), np.float32))
    line = refused(shot.job(keyframes=(shot.keyframe(painting=path),)))
    assert "nothing is painted" in line and "partial.exr" in line


def write_raw(path: Path, pixels: np.ndarray) -> None:
    """As it is: our own writer lets no NaN through."""
    raw = oiio.ImageOutput.create("x.exr")
    raw.open(str(path), oiio.ImageSpec(pixels.shape[1], pixels.shape[0], 3, "float"))
    raw.write_image(pixels)
    raw.close()


def spoiled_plate(shot: ProceduralShot, frame: int) -> None:
    pixels = plate(*SIZE, shift=3 * frame)
    pixels[10, 20], pixels[40:43, 50, 1] = np.nan, np.inf
    pixels[60, 70, 2] = -np.inf
    write_raw(shot.plate(frame), pixels)


def test_nan_and_inf_of_a_plate_are_left_out_and_reported(
    shot: ProceduralShot, caplog: pytest.LogCaptureFixture
) -> None:
    for frame in range(3):  # the keyframe, and the frame that the preview shows
        spoiled_plate(shot, frame)
    with caplog.at_level(logging.WARNING, logger="engine"):
        (key,) = load(shot.job())
    assert "frame 0: 5 pixels of the plate are not finite and are left out" in caplog.text
    assert np.isfinite(key.plate).all() and (key.weight == 0).sum() == 5
    assert key.weight[10, 20] == key.weight[41, 50] == key.weight[60, 70] == 0
    done = train(shot.job(steps=2, preview=True), lambda event: None, settings=TINY)
    assert np.isfinite(done.loss) and done.check_error <= 1e-4


def test_nothing_of_a_plate_is_finite(shot: ProceduralShot) -> None:
    write_raw(shot.plate(0), np.full((*SIZE, 3), np.nan, np.float32))
    assert "frame 0: nothing is painted" in refused(shot.job())


def test_nan_of_a_fitted_painting_is_left_out(shot: ProceduralShot) -> None:
    pixels = painting_of(plate(36, 48))
    pixels[10, 20] = np.nan
    write_raw(shot.painting(), pixels)
    (key,) = load(shot.job(fit_paintings=True))
    assert (key.weight[20:22, 40:42] == 0).all()
    assert 4 <= (key.weight == 0).sum() <= 64  # the pixel's own four, and what the resampling spreads it to


def test_keyframes_come_in_order_and_keep_their_own_sizes(tmp_path: Path) -> None:
    shot = ProceduralShot.write(tmp_path, painted=(0, 2))
    images.write(shot.plate(2), plate(40, 50), bit_depth="float")
    images.write(shot.painting(2), painting_of(plate(40, 50)), bit_depth="float")
    keys = load(shot.job(keyframes=(shot.keyframe(2), shot.keyframe(0))))
    assert [(k.frame, k.weight.shape) for k in keys] == [(0, SIZE), (2, (40, 50))]
    done = train(shot.job(steps=2), lambda event: None, settings=TINY)
    assert done.look.is_file() and np.isfinite(done.loss)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["paintover", "texler2020", "texler2020-fullframe"])
@pytest.mark.parametrize("size", [(17, 3), (1, 1)])
def test_plates_of_any_size_train(tmp_path: Path, size: tuple[int, int], recipe: str) -> None:
    shot = ProceduralShot.write(tmp_path, size=size, frames=2)
    job = shot.job(steps=1, preview=True, recipe=recipe)
    done = train(job, lambda event: None, settings=TINY)
    assert done.look.is_file() and np.isfinite(done.loss)
    assert images.read(job.work / "preview.png").rgb.shape[0] == LABEL_HEIGHT + size[0]
