"""STMap sidecars on disk: Nuke's convention, the same bytes every way, and nothing half done."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from engine import images
from engine.base.errors import ImageError, InputError, Interrupted
from engine.base.frames import FrameRange, SequencePath
from engine.motion import layers
from engine.motion.stmap import read_sidecars, sidecar_path, stmap_to_flow
from engine.preparation import sidecar_chains
from engine.preparation.sidecars import prepare_sidecars
from engine.shot import plate as plates
from engine.shot.shot import Plate
from tests.support import ROOT
from tests.support.pictures import write_exr
from tests.support.sidecar_shots import STEP, draw, shot
from tests.support.signals import posix
from tests.support.textures import HEIGHT, WIDTH


def hashes(work: Path) -> dict[str, str]:
    found = sorted((work / "stmap").rglob("[!.]*.exr"))
    return {str(path.relative_to(work)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


# What a shot gets


def test_sidecars_point_where_the_plate_was(tmp_path: Path) -> None:
    plate = shot(tmp_path)
    said: list[tuple[int, int, str]] = []
    prepared = prepare_sidecars(plate, [1], tmp_path / "w", threads=2, progress=lambda *facts: said.append(facts))
    assert (prepared.made, prepared.kept, prepared.foreign) == (5, 0, ())
    assert [done for done, _, _ in said] == [1, 2, 3, 4, 5] and {total for _, total, _ in said} == {5}
    assert sorted(text for _, _, text in said) == [f"keyframe 1, frame {frame}" for frame in range(5)]
    inner = (slice(12, -12), slice(16, -16))
    for frame in range(5):
        maps = read_sidecars([sidecar_path(tmp_path / "w", 1, frame)], HEIGHT, WIDTH, frame=frame)
        assert maps is not None
        flow = stmap_to_flow(maps[..., 0], maps[..., 1], HEIGHT, WIDTH)[inner]
        expected = np.array(STEP) * (frame - 1)
        assert np.linalg.norm(flow - expected, axis=2).mean() < 0.3
        assert maps[inner][..., 2].mean() > (0.999 if frame == 1 else 0.8)
    own = read_sidecars([sidecar_path(tmp_path / "w", 1, 1)], HEIGHT, WIDTH, frame=1)
    assert own is not None and (own[..., 2] == 1).all()


def test_a_plate_of_one_frame(tmp_path: Path) -> None:
    assert prepare_sidecars(shot(tmp_path, 1), [0], tmp_path / "w").made == 1
    assert list(hashes(tmp_path / "w")) == [str(Path("stmap", "key_0000", "0000.exr"))]


@pytest.mark.slow
def test_the_same_bytes_every_way(tmp_path: Path) -> None:
    plate = shot(tmp_path, 9)
    prepare_sidecars(plate, [0], tmp_path / "one", threads=1)
    prepare_sidecars(plate, [6], tmp_path / "one", threads=1)
    expected = hashes(tmp_path / "one")
    assert len(expected) == 18
    prepare_sidecars(plate, [0, 6], tmp_path / "two", threads=2)
    assert hashes(tmp_path / "two") == expected

    def enough() -> bool:
        """By what is on disk: the thread that counts may hear of it late."""
        return len(hashes(tmp_path / "stopped")) >= 4

    with pytest.raises(Interrupted):
        prepare_sidecars(plate, [0, 6], tmp_path / "stopped", threads=2, stop=enough)
    # No file knows the time of the day.
    time.sleep(1.1)
    left = hashes(tmp_path / "stopped")
    assert 4 <= len(left) < 18 and left.items() <= expected.items()
    before = {name: (tmp_path / "stopped" / name).stat().st_mtime_ns for name in left}
    rest = prepare_sidecars(plate, [0, 6], tmp_path / "stopped", threads=2)
    assert (rest.made, rest.kept) == (18 - len(left), len(left))
    assert hashes(tmp_path / "stopped") == expected
    assert all((tmp_path / "stopped" / name).stat().st_mtime_ns == then for name, then in before.items())


@pytest.mark.slow
def test_keyframes_share_what_is_read_of_the_plate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plate = shot(tmp_path, 9)
    keys = [0, 3, 4, 8]
    for key in keys:
        prepare_sidecars(plate, [key], tmp_path / "apart", threads=1)
    asked: dict[str, list[int]] = {"read": [], "hash": [], "flow": []}
    read, plate_sha256, estimate = images.read, plates.plate_sha256, layers.estimate

    def counted_flow(*pair: np.ndarray) -> np.ndarray:
        asked["flow"].append(0)
        return estimate(*pair)

    def counted_read(path: Path, *, frame: int, **more: str) -> images.Image:
        asked["read"].append(frame)
        return read(path, frame=frame, **more)

    def counted_hash(path: SequencePath, frame: int) -> str:
        asked["hash"].append(frame)
        return plate_sha256(path, frame)

    monkeypatch.setattr(images, "read", counted_read)
    monkeypatch.setattr(plates, "plate_sha256", counted_hash)
    monkeypatch.setattr(layers, "estimate", counted_flow)
    # On eight cores four keyframes sweep together.
    prepare_sidecars(plate, keys, tmp_path / "w", threads=8)
    assert hashes(tmp_path / "w") == hashes(tmp_path / "apart")
    # Every frame once on the way to later frames, and once on the way back.
    assert sorted(asked["read"]) == sorted([*range(9), *range(9)])
    assert sorted(asked["hash"]) == list(range(9))
    assert len(asked["flow"]) == 2 * 8 * 2
    # On one core three of them do, and the last follows: it is read from where it begins.
    for found in asked.values():
        found.clear()
    prepare_sidecars(plate, keys, tmp_path / "narrow", threads=1)
    assert hashes(tmp_path / "narrow") == hashes(tmp_path / "apart")
    assert sorted(asked["read"]) == sorted([*range(9), *range(5), 8, *range(9)])
    assert sorted(asked["hash"]) == list(range(9))
    # Taken up again, a chain reads its keyframe, the frame where it stands, and what is missing.
    asked["read"].clear()
    for key in keys:
        sidecar_path(tmp_path / "w", key, 8).unlink()
    assert prepare_sidecars(plate, keys, tmp_path / "w", threads=8).made == 4
    assert hashes(tmp_path / "w") == hashes(tmp_path / "apart")


@pytest.mark.slow
def test_where_a_chain_stands_is_saved_at_its_end_and_before_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plate = shot(tmp_path, 7)
    saved: list[str] = []
    advanced: list[int] = []
    savez, advance = np.savez, layers.advance

    def counted_save(file: IO[bytes], **arrays: np.ndarray) -> None:
        saved.append(str(arrays["digest"]))
        savez(file, **arrays)

    def counted_advance(*words: Any) -> Any:
        advanced.append(0)
        return advance(*words)

    monkeypatch.setattr(np, "savez", counted_save)
    monkeypatch.setattr(layers, "advance", counted_advance)
    prepare_sidecars(plate, [0], tmp_path / "whole", threads=1)
    assert (len(advanced), len(saved)) == (6, 1)
    # Stopped between frames 3 and 4, it goes on from 3.
    with pytest.raises(Interrupted):
        stop = lambda: len(hashes(tmp_path / "parts")) >= 4  # noqa: E731
        prepare_sidecars(plate, [0], tmp_path / "parts", threads=1, stop=stop)
    done = len(hashes(tmp_path / "parts"))
    assert len(saved) == 2
    advanced.clear()
    prepare_sidecars(plate, [0], tmp_path / "parts", threads=1)
    assert len(advanced) == 7 - done and len(saved) == 3
    assert hashes(tmp_path / "parts") == hashes(tmp_path / "whole")
    # Time passes: then it is saved on the way, too.
    monkeypatch.setattr(sidecar_chains, "_SAVE_EVERY_S", 0.0)
    prepare_sidecars(plate, [0], tmp_path / "slow", threads=1)
    assert len(saved) == 3 + 6


def test_a_stop_is_noticed_where_nothing_is_left_to_do(tmp_path: Path) -> None:
    plate = shot(tmp_path, 2)
    prepare_sidecars(plate, [0], tmp_path / "w")
    with pytest.raises(Interrupted):
        prepare_sidecars(plate, [0], tmp_path / "w", stop=lambda: True)


def test_an_error_in_progress_ends_the_chains(tmp_path: Path) -> None:
    def broken(done: int, total: int, text: str) -> None:
        raise ZeroDivisionError

    class Slow(Constant):
        """Leaves the thread that counts the time to hear of the first one."""

        def forward(self, frame: int) -> np.ndarray:
            time.sleep(0.3)
            return super().forward(frame)

    with pytest.raises(ZeroDivisionError):
        prepare_sidecars(shot(tmp_path, 12), [0], tmp_path / "w", threads=1, progress=broken, vectors=Slow())
    assert len(hashes(tmp_path / "w")) < 12


# Run again


@dataclass
class Made:
    """A prepared shot of six frames with keyframe 0."""

    plate: Plate
    work: Path
    before: dict[str, str]

    def path(self, frame: int) -> Path:
        return sidecar_path(self.work, 0, frame)

    def again(self, overwrite: bool = False) -> tuple[int, int, int]:
        prepared = prepare_sidecars(self.plate, [0], self.work, threads=2, overwrite=overwrite)
        return prepared.made, prepared.kept, len(prepared.foreign)


@pytest.fixture
def made(tmp_path: Path) -> Made:
    plate = shot(tmp_path, 6)
    prepare_sidecars(plate, [0], tmp_path / "w", threads=2)
    return Made(plate, tmp_path / "w", hashes(tmp_path / "w"))


def test_kept_on_a_second_run_and_remade_when_asked(made: Made) -> None:
    assert made.again() == (0, 6, 0)
    assert made.again(overwrite=True) == (6, 0, 0)
    assert hashes(made.work) == made.before


@pytest.mark.slow
def test_one_that_is_gone_comes_back_the_same(made: Made) -> None:
    made.path(3).unlink()
    assert made.again() == (1, 5, 0)
    assert hashes(made.work) == made.before
    (made.path(0).parent / "after.npz").write_bytes(b"damaged")
    made.path(5).unlink()
    assert made.again() == (1, 5, 0)
    assert hashes(made.work) == made.before


@pytest.mark.slow
def test_a_changed_plate_frame_remakes_what_lies_behind_it(made: Made) -> None:
    draw(made.plate.path.folder, 3, seed=8)
    assert made.again() == (3, 3, 0)
    after = hashes(made.work)
    changed = [name for name in after if after[name] != made.before[name]]
    assert changed == [str(Path("stmap", "key_0000", f"{frame:04d}.exr")) for frame in (3, 4, 5)]


def test_somebody_elses_stays(made: Made) -> None:
    ramp = np.full((HEIGHT, WIDTH), 0.5, np.float32)
    write_exr(made.path(2), {"R": ramp, "G": ramp})
    theirs = made.path(2).read_bytes()
    assert made.again() == (0, 5, 1)
    assert made.again(overwrite=True) == (5, 0, 1)
    assert made.path(2).read_bytes() == theirs
    # It does not change what lies behind it.
    after = hashes(made.work)
    assert [name for name in after if after[name] != made.before[name]] == [str(Path("stmap", "key_0000", "0002.exr"))]


@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_a_damaged_one_is_made_again(made: Made, damage: str) -> None:
    whole = made.path(4).read_bytes()
    cut = {"cut": whole[: len(whole) // 2], "empty": b"", "noise": b"no image at all"}
    made.path(4).write_bytes(cut[damage])
    assert made.again() == (1, 5, 0)
    assert hashes(made.work) == made.before


# What is refused


def test_another_size_names_the_frame(tmp_path: Path) -> None:
    plate = shot(tmp_path, 4)
    images.write(tmp_path / "plate.0002.png", np.full((48, 80, 3), 0.5, np.float32), bit_depth="uint8")
    with pytest.raises(ImageError, match=r"frame 2: this frame is 80x48, keyframe 0 is 160x96 .*plate\.0002\.png"):
        prepare_sidecars(plate, [0], tmp_path / "w")
    assert len(hashes(tmp_path / "w")) == 2


def test_a_missing_and_a_damaged_plate_frame(tmp_path: Path) -> None:
    plate = shot(tmp_path, 3)
    whole = (tmp_path / "plate.0002.png").read_bytes()
    (tmp_path / "plate.0002.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match=r"frame 2: .*plate\.0002\.png"):
        prepare_sidecars(plate, [0], tmp_path / "w")
    (tmp_path / "plate.0001.png").unlink()
    with pytest.raises(ImageError, match=r"frame 1: the plate's frame is missing"):
        prepare_sidecars(plate, [0], tmp_path / "w")


def test_a_keyframe_outside_the_range(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="keyframe 9 is outside the frame range 0-2; widen --frames"):
        prepare_sidecars(shot(tmp_path, 3), [0, 9], tmp_path / "w")
    assert not (tmp_path / "w").exists()


class Constant:
    """Vectors that are known; every other frame's are of the size given."""

    def __init__(self, height: int = HEIGHT, width: int = WIDTH) -> None:
        self.flow = np.full((height, width, 2), STEP, np.float32)

    def __repr__(self) -> str:
        return "constant"

    def forward(self, frame: int) -> np.ndarray:
        return -self.flow

    def backward(self, frame: int) -> np.ndarray:
        return self.flow


