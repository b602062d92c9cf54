"""Sheets: pictures unchanged and in their places, words where they belong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.base.errors import ImageError, InputError
from engine.review.sheets import Cell, Row, before_after, compose, contact_sheet

BACKGROUND = (26, 26, 28)
ACCENT = (242, 169, 59)


def flat(value: int, size: tuple[int, int] = (50, 100)) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


def test_every_picture_is_there_unscaled_and_apart() -> None:
    sheet = compose([Row("a", [Cell(flat(90)), Cell(flat(120))]), Row("b", [Cell(flat(200))])], cell_width_px=100)
    for value in (90, 120, 200):
        rows, cols = np.nonzero((sheet == value).all(2))
        inside = (rows.max() - rows.min() + 1, cols.max() - cols.min() + 1)
        assert inside == (50, 100) and len(rows) == 5000
    assert (sheet[0] == BACKGROUND).all() and (sheet[:, -1] == BACKGROUND).all()


def test_pictures_of_several_sizes_get_one_width() -> None:
    sheet = compose([Row("", [Cell(flat(90, (100, 200))), Cell(flat(120, (20, 20)))])], cell_width_px=100)
    assert ((sheet == 90).all(2)).any(0).sum() == 100 and ((sheet == 90).all(2)).any(1).sum() == 50
    assert ((sheet == 120).all(2)).any(0).sum() == 100 and ((sheet == 120).all(2)).any(1).sum() == 100


def test_keyframes_stand_out() -> None:
    plain = compose([Row("", [Cell(flat(90))])], cell_width_px=100)
    marked = compose([Row("", [Cell(flat(90), marked=True)])], cell_width_px=100)
    assert plain.shape == marked.shape
    assert not (plain == ACCENT).all(2).any() and (marked == ACCENT).all(2).sum() > 500


def test_words_add_ink_below_their_picture_only() -> None:
    bare = compose([Row("", [Cell(flat(90), " ")])], cell_width_px=300)
    named = compose([Row("", [Cell(flat(90), "1001", "82 %")])], cell_width_px=300)
    assert bare.shape == named.shape
    bottom = int(np.nonzero((named == 90).all(2).sum(1) == 300)[0].max())
    changed = (bare != named).any(2)
    assert changed[bottom + 1 :].sum() > 50 and not changed[: bottom + 1].any()
    middle = named.shape[1] // 2
    assert changed[:, :middle].any() and changed[:, middle:].any()


def test_title_and_footer_take_room() -> None:
    rows = [Row("", [Cell(flat(90))])]
    assert compose(rows, title="Shot", footer="note").shape[0] > compose(rows).shape[0] + 40


def test_the_file_has_the_composed_pixels(tmp_path: Path) -> None:
    rows = [Row("Plate", [Cell(flat(33), "1001")])]
    contact_sheet(rows, tmp_path / "sheet.png", title="Shot")
    stored = np.rint(images.read(tmp_path / "sheet.png").rgb * 255).astype(np.uint8)
    assert np.array_equal(stored, compose(rows, title="Shot"))


def test_before_after_has_three_pictures(tmp_path: Path) -> None:
    before_after(flat(40), flat(90), flat(200), tmp_path / "strip.png", cell_width_px=100)
    stored = np.rint(images.read(tmp_path / "strip.png").rgb * 255).astype(np.uint8)
    starts = [int(np.nonzero((stored == value).all(2))[1].min()) for value in (40, 90, 200)]
    assert starts == sorted(starts) and starts[1] - starts[0] == starts[2] - starts[1] > 100


def test_refusals() -> None:
    with pytest.raises(InputError, match="at least one picture"):
        compose([Row("empty", [])])
    with pytest.raises(ImageError, match="float32"):
        compose([Row("", [Cell(np.zeros((4, 4, 3), np.float32))])])  # type: ignore[arg-type]
