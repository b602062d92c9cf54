"""Numbers, texts and files that someone else wrote: bounded, and refused with one line within a second."""

from __future__ import annotations

import errno
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from engine.base.errors import InputError, PaintoverError
from engine.base.foreign_json import parse_json
from engine.base.frames import FrameRange, SequencePath
from engine.base.system_errors import system_error
from engine.base.whole_file import read_whole
from engine.color.config import ColorConfig
from engine.preparation.saved_arrays import load_arrays
from engine.shot.shot import Shot
from engine.training.job.job import TrainingJob
from engine.training.job.recipe_settings import read_settings

NEEDS_PIPES = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")


@pytest.mark.parametrize(
    "text",
    [
        "1-999999999",
        "-999999999-999999999x3",
        "1-999999999y2",
        "1-999999999:3",
        "1-1000x0.0000001",
        "9" * 400,
        "1-" + "9" * 5000,
        "1-10," * 400_000,
        "5,1-99999999999999999999",
        "\ud800",
        "1\0",
    ],
)
def test_a_range_is_counted_before_it_is_listed(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(InputError) as caught:
        FrameRange.parse(text)
    assert time.perf_counter() - started < 1 and len(str(caught.value)) < 600


def test_what_steps_over_many_frames_is_still_a_range() -> None:
    assert FrameRange.parse("1-900000000x300000000").frames == (1, 300000001, 600000001)
    assert len(FrameRange.parse("1-1000000")) == 1_000_000


@pytest.mark.parametrize("text", ["a.%0999999999d.exr", "a.%099d.exr", "a.$F999.exr", "#" * 90, "a\0.%04d.exr"])
def test_paddings_are_bounded(text: str) -> None:
    with pytest.raises(InputError) as caught:
        SequencePath.parse(text)
    assert len(str(caught.value)) < 400


def test_a_folder_that_no_folder_can_be_called_has_no_frames() -> None:
    for folder in ("a" * 5000, "a/" * 3000, "/" + "b" * 300):
        assert SequencePath.parse(f"{folder}/plate.%04d.png").existing() is None


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [(errno.ENAMETOOLONG, 2), (errno.ELOOP, 2), (errno.EINVAL, 2), (errno.EIO, 1), (errno.ESTALE, 1)],
)
def test_what_the_system_refuses_says_whether_a_retry_helps(code: int, exit_code: int) -> None:
    error = system_error(OSError(code, os.strerror(code), "somewhere"))
    assert error.exit_code == exit_code and str(error).startswith(f"{os.strerror(code)} (somewhere)")


def test_numbers_in_names_are_bounded(tmp_path: Path) -> None:
    for digits in ("0001", "9" * 100):
        (tmp_path / f"a.{digits}.exr").touch()
    assert SequencePath.parse(tmp_path / "a.%04d.exr").existing() == FrameRange((1,))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "deep"),
        ("[" * 70 + "]" * 70, "deep"),
        ("1" * 41, "digits"),
        ('"\\ud800"', "UTF-8"),
        (b'"\xff"', "UTF-8"),
        ("[" + "1," * 2**23 + "1]", "over"),
        ("{", "Expecting"),
    ],
)
def test_json_is_bounded(text: str | bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_json(text)


def test_json_gives_what_it_holds() -> None:
    assert parse_json('{"a": [1, 2.5, "\\u00e9", null], "b": ' + "9" * 39 + "}") == {
        "a": [1, 2.5, "é", None],
        "b": int("9" * 39),
    }


HOSTILE = {
    "deep": b"a = " + b"[" * 100_000,
    "tables": b"[a" + b".a" * 5000 + b"]",
    "digits": b"seed = " + b"9" * 5000,
    "bits": b"seed = 99999999999999999999999999\n[plate]\npath = 'a.%04d.exr'\nframes = '1'",
    "float": b"budget_s = 1e999\n[plate]\npath = 'a.%04d.exr'\nframes = '1'",
    "nul": b'work = "a\\u0000b"\n[plate]\npath = "a.%04d.exr"\nframes = "1"',
    "frames": b"[plate]\npath = 'a.%04d.exr'\nframes = '1-999999999'",
    "padding": b"[plate]\npath = 'a.%0999999999d.exr'\nframes = '1'",
    "latin": b"work = '\xe9'",
    "zeros": bytes(1000),
    "large": b"# " + b"x" * 2**21,
    "types": b"plate = 5",
    "keyframes": b"keyframes = [1]\n[plate]\npath = 'a.%04d.exr'\nframes = '1'",
    "json": b"[" * 100_000,
    "numbers": b'{"steps": ' + b"9" * 5000 + b"}",
    "floats": b'{"steps": 1e999}',
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("load", [Shot.load, read_settings, TrainingJob.load])
def test_a_hostile_text_is_one_line(tmp_path: Path, load: object, name: str) -> None:
    path = tmp_path / "text"
    path.write_bytes(HOSTILE[name])
    started = time.perf_counter()
    with pytest.raises(InputError) as caught:
        load(path)  # type: ignore[operator]
    assert time.perf_counter() - started < 2
    assert caught.value.exit_code == 2 and len(str(caught.value)) < 1000


@NEEDS_PIPES
@pytest.mark.parametrize("load", [Shot.load, read_settings, TrainingJob.load, ColorConfig.active])
def test_only_regular_files_are_read(tmp_path: Path, load: object) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for path in (tmp_path / "pipe", tmp_path / "circle", tmp_path / ("x" * 5000), tmp_path / "a\0b", Path("/dev/zero")):
        with pytest.raises(PaintoverError) as caught:
            load(path)  # type: ignore[operator]
        assert caught.value.exit_code == 2


@NEEDS_PIPES
def test_a_table_without_an_end_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless.cube")
    (tmp_path / "config.ocio").write_text(
        "ocio_profile_version: 2\nroles: {scene_linear: a}\nfile_rules:\n  - !<Rule> {name: Default, colorspace: a}\n"
        "displays:\n  d:\n    - !<View> {name: v, colorspace: b}\ncolorspaces:\n  - !<ColorSpace> {name: a}\n"
        "  - !<ColorSpace>\n    name: b\n    to_scene_reference: !<GroupTransform>\n      children:\n"
        "        - !<FileTransform> {src: endless.cube}\n"
    )
    with pytest.raises(PaintoverError, match="table of the OCIO config is not a regular file"):
        ColorConfig.active(tmp_path / "config.ocio")


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(100))
    assert read_whole(tmp_path / "a", 100) == bytes(100)
    with pytest.raises(ValueError, match="over 99"):
        read_whole(tmp_path / "a", 99)


def test_saved_arrays_are_whole_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, first=np.arange(5), second=np.array("text"))
    saved = load_arrays(path)
    assert saved["first"].tolist() == [0, 1, 2, 3, 4] and str(saved["second"]) == "text"
    whole, seen = path.read_bytes(), 0
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + b"\xfe" + whole[place + 1 :])
        try:
            load_arrays(path)
        except ValueError:
            seen += 1
    assert seen > 20
    for text in (b"", b"PK", whole[:-30]):
        path.write_bytes(text)
        with pytest.raises(ValueError, match="damaged"):
            load_arrays(path)


@pytest.mark.parametrize("shape", ["(99999999999,)", "(" * 500, "(1,) * 10**9", "(-1,)"])
def test_saved_arrays_of_a_claimed_size_are_refused(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(ValueError, match="damaged"):
        load_arrays(tmp_path / "a.npz")
