"""``paintover render`` of one layer or view, with what is lost of the rest; and what other verbs say of it."""

from __future__ import annotations

import numpy as np
import pytest

from engine import images
from engine.images.provenance import read_provenance
from tests.support import lookfactory
from tests.support.command_line import Cli
from tests.support.pictures import noise, write_exr

NAMES = ("R", "G", "B", "right.R", "right.G", "right.B")
WORDS = ("--plate", "s.%04d.exr", "--frames", "1-2")


@pytest.fixture
def stereo(cli: Cli) -> Cli:
    """The command line beside two stereo frames and a look that doubles."""
    lookfactory.gain(cli.folder / "twice.onnx", 2.0)
    for frame in (1, 2):
        write_exr(cli.folder / f"s.{frame:04d}.exr", {n: noise(24, 32, seed=i) for i, n in enumerate(NAMES)})
    return cli


def test_the_view_asked_for_is_rendered_and_the_other_stays(stereo: Cli) -> None:
    render = ("render", "--look", "twice.onnx", *WORDS, "--device", "cpu", "--depth", "float")
    assert stereo(*render, "--out", "r.%04d.exr", "--layer", "right").code == 0
    plate, styled = (images.read(stereo.folder / f"{name}.0002.exr") for name in ("s", "r"))
    right = images.read(stereo.folder / "s.0002.exr", layer="right").rgb
    np.testing.assert_allclose(images.read(stereo.folder / "r.0002.exr", layer="right").rgb, 2 * right, rtol=1e-3)
    np.testing.assert_array_equal(styled.rgb, plate.rgb)
    assert read_provenance(stereo.folder / "r.0002.exr")["plate"].endswith("#right")
    verify = ("verify", "--look", "twice.onnx", *WORDS, "--out", "r.%04d.exr", "--depth", "float")
    assert stereo(*verify, "--layer", "right").code == 0
    other = stereo(*verify)
    assert other.code == 3 and "2 of 2 frames are not right" in other.err


def test_no_such_layer_is_one_line(stereo: Cli) -> None:
    said = stereo("render", "--look", "twice.onnx", *WORDS, "--out", "r.%04d.exr", "--layer", "rihgt")
    assert said.code == 2
    assert said.err.strip().endswith("; did you mean right?") and said.err.count("\n") == 1


def test_views_in_files_of_their_own_need_a_word(stereo: Cli) -> None:
    for view, level in (("left", 0.25), ("right", 0.75)):
        write_exr(stereo.folder / f"v.{view}.0001.exr", {n: np.full((24, 32), level) for n in "RGB"})
    words = ("render", "--look", "twice.onnx", "--plate", "v.%V.%04d.exr", "--frames", "1", "--out", "o.%04d.exr")
    said = stereo(*words)
    assert said.code == 2 and "stands for several views; say which one, such as --layer left" in said.err
    assert stereo(*words, "--layer", "right").code == 0
    assert images.read(stereo.folder / "o.0001.exr").rgb.mean() == pytest.approx(1.5, abs=1e-3)


def test_farms_are_told_what_is_lost_and_which_layer(stereo: Cli) -> None:
    words = ("submit", "--engine", "slurm", "--look", "twice.onnx", *WORDS, "--out", "r.%04d.png", "--work", "work")
    said = stereo(*words, "--layer", "right", "--write-only")
    assert said.code == 0 and "channels beside the picture are lost in .png frames: R, G, B" in said.err
    assert said.out.count("plate taken as") == 1
    script = (stereo.folder / "work" / "farm" / "slurm" / "render.sh").read_text(encoding="utf-8")
    assert "--layer right" in script
    dry = stereo(*words, "--dry-run")
    assert dry.code == 0 and "the file is stereo: the view left is taken" in dry.err
    assert "taken as" not in dry.out


def test_a_key_shows_the_view_that_was_asked_for(stereo: Cli) -> None:
    for layer, level in (("left", 0.2), ("right", 0.6)):
        channels = {n: np.full((24, 32), 0.2 if n in "RGB" else 0.6) for n in NAMES}
        write_exr(stereo.folder / "k.0001.exr", channels)
        said = stereo("key", "--plate", "k.%04d.exr", "--out", f"{layer}.%04d.png", "--layer", layer)
        assert said.code == 0 and "--layer" not in said.err
        shown = images.read(stereo.folder / f"{layer}.0001.png").rgb.mean()
        write_exr(stereo.folder / "alone.0001.exr", {n: np.full((24, 32), level) for n in "RGB"})
        assert stereo("key", "--plate", "alone.%04d.exr", "--out", "a.%04d.png", "--overwrite").code == 0
        assert shown == pytest.approx(images.read(stereo.folder / "a.0001.png").rgb.mean(), abs=1e-4)
