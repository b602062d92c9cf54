"""Plates, keyframes, shots and shot.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.base.errors import ImageError, InputError
from engine.base.frames import FrameRange, SequencePath
from engine.shot.shot import Keyframe, Plate, Shot


def plate(folder: Path | str = "in", frames: str = "1-10") -> Plate:
    return Plate(SequencePath.parse(f"{folder}/p.%04d.exr"), FrameRange.parse(frames))


@pytest.mark.parametrize(
    ("text", "keyframe"),
    [
        ("0=painted.png", Keyframe(0, Path("painted.png"))),
        ("-3=p.png,matte=m.png", Keyframe(-3, Path("p.png"), Path("m.png"))),
        ("7=a,b=c.png", Keyframe(7, Path("a,b=c.png"))),
        ("7=C:\\art\\p.png,matte=D:\\m,1.png", Keyframe(7, Path("C:\\art\\p.png"), Path("D:\\m,1.png"))),
        ("7=p.png,colorspace=ACEScg,matte=m.png", Keyframe(7, Path("p.png"), Path("m.png"), "ACEScg")),
    ],
)
def test_keyframes_parse(text: str, keyframe: Keyframe) -> None:
    assert Keyframe.parse(text) == keyframe


@pytest.mark.parametrize("text", ["", "7", "7=", "x=p.png", "=p.png", "7=p.png,matte=", "7=p,matte=a,matte=b"])
def test_a_broken_keyframe_is_refused_with_the_syntax(text: str) -> None:
    with pytest.raises(InputError, match="is not a keyframe") as caught:
        Keyframe.parse(text)
    assert "1001=p1001.png" in caught.value.remedy


def test_a_keyframe_must_lie_in_the_range_and_be_unique() -> None:
    with pytest.raises(InputError, match="keyframe 11 is outside the frame range 1-10"):
        Shot(plate(), (Keyframe(11, Path("p.png")),))
    with pytest.raises(InputError, match="keyframe 2 is given twice"):
        Shot(plate(), (Keyframe(2, Path("p.png")), Keyframe(2, Path("q.png"))))


def test_keyframes_are_sorted() -> None:
    shot = Shot(plate(), (Keyframe(5, Path("b.png")), Keyframe(2, Path("a.png"))))
    assert [keyframe.frame for keyframe in shot.keyframes] == [2, 5]


def test_output_onto_the_plate_or_a_painting_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    with pytest.raises(InputError, match="output onto the plate"):
        Shot(plate(tmp_path / "in"), out=SequencePath.parse(tmp_path / "link" / "p.####.exr"))
    with pytest.raises(InputError, match="output onto a painting"):
        Shot(
            plate(tmp_path / "in"),
            (Keyframe(3, tmp_path / "art" / "o.0003.exr"),),
            out=SequencePath.parse(tmp_path / "art" / "o.%04d.exr"),
        )
    with pytest.raises(InputError, match="not into a movie"):
        Shot(plate(), out=SequencePath.parse("out.mp4"))
    Shot(plate(tmp_path / "in"), out=SequencePath.parse(tmp_path / "in" / "other.%04d.exr"))


def test_impossible_values_are_refused() -> None:
    with pytest.raises(InputError, match="both a budget and steps"):
        Shot(plate(), budget_s=60, steps=100)
    with pytest.raises(InputError, match="workers is 0"):
        Shot(plate(), workers=0)
    for value in (float("nan"), float("inf"), -1.0):
        with pytest.raises(InputError, match=f"budget_s is {value}, a finite number of at least 0 is needed"):
            Shot(plate(), budget_s=value)


def full_shot(folder: Path) -> Shot:
    return Shot(
        plate=Plate(SequencePath.parse(folder / "in" / "p.####.exr"), FrameRange.parse("1-9x2"), "ACEScg"),
        keyframes=(Keyframe(1, folder / "a.png", folder / "m.png", "sRGB"), Keyframe(5, folder / "deep" / "b.png")),
        out=SequencePath.parse(folder / "out" / "o.%04d.png"),
        work=folder / "work",
        look=folder / "hero.onnx",
        budget_s=90.5,
        seed=7,
        device="cpu",
        stmaps=False,
        repaint=False,
        denoise="published",
        guides="points",
        tile=512,
        workers=2,
        out_colorspace="ACES2065-1",
    )


def test_a_shot_round_trips_with_paths_relative_to_its_file(tmp_path: Path) -> None:
    shot = full_shot(tmp_path)
    file = tmp_path / "shot.toml"
    shot.save(file)
    text = file.read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert 'path = "in/p.%04d.exr"' in text
    assert Shot.load(file) == shot
    assert [path.name for path in tmp_path.iterdir()] == ["shot.toml"]


def test_a_shot_may_be_moved_with_its_folder(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    full_shot(tmp_path / "one").save(tmp_path / "one" / "shot.toml")
    (tmp_path / "one").rename(tmp_path / "two")
    assert Shot.load(tmp_path / "two" / "shot.toml") == full_shot(tmp_path / "two")


MINIMAL = '[plate]\npath = "p.%04d.exr"\nframes = "1-10"\n'


def test_a_minimal_file_serves(tmp_path: Path) -> None:
    (tmp_path / "shot.toml").write_text(MINIMAL)
    assert Shot.load(tmp_path / "shot.toml").plate.path.path(3) == tmp_path / "p.0003.exr"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 3\n" + MINIMAL, 'no setting "sed" … did you mean seed'),
        (MINIMAL + 'colourspace = "x"\n', 'no setting "colourspace" … did you mean colorspace'),
        (MINIMAL + '[[keyframes]]\nframe = 1\npaint = "x"\n', 'no setting "paint" … did you mean painting'),
        ('seed = "x"\n' + MINIMAL, "of the wrong kind"),
        ("seed = -1\n" + MINIMAL, "seed is -1, a finite number of at least 0 is needed"),
        ("budget_s = nan\n" + MINIMAL, "budget_s is nan"),
        ("steps = true\n" + MINIMAL, "of the wrong kind"),
        ("denoise = true\n" + MINIMAL, "of the wrong kind"),
        ('denoise = "strong"\n' + MINIMAL, "denoise is 'strong' … use aware, published"),
        ('guides = "dots"\n' + MINIMAL, "guides is 'dots' … use gaussian, points, grid"),
        ("seed = 3\n", 'lacks "plate"'),
        ("[plate]\n", 'lacks "path"'),
        ("[plate\n", "not TOML"),
        ("seed = 3\nseed = 4\n", "not TOML"),
        (MINIMAL + '[[keyframes]]\nframe = 99\npainting = "x"\n', "outside the frame range"),
    ],
)
def test_a_broken_file_says_what_and_where(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "shot.toml").write_text(text)
    with pytest.raises(InputError) as caught:
        Shot.load(tmp_path / "shot.toml")
    assert all(part in str(caught.value) for part in message.split(" … "))
    assert "shot.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "stmaps", "guides"),
    [
        ("", True, None),
        ("guides = false\n", False, None),
        ("guides = true\n", True, None),
        ("stmaps = false\n", False, None),
        ('guides = "grid"\nstmaps = false\n', False, "grid"),
    ],
)
def test_guides_once_meant_stmaps(tmp_path: Path, text: str, stmaps: bool, guides: str | None) -> None:
    (tmp_path / "shot.toml").write_text(text + MINIMAL)
    shot = Shot.load(tmp_path / "shot.toml")
    assert (shot.stmaps, shot.guides) == (stmaps, guides)


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the shot"):
        Shot.load(tmp_path / "none.toml")


def test_a_plate_of_text(tmp_path: Path) -> None:
    pattern = tmp_path / "plate.%04d.exr"
    assert Plate.of(str(pattern), "1-3", "ACEScg") == Plate(
        SequencePath.parse(pattern), FrameRange.parse("1-3"), "ACEScg"
    )
    assert Plate.of(pattern, 7).frames.frames == (7,)
    with pytest.raises(ImageError, match="no frame of the plate is on disk"):
        Plate.of(pattern)
    for frame in (3, 9):
        (tmp_path / f"plate.{frame:04d}.exr").touch()
    assert Plate.of(pattern).frames.frames == (3, 9)
