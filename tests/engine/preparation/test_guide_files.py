"""Guide images on disk: drawn from chains that go on after a stop, the same bytes any way, checked by who reads."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.base.choices import GUIDE_KINDS
from engine.base.errors import ImageError, InputError, Interrupted
from engine.base.frames import FrameRange
from engine.color import shaper
from engine.color.config import ColorConfig
from engine.motion.flow import estimate, luma8
from engine.preparation.guide_files import KINDS, prepare_guides
from engine.preparation.guides import GuideSettings, advance, draw, scatter
from engine.preparation.prepared_files import guide_images
from engine.shot.plate import plate_sha256
from engine.shot.shot import Plate
from tests.support.pictures import write_exr
from tests.support.sidecar_shots import draw as draw_plate
from tests.support.sidecar_shots import shot


def hashes(work: Path) -> dict[str, str]:
    found = sorted([*(work / "guide").rglob("[!.]*.exr"), *(work / "guide").rglob("[!.]*.npz")])
    return {str(path.relative_to(work)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_points_are_followed_both_ways_and_drawn(tmp_path: Path) -> None:
    plate, config = shot(tmp_path / "shot", 4), ColorConfig.active()
    prepare_guides(plate, [1], tmp_path, "points")

    def gray(frame: int) -> np.ndarray:
        return luma8(shaper.encode(config.to_working(images.read(plate.path.path(frame)).rgb, "sRGB")))

    for path in ((1, 0), (1, 2, 3)):
        points = scatter(np.ones((96, 160), np.float32), 1)
        for before, frame in itertools.pairwise(path):
            flows = estimate(gray(before), gray(frame)), estimate(gray(frame), gray(before))
            points = advance(points, *flows, frame, settings=GuideSettings())
        found = images.read(guide_images(tmp_path, "points", [1]).path(path[-1])).rgb
        assert np.abs(found - draw([points], 96, 160)).max() < 1e-3
    assert images.read(guide_images(tmp_path, "points", [1]).path(1)).rgb.std() > 0.1


@pytest.mark.parametrize("kind", GUIDE_KINDS)
def test_the_same_bytes_in_any_order_and_after_a_stop(tmp_path: Path, kind: str) -> None:
    plate, keys = shot(tmp_path / "shot", 7), (1, 4)
    whole = prepare_guides(plate, keys, tmp_path / "whole", kind, threads=1)
    for frames in ((5, 1), (6, 0, 3), (2, 4)):
        prepare_guides(plate, keys[::-1], tmp_path / "parts", kind, frames=frames, threads=3)
    for reached in ("key_0001/0003.npz", "0002.exr"):
        seen = tmp_path / "cut" / "guide" / reached
        with pytest.raises(Interrupted):
            prepare_guides(plate, keys, tmp_path / "cut", kind, stop=seen.is_file, threads=1)
        assert seen.is_file()
        assert not (tmp_path / "cut" / "guide" / "0006.exr").exists()
        seen.unlink()
    assert len(hashes(tmp_path / "whole")) == 7 * 3
    prepare_guides(plate, keys, tmp_path / "cut", kind)
    assert hashes(tmp_path / "whole") == hashes(tmp_path / "parts") == hashes(tmp_path / "cut")
    again = prepare_guides(plate, keys, tmp_path / "whole", kind)
    assert (whole.made, whole.kept, again.made, again.kept) == (7, 0, 0, 7)


def test_a_change_of_the_plate_reaches_what_lies_behind_it(tmp_path: Path) -> None:
    plate = shot(tmp_path / "shot", 6)
    prepare_guides(plate, [1], tmp_path, "points")
    before = hashes(tmp_path)
    draw_plate(tmp_path / "shot", 4, 9)
    again = prepare_guides(plate, [1], tmp_path, "points")
    assert (again.made, again.kept) == (2, 4)
    after = hashes(tmp_path)
    changed = {Path(name).stem for name in before if before[name] != after[name]}
    assert changed == {"0004", "0005"}
    assert prepare_guides(plate, [1], tmp_path, "grid").made == 6
    assert prepare_guides(plate, [1, 5], tmp_path, "grid").made == 6


def test_the_first_keyframe_lies_on_top(tmp_path: Path) -> None:
    plate = shot(tmp_path / "shot", 3)
    prepare_guides(plate, [0], tmp_path / "one", "gaussian")
    prepare_guides(plate, [0, 2], tmp_path / "two", "gaussian")
    one = images.read(guide_images(tmp_path / "one", "gaussian", [0]).path(0)).rgb
    two = images.read(guide_images(tmp_path / "two", "gaussian", [0, 2]).path(0)).rgb
    assert 0 < np.abs(one - two).mean() < 0.1


def test_foreign_images_stay_and_a_damaged_state_is_named(tmp_path: Path) -> None:
    plate = shot(tmp_path / "shot", 3)
    prepare_guides(plate, [0], tmp_path, "points")
    target = guide_images(tmp_path, "points", [0])
    half = np.full((96, 160), 0.5, np.float32)
    mine = write_exr(target.path(1), {"R": half, "G": half, "B": half}).read_bytes()
    again = prepare_guides(plate, [0], tmp_path, "points", overwrite=True)
    assert (again.made, again.foreign) == (2, (target.path(1),))
    assert target.path(1).read_bytes() == mine
    # A guide of one's own is of any plate and any kind.
    assert guide_images(tmp_path, "grid", [0]).sha256(1, "other") == hashlib.sha256(mine).hexdigest()
    state = tmp_path / "guide" / "key_0000" / "0002.npz"
    state.write_bytes(b"PK nothing of the kind")
    target.path(2).unlink()
    assert prepare_guides(plate, [0], tmp_path, "points").made == 1


def test_what_a_reader_refuses(tmp_path: Path) -> None:
    plate = shot(tmp_path / "shot", 3)
    prepare_guides(plate, [0], tmp_path, "points", frames=[0, 1])
    sums = [plate_sha256(plate.path, frame) for frame in range(3)]
    target = guide_images(tmp_path, "points", [0])
    assert target.sha256(1, sums[1]) == hashlib.sha256(target.path(1).read_bytes()).hexdigest()
    remedy = "run paintover prepare --guides points --keyframe 0 with the same --plate"
    with pytest.raises(ImageError, match=rf"frame 2: the guide image is missing \(.*0002.exr\); {remedy}"):
        target.sha256(2, sums[2])
    with pytest.raises(ImageError, match="frame 1: the guide image is stale"):
        target.sha256(1, sums[0])
    with pytest.raises(ImageError, match='is "guide points of 0", but "guide points of 0,2" is needed'):
        guide_images(tmp_path, "points", [2, 0]).sha256(1, sums[1])


def test_wrong_usage(tmp_path: Path) -> None:
    assert tuple(KINDS) == GUIDE_KINDS
    plate = shot(tmp_path / "shot", 3)
    with pytest.raises(InputError, match="no guide is called 'dots'"):
        prepare_guides(plate, [0], tmp_path, "dots")
    with pytest.raises(InputError, match="frame 9 is outside"):
        prepare_guides(plate, [9], tmp_path, "points")
    with pytest.raises(InputError, match="none is given"):
        prepare_guides(plate, [], tmp_path, "points")
    images.write(plate.path.path(2), np.zeros((48, 80, 3), np.float32), bit_depth="uint8")
    with pytest.raises(ImageError, match="frame 2: this frame is 80x48, the others are 160x96"):
        prepare_guides(plate, [0], tmp_path, "points")
    gaps = Plate(plate.path, FrameRange((0, 1)))
    assert prepare_guides(gaps, [0], tmp_path, "points").made == 2
