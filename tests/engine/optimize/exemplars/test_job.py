"""The exemplar job: the words of an exemplar, what is refused, and that a file gives the same job back."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.base.errors import InputError
from engine.optimize.exemplars.job import ExemplarJob, PaintedExemplar


def job(**changes: object) -> ExemplarJob:
    values: dict[str, object] = {
        "plate": "plate.%04d.png",
        "plate_layer": "",
        "frames": (3,),
        "plate_colorspace": None,
        "ocio": None,
        "out": "p.%04d.png",
        "work": Path("work"),
        "exemplars": (PaintedExemplar(Path("a.png"), Path("b.png")),),
    }
    return ExemplarJob(**{**values, **changes})  # type: ignore[arg-type]


def test_an_exemplar_is_a_plate_and_a_painting(tmp_path: Path) -> None:
    assert PaintedExemplar.parse("a.exr=b.png") == PaintedExemplar(Path("a.exr"), Path("b.png"))
    odd = tmp_path / "take=2.exr"
    odd.write_bytes(b"")
    assert PaintedExemplar.parse(f"{odd}=b=c.png") == PaintedExemplar(odd, Path("b=c.png"))


@pytest.mark.parametrize("text", ["", "a.exr", "=b.png", "a.exr=", "a.exr= "])
def test_what_is_no_exemplar_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"is not an exemplar; write PLATE=PAINTING, such as "):
        PaintedExemplar.parse(text)


def test_a_file_gives_the_job_back(tmp_path: Path) -> None:
    made = job(matte="m.%d.png", seed=4, threads=2, resume=True)
    made.save(tmp_path / "job.json")
    assert ExemplarJob.load(tmp_path / "job.json") == made


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"exemplars": ()}, "nothing to put together; give frames and an exemplar"),
        ({"frames": ()}, "nothing to put together"),
        ({"exemplars": (PaintedExemplar(Path("a"), Path("b")),) * 17}, "17 exemplars are too many; give the 16"),
        ({"seed": -1}, "seed is -1"),
        ({"threads": 0}, "threads is 0"),
        ({"out": "a\0b"}, "out has a zero character"),
    ],
)
def test_values_that_make_no_sense_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        job(**changes)
    assert str(caught.value).startswith(said)


def test_a_stated_colorspace_is_that_of_the_same_kind_of_file() -> None:
    made = job(plate="plate.%04d.exr", plate_colorspace="ACEScg")
    assert made.colorspace_of(PaintedExemplar(Path("x/other.EXR"), Path("p.png"))) == "ACEScg"
    assert made.colorspace_of(PaintedExemplar(Path("key.png"), Path("p.png"))) is None
