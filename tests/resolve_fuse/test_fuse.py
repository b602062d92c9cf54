"""The Fuse, unmodified, in LuaJIT against a model of Fusion's API, with real workers and real frames beneath."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import OpenImageIO as oiio
import pytest

from engine import images
from engine.images.provenance import read_provenance
from plugin.cli import main
from plugin.client.command import child_environment, write_config
from plugin.client.job import Job
from tests.support import ROOT, SUPPORT, lookfactory
from tests.support.fusion_model import Fuse, FuseError
from tests.support.pictures import picture
from tests.support.signals import posix

pytestmark = pytest.mark.host

pytest.importorskip("lupa.luajit21", reason="lupa, which brings LuaJIT, is not installed (pip install lupa)")

FUSE = ROOT / "resolve_fuse" / "Paintover.fuse"
FRAMES = range(1001, 1005)


@dataclass
class Shot:
    """A folder with a plate, a look and the frames that the command line rendered from them."""

    folder: Path
    job: Job

    def out(self, frame: int) -> Path:
        return Path(str(self.job.out) % frame)

    def render(self) -> None:
        assert main([*self.job.arguments("render"), "--progress", "none"]) == 0


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    for frame in FRAMES:
        picture(tmp_path / f"plate.{frame:04d}.exr", seed=frame)
    lookfactory.gain(tmp_path / "look.onnx", 0.5)
    job = Job(
        plate=str(tmp_path / "plate.%04d.exr"),
        frames="1001-1004",
        work=str(tmp_path),
        out=str(tmp_path / "out" / "out.%04d.exr"),
        device="cpu",
    )
    return Shot(tmp_path, job)


@pytest.fixture
def fuse() -> Fuse:
    return Fuse(FUSE)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home, a scratch folder and a paintover command of the test's own; its worker ends with the test."""
    home, scratch, starter = tmp_path / "home", tmp_path / "scratch", tmp_path / "it's paintover.py"
    home.mkdir()
    scratch.mkdir()
    starter.write_text(
        f"#!{sys.executable}\nimport os, sys\nassert 'PYTHONHOME' not in os.environ\n"
        f"sys.path.insert(0, {str(ROOT)!r})\nfrom plugin.cli import main\nsys.exit(main())\n"
    )
    starter.chmod(0o755)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    for name in ("TMPDIR", "TEMP"):
        monkeypatch.setenv(name, str(scratch))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("PYTHONHOME", "/where/a/host/keeps/its/own")
    monkeypatch.setenv("PAINTOVER_COMMAND", str(starter))
    yield tmp_path
    try:
        os.kill(worker_pid(tmp_path), signal.SIGTERM)
    except (OSError, ValueError):
        pass


def worker_pid(desk: Path) -> int:
    return int(json.loads((desk / "home" / ".paintover" / "worker.json").read_text())["pid"])


def left_over(desk: Path) -> list[Path]:
    """What requests left behind; libraries may keep files of their own there."""
    return [*(desk / "scratch").glob("*paintover*"), *(desk / "scratch").glob("lua*")]


def rgba(seed: int = 0, height: int = 24, width: int = 32) -> np.ndarray:
    pixels = np.random.default_rng(seed).random((height, width, 4), dtype=np.float32)
    pixels[..., 3] = 1
    return pixels


def refusal(fuse: Fuse, frame: float = 1001, plate: np.ndarray | None = None, proxy: float = 1.0) -> str:
    """The one line of a frame that must not be shown, without the name that it starts with."""
    with pytest.raises(FuseError) as caught:
        fuse.process(frame, plate, proxy=proxy)
    line = str(caught.value)
    assert line.startswith("Paintover: ") and "\n" not in line
    return line.removeprefix("Paintover: ")


# Cache mode


