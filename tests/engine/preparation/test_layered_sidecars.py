"""Sidecars of an object that is followed apart: the same bytes every way, and made again where a matte changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.base.errors import ImageError, Interrupted
from engine.motion.stmap import read_sidecars, sidecar_path
from engine.preparation.prepare import prepare
from engine.preparation.sidecars import prepare_sidecars
from engine.shot.matte_sequence import MatteSequence
from tests.support.layered_shots import drawn, layered_shot
from tests.support.textures import HEIGHT, WIDTH


def written(work: Path) -> dict[int, bytes]:
    return {frame: sidecar_path(work, 0, frame).read_bytes() for frame in range(4)}


@pytest.mark.slow
def test_the_same_bytes_every_way_and_others_where_a_matte_changed(tmp_path: Path) -> None:
    plate, mattes = layered_shot(tmp_path / "shot")
    track = MatteSequence(mattes, "track")
    assert prepare_sidecars(plate, [0], tmp_path / "plain", threads=1).made == 4
    prepare_sidecars(plate, [0], tmp_path / "one", matte=track, threads=1)
    expected = written(tmp_path / "one")
    prepare_sidecars(plate, [0], tmp_path / "two", matte=track, threads=2)
    assert written(tmp_path / "two") == expected
    with pytest.raises(Interrupted):
        stop = lambda: sidecar_path(tmp_path / "parts", 0, 1).is_file()  # noqa: E731
        prepare_sidecars(plate, [0], tmp_path / "parts", matte=track, threads=1, stop=stop)
    assert 0 < prepare(plate, [0], tmp_path / "parts", matte=mattes.text, threads=2).stmaps.made < 4  # type: ignore[union-attr]
    assert written(tmp_path / "parts") == expected
    # With mattes and without are other maps, and each is made again from the other.
    assert all(written(tmp_path / "plain")[frame] != expected[frame] for frame in range(4))
    again = prepare_sidecars(plate, [0], tmp_path / "plain", matte=track, threads=1)
    assert (again.made, again.kept) == (4, 0) and written(tmp_path / "plain") == expected
    # A changed matte remakes its own frame and what lies behind it.
    images.write(mattes.path(2), np.zeros((HEIGHT, WIDTH, 3), np.float32), bit_depth="uint8")
    changed = prepare_sidecars(plate, [0], tmp_path / "one", matte=track, threads=1)
    assert (changed.made, changed.kept) == (2, 2)
    maps = read_sidecars([sidecar_path(tmp_path / "one", 0, 2)], HEIGHT, WIDTH, frame=2)
    assert maps is not None
    # Nobody is the object there: nothing comes from where the keyframe has it.
    x = np.clip(maps[..., 0] * WIDTH - 0.5, 0, WIDTH - 1).round().astype(int)
    y = np.clip((1 - maps[..., 1]) * HEIGHT - 0.5, 0, HEIGHT - 1).round().astype(int)
    assert not maps[..., 2][drawn(0)[1][y, x] > 0.6].any()


def test_a_missing_matte_names_the_frame(tmp_path: Path) -> None:
    plate, mattes = layered_shot(tmp_path / "shot", 3)
    mattes.path(2).unlink()
    with pytest.raises(ImageError, match=r"the matte of this frame is missing") as caught:
        prepare_sidecars(plate, [0], tmp_path / "w", matte=MatteSequence(mattes, "track"))
    assert (caught.value.frame, caught.value.path) == (2, mattes.path(2))
