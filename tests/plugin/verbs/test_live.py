"""``paintover live``: sources in, movies, images and a page out; and every end in one line."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from engine import images
from engine.images import movies
from plugin.cli import main
from plugin.progress.child import child_environment
from tests.support import lookfactory
from tests.support.numbered_movies import encode
from tests.support.pictures import picture

pytestmark = pytest.mark.slow

WAIT_S = 240.0


@pytest.fixture
def here(tmp_path: Path) -> Path:
    lookfactory.gain(tmp_path / "look.onnx", 0.5)
    encode(tmp_path / "clip.mp4", 12)
    for frame in range(1, 7):
        picture(tmp_path / f"p.{frame:04d}.png", seed=frame)
    return tmp_path


def words(*more: str) -> list[str]:
    return [sys.executable, "-m", "plugin", "live", "--look", "look.onnx", "--device", "cpu", *more]


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, stdout and stderr of a run in this process."""

    def run(*more: str) -> tuple[int, str, str]:
        monkeypatch.chdir(here)
        code = main(words(*more)[3:])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def live(run: Run, *more: str) -> list[dict[str, Any]]:
    """The events of a run that must end well."""
    code, out, err = run(*more, "--progress", "json")
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def figures(events: list[dict[str, Any]]) -> dict[str, Any]:
    """The last that it says of itself."""
    return next(event for event in reversed(events) if event["event"] == "note")


def refused(run: Run, *more: str) -> str:
    code, _, err = run(*more, "--progress", "none")
    lines = err.splitlines()
    assert (code, len(lines)) == (2, 1), err
    return lines[0].removeprefix("paintover: ")


def test_a_movie_becomes_a_movie_of_its_length_and_the_end_is_told(here: Path, run: Run) -> None:
    events = live(run, "--source", "clip.mp4", "--out", "live.mp4")
    assert events[0]["event"] == "note" and "--keyframe-at first" in str(events[0]["text"])
    last = figures(events)
    assert last["shown"] + last["dropped"] == 12 and last["latency_s"] > 0
    assert events[-1]["event"] == "finished"
    assert movies.frame_rate(here / "live.mp4") == 24
    count = movies.frame_count(here / "live.mp4")
    assert 1 <= count <= 13
    # Half the light is about 0.73 of the code.
    own, made = movies.read_frame(here / "clip.mp4", 0).rgb, movies.read_frame(here / "live.mp4", 0).rgb
    bright = own > 0.6
    assert abs(float((made[bright] / own[bright]).mean()) - 0.73) < 0.05


def test_images_become_images_of_the_same_numbers(here: Path, run: Run) -> None:
    events = live(run, "--source", "p.%04d.png", "--rate", "2", "--out", "out/o.%04d.png")
    assert figures(events)["shown"] >= 1
    written = sorted(int(path.name[2:6]) for path in (here / "out").iterdir())
    assert written and set(written) <= set(range(1, 7))
    frame = written[0]
    own, made = (images.read(here / name).rgb for name in (f"p.{frame:04d}.png", f"out/o.{frame:04d}.png"))
    assert made.shape == own.shape and float(made[own > 0.6].max()) < 0.8


def test_it_ends_after_so_many_frames_of_a_loop(here: Path, run: Run) -> None:
    events = live(run, "--source", "clip.mp4", "--loop", "--frames", "15", "--out", "live.mp4")
    last = figures(events)
    assert last["shown"] == 15


def test_ctrl_c_ends_it_and_the_movie_is_whole(here: Path) -> None:
    flags = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if sys.platform == "win32" else {}
    process = subprocess.Popen(
        words("--source", "clip.mp4", "--loop", "--out", "live.mp4", "--progress", "json"),
        cwd=here, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **flags,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("shown", 0) > 2:
                break
        process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
        _, said = process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
    assert process.returncode == 0 and "Traceback" not in said
    assert movies.frame_count(here / "live.mp4") > 2
    assert not [path for path in here.iterdir() if "tmp" in path.name]


def test_a_page_shows_it_to_whoever_has_the_token_and_live_takes_it_as_a_source(here: Path, run: Run) -> None:
    process = subprocess.Popen(
        words("--source", "clip.mp4", "--loop", "--no-browser", "--progress", "none"),
        cwd=here, env=child_environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        parts = urlsplit(address)
        assert parts.hostname == "127.0.0.1" and parts.query.startswith("token=")
        for path, headers, status in (
            ("/", {}, 403),
            ("/?token=wrong", {}, 403),
            (f"/?{parts.query}", {"Host": "evil.example"}, 403),
            (f"/?{parts.query}", {"Origin": "http://evil.example"}, 403),
            (f"/?{parts.query}", {}, 200),
        ):
            connection = http.client.HTTPConnection("127.0.0.1", parts.port or 0, timeout=WAIT_S)
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            assert answer.status == status, path
            if status == 200:
                assert answer.readline().strip() == b"--picture"
            connection.close()
        events = live(run, "--source", address, "--frames", "2", "--out", "again.mp4")
        last = figures(events)
        assert last["shown"] == 2 and "token" not in json.dumps(events)
    finally:
        process.kill()
        process.communicate()


def test_what_is_missing_is_one_line(here: Path, run: Run) -> None:
    assert refused(run).startswith("--source is missing")
    assert refused(run, "--source", "none.mp4", "--out", "l.mp4").startswith("there is no such movie")
    assert "is not opened" in refused(run, "--source", "file:///etc/passwd", "--out", "l.mp4")
    said = refused(run, "--source", "http://user:secret@127.0.0.1:9/x", "--out", "l.mp4")
    assert said.startswith("the source cannot be opened: http://127.0.0.1:9/x: ") and "secret" not in said
    assert "--keyframe-at 'second' is not a whole number" in refused(run, "--source", "0", "--keyframe-at", "second")
    assert "no .mp4 and no pattern" in refused(run, "--source", "clip.mp4", "--out", "l.mov")
    assert "replace its own source" in refused(run, "--source", "clip.mp4", "--out", "clip.mp4")
    assert "replace the source's" in refused(run, "--source", "p.%04d.png", "--out", "p.%04d.png")
    shutil.copy(here / "p.0001.png", here / "broken.mp4")
    assert "not a movie" in refused(run, "--source", "broken.mp4", "--out", "l.mp4")