def test_rendered_frames_are_shown_in_any_order(shot: Shot, fuse: Fuse) -> None:
    shot.render()
    fuse.set(Frames=str(shot.job.out))
    for frame in (1004, 1001, 1003, 1002, 1001):
        shown = fuse.process(frame)
        expected = images.read(shot.out(frame)).rgb
        np.testing.assert_array_equal(shown.pixels[..., :3], expected)
        assert (shown.pixels[..., 3] == 1).all() and shown.depth == "IMDP_128bitFloat"
        assert (shown.width, shown.height) == (32, 24)
        look = read_provenance(shot.out(frame))["look"]
        assert shown.metadata == {"Filename": str(shot.out(frame)), "PaintoverLook": look}
    assert not np.array_equal(fuse.process(1001).pixels, fuse.process(1002).pixels)


@pytest.mark.parametrize("name", ["out.%04d.exr", "out.####.exr", "out.1003.exr", "out.%d.exr"])
def test_a_sequence_is_named_in_any_way_of_the_host(shot: Shot, fuse: Fuse, name: str) -> None:
    shot.render()
    fuse.set(Frames=str(shot.folder / "out" / name), FrameOffset=1000)
    expected = images.read(shot.out(1002)).rgb
    np.testing.assert_array_equal(fuse.process(2).pixels[..., :3], expected)
    fuse.set(Frames=str(shot.folder / "out" / "out.exr"))
    assert "names no frame number" in refusal(fuse, 2)


def test_a_path_of_the_comp_with_a_doubled_separator(shot: Shot) -> None:
    shot.render()
    fuse = Fuse(FUSE, map_path=lambda path: path.replace("Comp:", f"{shot.folder}//"))
    fuse.set(Frames="Comp:/out//out.%04d.exr")
    shown = fuse.process(1001)
    assert shown.metadata["Filename"] == str(shot.out(1001))


