"""Messages that name the thing that is wrong, and what to do about it."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from engine.base.errors import InputError, NoPermissionError
from engine.base.temporaries import output_error, replacing
from tests.support.command_line import PLATE, RENDER, TRAIN, Cli


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.delenv("OCIO", raising=False)
    return Cli(tmp_path, capsys, monkeypatch)


@pytest.mark.parametrize(
    ("message", "path", "line"),
    [
        ("the plate is missing", "p", "the plate is missing (p)"),
        ("the matte is missing", "matte.png", "the matte is missing (matte.png)"),
        ("cannot read out.png", "out", "cannot read out.png (out)"),
        ("cannot read deep/out.png", "out.png", "cannot read deep/out.png (out.png)"),
        ('"out.png" is damaged', "out.png", '"out.png" is damaged'),
        ("cannot read a/b.png.", "a/b.png", "cannot read a/b.png."),
    ],
)
def test_a_path_is_said_unless_the_message_has_it_as_a_word(message: str, path: str, line: str) -> None:
    assert str(InputError(message, path=path)) == line


def test_a_folder_where_a_file_should_go(tmp_path: Path) -> None:
    (tmp_path / "out.png").mkdir()
    with pytest.raises(NoPermissionError, match=r"a folder stands where .*out\.png\); remove it") as caught:
        with replacing(tmp_path / "out.png"):
            pass
    assert caught.value.exit_code == 2
    assert output_error(tmp_path, OSError(errno.EIO, "I/O error")).exit_code == 1


def test_looks_that_cannot_be_read_have_a_remedy(cli: Cli) -> None:
    (cli.folder / "deep.onnx").mkdir()
    assert cli.refused(*RENDER, "--look", "gone.onnx").endswith("(gone.onnx); check --look, or train it first")
    assert cli.refused(*RENDER, "--look", "deep.onnx").endswith("give the .onnx file that training wrote")


def test_keyframes_that_are_folders_or_have_unknown_options(cli: Cli) -> None:
    (cli.folder / "paintings").mkdir()
    line = cli.refused("train", *PLATE, "--keyframe", "1=paintings", "--work", "work")
    assert "the painting of keyframe 1 is a folder (paintings); name the image in it" in line
    line = cli.refused("train", *PLATE, "--keyframe", "1=a.png,mat=m.png", "--work", "work")
    assert line == '"1=a.png,mat=m.png" has no option "mat"; did you mean matte=?'


def test_a_shot_file_that_cannot_be_read(cli: Cli) -> None:
    assert cli.refused("train", "gone.toml").endswith("(gone.toml); give a shot.toml, or options instead")


def test_a_look_that_may_not_be_replaced(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    look = cli.folder / "hero.onnx"
    monkeypatch.setattr("plugin.arguments.preflight.os.access", lambda path, mode: Path(path).name != look.name)
    line = cli.refused(*TRAIN, "--look", "hero.onnx")
    assert line == "this look may not be replaced (hero.onnx); choose another --look"


def test_failed_frames_are_listed_for_machines(cli: Cli) -> None:
    for frame in (3, 7):
        (cli.folder / f"plate.{frame:04d}.png").unlink()
    failed = json.loads(cli(*RENDER, "--progress", "json").out.splitlines()[-1])
    assert failed["event"] == "failed" and sorted(failed["frames"]) == ["3", "7"]
    assert "plate.0007.png" in failed["frames"]["7"]