def test_vectors_instead_of_estimated_flow(tmp_path: Path) -> None:
    plate = shot(tmp_path, 3)
    assert prepare_sidecars(plate, [1], tmp_path / "w", vectors=Constant()).made == 3
    maps = read_sidecars([sidecar_path(tmp_path / "w", 1, 2)], HEIGHT, WIDTH, frame=2)
    assert maps is not None
    flow = stmap_to_flow(maps[..., 0], maps[..., 1], HEIGHT, WIDTH)[12:-12, 16:-16]
    assert np.linalg.norm(flow - np.array(STEP), axis=2).mean() < 0.3
    # Without them it is another map.
    assert prepare_sidecars(plate, [1], tmp_path / "w").made == 3
    with pytest.raises(ImageError, match="the motion vectors are 80x48 and the plate 160x96"):
        prepare_sidecars(plate, [0], tmp_path / "v", vectors=Constant(48, 80))
    gaps = Plate(plate.path, FrameRange.parse("0,2"))
    with pytest.raises(InputError, match="motion vectors join neighboring frames, but 0,2 leaves some out"):
        prepare_sidecars(gaps, [0], tmp_path / "v", vectors=Constant())


@pytest.mark.slow
@posix
def test_a_kill_leaves_no_partial_file(tmp_path: Path) -> None:
    plate = shot(tmp_path, 30)
    prepare_sidecars(plate, [0], tmp_path / "whole", threads=1)
    command = [sys.executable, "-m", "plugin", "prepare", "--plate", plate.path.text, "--keyframe", "0", "--work"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, str(tmp_path / "w")], env=environment, stdout=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 120
    while len(hashes(tmp_path / "w")) < 3 and time.monotonic() < deadline_s:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = hashes(tmp_path / "w")
    assert 3 <= len(left) < 30 and left.items() <= hashes(tmp_path / "whole").items()
    prepared = prepare_sidecars(plate, [0], tmp_path / "w")
    assert prepared.kept == len(left)
    assert hashes(tmp_path / "w") == hashes(tmp_path / "whole")
    assert not list((tmp_path / "w").rglob(".*tmp*"))
