"""Labels sheet: a picture of which exemplar served where in a frame, and of where none fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from engine.base.arrays import Bytes, Floats, Mask
from engine.optimize.exemplars.assembly import Assembled
from engine.optimize.exemplars.pictures import ExemplarPicture
from engine.review.sheets import Cell, Row, contact_sheet

__all__ = ["label_picture", "misfit_words", "write_labels_sheet"]

_HUES = (
    (242, 96, 59), (66, 135, 245), (120, 200, 80), (240, 200, 60), (170, 100, 230), (60, 200, 200), (240, 110, 180),
    (160, 120, 80),
)  # fmt: skip
"""Of the exemplars, sRGB; from the ninth on they come again, darker."""
_STRIPES_PX = 12
_RIM = 0.02
"""Of the width, the rim in an exemplar's color around it."""
_ROWS, _COLUMNS = ("upper ", "", "lower "), ("left", "middle", "right")
_WORTH_NAMING = 0.2
"""Share of what does not fit from which a part of the frame is named."""


def label_picture(assembled: Assembled) -> Bytes:
    """(H, W, 3): the painting in the colors of its exemplars, with seams drawn, and stripes where none fits."""
    colors = np.array([_color(number) for number in range(int(assembled.numbers.max()) + 1)], np.float32) / 255
    gray = assembled.painting.mean(axis=2, keepdims=True)
    picture = colors[assembled.numbers] * (0.25 + 0.75 * gray)
    picture[cv2.dilate(assembled.seams.astype(np.uint8), np.ones((2, 2), np.uint8)) > 0] *= 0.2
    rows, columns = np.indices(assembled.numbers.shape)
    striped = assembled.misfit & ((rows + columns) % _STRIPES_PX < _STRIPES_PX // 3)
    picture[striped] = 1
    return _bytes(picture)


def write_labels_sheet(
    path: Path, plate: Floats, assembled: Assembled, exemplars: Sequence[ExemplarPicture], frame: int
) -> None:
    """Write plate, result and :func:`label_picture`, and below each exemplar with its share of the frame.

    Raises:
        OutputError: it cannot be written.
    """
    above = [
        Cell(_bytes(plate), f"frame {frame}"),
        Cell(_bytes(assembled.painting), "painted"),
        Cell(label_picture(assembled), "from which exemplar", _share(assembled.misfit, "fits none")),
    ]
    below = [
        Cell(_framed(each.painting, number), each.name, _share(assembled.numbers == number, "of the frame"))
        for number, each in enumerate(exemplars)
    ]
    contact_sheet([Row("", above), *(Row("", below[at : at + 3]) for at in range(0, len(below), 3))], path)


def misfit_words(misfit: Mask) -> str:
    """In which parts of the frame most of it lies: ``upper left``, ``upper left and middle``."""
    height, width = misfit.shape
    counts = {}
    for row, above in enumerate(_ROWS):
        for column, side in enumerate(_COLUMNS):
            part = misfit[row * height // 3 : (row + 1) * height // 3, column * width // 3 : (column + 1) * width // 3]
            counts[(above + side).strip()] = int(part.sum())
    named = sorted(counts, key=lambda name: -counts[name])[:2]
    return " and ".join([named[0], *(name for name in named[1:] if counts[name] > _WORTH_NAMING * misfit.sum())])


def _color(number: int) -> tuple[float, ...]:
    turn, index = divmod(number, len(_HUES))
    return tuple(value * 0.6**turn for value in _HUES[index])


def _share(mask: Mask, what: str) -> str:
    share = float(mask.mean())
    return f"{share:.0%} {what}" if share >= 0.005 or share == 0 else f"{share:.1%} {what}"


def _framed(picture: Floats, number: int) -> Bytes:
    rim = max(2, round(_RIM * picture.shape[1]))
    framed = _bytes(picture)
    inner = framed[rim:-rim, rim:-rim].copy()
    framed[:] = np.array(_color(number), np.uint8)
    framed[rim:-rim, rim:-rim] = inner
    return framed


def _bytes(picture: Floats) -> Bytes:
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 255), np.uint8)
