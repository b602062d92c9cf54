"""What a file is by its first bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import images
from engine.base.errors import ImageError, InputError
from engine.base.frames import FrameRange, SequencePath
from engine.base.signatures import is_movie


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        (b"a note about the plate\n" * 9, "a text file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
        (b"\0" * 5000, "nothing but zeros"),
        (b"PK\x03\x04" + b"\1" * 90, "a ZIP archive"),
        (b"\0\0\0\x18ftypisom" + b"\0" * 90, "a movie"),
        (b"", "the image is empty"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "plate.0001.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=words) as caught:
        images.read(path, frame=1)
    assert "\n" not in str(caught.value) and caught.value.remedy


@pytest.mark.parametrize("name", ["C0001.m4v", "00001.MTS", "take", "shot#1.dat"])
def test_a_movie_is_known_by_its_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x47".ljust(188, b"\0") * 4 if name.endswith("MTS") else b"\0\0\0\x18ftypisom")
    assert is_movie(path)
    assert SequencePath.parse(path).is_movie and SequencePath.parse(path).path(7) == path


def test_a_still_of_the_same_family_is_no_movie(tmp_path: Path) -> None:
    path = tmp_path / "a.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic")
    assert not is_movie(path)
    with pytest.raises(InputError, match="is a folder"):
        SequencePath.parse(tmp_path)


@pytest.mark.parametrize(
    ("text", "offer"),
    [("1001 1003", "1001,1003"), ("1001..1005", "1001-1005"), ("1001 to 1003", "1001-1003"), ("1;3", "1,3")],
)
def test_a_mistyped_range_is_offered_as_it_was_meant(text: str, offer: str) -> None:
    with pytest.raises(InputError) as caught:
        FrameRange.parse(text)
    assert f'did you mean "{offer}"?' in caught.value.remedy


def test_a_text_that_no_file_can_be_called_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="names no frame number"):
        SequencePath.parse("x" * 5000 + ".exr")
