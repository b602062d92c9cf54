"""The strokes job: what is refused, and that a file gives the same job back."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.base.errors import InputError
from engine.optimize.brushstrokes.job import StrokesJob
from engine.optimize.job import StyleImage


def job(**changes: object) -> StrokesJob:
    values: dict[str, object] = {
        "plate": "plate.%04d.png",
        "plate_layer": "",
        "frames": (3,),
        "plate_colorspace": None,
        "ocio": None,
        "out": "p.%04d.png",
        "work": Path("work"),
        "styles": (),
        "features": "",
    }
    return StrokesJob(**{**values, **changes})  # type: ignore[arg-type]


STYLED = {"styles": (StyleImage(Path("canvas.jpg")),), "features": "vgg.safetensors"}


def test_a_file_gives_the_job_back(tmp_path: Path) -> None:
    made = job(**STYLED, strokes=99, pixel_iterations=3, directions="d.%d.png", color="luminance")
    made.save(tmp_path / "job.json")
    assert StrokesJob.load(tmp_path / "job.json") == made


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strokes": 9}, "9 strokes are out of range; give 10 to 200,000; 5000 is a good start"),
        ({**STYLED, "pixel_iterations": -1}, "-1 pixel iterations are out of range"),
        ({"pixel_iterations": 5}, "without a style image, pixels and colors are the plate's; give a style image"),
        ({"color": "luminance"}, "without a style image, pixels and colors are the plate's"),
        ({"iterations": 0}, "0 iterations are out of range"),
        ({"frames": ()}, "nothing to paint"),
    ],
)
def test_values_that_make_no_sense_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        job(**changes)
    assert str(caught.value).startswith(said)


def test_files_of_a_frame(tmp_path: Path) -> None:
    assert job().svg(3) == Path("p.0003.svg")
    assert job().directions_of(3) is None
    assert job(directions="d.%04d.png").directions_of(3) == Path("d.0003.png")
    (tmp_path / "one.png").touch()
    assert job(directions=str(tmp_path / "one.png")).directions_of(3) == tmp_path / "one.png"
    with pytest.raises(InputError, match="names no frame number"):
        job(directions=str(tmp_path / "gone.png")).directions_of(3)
