"""Repainted surfaces: where strokes come from, that they stay and hold together, and that none passes for tracked."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base.arrays import Floats, Mask
from engine.base.frames import FrameRange, SequencePath
from engine.motion.flow import inside
from engine.motion.repaint import LOST, SURE, Repainted, nothing_repainted, repaint_frame
from engine.motion.stmap import read_sidecars, sidecar_path, stmap_to_flow, write_sidecar
from engine.motion.track import Track, frame_features
from engine.preparation.sidecars import prepare_sidecars
from engine.shot.shot import Plate

HEIGHT, WIDTH, PAN = 96, 160, 8
FRAMES = 5


def scene(frame: int, *, light: float = 1.0) -> Floats:
    """(H, W, 3) linear: a flat sky over ground with texture, with grain; both move to the left, PAN pixels a frame."""
    rng = np.random.default_rng(3)
    wide = WIDTH + PAN * FRAMES
    ground = cv2.resize(rng.uniform(0.05, 0.6, (HEIGHT // 4, wide // 4)).astype(np.float32), (wide, HEIGHT))
    rows = np.arange(HEIGHT, dtype=np.float32)[:, None]
    gray = np.where(rows < HEIGHT // 2, 0.3 + 0.002 * rows, ground)[:, PAN * frame : PAN * frame + WIDTH]
    color = gray[..., None] * np.array([0.8, 0.9, 1.0], np.float32)
    grain = np.random.default_rng(frame).normal(0, 0.002, color.shape)
    return np.asarray(light * (color + grain), np.float32)


def followed(frames: int, light: float = 1.0) -> tuple[list[Repainted], list[Track]]:
    """Repainteds and tracks from the keyframe 0 on; the tracks are the truth."""
    views = [frame_features(scene(frame, light=1.0 if frame == 0 else light)) for frame in range(frames)]
    back = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    back[..., 0] = PAN
    tracks, repainted = [], [nothing_repainted(HEIGHT, WIDTH)]
    for frame, here in enumerate(views):
        flow = back * frame
        tracks.append(Track(flow, -flow, inside(flow).astype(np.float32)))
        if frame:
            repainted.append(repaint_frame(repainted[-1], (back, -back), tracks[-1], here, views[0]))
    return repainted, tracks


def entered(frame: int) -> tuple[slice, slice]:
    """The part of the sky that no longer lies in the keyframe, a little inside it."""
    return slice(6, HEIGHT // 2 - 12), slice(WIDTH - PAN * frame + 4, WIDTH - 2)


@pytest.mark.parametrize("light", [1.0, 0.6])
def test_a_sky_that_enters_borrows_from_the_sky(light: float) -> None:
    repainted, tracks = followed(4, light)
    assert not repainted[0].found.any()
    flow, confidence, borrowed = repainted[3].joined(tracks[3])
    part = entered(3)
    assert tracks[3].confidence[part].max() < LOST
    assert borrowed[part].mean() > 0.95 and np.median(confidence[part]) > 0.5 * SURE
    assert inside(flow)[borrowed].all()
    rows = np.mgrid[0:HEIGHT, 0:WIDTH][0] + flow[..., 1]
    assert rows[part].max() < HEIGHT // 2 + 4
    kept = ~borrowed
    assert np.array_equal(flow[kept], tracks[3].to_key[kept])
    assert np.array_equal(confidence[kept], tracks[3].confidence[kept])


def test_ground_that_enters_borrows_from_the_ground() -> None:
    repainted, tracks = followed(4)
    flow, confidence, borrowed = repainted[3].joined(tracks[3])
    part = (slice(HEIGHT // 2 + 12, HEIGHT - 2), entered(3)[1])
    assert tracks[3].confidence[part].max() < LOST
    assert borrowed[part].mean() > 0.95 and 0 < np.median(confidence[part]) <= SURE
    rows = np.mgrid[0:HEIGHT, 0:WIDTH][0] + flow[..., 1]
    assert rows[part].min() > HEIGHT // 2 - 4


def test_the_border_goes_on_without_a_strip() -> None:
    """Each frame brings its own strip: it goes on with the piece that the frame before began."""
    repainted, tracks = followed(5)
    flow, _, borrowed = repainted[4].joined(tracks[4])
    rows, _ = entered(4)
    columns = slice(WIDTH - 4 * PAN, WIDTH)
    assert borrowed[rows, columns].all()
    steps = np.abs(np.diff(flow[rows, columns], axis=1)).max(axis=2)
    assert (steps < 1).mean() > 0.95


def test_pieces_end_softly() -> None:
    """Where what is lent meets what is carried it is doubted, so that the translator joins the two."""
    repainted, tracks = followed(5)
    _, confidence, borrowed = repainted[4].joined(tracks[4])
    rows, columns = entered(4)
    seam = WIDTH - 4 * PAN
    assert borrowed[rows, seam:].all() and not borrowed[rows, : seam - 1].any()
    end, within = (np.median(confidence[rows, at]) for at in (seam, columns.start + 12))
    assert 0 < end < 0.6 * within and within > 0.7 * SURE


def test_a_source_is_used_evenly() -> None:
    repainted, tracks = followed(5)
    flow, _, borrowed = repainted[4].joined(tracks[4])
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    places = np.stack([(y + flow[..., 1]) // 8, (x + flow[..., 0]) // 8], axis=2)[borrowed].astype(int)
    _, counts = np.unique(places, axis=0, return_counts=True)
    # 64 pixels of a cell, each of them once or twice, and hardly more.
    assert np.percentile(counts, 90) <= 128


def test_a_mark_is_not_shown_again() -> None:
    views = [frame_features(scene(frame)) for frame in (0, 4)]
    to_key = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    to_key[..., 0] = 4 * PAN
    track = Track(to_key, -to_key, inside(to_key).astype(np.float32))
    nothing, still = nothing_repainted(HEIGHT, WIDTH), np.zeros_like(to_key)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)

    def sources(marks: Mask | None) -> npt.NDArray[np.bool_]:
        flow, _, borrowed = repaint_frame(nothing, (still, still), track, views[1], views[0], marks).joined(track)
        assert borrowed.sum() > HEIGHT * 3 * PAN
        shown = np.zeros((HEIGHT, WIDTH), bool)
        shown[np.rint(y + flow[..., 1])[borrowed].astype(int), np.rint(x + flow[..., 0])[borrowed].astype(int)] = True
        return shown

    marks = sources(None)
    marks[:, : WIDTH // 4] = False
    assert marks.any() and not (sources(marks) & marks).any()


def test_what_was_borrowed_moves_on_with_the_surface() -> None:
    repainted, tracks = followed(4)
    x = np.mgrid[0:HEIGHT, 0:WIDTH][1]
    first, second = (x + repainted[frame].joined(tracks[frame])[0][..., 0] for frame in (2, 3))
    rows, columns = entered(2)
    later = slice(columns.start - PAN, columns.stop - PAN)
    assert np.median(np.abs(first[rows, columns] - second[rows, later])) < 0.51


def test_a_lookalike_holds_together() -> None:
    """Strokes are longer than the strip that enters with a frame: neighbors must come from neighboring places."""
    repainted, tracks = followed(5)
    flow, _, _ = repainted[4].joined(tracks[4])
    torn = (np.abs(np.diff(flow[entered(4)], axis=1)).max(axis=2) > 2).sum(axis=1)
    assert np.median(torn) <= 2


def shot(folder: Path) -> Plate:
    for frame in range(FRAMES):
        # In another light the sky of one place is not taken for that of another.
        pixels = scene(frame, light=0.6 if frame else 1.0)
        images.write(folder / f"plate.{frame:04d}.exr", pixels, bit_depth="half")
    return Plate(SequencePath.parse(str(folder / "plate.%04d.exr")), FrameRange.parse(f"0-{FRAMES - 1}"))


def test_a_sidecar_says_what_is_borrowed(tmp_path: Path) -> None:
    prepare_sidecars(shot(tmp_path), [0], tmp_path, threads=1)
    path = sidecar_path(tmp_path, 0, 4)
    pixels = oiio.ImageBuf(str(path)).get_pixels(oiio.FLOAT)
    # A tracker may take one part of such a sky for another on its own; what it has lost is borrowed.
    assert pixels[..., 2][entered(4)].mean() > 0.1 and set(np.unique(pixels[..., 2])) == {0.0, 1.0}
    maps, tracked = (read_sidecars([path], HEIGHT, WIDTH, frame=4, tracked=only) for only in (False, True))
    assert maps is not None and tracked is not None
    lent = pixels[..., 2] > 0.5
    assert maps[lent, 2].max() > 0.6 * SURE and not tracked[lent, 2].any()
    assert np.array_equal(maps[~lent], tracked[~lent])


def test_the_blue_of_a_foreign_map_means_nothing(tmp_path: Path) -> None:
    path = sidecar_path(tmp_path, 0, 1)
    everywhere = np.ones((8, 12), bool)
    write_sidecar(path, np.zeros((8, 12, 2), np.float32), np.full((8, 12), 0.7, np.float32), (8, 12), "", everywhere)
    maps = read_sidecars([path], 8, 12, frame=1, tracked=True)
    assert maps is not None and np.allclose(maps[..., 2], 0.7)


def test_a_chain_taken_up_again_borrows_the_same(tmp_path: Path) -> None:
    plate, work, other = shot(tmp_path), tmp_path / "whole", tmp_path / "parts"
    prepare_sidecars(plate, [0], work, threads=1)
    part = Plate(plate.path, FrameRange.parse("0-2"))
    prepare_sidecars(part, [0], other, threads=1)
    prepare_sidecars(plate, [0], other, threads=1)
    for frame in range(FRAMES):
        one, two = sidecar_path(work, 0, frame), sidecar_path(other, 0, frame)
        assert one.read_bytes() == two.read_bytes()
    shutil.rmtree(other)


def test_borrowed_coordinates_name_pixels_of_the_keyframe(tmp_path: Path) -> None:
    prepare_sidecars(shot(tmp_path), [0], tmp_path, threads=1)
    maps = read_sidecars([sidecar_path(tmp_path, 0, 4)], HEIGHT, WIDTH, frame=4)
    assert maps is not None
    sure = maps[..., 2] > 0.1
    assert inside(stmap_to_flow(maps[..., 0], maps[..., 1], HEIGHT, WIDTH))[sure].mean() > 0.99


def test_the_same_bytes_with_one_thread_and_two(tmp_path: Path) -> None:
    plate = shot(tmp_path)
    for threads in (1, 2):
        prepare_sidecars(plate, [0], tmp_path / str(threads), threads=threads)
    for frame in range(FRAMES):
        one, two = (sidecar_path(tmp_path / threads, 0, frame).read_bytes() for threads in ("1", "2"))
        assert one == two


def test_of_two_keyframes_one_repaints_a_pixel_and_none_what_the_other_shows(tmp_path: Path) -> None:
    size, still = (4, 6), np.zeros((4, 6, 2), np.float32)
    confidence = np.array([[0.6, 0.4, 0.2, 0.6, 0.6, 0.6], [0.5, 0.6, 0.6, 0.9, 0.4, 0.0]], np.float32)
    lent = np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0]], bool)
    paths = [tmp_path / "one.exr", tmp_path / "two.exr"]
    for path, row, elsewhere in zip(paths, confidence, lent, strict=True):
        write_sidecar(path, still, np.tile(row, (4, 1)), size, "made", np.tile(elsewhere, (4, 1)))
    maps = read_sidecars(paths, *size, frame=1)
    assert maps is not None
    # The first keyframe, unless the second one is much more alike; half of it where a track is half sure.
    np.testing.assert_allclose(maps[0, :, 2], [0.6, 0.4, 0, 0, 0.3, 0.6], atol=1e-6)
    np.testing.assert_allclose(maps[0, :, 5], [0, 0, 0.6, 0.9, 0.4, 0], atol=1e-6)
    alone = read_sidecars(paths[:1], *size, frame=1)
    assert alone is not None and np.allclose(alone[0, :, 2], confidence[0])


def test_nothing_is_repainted_where_that_is_off(tmp_path: Path) -> None:
    plate = shot(tmp_path)
    prepare_sidecars(plate, [0], tmp_path, threads=1)
    path = sidecar_path(tmp_path, 0, 4)
    painted = np.asarray(oiio.ImageBuf(str(path)).get_pixels(oiio.FLOAT))
    # A sidecar knows how it was made, so another wish makes it again.
    assert prepare_sidecars(plate, [0], tmp_path, threads=1, repaint=False).made == FRAMES
    bare = np.asarray(oiio.ImageBuf(str(path)).get_pixels(oiio.FLOAT))
    assert painted[..., 2].any() and not bare[..., 2].any()
    tracked = painted[..., 2] == 0
    assert np.array_equal(bare[tracked, :2], painted[tracked, :2])
    # Sure by itself, and surer where the way it came by says the same.
    assert (painted[tracked, 3] >= bare[tracked, 3]).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 17), (17, 3), (40, 900)])
def test_any_size_can_borrow(size: tuple[int, int]) -> None:
    frame, key = (frame_features(np.full((*size, 3), value, np.float32)) for value in (0.2, 0.3))
    still = np.zeros((*size, 2), np.float32)
    lost = Track(still, still, np.zeros(size, np.float32))
    found = repaint_frame(nothing_repainted(*size), (still, still), lost, frame, key)
    flow, confidence, _ = found.joined(lost)
    assert np.isfinite(flow).all() and 0 <= confidence.min() and confidence.max() <= SURE
    assert inside(flow)[found.found].all()
