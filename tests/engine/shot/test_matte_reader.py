"""The matte reader: which channel, which window, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.base.errors import ImageError
from engine.base.frames import SequencePath
from engine.images import movies
from engine.shot.matte_reader import MatteReader
from tests.support.matte_files import box, write_mattes
from tests.support.pictures import HEIGHT, WIDTH, noise, picture, write_exr

SOFT = box(HEIGHT, WIDTH, 8, 20)


@pytest.fixture
def plate(tmp_path: Path) -> SequencePath:
    picture(tmp_path / "plate.0001.exr")
    return SequencePath.parse(tmp_path / "plate.%04d.exr")


def written(
    path: Path, pixels: np.ndarray, window: tuple[int, int] = (0, 0), size: tuple[int, int] | None = None
) -> None:
    """An image of any channels at a place of a display window."""
    spec = oiio.ImageSpec(
        pixels.shape[1], pixels.shape[0], pixels.shape[2], "float" if path.suffix == ".exr" else "uint8"
    )
    spec.x, spec.y = window
    spec.full_width, spec.full_height = size or (pixels.shape[1], pixels.shape[0])
    writer = oiio.ImageOutput.create(str(path))
    assert writer.open(str(path), spec) and writer.write_image(np.ascontiguousarray(pixels)) and writer.close()


def test_the_channel_that_is_coverage(tmp_path: Path, plate: SequencePath) -> None:
    color = noise(HEIGHT, WIDTH, 3)
    opaque = np.ones_like(SOFT)
    gray = np.repeat(SOFT[..., None], 3, axis=2)
    cases = {
        "alpha alone": ("exr", SOFT[..., None], SOFT),
        "alpha of a picture": ("exr", np.dstack([color, SOFT]), SOFT),
        "gray beside an alpha of 1": ("png", np.dstack([gray, opaque]), SOFT),
        "a picture that is all object": ("png", np.dstack([color, opaque]), opaque),
        "gray as three": ("png", gray, SOFT),
        "red alone": ("png", np.dstack([SOFT, 0 * SOFT, 0 * SOFT]), SOFT),
    }
    for number, (name, (suffix, pixels, expected)) in enumerate(cases.items()):
        path = SequencePath.parse(tmp_path / f"{number}.%04d.{suffix}")
        if pixels.shape[2] == 1:
            write_exr(path.path(1), {"A": pixels[..., 0]})
        else:
            written(path.path(1), pixels)
        assert np.abs(MatteReader(path, plate).read(1) - expected).max() < 0.5 / 255, name


def test_windows(tmp_path: Path, plate: SequencePath) -> None:
    """A matte cropped to its object lies where its window says; a plate with overscan is the plate there."""
    path = SequencePath.parse(tmp_path / "cropped.%04d.exr")
    inner = np.dstack([np.zeros((6, 5, 3), np.float32), noise(6, 5)])
    written(path.path(1), inner, (10, 7), (WIDTH, HEIGHT))
    expected = np.zeros((HEIGHT, WIDTH), np.float32)
    expected[7:13, 10:15] = inner[..., 3]
    assert np.array_equal(MatteReader(path, plate).read(1), expected)
    wide = SequencePath.parse(tmp_path / "wide.%04d.exr")
    written(wide.path(1), noise(HEIGHT + 4, WIDTH + 8, 3), (-4, -2), (WIDTH, HEIGHT))
    mattes = write_mattes(tmp_path, {1: SOFT})
    found = MatteReader(mattes, wide).read(1)
    assert found.shape == (HEIGHT + 4, WIDTH + 8)
    assert np.array_equal(found[2:-2, 4:-4], SOFT) and found.sum() == SOFT.sum()


@pytest.mark.parametrize(
    ("matte", "said"),
    [
        (
            SOFT[:, :-1],
            rf"the matte is {WIDTH - 1}x{HEIGHT}, and the plate {WIDTH}x{HEIGHT} .*; give mattes of the plate",
        ),
        (
            np.where(SOFT > 0.5, np.nan, 0),
            r"\d+ pixels of the matte are NaN or Inf .*; render or paint the matte again",
        ),
        (255 * SOFT, r"the matte has values from 0 to 255, and coverage is 0 to 1 .*; write 1 for the object"),
    ],
)
def test_what_is_no_matte_is_refused(tmp_path: Path, plate: SequencePath, matte: np.ndarray, said: str) -> None:
    mattes = write_mattes(tmp_path, {1: matte})
    with pytest.raises(ImageError, match=said) as caught:
        MatteReader(mattes, plate).read(1)
    assert (caught.value.frame, caught.value.path, caught.value.exit_code) == (1, mattes.path(1), 2)


def test_a_missing_matte_and_its_hash(tmp_path: Path, plate: SequencePath) -> None:
    mattes = write_mattes(tmp_path, {1: SOFT})
    reader = MatteReader(mattes, plate)
    first = reader.sha256(1)
    assert first == images.provenance.file_sha256(mattes.path(1))
    write_mattes(tmp_path, {1: 0.5 * SOFT})
    assert reader.sha256(1) != first
    mattes.path(1).unlink()
    for ask in (reader.sha256, reader.read):
        with pytest.raises(
            ImageError, match=r"the matte of this frame is missing .*; check --matte and --frames"
        ) as caught:
            ask(1)
        assert (caught.value.frame, caught.value.path) == (1, mattes.path(1))


def test_what_filters_leave_beyond_is_clipped(tmp_path: Path, plate: SequencePath) -> None:
    found = MatteReader(write_mattes(tmp_path, {1: 1.2 * SOFT - 0.1}), plate).read(1)
    assert (found.min(), found.max()) == (0, 1)


def test_a_movie_is_a_matte_for_a_plate_of_images(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"plate.{number:04d}.png", height=32, width=48)
    plate = SequencePath.parse(tmp_path / "plate.%04d.png")
    movies.write_movie([np.full((32, 48, 3), 100 * number, np.uint8) for number in range(3)], tmp_path / "m.mp4", 24)
    reader = MatteReader(SequencePath.parse(tmp_path / "m.mp4"), plate)
    for number in range(3):
        assert np.abs(reader.read(number) - 100 * number / 255).max() < 0.02
    assert len({reader.sha256(number) for number in range(3)}) == 3
    (tmp_path / "plate.0003.png").write_bytes((tmp_path / "plate.0000.png").read_bytes())
    with pytest.raises(ImageError) as caught:
        reader.read(3)
    assert caught.value.frame == 3
