"""What goes wrong on farms, done to real processes; docs/farm.md lists which test covers which fault."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from engine import images
from engine.base.errors import FrameFailures, LookError
from engine.images.provenance import file_sha256
from engine.motion.stmap import sidecar_path, write_sidecar
from engine.rendering import workers as crew
from engine.rendering.pipeline import RenderJob
from engine.rendering.render import RenderSettings, read_card, render
from engine.rendering.workers import workers_for
from plugin.cli import main
from plugin.training.record import trained_look
from tests.support import ROOT, lookfactory
from tests.support.farm_shot import SLOW, Shot, make_shot

pytestmark = pytest.mark.cluster

PAINTOVER = (sys.executable, "-m", "plugin")
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX alone has these limits or signals")


class Said(NamedTuple):
    """What a process left behind."""

    code: int
    out: str
    err: str


def run(words: Sequence[str], *, program: Sequence[str] = PAINTOVER, **environment: str) -> Said:
    done = subprocess.run(
        [*program, *words], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=180
    )
    return Said(done.returncode, done.stdout, done.stderr)


def bytes_of(shot: Shot) -> dict[int, bytes]:
    return {frame: shot.out.path(frame).read_bytes() for frame in shot.frames}


@pytest.fixture
def shot(tmp_path: Path) -> Shot:
    return make_shot(tmp_path / "shot", frames=6, height=60, width=80)


# 2 and 3


def test_two_processes_on_the_same_frames_leave_one_valid_file_each(shot: Shot) -> None:
    words = shot.words("render", "--overwrite", "--progress", "none")
    rivals = [
        subprocess.Popen([*SLOW, *words], cwd=ROOT, env={**os.environ, "SLOW_FRAME_S": "0.05"}, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [rival.wait(180) for rival in rivals] == [0, 0], [rival.stderr.read() for rival in rivals if rival.stderr]
    for rival in rivals:
        assert rival.stderr is not None
        rival.stderr.close()
    assert run(shot.words("verify", "--progress", "none")).code == 0
    assert sorted(path.name for path in shot.out.folder.iterdir()) == [f"out.{frame:04d}.exr" for frame in shot.frames]


# 4


def test_every_damage_is_named_and_rendered_again_to_the_same_bytes(shot: Shot) -> None:
    assert run(shot.words("render", "--progress", "none")).code == 0
    whole = bytes_of(shot)
    middle = len(whole[4]) // 2
    damages = {
        1: whole[1][:-1],
        2: whole[2][: len(whole[2]) // 2],
        3: b"",
        4: whole[4][:middle] + bytes(200) + whole[4][middle + 200 :],
        5: whole[5][:middle] + bytes([whole[5][middle] ^ 4]) + whole[5][middle + 1 :],
    }
    for frame, damaged in damages.items():
        shot.out.path(frame).write_bytes(damaged)
    found = run(shot.words("verify", "--progress", "none"))
    assert (found.code, "damaged 1-5" in found.err) == (3, True), found
    again = run(shot.words("render", "--progress", "lines"))
    assert again.code == 0 and "5 rendered" in again.out and "1 were already right" in again.out
    assert bytes_of(shot) == whole


# 5


def test_a_half_copied_or_foreign_look_renders_nothing_and_may_be_retried(shot: Shot) -> None:
    expected = file_sha256(shot.look)
    words = shot.words("render", "--expect-look", expected, "--progress", "none")
    whole = shot.look.read_bytes()
    for content in (whole[: len(whole) // 2], lookfactory.gain(shot.folder / "other.onnx", 3.0).read_bytes()):
        shot.look.write_bytes(content)
        said = run(words)
        assert (said.code, shot.out.existing()) == (1, None)
        assert f"this is not the look of the job: {expected[:12]} is expected" in said.err
    shot.look.write_bytes(whole)
    assert run(words).code == 0


def test_the_look_that_training_recorded_is_expected(shot: Shot) -> None:
    words = shot.words("render", "--expect-look", "trained", "--progress", "none")
    work = shot.folder / "work"
    assert main(words) == 1
    work.mkdir(exist_ok=True)
    (work / "trained.json").write_text(f'{{"look_sha256": "{file_sha256(shot.look)}"}}', encoding="utf-8")
    assert trained_look(work) == file_sha256(shot.look)
    assert main(words) == 0
    (work / "trained.json").write_text("{", encoding="utf-8")
    assert trained_look(work) is None


def test_a_missing_stmap_is_no_plain_translation(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    (key,) = [keyframe.frame for keyframe in read_card(shot.look).keyframes]
    words = shot.words("render", "--expect-stmaps", "--progress", "none")
    assert main(words) == 1
    assert f"frame 1: the STMap of keyframe {key} is missing" in capsys.readouterr().err
    assert shot.out.existing() is None
    for frame in shot.frames:
        path = sidecar_path(shot.folder / "work", key, frame)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sidecar(path, np.zeros((60, 80, 2), np.float32), np.ones((60, 80), np.float32), (60, 80), "0" * 64)
    assert main(words) == 0
    # Half a sidecar is a failure of that frame, not a frame without strokes.
    half = sidecar_path(shot.folder / "work", key, 3)
    half.write_bytes(half.read_bytes()[:-40])
    assert main(words) == 2
    assert re.search(r"1 of 6 frames failed \(3\); .*STMap", capsys.readouterr().err)


# 6, 15


def test_no_failing_command_claims_success(shot: Shot, tmp_path: Path) -> None:
    shot.plate.path.path(2).write_bytes(b"no image")
    failing = {
        "a frame that always fails": (shot.words("render", "--progress", "lines"), 2),
        "verify": (shot.words("verify", "--progress", "lines"), 3),
        "no look": ([*shot.words("render", "--progress", "lines"), "--look", str(tmp_path / "no.onnx")], 2),
        "prepare": (["prepare", "--plate", shot.plate.path.text, "--keyframe", "1", "--work", str(tmp_path)], 2),
    }
    for what, (words, code) in failing.items():
        said = run(words)
        assert said.code == code, (what, said)
        assert "Progress: 100%" not in said.out, what
        assert said.err.startswith("paintover: ") and "Traceback" not in said.err, what
    assert tuple(shot.out.existing() or ()) == (1, 3, 4, 5, 6)


def test_success_prints_nothing_that_farms_take_for_a_failure(shot: Shot) -> None:
    said = run(shot.words("render", "--progress", "lines"))
    assert said.code == 0 and said.out.splitlines()[-1] == "Progress: 100%"
    assert not re.search(r"[Ee]rror: ", said.out + said.err)
    percents = [line for line in said.out.splitlines() if line.startswith("Progress: ")]
    assert all(re.fullmatch(r"Progress: \d+%", line) for line in percents)


# A frame that never ends

_HANGS = """
    import sys, time
    sys.path[:] = [p for p in sys.path if p] + sys.argv[1:]
    from engine import images
    from engine.rendering import workers as crew
    read = images.read
    def slow(path, *, frame=None, **options):
        if frame == 4:
            time.sleep(600)
        return read(path, frame=frame, **options)
    images.read = slow
    sys.exit(crew.main())
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_frame_that_hangs_fails_alone(shot: Shot, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setattr(crew, "_START", textwrap.dedent(_HANGS))
    started = time.monotonic()
    with pytest.raises(FrameFailures) as caught:
        render(
            shot.look,
            shot.plate,
            shot.out,
            RenderSettings(device="cpu", threads=2),
            workers=workers,
            timeout_s=2.0,
        )
    assert list(caught.value.failures) == [4]
    assert caught.value.exit_code == 1
    assert "frame 4: not done within" in caught.value.failures[4]
    assert tuple(shot.out.existing() or ()) == (1, 2, 3, 5, 6)
    assert time.monotonic() - started < 90


def test_a_time_limit_that_is_kept_changes_no_byte(shot: Shot) -> None:
    assert main(shot.words("render", "--progress", "none")) == 0
    plain = bytes_of(shot)
    assert main(shot.words("render", "--overwrite", "--timeout", "60", "--progress", "none")) == 0
    assert bytes_of(shot) == plain


# 12


def test_what_cannot_be_written_or_read_has_its_own_message(shot: Shot, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    inside = run([*shot.words("render", "--progress", "none"), "--out", str(file / "out.%04d.exr")])
    gone = run([*shot.words("render", "--progress", "none"), "--plate", str(tmp_path / "no.%04d.exr")])
    assert (inside.code, gone.code) == (2, 2)
    assert str(file) in inside.err and "no frame of the plate is on disk" in gone.err
    assert inside.err != gone.err


@pytest.mark.skipif(not Path("/dev/full").exists() or not hasattr(os, "geteuid"), reason="needs Linux")
def test_a_full_disk_in_a_real_process_may_be_retried(shot: Shot, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        said = run([*shot.words("render", "--progress", "none"), "--out", str(small / "out.%04d.exr")])
        assert (said.code, "disk full" in said.err) == (1, True), said
        for path in small.iterdir():
            images.check(path)
    finally:
        subprocess.run(["umount", str(small)], check=True)


# 16, and how many processes


def test_a_gpu_that_is_not_there_is_a_clear_refusal(shot: Shot) -> None:
    said = run([*shot.words("render", "--progress", "none"), "--device", "cuda:63"], CUDA_VISIBLE_DEVICES="")
    assert (said.code, "cuda:63" in said.err, "--device auto or cpu" in said.err) == (2, True, True)
    said = run([*shot.words("render", "--progress", "none"), "--device", "auto"], CUDA_VISIBLE_DEVICES="")
    assert said.code == 0, said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_memory_that_runs_out_is_said_and_a_smaller_tile_gets_through(tmp_path: Path) -> None:
    shot = make_shot(tmp_path / "shot", frames=1, height=1600, width=1600)
    look = lookfactory.network(tmp_path / "network.onnx")
    words = [*shot.words("render", "--progress", "none", "--threads", "1"), "--look", str(look)]
    limited = ("sh", "-c", 'ulimit -v 2500000; exec "$@"', "sh", *PAINTOVER)
    said = run([*words, "--tile", "0"], program=limited)
    assert (said.code, shot.out.existing()) == (1, None), said
    advised = re.search(r"^paintover: .*memory.*; try --tile (\d+)", said.err, re.MULTILINE)
    assert advised is not None, said
    assert run([*words, "--tile", advised[1]], program=limited).code == 0


def job_of(shot: Shot, **settings: object) -> RenderJob:
    made = RenderSettings(**{"device": "cpu", **settings})  # type: ignore[arg-type]
    return RenderJob(shot.look, file_sha256(shot.look), shot.plate, shot.out, made, "", None, False)


def test_as_many_workers_as_gpus_else_as_cores_and_memory_serve(shot: Shot, monkeypatch: pytest.MonkeyPatch) -> None:
    assert workers_for(job_of(shot), 4) == 1
    assert workers_for(job_of(shot, memory_gib=64.0), 32) == 4
    assert workers_for(job_of(shot, memory_gib=2.2), 32) < workers_for(job_of(shot, memory_gib=64.0), 32)
    assert workers_for(job_of(shot, memory_gib=0.5), 32) == 1
    monkeypatch.setattr(crew, "cuda_devices", lambda: ((object(),) * 3, ""))
    assert workers_for(job_of(shot, device="auto"), 32) == 3
    assert workers_for(job_of(shot, device="cuda:1"), 4) == 1
    shot.look.write_bytes(b"half")
    with pytest.raises(LookError):
        workers_for(job_of(shot), 32)


def test_workers_auto_and_numbers(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shot.words("render", "--workers", "auto", "--progress", "none")) == 0
    assert main(shot.words("render", "--workers", "0")) == 2
    assert "give auto, or 1 or more" in capsys.readouterr().err
