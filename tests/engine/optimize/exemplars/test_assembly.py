"""Assembly: a frame takes each part from the exemplar that shows it, copies are exact, and misfits are found."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed")

from engine.base.arrays import Floats
from engine.base.errors import Interrupted
from engine.optimize.exemplars.assembly import assemble
from engine.optimize.exemplars.labels_sheet import label_picture, misfit_words
from engine.optimize.exemplars.pictures import ExemplarPicture
from tests.support.pictures import noise

HEIGHT, WIDTH = 72, 128
HALF_A_CODE = 0.5 / 255
"""Of 8 bits: where nothing moves, the motion that is found between unlike pictures is not quite none."""


def soft(seed: int, sigma: float = 3.0, height: int = HEIGHT, width: int = WIDTH) -> Floats:
    """Shapes without a repetition, 0..1."""
    made = cv2.GaussianBlur(noise(height, width, 3, seed=seed), (0, 0), sigma)
    return np.asarray((made - made.min()) / (made.max() - made.min()), np.float32)


def exemplar(plate: Floats, seed: int, name: str = "p.png") -> ExemplarPicture:
    """A painting that has nothing of its plate, so that it is known from where each pixel came."""
    return ExemplarPicture(name, plate, noise(*plate.shape, seed=seed), np.ones(plate.shape[:2], bool))


def test_a_frame_that_was_painted_is_its_painting() -> None:
    plate = soft(1)
    made = assemble(plate, [exemplar(plate, 5)])
    assert np.abs(made.painting - noise(HEIGHT, WIDTH, 3, seed=5)).max() < HALF_A_CODE
    assert not made.misfit.any() and not made.seams.any()


def test_each_part_comes_from_the_exemplar_that_shows_it() -> None:
    plate, other = soft(1), soft(2)
    halves = [plate.copy(), plate.copy()]
    halves[0][:, WIDTH // 2 :], halves[1][:, : WIDTH // 2] = other[:, WIDTH // 2 :], other[:, : WIDTH // 2]
    made = assemble(plate, [exemplar(halves[0], 5), exemplar(halves[1], 6)])
    margin = 20
    left, right = slice(0, WIDTH // 2 - margin), slice(WIDTH // 2 + margin, None)
    assert (made.numbers[:, left] == 0).all() and (made.numbers[:, right] == 1).all()
    away = cv2.distanceTransform((~made.seams).astype(np.uint8), cv2.DIST_L2, 5) > 8
    for number in (0, 1):
        here = away & (made.numbers == number)
        assert here.mean() > 0.2
        copied = noise(HEIGHT, WIDTH, 3, seed=5 + number)
        assert (np.abs(made.painting[here] - copied[here]).max(axis=1) < HALF_A_CODE).mean() > 0.95


def test_a_choice_of_patches_costs_less_than_that_of_each_by_itself() -> None:
    """Grain of their own makes now one exemplar, now the other the nearer one."""
    plate = soft(1)
    grainy = [np.clip(plate + 0.1 * (noise(HEIGHT, WIDTH, 3, seed=seed) - 0.5), 0, 1) for seed in (7, 8)]
    made = assemble(plate, [exemplar(each, seed) for each, seed in zip(grainy, (5, 6), strict=True)])
    assert made.energy < 0.9 * made.greedy


def test_colors_meet_softly_and_strokes_stay() -> None:
    """Two exemplars of one stroke pattern, one reddish and one bluish, each knowing half of the frame."""
    plate, other = soft(1, 6.0), soft(2)
    strokes = 0.1 * np.sign(noise(HEIGHT, WIDTH, 1, seed=9) - 0.5)
    halves, made_of = [plate.copy(), plate.copy()], []
    halves[0][:, WIDTH // 2 :], halves[1][:, : WIDTH // 2] = other[:, WIDTH // 2 :], other[:, : WIDTH // 2]
    for half, tone in zip(halves, ((0.6, 0.4, 0.4), (0.4, 0.4, 0.6)), strict=True):
        painting = (np.array(tone, np.float32) + strokes).astype(np.float32)
        made_of.append(ExemplarPicture("p.png", half, painting, np.ones((HEIGHT, WIDTH), bool)))
    painting = assemble(plate, made_of).painting
    tones = cv2.blur(painting[..., 0] - painting[..., 2], (1, 9))
    assert tones[:, :20].mean() > 0.15 and tones[:, -20:].mean() < -0.15
    # A hard cut would be a step of 0.4 between two columns.
    assert np.abs(np.diff(tones, axis=1)).max() < 0.3
    middle = painting[:, WIDTH // 2 - 8 : WIDTH // 2 + 8].mean(axis=2)
    assert (middle - cv2.blur(middle, (9, 9))).std() > 0.06


def test_what_no_exemplar_shows_is_found() -> None:
    plate = soft(1)
    plate[:24, :40] = (1, 0, 0)
    made = assemble(plate, [exemplar(soft(1) * 0.5 + 0.2, 5)])
    assert made.misfit[4:20, 4:36].mean() > 0.9
    assert misfit_words(made.misfit[:, :100]).startswith("upper left")
    picture = label_picture(made)
    assert picture.shape == (HEIGHT, WIDTH, 3) and (picture[:24, :40] == 255).all(axis=2).mean() > 0.1


def test_unpainted_places_are_avoided() -> None:
    plate = soft(1)
    painted = np.ones((HEIGHT, WIDTH), bool)
    painted[:, : WIDTH // 2] = False
    first = ExemplarPicture("a", plate, np.zeros_like(plate), painted)
    second = ExemplarPicture("b", plate, np.ones_like(plate), ~painted)
    made = assemble(plate, [first, second])
    assert (made.numbers[:, : WIDTH // 2 - 4] == 1).all() and (made.numbers[:, WIDTH // 2 + 4 :] == 0).all()
    assert not made.misfit.any()


def test_where_there_is_no_paint_the_plate_shows_and_is_said_to_fit_none() -> None:
    plate = soft(1)
    painted = np.zeros((HEIGHT, WIDTH), bool)
    painted[:, 40:44] = True
    made = assemble(plate, [ExemplarPicture("a", plate, np.zeros_like(plate), painted)])
    shows = made.misfit & (np.abs(made.painting - plate).max(axis=2) < HALF_A_CODE)
    assert shows.mean() > 0.3
    assert (made.painting[:, 41:43] == 0).all()


def test_exemplars_may_be_of_any_size_and_threads_do_not_matter() -> None:
    plate = soft(1)
    pictures = [exemplar(np.ascontiguousarray(plate[:, :90]), 5), exemplar(soft(3, 3.0, 128, 100), 6)]
    one, two = (assemble(plate, pictures, seed=3, threads=threads).painting for threads in (1, 2))
    assert np.array_equal(one, two)
    assert np.abs(one[20:50, 20:60] - pictures[0].painting[20:50, 20:60]).max() < HALF_A_CODE


def test_a_stop_is_heard() -> None:
    def check() -> None:
        raise Interrupted("stopped", exit_code=130)

    with pytest.raises(Interrupted):
        assemble(soft(1), [exemplar(soft(1), 5)], check=check)
