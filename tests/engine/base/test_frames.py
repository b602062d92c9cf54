"""Frame ranges and sequence paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.base.errors import InputError
from engine.base.frames import FrameRange, SequencePath

FRAMES = st.sets(st.integers(-3000, 200_000), min_size=1, max_size=60)


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("7", (7,)),
        ("1001-1004", (1001, 1002, 1003, 1004)),
        ("1-7x3,20", (1, 4, 7, 20)),
        ("-5--2", (-5, -4, -3, -2)),
        ("10-8", (8, 9, 10)),
        ("3,1,2,2", (1, 2, 3)),
        (" 1 - 3 ", (1, 2, 3)),
        # In fileseq's dialect ":" staggers, it does not step.
        ("1-4:2", (1, 2, 3, 4)),
    ],
)
def test_a_range_is_the_set_of_its_frames(text: str, frames: tuple[int, ...]) -> None:
    assert FrameRange.parse(text).frames == frames


@pytest.mark.parametrize(
    "text",
    ["", " ", "a", "1-", "-", "1..5", "####", "1.5", "1-2x0.5", "1-5x0", "1-1000001", "1-99999999999", "1-5 to 7"],
)
def test_nonsense_is_refused_with_the_text_and_the_syntax(text: str) -> None:
    with pytest.raises(InputError) as caught:
        FrameRange.parse(text)
    assert f'"{text}"' in caught.value.message
    assert "1001-1100x2" in caught.value.remedy
    assert caught.value.exit_code == 2


def test_a_million_frames_are_allowed() -> None:
    assert len(FrameRange.parse("1-1000000")) == 1_000_000


@given(FRAMES)
def test_text_and_frames_round_trip(frames: set[int]) -> None:
    found = FrameRange(tuple(frames))
    assert found.frames == tuple(sorted(frames))
    assert FrameRange.parse(str(found)) == found
    assert all(frame in found for frame in frames)
    assert (max(frames) + 1) not in found
    assert "1" not in found


def test_text_is_compact() -> None:
    assert str(FrameRange(tuple(range(1, 100, 2)))) == "1-99x2"
    assert str(FrameRange((1, 2, 3, 7))) == "1-3,7"


@pytest.mark.parametrize(
    ("text", "normal", "file"),
    [
        ("a/plate.%04d.exr", "a/plate.%04d.exr", "a/plate.0012.exr"),
        ("plate.%d.exr", "plate.%d.exr", "plate.12.exr"),
        ("plate.####.exr", "plate.%04d.exr", "plate.0012.exr"),
        ("plate.@@@.exr", "plate.%03d.exr", "plate.012.exr"),
        ("plate.#.exr", "plate.%d.exr", "plate.12.exr"),
        ("plate.$F4.exr", "plate.%04d.exr", "plate.0012.exr"),
        ("plate.$F.exr", "plate.%d.exr", "plate.12.exr"),
        ("a#b/x@2x.%03d.exr", "a#b/x@2x.%03d.exr", "a#b/x@2x.012.exr"),
    ],
)
def test_every_token_works(text: str, normal: str, file: str) -> None:
    parsed = SequencePath.parse(text)
    assert parsed.text == str(parsed) == normal
    assert parsed.path(12) == Path(file)
    assert parsed == SequencePath.parse(normal)
    assert hash(parsed) == hash(SequencePath.parse(normal))


def test_numbers_outgrow_their_padding_and_negatives_keep_their_width() -> None:
    parsed = SequencePath.parse("p.%04d.exr")
    assert parsed.path(123456).name == "p.123456.exr"
    assert parsed.path(-5).name == "p.-005.exr"


@pytest.mark.parametrize(
    ("text", "offer"),
    [("in/plate.0001.png", 'in/plate.%04d.png"'), ("v2_7.png", 'v2_%d.png"'), ("plate.png", "%04d, ####, @@@@ or $F4")],
)
def test_a_name_without_a_token_is_refused_with_an_offer(text: str, offer: str) -> None:
    with pytest.raises(InputError) as caught:
        SequencePath.parse(text)
    assert text in caught.value.message
    assert offer in caught.value.remedy


def test_a_folder_is_refused_with_the_pattern_of_its_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder; name its files, such as .*plate\.%04d\.exr"):
        SequencePath.parse(tmp_path)
    for name in ("hero.1001.png", "hero.1002.png", "notes.txt", "hero.0001.tmp"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"name its files, such as .*hero\.%04d\.png$"):
        SequencePath.parse(tmp_path)


def test_a_movie_is_its_own_path() -> None:
    movie = SequencePath.parse("clips/take1.MOV")
    assert movie.is_movie
    assert movie.path(7) == Path("clips/take1.MOV")
    assert not SequencePath.parse("take.%04d.exr").is_movie


def test_existing_finds_exactly_the_files_that_path_names(tmp_path: Path) -> None:
    for name in (
        "p.0001.exr",
        "p.0003.exr",
        "p.12345.exr",
        "p.-002.exr",
        "p.01.exr",
        "p.0004.png",
        "q.0005.exr",
        "p.x.exr",
    ):
        (tmp_path / name).touch()
    assert SequencePath.parse(tmp_path / "p.%04d.exr").existing() == FrameRange((-2, 1, 3, 12345))
    assert SequencePath.parse(tmp_path / "none.%04d.exr").existing() is None
    assert SequencePath.parse(tmp_path / "missing" / "p.%04d.exr").existing() is None


def test_collisions_are_found_through_links_and_other_paddings(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    one = SequencePath.parse(tmp_path / "real" / "p.%04d.exr")
    assert one.collides(SequencePath.parse(tmp_path / "link" / "p.%d.exr"), range(998, 1002)) == 1000
    assert one.collides(SequencePath.parse(tmp_path / "link" / "p.%d.exr"), range(10)) is None
    assert one.collides(SequencePath.parse(tmp_path / "p.%04d.exr"), range(10)) is None


@pytest.mark.parametrize(
    ("named", "frames"),
    [("1-3", (1, 2, 3)), (7, (7,)), ([3, 1, 3], (1, 3)), (range(2), (0, 1)), (FrameRange((5,)), (5,)), ({-1}, (-1,))],
)
def test_a_range_of_whatever_names_one(named: Any, frames: tuple[int, ...]) -> None:
    assert FrameRange.of(named).frames == frames


@pytest.mark.parametrize("named", [None, 1.5, [1.5], ["1"], "", "x"])
def test_what_is_no_range(named: Any) -> None:
    with pytest.raises(InputError, match=r"is not a frame range|is empty"):
        FrameRange.of(named)


def test_a_sequence_path_of_whatever_names_one() -> None:
    parsed = SequencePath.parse("a.####.exr")
    assert SequencePath.of("a.####.exr") == SequencePath.of(Path("a.%04d.exr")) == SequencePath.of(parsed) == parsed
    with pytest.raises(InputError, match="None is no pattern for frames"):
        SequencePath.of(None)  # type: ignore[arg-type]


def test_a_step_of_zero_is_called_so() -> None:
    for text in ("1001-1003x0", "1-5y0,9", "1-5x-0"):
        with pytest.raises(InputError, match="has a step of 0"):
            FrameRange.parse(text)
    assert len(FrameRange.parse("1001-1101x10")) == 11


def test_a_view_goes_where_the_pattern_has_a_place_for_it() -> None:
    pattern = SequencePath.parse("/s/%V/plate.%v.%04d.exr")
    assert pattern.names_views
    assert pattern.with_layer("right").text == "/s/right/plate.r.%04d.exr"
    assert pattern.with_layer("right").layer == "" and not pattern.with_layer("right").names_views
    assert not SequencePath.parse("/s/50%video/plate.%04d.exr").names_views


def test_a_layer_is_part_of_what_is_read_and_not_of_the_text() -> None:
    plain = SequencePath.parse("/s/plate.%04d.exr")
    right = plain.with_layer("right")
    assert (right.text, right.layer, right.path(7)) == (plain.text, "right", plain.path(7))
    assert right != plain and right.with_layer(None) == plain
    with pytest.raises(InputError, match=r'a movie has no layer or view "right".*drop --layer'):
        SequencePath.parse("/s/plate.mov").with_layer("right")


@pytest.mark.parametrize(
    ("asked", "there", "offer"),
    [
        ("f.%04d.png", "f.9.png", 'there is f.9.png: write "f.%d.png"'),
        ("f.%d.png", "f.0009.png", 'there is f.0009.png: write "f.%04d.png"'),
        ("f.%04d.png", "F.1001.PNG", 'there is F.1001.PNG: write "F.%04d.PNG"'),
        ("Pl\u00e4te.%04d.png", "Pla\u0308te.1001.png", "with its accents composed otherwise"),
        ("f.%04d.png", "other.1001.png", "check --plate"),
    ],
)
def test_a_name_that_is_written_otherwise_is_offered(tmp_path: Path, asked: str, there: str, offer: str) -> None:
    (tmp_path / there).touch()
    if (tmp_path / asked.replace("%04d", "1001")).exists():
        pytest.skip("a file system that takes both for one")
    assert offer in SequencePath.parse(tmp_path / asked).meant