def test_what_is_not_shown_says_why(shot: Shot, fuse: Fuse) -> None:
    assert refusal(fuse) == "frame 1001: no rendered frames are chosen; set Rendered Frames"
    fuse.set(Frames=str(shot.job.out))
    missing = f"frame 1001 is not rendered yet: {shot.out(1001)} does not exist; render it, or correct Frame Offset"
    assert refusal(fuse) == refusal(fuse, plate=rgba()) == missing
    shot.render()
    shot.out(1003).unlink()
    assert "frame 1003 is not rendered yet" in refusal(fuse, 1003)
    images.write(shot.out(1003), np.zeros((24, 32, 3), np.float32))
    assert refusal(fuse, 1003).startswith("frame 1003 was not rendered by Paintover: ")
    data = shot.out(1002).read_bytes()
    shot.out(1002).write_bytes(data[: len(data) // 2])
    assert refusal(fuse, 1002).startswith(f"frame 1002 cannot be read from {shot.out(1002)}: ")
    fuse.set(LookHash=read_provenance(shot.out(1001))["look"][:8].upper())
    assert fuse.process(1001).width == 32
    fuse.set(LookHash="0123")
    assert "rendered with another look" in refusal(fuse, 1001) and "not 0123" in refusal(fuse, 1001)


def test_png_frames_are_shown_too(shot: Shot, fuse: Fuse) -> None:
    words = shot.job.arguments("render")
    out = shot.folder / "png" / "out.%04d.png"
    words = [f"--out={out}" if word.startswith("--out=") else word for word in words]
    assert main([*words, "--progress", "none"]) == 0
    fuse.set(Frames=str(out))
    shown = fuse.process(1002)
    assert shown.depth == "IMDP_64bitInt" and len(shown.metadata["PaintoverLook"]) == 64
    source = oiio.ImageBuf(str(out) % 1002).get_pixels(oiio.FLOAT)
    np.testing.assert_allclose(shown.pixels[..., :3], source[..., :3], atol=1e-6)


def test_overscan_alpha_and_gray_frames(tmp_path: Path, fuse: Fuse) -> None:
    """Written without our engine: a data window that leaves the display window, an alpha, and one gray channel."""
    rng = np.random.default_rng(3)
    spec = oiio.ImageSpec(20, 10, 4, "float")
    spec.x, spec.y, spec.full_x, spec.full_width, spec.full_height = -2, 3, 1, 16, 12
    spec.attribute("paintover/look", "a" * 64)
    pixels = rng.random((10, 20, 4), dtype=np.float32) * 8 - 1
    write(tmp_path / "over.0001.exr", spec, pixels)
    fuse.set(Frames=str(tmp_path / "over.%04d.exr"))
    shown = fuse.process(1)
    np.testing.assert_array_equal(shown.pixels, pixels)
    # Rows 3 to 12 of 12, counted from the top: one row below the frame, three missing above it. The frame begins at 1.
    assert (shown.width, shown.height, shown.window) == (16, 12, (-3, -1, 17, 9))
    gray = oiio.ImageSpec(6, 4, 1, "half")
    gray.channelnames = ("Y",)
    gray.attribute("paintover/look", "b" * 64)
    write(tmp_path / "over.0002.exr", gray, np.full((4, 6, 1), 0.25, np.float32))
    np.testing.assert_array_equal(fuse.process(2).pixels, np.broadcast_to(np.float32([0.25, 0.25, 0.25, 1]), (4, 6, 4)))


def write(path: Path, spec: oiio.ImageSpec, pixels: np.ndarray) -> None:
    target = oiio.ImageOutput.create(str(path))
    assert target.open(str(path), spec) and target.write_image(pixels)
    target.close()


def test_proxies_and_precalculation(shot: Shot, fuse: Fuse) -> None:
    shot.render()
    fuse.set(Frames=str(shot.job.out))
    small = fuse.process(1001, rgba(height=12, width=16), proxy=2.0)
    assert (small.width, small.height) == (16, 12) == small.pixels.shape[1::-1]
    ahead = fuse.process(1001, precalc=True)
    assert ahead.no_data and (ahead.width, ahead.height) == (32, 24) and not ahead.pixels.any()
    fuse.set(Mode=1, Look="/nowhere.onnx")
    assert fuse.process(1001, rgba(), precalc=True).no_data and fuse.written == []
    assert "turn proxies off" in refusal(fuse, 1001, rgba(height=12, width=16), proxy=2.0)


def test_the_knobs_that_a_mode_needs_are_seen(fuse: Fuse) -> None:
    assert fuse.registered["name"] == "Paintover" and fuse.registered["REG_NoBlendCtrls"] is True
    fuse.set(Mode=1)
    assert [fuse.attribute(name, "IC_Visible") for name in ("Frames", "LookHash", "Look", "Work")] == [
        False, False, True, True,
    ]  # fmt: skip
    fuse.set(Mode=0)
    assert fuse.attribute("Frames", "IC_Visible") and not fuse.attribute("Command", "IC_Visible")


# Live mode


@posix
def test_live_frames_are_those_of_the_command_line(desk: Path, shot: Shot, fuse: Fuse) -> None:
    fuse.set(Mode=1, Look=str(shot.folder / "look.onnx"), Work=str(shot.folder), Pixels=1)
    plate = rgba(7)
    shown = fuse.process(1002, plate)
    by_hand = desk / "hand.1002.png"
    spec = oiio.ImageSpec(32, 24, 4, "uint16")
    write(by_hand, spec, plate)
    job = Job(str(desk / "hand.%04d.png"), "1002", str(shot.folder), out=str(desk / "made.%04d.png"), device="cpu")
    assert main([*job.arguments("render"), "--progress", "none"]) == 0
    expected = oiio.ImageBuf(str(desk / "made.1002.png")).get_pixels(oiio.FLOAT)
    np.testing.assert_allclose(shown.pixels[..., :3], expected[..., :3], atol=1.01 / 65535)
    assert np.abs(shown.pixels[..., :3] - plate[..., :3]).max() > 0.1
    pid = worker_pid(desk)
    # The same frame again, of another plate: neither its name nor its result is the first one's, and no look is loaded.
    other = fuse.process(1002, plate * np.float32([0.5, 0.5, 0.5, 1]))
    assert other.pixels[..., :3].mean() < 0.8 * shown.pixels[..., :3].mean()
    assert len(set(fuse.written)) == 2 and worker_pid(desk) == pid
    assert all(name.endswith(".plate.1002.png") for name in fuse.written)
    assert left_over(desk) == []


@posix
def test_light_beyond_white_and_negative_light_pass_through_live(desk: Path, shot: Shot, fuse: Fuse) -> None:
    fuse.set(Mode=1, Look=str(shot.folder / "look.onnx"), Work=str(shot.folder))
    plate = rgba(7)
    plate[4:8, 4:8, :3], plate[10:12, :4, :3] = 40.0, -0.25
    shown = fuse.process(1002, plate)
    assert fuse.written[0].endswith(".plate.1002.exr") and shown.depth == "IMDP_128bitFloat"
    assert (shown.width, shown.height, shown.pixels.shape) == (32, 24, plate.shape)
    hand = desk / "hand.1002.exr"
    write(hand, oiio.ImageSpec(32, 24, 4, "float"), plate)
    job = Job(str(desk / "hand.%04d.exr"), "1002", str(shot.folder), out=str(desk / "made.%04d.exr"), device="cpu")
    assert main([*job.arguments("render"), "--progress", "none"]) == 0
    np.testing.assert_array_equal(shown.pixels[..., :3], images.read(desk / "made.1002.exr").rgb)
    assert shown.pixels[6, 6, 0] > 5 and shown.pixels[11, 2, 0] < -0.05
    fuse.set(Pixels=1)
    assert fuse.process(1002, plate).pixels.max() <= 1
    fuse.set(Pixels=0)
    fuse.writes_exr = False
    said = refusal(fuse, 1002, plate)
    assert "the host wrote no EXR" in said and 'choose "16-bit PNG" in Handed Over As' in said
    assert left_over(desk) == []


@pytest.mark.parametrize("kind", ["uint8", "uint16", "half", "float", "uint", "nothing"])
def test_only_floating_point_exr_is_handed_over(tmp_path: Path, fuse: Fuse, kind: str) -> None:
    """A host that writes something else under an EXR's name is found out."""

    def other(path: str, time: float, image: int, depth: str) -> bool:
        if kind == "nothing":
            Path(path % int(time) if "%" in path else path).write_bytes(b"v/1\1 and no more")
            return True
        name = path if kind in ("half", "float", "uint") else f"{path}.tif"
        write(Path(name), oiio.ImageSpec(32, 24, 4, kind), rgba())
        Path(name).replace(path)
        return True

    fuse.lua.globals()["Clip"] = fuse.lua.eval(
        """function(put) return function(path) return {
            Open = function() end, Close = function() end,
            PutFrame = function(_, time, image) return put(path, time, image.id, "") end } end end"""
    )(other)
    (tmp_path / "look.onnx").write_bytes(b"")
    fuse.set(Mode=1, Look=str(tmp_path / "look.onnx"), Command=str(tmp_path / "nothing"))
    said = refusal(fuse, plate=rgba())
    assert ("the host wrote no EXR" in said) == (kind not in ("half", "float")), said


@posix
def test_strokes_are_carried_live(desk: Path, shot: Shot, fuse: Fuse) -> None:
    """STMaps are found by the frame's number, whatever the files of a request are called."""
    stmap = np.dstack([np.full((24, 32), 0.5, np.float32)] * 2 + [np.zeros((24, 32), np.float32)])
    sidecar = shot.folder / "stmap" / "key_1001" / "1002.exr"
    sidecar.parent.mkdir(parents=True)
    images.write(sidecar, stmap, alpha=np.ones((24, 32), np.float32), bit_depth="float")
    fuse.set(Mode=1, Work=str(shot.folder))
    carried = fuse.process(1002, rgba(7)).pixels[..., :3]
    assert np.ptp(carried.reshape(-1, 3), axis=0).max() < 1e-3 < np.ptp(fuse.process(1003, rgba(7)).pixels[..., :3])


@posix
def test_a_live_failure_is_one_line_and_never_the_plate(desk: Path, shot: Shot, fuse: Fuse) -> None:
    fuse.set(Mode=1)
    assert refusal(fuse, plate=rgba()) == "frame 1001: no look is chosen; set Look or Work Folder"
    assert "connect the plate" in refusal(fuse)
    fuse.set(Look=str(desk / "gone.onnx"))
    assert "cannot read the look" in refusal(fuse, plate=rgba()) and "gone.onnx" in refusal(fuse, plate=rgba())
    fuse.set(Look=str(shot.folder / "look.onnx"), Colorspace="no such space")
    assert "no such space" in refusal(fuse, plate=rgba())
    assert "no negative frames" in refusal(fuse, -1, rgba())
    fuse.set(Colorspace="", Command=str(desk / "nothing"))
    assert "the paintover command was not found" in refusal(fuse, plate=rgba())
    fuse.set(Command="", Pixels=1)
    fuse.png_bits = 8
    assert "with 8 bits, not 16; use cache mode" in refusal(fuse, plate=rgba())
    assert left_over(desk) == []


@posix
def test_a_host_that_may_not_start_processes(desk: Path, fuse: Fuse) -> None:
    fuse.set(Mode=1, Look=str(desk / "look.onnx"))
    sandboxed = desk / "sandboxed"
    sandboxed.write_text("#!/bin/sh\necho 'sh: /usr/bin/env: Operation not permitted' >&2; exit 126\n")
    sandboxed.chmod(0o755)
    fuse.set(Command=str(sandboxed))
    said = [refusal(fuse, plate=rgba())]
    fuse.lua.execute("io.popen = function() error(\"'popen' not supported\") end")
    said.append(refusal(fuse, plate=rgba()))
    fuse.lua.execute("io.popen = nil")
    said.append(refusal(fuse, plate=rgba()))
    assert len(set(said)) == 1 and "Mac App Store" in said[0] and "use cache mode" in said[0]


@posix
def test_the_command_that_installation_wrote_down(desk: Path, fuse: Fuse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PAINTOVER_COMMAND")
    echo = desk / "a name.sh"
    echo.write_text('#!/bin/sh\necho "paintover: called with $*"\n')
    echo.chmod(0o755)
    write_config([str(echo), "first word"])
    fuse.set(Mode=1, Look=str(desk / "look.onnx"))
    assert "called with first word worker --socket " in refusal(fuse, plate=rgba())


@posix
@pytest.mark.parametrize(
    ("prints", "said"),
    [
        ("", "frame 1001: it said nothing"),
        ('{"event": "progress", "frame": 1001}', "frame 1001: it said nothing"),
        ("paintover: memory ran out; give a smaller tile", "frame 1001: memory ran out; give a smaller tile"),
        ('{"event": "done"}', "the worker wrote no "),
    ],
)
def test_whatever_a_command_prints_is_told_in_one_line(desk: Path, fuse: Fuse, prints: str, said: str) -> None:
    command = desk / "command"
    command.write_text(f"#!/bin/sh\necho '{prints}'\n")
    command.chmod(0o755)
    fuse.set(Mode=1, Look=str(desk / "look.onnx"), Command=str(command))
    assert said in refusal(fuse, plate=rgba()) and left_over(desk) == []


KILLER = """
import json, os, signal, sys, time
from pathlib import Path
import psutil
address, times = Path(sys.argv[1]), int(sys.argv[2])
killed = set()
def computed(pid):
    return sum(psutil.Process(pid).cpu_times()[:2])
deadline = time.monotonic() + 120
print("ready", flush=True)
while len(killed) < times and time.monotonic() < deadline:
    time.sleep(0.01)
    try:
        pid = json.loads(address.read_text())["pid"]
        busy = any(c.status == "ESTABLISHED" for c in psutil.Process(pid).net_connections())
    except (OSError, ValueError, psutil.Error):
        continue
    if pid in killed or not busy:
        continue
    # Somebody asks. Once it has computed for a moment, by its own clock, the frame is at work, which takes long.
    try:
        began = computed(pid)
        while computed(pid) < began + 0.2 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
    except (OSError, psutil.Error):
        continue
    killed.add(pid)
print(len(killed), flush=True)
"""


@posix
@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_killed_in_the_middle_of_a_frame(desk: Path, fuse: Fuse, times: int) -> None:
    """Killed once it is started anew, and the frame comes; killed again it is said, and nothing is shown."""
    lookfactory.network(desk / "slow.onnx")
    side = 1400 if times == 2 else 700
    plate = rgba(1, side, side)
    fuse.set(Mode=1, Look=str(desk / "slow.onnx"))
    address = desk / "home" / ".paintover" / "worker.json"
    words = [sys.executable, "-c", KILLER, str(address), str(times)]
    killer = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=child_environment())
    assert killer.stdout is not None and killer.stdout.readline() == "ready\n"
    try:
        if times == 2:
            assert refusal(fuse, 1001, plate).startswith("frame 1001: the worker ended by itself twice in a row")
        else:
            assert fuse.process(1001, plate).pixels.shape == plate.shape
        assert killer.stdout.readline() == f"{times}\n"
    finally:
        killer.kill()
        killer.communicate()
    assert left_over(desk) == []


# The model itself


def test_the_model_runs_a_fuse_that_it_was_not_made_for(tmp_path: Path) -> None:
    sample = Fuse(SUPPORT / "sample_gain.fuse")
    plate = rgba(2)
    np.testing.assert_allclose(sample.process(0, plate).pixels, plate * np.float32([2, 2, 2, 1]))
    sample.set(Gain=0.25, RedOnly=1)
    np.testing.assert_allclose(sample.process(0, plate).pixels, plate * np.float32([0.25, 1, 1, 1]))
    assert sample.attribute("Still", "IC_Visible") is False
    picture(tmp_path / "still.0005.png", seed=5)
    sample.set(Still=str(tmp_path / "still.0001.png"))
    expected = oiio.ImageBuf(str(tmp_path / "still.0005.png")).get_pixels(oiio.FLOAT)
    np.testing.assert_allclose(sample.process(5).pixels[..., :3], expected, atol=1e-6)
    assert [label for _, label in sample.knobs()] == ["Gain", "Red Only", "Still", "Input"]


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("OutImage:Set(req, InImage:GetValue(req):Gian(1, 1, 1, 1))", "image has no Gian"),
        ("req:IsPreCalcc()", "request has no IsPreCalcc"),
        ("Image({ IMG_Wdith = 4 })", "Image takes no IMG_Wdith"),
        ("Clip('a.exr', false):GetFrame(0)", "not open"),
    ],
)
def test_the_model_refuses_what_fusion_does_not_have(tmp_path: Path, mistake: str, said: str) -> None:
    text = (SUPPORT / "sample_gain.fuse").read_text()
    wrong = tmp_path / "wrong.fuse"
    wrong.write_text(text.replace("function Process(req)\n", f"function Process(req)\n    {mistake}\n"))
    with pytest.raises(FuseError, match=said):
        Fuse(wrong).process(0, rgba())


def test_luacheck_finds_nothing() -> None:
    luacheck = shutil.which("luacheck")
    if luacheck is None:
        pytest.skip("luacheck is not installed")
    config = ROOT / "resolve_fuse" / ".luacheckrc"
    done = subprocess.run([luacheck, "--config", str(config), str(FUSE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_picture_of_the_knobs_is_of_this_fuse() -> None:
    from tests.support.fuse_knobs import PICTURE, draw

    assert PICTURE.read_text(encoding="utf-8") == draw(), "run python -m tests.support.fuse_knobs"
