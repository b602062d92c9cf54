"""The denoised plate on disk: the same bytes any way, made again when something changed, checked by who reads it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.base.errors import ImageError, InputError, Interrupted
from engine.base.frames import FrameRange, SequencePath
from engine.color import shaper
from engine.color.config import ColorConfig
from engine.motion.flow import estimate, luma8
from engine.preparation import denoise_files
from engine.preparation.denoise import DenoiseSettings, filter_frame
from engine.preparation.denoise_files import prepare_denoised
from engine.preparation.prepared_files import denoised_frames
from engine.shot.plate import plate_sha256
from engine.shot.shot import Plate
from tests.support.pictures import write_exr
from tests.support.sidecar_shots import draw, shot

NEAR = DenoiseSettings(range=2)


def hashes(work: Path) -> dict[str, str]:
    found = sorted((work / "denoised").glob("[!.]*.exr"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_it_is_the_filter_of_the_working_encoding(tmp_path: Path) -> None:
    plate, config = shot(tmp_path / "shot", 4), ColorConfig.active()
    rng = np.random.default_rng(1)
    for frame in plate.frames:
        clean = images.read(plate.path.path(frame)).rgb
        grainy = clean + 0.03 * rng.standard_normal(clean.shape, np.float32)
        images.write(plate.path.path(frame), np.clip(grainy, 0, 1), bit_depth="uint8")
    prepare_denoised(plate, tmp_path, "aware", settings=NEAR)

    def image(frame: int) -> np.ndarray:
        return shaper.encode(config.to_working(images.read(plate.path.path(frame)).rgb, "sRGB"))

    def flow(near: int, far: int) -> np.ndarray:
        return estimate(luma8(image(near)), luma8(image(far)))

    expected = filter_frame(1, first=0, last=3, image=image, flow=flow, settings=NEAR)
    found = images.read(denoised_frames(tmp_path, plate.path, "aware").path(1)).rgb
    # Flows and neighbors are held in half floats, and so is the file.
    assert np.abs(shaper.encode(found) - expected).max() < 4e-3
    assert np.abs(expected - image(1)).mean() > 0.005


def test_the_same_bytes_in_any_order_and_after_a_stop(tmp_path: Path) -> None:
    plate = shot(tmp_path / "shot", 6)
    prepare_denoised(plate, tmp_path / "whole", "aware", settings=NEAR, threads=1)
    for frames in ((4, 1), (5, 0, 3), (2,)):
        prepare_denoised(plate, tmp_path / "parts", "aware", settings=NEAR, frames=frames, threads=3)

    def stop() -> bool:
        """Once two are there: how often it is asked until then depends on the time that they take."""
        return len(hashes(tmp_path / "cut")) >= 2

    with pytest.raises(Interrupted):
        prepare_denoised(plate, tmp_path / "cut", "aware", settings=NEAR, stop=stop, threads=1)
    before = hashes(tmp_path / "cut")
    rest = prepare_denoised(plate, tmp_path / "cut", "aware", settings=NEAR)
    assert 2 <= len(before) < 6
    assert (rest.made, rest.kept) == (6 - len(before), len(before))
    assert hashes(tmp_path / "whole") == hashes(tmp_path / "parts") == hashes(tmp_path / "cut")


def test_little_memory_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plate = shot(tmp_path / "shot", 4)
    prepare_denoised(plate, tmp_path / "much", "published", settings=NEAR)
    monkeypatch.setattr(denoise_files, "free_bytes", lambda: 0)
    prepare_denoised(plate, tmp_path / "little", "published", settings=NEAR)
    assert hashes(tmp_path / "much") == hashes(tmp_path / "little")


def test_a_change_of_the_plate_reaches_as_far_as_the_filter(tmp_path: Path) -> None:
    plate = shot(tmp_path / "shot", 7)
    first = prepare_denoised(plate, tmp_path, "aware", settings=NEAR)
    draw(tmp_path / "shot", 0, 9)
    again = prepare_denoised(plate, tmp_path, "aware", settings=NEAR)
    assert (first.made, again.made, again.kept) == (7, 3, 4)
    other = prepare_denoised(plate, tmp_path, "published", settings=NEAR)
    assert (other.made, other.kept) == (7, 0)


def test_damaged_frames_are_made_again_and_foreign_ones_stay(tmp_path: Path) -> None:
    plate = shot(tmp_path / "shot", 3)
    prepare_denoised(plate, tmp_path, "aware", settings=NEAR)
    target = denoised_frames(tmp_path, plate.path, "aware")
    target.path(0).write_bytes(target.path(0).read_bytes()[:-400])
    half = np.full((96, 160), 0.5, np.float32)
    mine = write_exr(target.path(1), {"R": half, "G": half, "B": half}).read_bytes()
    again = prepare_denoised(plate, tmp_path, "aware", settings=NEAR, overwrite=True)
    assert (again.made, again.kept, again.foreign) == (2, 0, (target.path(1),))
    assert target.path(1).read_bytes() == mine


def test_what_a_reader_refuses(tmp_path: Path) -> None:
    plate = shot(tmp_path / "shot", 3)
    prepare_denoised(plate, tmp_path, "aware", settings=NEAR, frames=[0, 1])
    target = denoised_frames(tmp_path, plate.path, "aware")
    sums = [plate_sha256(plate.path, frame) for frame in range(3)]
    assert target.sha256(0, sums[0]) == hashlib.sha256(target.path(0).read_bytes()).hexdigest()
    remedy = "run paintover prepare --denoise aware with the same"
    with pytest.raises(ImageError, match=rf"frame 2: the denoised frame is missing \(.*plate.0002.exr\); {remedy}"):
        target.sha256(2, sums[2])
    with pytest.raises(ImageError, match="frame 1: the denoised frame is stale"):
        target.sha256(1, sums[0])
    published = denoised_frames(tmp_path, plate.path, "published")
    with pytest.raises(ImageError, match='is "denoised aware", but "denoised published" is needed'):
        published.sha256(1, sums[1])
    with pytest.raises(ImageError, match="the denoised frame is 160x96 and the plate 80x48"):
        target.read(0, 48, 80)
    target.path(0).write_bytes(b"no image")
    with pytest.raises(ImageError, match="unreadable denoised frame"):
        target.read(0, 96, 160)


def test_names_and_wrong_usage(tmp_path: Path) -> None:
    def name(text: str) -> str:
        return denoised_frames(Path("w"), SequencePath.parse(text), "aware").path(7).as_posix()

    assert name("a/plate.%04d.png") == "w/denoised/plate.0007.exr"
    assert name("a/####.dpx") == "w/denoised/0007.exr"
    assert name("a/shot.mov") == "w/denoised/shot.0007.exr"
    with pytest.raises(InputError, match="no way to denoise is called 'hard'"):
        denoised_frames(tmp_path, SequencePath.parse("p.%d.png"), "hard")
    plate = Plate(SequencePath.parse(tmp_path / "plate.%04d.png"), FrameRange((1, 2)))
    with pytest.raises(InputError, match="frame 3 is outside"):
        prepare_denoised(plate, tmp_path, "aware", frames=[3])
    with pytest.raises(ImageError, match="frame 1: the plate's frame is missing"):
        prepare_denoised(plate, tmp_path, "aware")
