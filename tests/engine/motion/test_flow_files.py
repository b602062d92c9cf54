"""Motion vectors in files: exact round trips, Nuke's and Blender's conventions, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from engine.base.errors import ImageError, InputError, NoPermissionError, OutputError
from engine.base.frames import SequencePath
from engine.motion.flow import reliability
from engine.motion.flow_files import FlowFiles, read_flow, write_flow
from tests.support import SHARED

MARPLE = SHARED / "shots" / "marple"


def some_flow(height: int = 5, width: int = 7, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 9, (height, width, 2)).astype(np.float32)


def exr(path: Path, names: list[str], pixels: np.ndarray, windows: tuple[int, ...] | None = None) -> Path:
    """An EXR of these channels; ``windows`` is data x, y and display x, y, width, height."""
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], len(names), "float")
    spec.channelnames = names
    if windows:
        spec.x, spec.y, spec.full_x, spec.full_y, spec.full_width, spec.full_height = windows
    writer = oiio.ImageOutput.create("exr")
    assert writer.open(str(path), spec) and writer.write_image(np.ascontiguousarray(pixels, np.float32))
    assert writer.close()
    return path


def test_flo_is_laid_out_as_middlebury_says(tmp_path: Path) -> None:
    flow = np.zeros((1, 2, 2), np.float32)
    flow[0, 1] = 3.0, -0.5
    write_flow(tmp_path / "a.flo", flow)
    data = (tmp_path / "a.flo").read_bytes()
    assert data[:4] == b"PIEH" and data[4:12] == bytes([2, 0, 0, 0, 1, 0, 0, 0])
    assert np.frombuffer(data[12:], "<f4").tolist() == [0.0, 0.0, 3.0, -0.5]


@pytest.mark.parametrize("name", ["a.flo", "a.exr"])
def test_what_is_written_is_read_back_to_the_bit(tmp_path: Path, name: str) -> None:
    flow = some_flow()
    flow[0, 0] = 0
    write_flow(tmp_path / name, flow)
    found = read_flow(tmp_path / name, size=(5, 7))
    assert found.dtype == np.float32 and found.tobytes() == flow.tobytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_nuke_layers_count_y_upwards(tmp_path: Path) -> None:
    names = ["forward.u", "forward.v", "backward.u", "backward.v"]
    path = exr(tmp_path / "v.0003.exr", names, np.full((4, 6, 4), (1.0, 2.0, -3.0, -4.0)))
    files = FlowFiles(SequencePath.parse(tmp_path / "v.%04d.exr"))
    assert files.forward(3)[2, 2].tolist() == [1.0, -2.0]
    assert files.backward(3)[2, 2].tolist() == [-3.0, 4.0]
    assert read_flow(path, y_up=False, scale=2.0)[0, 0].tolist() == [2.0, 4.0]


def test_both_directions_are_written_as_nuke_names_them(tmp_path: Path) -> None:
    forward, backward = some_flow(seed=1), some_flow(seed=2)
    write_flow(tmp_path / "v.0001.exr", forward, backward)
    source = oiio.ImageInput.open(str(tmp_path / "v.0001.exr"))
    assert sorted(source.spec().channelnames) == ["backward.u", "backward.v", "forward.u", "forward.v"]
    stored = source.read_image(0, 0, source.spec().channelindex("forward.v"), -1, "float")
    assert np.array_equal(stored.reshape(5, 7, -1)[..., 0], -forward[..., 1])
    source.close()
    files = FlowFiles(SequencePath.parse(tmp_path / "v.####.exr"), size=(5, 7))
    assert np.array_equal(files.forward(1), forward) and np.array_equal(files.backward(1), backward)


@pytest.mark.parametrize(
    ("names", "want"),
    [
        (["forward.x", "forward.y"], (1.0, -2.0)),
        (["Forward.U", "Forward.V"], (1.0, -2.0)),
        (["left.forward.u", "left.forward.v"], (1.0, -2.0)),
        (["motion.u", "motion.v"], (1.0, -2.0)),
        (["motionvector.R", "motionvector.G"], (1.0, -2.0)),
        (["u", "v"], (1.0, -2.0)),
        (["R", "G"], (1.0, -2.0)),
    ],
)
def test_other_names_for_a_direction_of_its_own(tmp_path: Path, names: list[str], want: tuple[float, float]) -> None:
    exr(tmp_path / "v.1.exr", names, np.full((3, 3, 2), (1.0, 2.0)))
    pattern = SequencePath.parse(tmp_path / "v.%d.exr")
    assert tuple(FlowFiles(pattern, pattern).forward(1)[1, 1]) == want


def test_blenders_vector_pass(tmp_path: Path) -> None:
    # An object that moves 4 right and 1 down a frame: to the previous frame it is (-4, up 1), and the pass negates
    # the way to the next one, (4, down 1), with y up.
    names = [f"ViewLayer.Vector.{axis}" for axis in "XYZW"]
    path = exr(tmp_path / "v.1.exr", names, np.full((3, 3, 4), (-4.0, 1.0, -4.0, 1.0)))
    assert read_flow(path, "forward", shared=True)[0, 0].tolist() == [4.0, 1.0]
    assert read_flow(path, "backward", shared=True)[0, 0].tolist() == [-4.0, -1.0]


def test_a_picture_is_not_taken_for_vectors_of_both_directions(tmp_path: Path) -> None:
    exr(tmp_path / "beauty.0001.exr", ["R", "G", "B"], np.zeros((3, 3, 3)))
    files = FlowFiles(SequencePath.parse(tmp_path / "beauty.%04d.exr"))
    with pytest.raises(ImageError) as caught:
        files.backward(1)
    said = str(caught.value)
    assert caught.value.frame == 1 and "no backward motion vectors" in said and "plain (r, g, b)" in said
    assert "write a layer backward with the channels u and v" in said


def test_a_named_layer_and_ambiguous_views(tmp_path: Path) -> None:
    names = ["left.forward.u", "left.forward.v", "right.forward.u", "right.forward.v"]
    path = exr(tmp_path / "stereo.exr", names, np.full((2, 2, 4), (1.0, 1.0, 5.0, 5.0)))
    assert read_flow(path, layer="right.forward")[0, 0].tolist() == [5.0, -5.0]
    with pytest.raises(ImageError, match=r"left\.forward, right\.forward.*name one"):
        read_flow(path)


def test_a_layer_in_a_part_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "parts.exr"
    specs = []
    for name in ("rgba", "forward"):
        spec = oiio.ImageSpec(3, 2, 2, "float")
        spec.channelnames = ["R", "G"] if name == "rgba" else ["u", "v"]
        spec.attribute("oiio:subimagename", name)
        specs.append(spec)
    writer = oiio.ImageOutput.create("exr")
    assert writer.open(str(path), tuple(specs))
    writer.write_image(np.zeros((2, 3, 2), np.float32))
    writer.open(str(path), specs[1], "AppendSubimage")
    writer.write_image(np.full((2, 3, 2), 6.0, np.float32))
    writer.close()
    assert read_flow(path, shared=True)[1, 2].tolist() == [6.0, -6.0]


def test_a_cropped_data_window_is_placed_in_its_format(tmp_path: Path) -> None:
    path = exr(tmp_path / "v.exr", ["forward.u", "forward.v"], np.full((2, 3, 2), 7.0), (4, 1, 0, 0, 8, 5))
    flow = read_flow(path, size=(5, 8))
    assert flow.shape == (5, 8, 2) and flow[1:3, 4:7].min() == -7.0
    assert flow[..., 0].sum() == 6 * 7.0
    assert read_flow(path, size=(2, 3)).shape == (2, 3, 2)
    overscan = exr(tmp_path / "o.exr", ["forward.u", "forward.v"], np.full((5, 8, 2), 7.0), (-1, -2, 0, 0, 6, 2))
    assert read_flow(overscan)[..., 0].tolist() == [[7.0] * 6] * 2


@pytest.mark.parametrize("name", ["a.flo", "a.exr"])
def test_unknown_vectors_become_no_motion_with_a_note(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    flow = some_flow()
    flow[0, 0, 0], flow[1, 1, 1], flow[2, 2] = np.nan, np.inf, 1.5e9
    write_flow(tmp_path / name, flow)
    with caplog.at_level(logging.WARNING):
        found = read_flow(tmp_path / name, frame=12)
    assert not found[[0, 1, 2], [0, 1, 2]].any() and np.array_equal(found[3:], flow[3:])
    assert [record.getMessage() for record in caplog.records] == [
        f"frame 12: {name}: 3 vectors are unknown or not finite and are taken as no motion"
    ]


def test_what_a_wrong_file_says(tmp_path: Path) -> None:
    good = tmp_path / "good.flo"
    write_flow(good, some_flow())
    data = good.read_bytes()

    def said(name: str, content: bytes | None, **options: object) -> str:
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ImageError) as caught:
            read_flow(path, frame=8, **options)  # type: ignore[arg-type]
        assert (caught.value.path, caught.value.frame, caught.value.exit_code) == (path, 8, 2)
        return str(caught.value)

    assert said("cut.flo", data[:-5]).startswith(
        "frame 8: the .flo file is truncated: 287 bytes instead of 292 for 7x5 "
    )
    assert "longer than its size says" in said("long.flo", data + b"x")
    assert "not a .flo file" in said("magic.flo", b"JUNK" + data[4:])
    assert "not a .flo file (3 bytes)" in said("short.flo", b"PIE")
    assert "claims a size of -1x5" in said("size.flo", data[:4] + b"\xff\xff\xff\xff" + data[8:])
    assert "there are no motion vectors" in said("absent.flo", None)
    assert "there are no motion vectors" in said("absent.exr", None)
    assert "the vectors are 7x5, the plate is 6x4" in said("good.flo", None, size=(4, 6))
    assert "the file is empty" in said("empty.exr", b"")
    assert "not an EXR file, or damaged" in said("junk.exr", b"nothing of the kind")
    write_flow(tmp_path / "whole.exr", some_flow(64, 64))
    whole = (tmp_path / "whole.exr").read_bytes()
    assert "damaged or truncated" in said("cut.exr", whole[: len(whole) // 2])


def test_values_are_checked_where_they_are_built() -> None:
    def parse(text: str) -> SequencePath:
        return SequencePath.parse(text)

    with pytest.raises(InputError, match="has one direction only"):
        FlowFiles(parse("f.%04d.flo"))
    with pytest.raises(InputError, match="holds no motion vectors"):
        FlowFiles(parse("f.mov"))
    with pytest.raises(InputError, match="cannot be scaled by 0"):
        FlowFiles(parse("f.%04d.exr"), scale=0.0)
    assert FlowFiles(parse("f.%04d.flo"), parse("b.%04d.flo")) == FlowFiles(parse("f.####.flo"), parse("b.$F4.flo"))


def test_what_cannot_be_written(tmp_path: Path) -> None:
    flow = some_flow()
    with pytest.raises(InputError, match="holds one flow"):
        write_flow(tmp_path / "a.flo", flow, flow)
    with pytest.raises(InputError, match="holds one flow"):
        write_flow(tmp_path / "a.exr")
    with pytest.raises(InputError, match="of one size"):
        write_flow(tmp_path / "a.exr", flow, some_flow(6, 7))
    with pytest.raises(InputError, match=r"\(H, W, 2\)"):
        write_flow(tmp_path / "a.flo", flow[..., 0])
    with pytest.raises(InputError, match=r"use \.flo or \.exr"):
        write_flow(tmp_path / "a.png", flow)
    with pytest.raises((OutputError, NoPermissionError)):
        write_flow(tmp_path / "absent" / "a.exr", flow)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not MARPLE.is_dir(), reason="no shared footage beside this checkout")
def test_published_vectors_give_the_published_reliability() -> None:
    forward, backward = read_flow(MARPLE / "forward_1_2.flo"), read_flow(MARPLE / "backward_2_1.flo")
    data = (MARPLE / "reliable_1_2.pgm").read_bytes()
    height, width = forward.shape[:2]
    published = np.frombuffer(data[-height * width :], np.uint8).reshape(height, width)
    difference = np.abs(reliability(forward, backward) * 255 - published)
    assert float(difference.max()) <= 2.0


def test_written_vectors_do_not_hold_the_time(tmp_path: Path) -> None:
    write_flow(tmp_path / "a.exr", np.zeros((4, 6, 2), np.float32))
    source = oiio.ImageInput.open(str(tmp_path / "a.exr"))
    assert source.spec().get_string_attribute("DateTime") == ""
    source.close()
