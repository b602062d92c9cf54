"""The style job: the words of a style image, what is refused, and that a file gives the same job back."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.base.errors import InputError
from engine.optimize.job import StyleImage, StyleJob, layer_weights


def job(**changes: object) -> StyleJob:
    values: dict[str, object] = {
        "plate": "plate.%04d.png",
        "plate_layer": "",
        "frames": (3,),
        "plate_colorspace": None,
        "ocio": None,
        "out": "p.%04d.png",
        "work": Path("work"),
        "styles": (StyleImage(Path("canvas.jpg")),),
        "features": "vgg.safetensors",
    }
    return StyleJob(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "path", "weight"),
    [("a.jpg", "a.jpg", 1.0), ("a.jpg,weight=2.5", "a.jpg", 2.5), ("a,b=c.jpg,weight=.5", "a,b=c.jpg", 0.5)],
)
def test_a_style_image_is_a_path_and_a_weight(text: str, path: str, weight: float) -> None:
    assert StyleImage.parse(text) == StyleImage(Path(path), weight)


@pytest.mark.parametrize("text", ["", ",weight=1", "a.jpg,weight=", "a.jpg,weight=0", "a.jpg,weight=nan", "a,weight=x"])
def test_what_is_no_style_image_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"is not a style image; write PATH or PATH,weight=2"):
        StyleImage.parse(text)


def test_layers_have_weights() -> None:
    assert layer_weights("1,0.5, 0,2,0") == (1.0, 0.5, 0.0, 2.0, 0.0)
    for text in ("", "1,1", "1,1,1,1,x", "1,1,1,1,-1"):
        with pytest.raises(InputError, match=r"are no weights of the style's layers; give 5 numbers from 0 up"):
            layer_weights(text)


def test_a_file_gives_the_job_back(tmp_path: Path) -> None:
    made = job(styles=(StyleImage(Path("a.jpg"), 2.0), StyleImage(Path("b.jpg"))), matte="m.png", color="luminance")
    made.save(tmp_path / "job.json")
    assert StyleJob.load(tmp_path / "job.json") == made


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"color": "sepia"}, "'sepia' is unknown; use style, luminance, histogram"),
        ({"iterations": 0}, "0 iterations are out of range"),
        ({"style_scale": 9.0}, "a style scale of 9 is out of range; give 0.1 to 4"),
        ({"strength": float("nan")}, "a strength of nan is out of range"),
        ({"layers": (1.0,) * 4}, '"1,1,1,1" are no weights of the style\'s layers; give 5 numbers from 0 up'),
        ({"layers": (0.0,) * 5}, '"0,0,0,0,0" are no weights of the style\'s layers'),
        ({"layers": (1.0, 1.0, float("nan"), 1.0, 1.0)}, '"1,1,nan,1,1" are no weights'),
        ({"seed": -1}, "seed is -1"),
        ({"styles": ()}, "nothing to paint"),
        ({"matte": "a\0b"}, "matte has a zero character"),
    ],
)
def test_values_that_make_no_sense_are_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(InputError) as caught:
        job(**changes)
    assert str(caught.value).startswith(said)


def test_an_unknown_field_is_refused(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_bytes(msgspec.json.encode({**job().facts(), "stile": 1}))
    with pytest.raises(InputError, match=r"cannot read the style job: .*stile"):
        StyleJob.load(tmp_path / "job.json")
