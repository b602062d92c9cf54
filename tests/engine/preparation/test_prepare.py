"""One call makes STMaps, denoised frames and guide images, and records what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import images
from engine.base.errors import ImageError, InputError, Interrupted
from engine.motion.stmap import sidecar_path
from engine.preparation.hash_records import record_path
from engine.preparation.prepare import MadeFiles, PrepareEvent, PrepareReport, prepare
from engine.shot.shot import Keyframe, Plate
from tests.support import procedural


@pytest.fixture
def plate(tmp_path: Path) -> Plate:
    for frame in (1, 2, 3):
        images.write(tmp_path / f"plate.{frame:04d}.exr", procedural.plate(48, 64, shift=2 * frame))
    return Plate.of(tmp_path / "plate.%04d.exr", "1-3")


def test_everything_at_once(tmp_path: Path, plate: Plate) -> None:
    events: list[PrepareEvent] = []
    keys = [Keyframe(3, Path("p.png")), 1]
    work = tmp_path / "work"
    report = prepare(plate, keys, str(work), denoise="aware", guides="grid", progress=events.append)
    assert report == PrepareReport(MadeFiles(6, 0, ()), MadeFiles(3, 0, ()), MadeFiles(3, 0, ()))
    made = [sidecar_path(work, key, frame) for key in (1, 3) for frame in plate.frames]
    made += [work / "denoised" / f"plate.{frame:04d}.exr" for frame in plate.frames]
    made += [work / "guide" / f"{frame:04d}.exr" for frame in plate.frames]
    assert [path for path in made if not (path.is_file() and record_path(path).is_file())] == []
    parts = list(dict.fromkeys(event.part for event in events))
    assert parts == ["stmaps", "denoised", "guides"]
    assert [(event.done, event.total) for event in events if event.part == "stmaps"] == [(n, 6) for n in range(1, 7)]
    for part in parts:
        last = [event for event in events if event.part == part][-1]
        assert last.done == last.total
    again = prepare(plate, keys, work, denoise="aware", guides="grid")
    assert again == PrepareReport(MadeFiles(0, 6, ()), MadeFiles(0, 3, ()), MadeFiles(0, 3, ()))


def test_parts(tmp_path: Path, plate: Plate) -> None:
    report = prepare(plate, (), tmp_path / "work", stmaps=False, denoise="published", frames=[2])
    assert report == PrepareReport(denoised=MadeFiles(1, 0, ()))
    assert not (tmp_path / "work" / "stmap").exists()
    assert record_path(tmp_path / "work" / "denoised" / "plate.0002.exr").is_file()


def test_stop(tmp_path: Path, plate: Plate) -> None:
    with pytest.raises(Interrupted):
        prepare(plate, [1], tmp_path / "work", stop=lambda: True)
    assert list((tmp_path / "work").rglob("*.exr")) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keyframes": []}, "no keyframe given"),
        ({"keyframes": [9]}, "keyframe 9 is outside the frame range 1-3"),
        ({"denoise": "hard"}, "no way to denoise is called 'hard'"),
        ({"guides": "dots"}, "no guide is called 'dots'"),
        ({"plate": "plate.%04d.exr"}, "the plate given is a str; use Plate.of"),
    ],
)
def test_what_is_refused(tmp_path: Path, plate: Plate, changes: dict[str, Any], message: str) -> None:
    words = {"plate": plate, "keyframes": [1], "work": tmp_path / "work", **changes}
    with pytest.raises(InputError, match=message):
        prepare(**words)
    assert not list((tmp_path / "work").rglob("*.exr")) or changes.keys() & {"denoise", "guides"}


def test_a_missing_plate(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="frame 1"):
        prepare(Plate.of(tmp_path / "plate.%04d.exr", "1-3"), [1], tmp_path / "work")
