"""The sequence job: offsets as words, what is refused, and that a file gives the same job back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.base.errors import InputError
from engine.optimize.job import StyleImage
from engine.optimize.sequence.job import SequenceJob, parse_offsets


def job(**changes: object) -> SequenceJob:
    values: dict[str, object] = {
        "plate": "plate.%04d.png",
        "plate_layer": "",
        "frames": (3, 4),
        "plate_colorspace": None,
        "ocio": None,
        "out": "p.%04d.png",
        "work": Path("work"),
        "styles": (StyleImage(Path("canvas.jpg")),),
        "features": "vgg.safetensors",
    }
    return SequenceJob(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "offsets"), [("10,20,40", (10, 20, 40)), (" 8, 2 ,8", (2, 8)), ("none", ())])
def test_offsets_are_numbers_of_frames(text: str, offsets: tuple[int, ...]) -> None:
    assert parse_offsets(text) == offsets


@pytest.mark.parametrize("text", ["", "10,", "-3", "2.5", "ten", "10;20"])
def test_what_are_no_offsets_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"is no list of frame offsets; write 10,20,40, or none"):
        parse_offsets(text)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"passes": 0}, "0 passes are out of range; give 1 to 1000"),
        ({"long_term": (1, 10)}, "frame offsets 1,10 are out of range; give up to 16 numbers from 2 to 10,000"),
        ({"frames": (3, 4, 3)}, "a frame is named twice"),
        ({"iterations": 0}, "0 iterations are out of range"),
        ({"color": "gray"}, "'gray' is unknown; use style, luminance, histogram"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        job(**changes)
    assert str(caught.value).startswith(said)


def test_a_file_gives_the_same_job_back(tmp_path: Path) -> None:
    made = job(passes=6, long_term=(8, 16), preview=True, seed=7)
    made.save(tmp_path / "job.json")
    assert SequenceJob.load(tmp_path / "job.json") == made
    assert made.folder == Path("work/sequence/quarter") and job().folder == Path("work/sequence")
    assert msgspec.structs.replace(made, passes=1).long_term == (8, 16)
    (tmp_path / "job.json").write_text('{"passes": 1}', encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot read the sequence job: .*missing required field"):
        SequenceJob.load(tmp_path / "job.json")
