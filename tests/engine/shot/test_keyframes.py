"""Keyframes as one word: written, read back, and with other paths."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.base.errors import InputError
from engine.shot.keyframes import Keyframe, keyframe_number

_PATHS = st.text("ab =.,%#é-", min_size=1, max_size=9).map(str.strip).filter(bool).map(lambda name: Path("/p", name))


@given(st.integers(-999, 9999), _PATHS, st.none() | _PATHS, st.none() | st.sampled_from(["sRGB", "a = b, c"]))
def test_a_keyframe_is_read_back_from_its_text(
    frame: int, painting: Path, matte: Path | None, space: str | None
) -> None:
    keyframe = Keyframe(frame, painting, matte, space)
    assert Keyframe.parse(keyframe.text) == keyframe


def test_its_text() -> None:
    assert Keyframe(-5, Path("p.png")).text == "-5=p.png"
    full = Keyframe(7, Path("a,b.png"), Path("m=1.png"), "ACES - ACEScg")
    assert full.text == "7=a,b.png,matte=m=1.png,colorspace=ACES - ACEScg"


def test_other_paths() -> None:
    full = Keyframe(7, Path("/a/p.png"), Path("/a/m.png"), "sRGB")
    moved = full.with_paths(lambda path: path.as_posix().replace("/a", "/b"))
    assert moved == Keyframe(7, Path("/b/p.png"), Path("/b/m.png"), "sRGB")
    assert Keyframe(7, Path("/a/p.png")).with_paths(lambda path: path.name) == Keyframe(7, Path("p.png"))


def test_a_number_alone_or_of_a_keyframe() -> None:
    assert [keyframe_number(text) for text in ("1001", "-5", "1001=p.png", "-5=p.png,matte=m.png")] == [1001, -5] * 2
    with pytest.raises(InputError, match=r'"1\.5" is not a keyframe; write a keyframe like'):
        keyframe_number("1.5")
