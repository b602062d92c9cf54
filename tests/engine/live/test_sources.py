"""Sources of live pictures: files at their own rate, looped, smaller; and what is no source."""

from __future__ import annotations

import threading
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from engine.base.errors import ImageError, InputError
from engine.images.addresses import camera_name, is_address, shown_address
from engine.live.sources import open_source, work_size
from tests.support.numbered_movies import encode, number_of
from tests.support.pictures import picture


def never() -> threading.Event:
    return threading.Event()


def test_a_movie_plays_at_its_own_rate_and_again_when_looped(tmp_path: Path) -> None:
    movie = encode(tmp_path / "m.mp4", 6)
    source = open_source(str(movie), loop=True, rate=None, size=0)
    assert (source.rate, source.name, source.images) == (24.0, "m.mp4", None)
    found = list(islice(source.pictures(never()), 14))
    assert [each.number for each in found] == list(range(14))
    assert [number_of(each.read().rgb) for each in found] == [*range(6), *range(6), 0, 1]
    # 24 a second, also where it begins again; a busy machine only moves the clock forward.
    steps = np.diff([each.due_s for each in found])
    assert np.isclose(np.median(steps), 1 / 24, atol=1e-3) and steps.min() > 1 / 24 - 1e-3


def test_a_movie_ends_and_may_be_slowed(tmp_path: Path) -> None:
    source = open_source(str(encode(tmp_path / "m.mp4", 5)), loop=False, rate=48.0, size=0)
    found = list(source.pictures(never()))
    assert len(found) == 5 and source.rate == 48.0
    assert np.isclose(np.median(np.diff([each.due_s for each in found])), 1 / 48, atol=1e-3)


def test_pictures_of_a_movie_come_in_the_size_that_is_wanted(tmp_path: Path) -> None:
    source = open_source(str(encode(tmp_path / "m.mp4", 2)), loop=False, rate=None, size=48)
    first = next(iter(source.pictures(never()))).read()
    assert first.rgb.shape == (32, 48, 3)
    assert work_size(1920, 1080, 320) == (320, 180) and work_size(100, 50, 320) == (100, 50)
    assert work_size(1079, 1919, 320) == (180, 320) and work_size(101, 51, 0) == (101, 51)


def test_images_play_at_a_rate_by_their_numbers(tmp_path: Path) -> None:
    for frame in (3, 4, 6):
        picture(tmp_path / f"p.{frame:04d}.png", seed=frame)
    source = open_source(str(tmp_path / "p.%04d.png"), loop=True, rate=100.0, size=0)
    found = list(islice(source.pictures(never()), 5))
    assert [each.number for each in found] == [3, 4, 6, 7, 8]
    assert np.array_equal(found[3].read().rgb, found[0].read().rgb)
    assert not np.array_equal(found[1].read().rgb, found[0].read().rgb)


def test_a_source_that_is_told_to_ends_at_once(tmp_path: Path) -> None:
    picture(tmp_path / "p.0000.png")
    source = open_source(str(tmp_path / "p.%04d.png"), loop=True, rate=0.001, size=0)
    ended = threading.Event()
    pictures = source.pictures(ended)
    next(pictures)
    threading.Timer(0.1, ended.set).start()
    began = time.monotonic()
    assert next(pictures, None) is None and time.monotonic() - began < 60


def test_what_is_missing_or_no_source_is_said(tmp_path: Path) -> None:
    def refused(text: str, kind: type[Exception] = InputError, **how: object) -> str:
        with pytest.raises(kind) as caught:
            open_source(text, **{"loop": False, "rate": None, "size": 0, **how})  # type: ignore[arg-type]
        return str(caught.value)

    assert "there is no such movie" in refused(str(tmp_path / "none.mp4"), ImageError)
    assert "no image of this name is on disk" in refused(str(tmp_path / "none.%04d.png"), ImageError)
    assert "names no frame number" in refused(str(tmp_path / "one.png"))
    assert "--loop is for files" in refused("rtsp://127.0.0.1/x", loop=True)
    assert "--rate is for files" in refused("0", rate=5.0)
    for address in ("file:///etc/passwd", "ftp://a/b", "concat://a", "gopher://a/b", "data://x", "smb://a/b"):
        assert "is not opened" in refused(address), address


def test_addresses_and_cameras_are_told_apart_from_files() -> None:
    assert [camera_name(text) for text in ("0", "/dev/video3", "camera:Front Door")] == [
        "0",
        "/dev/video3",
        "Front Door",
    ]
    assert [camera_name(text) for text in ("0.mp4", "camera", "/dev/sda", "2000")] == [None] * 4
    assert is_address("rtsp://a/b") and not is_address("C:\\clip.mp4") and not is_address("plate.%04d.png")
    assert shown_address("rtsp://user:secret@cam.local:554/one?token=abc") == "rtsp://cam.local:554/one"
