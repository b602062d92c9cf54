"""Child processes: what is heard of them, what is said of their end, and whom a kill takes along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from plugin.progress.child import Child, ChildFailed, child_environment, follow
from plugin.progress.protocol import NO_FACTS, Facts, NoProgress
from plugin.progress.stop import StopRequest
from tests.support import ROOT

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX process groups")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


class Recorder(NoProgress):
    """Keeps what a child had to say."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str, facts: Facts = NO_FACTS) -> None:
        self.said.append(f"note {text}")

    def warn(self, text: str) -> None:
        self.said.append(f"warning {text}")


def test_every_event_goes_where_it_belongs() -> None:
    code = """
    print("a library talks")
    print('{"event": "phase", "phase": "train"}')
    print('{"event": "note", "text": "resumed"}')
    print('{"event": "warning", "text": "no features"}')
    print('{"event": "progress", "fraction": 0.5}')
    print('{"event": "finished", "look": "a.onnx"}')
    """
    progress, heard = Recorder(), list[object]()
    done = follow(python(code), progress, StopRequest(), heard.append, called="the child")
    assert done == {"event": "finished", "look": "a.onnx"}
    assert progress.said == ["note resumed", "warning no features"]
    assert heard == [{"event": "phase", "phase": "train"}, {"event": "progress", "fraction": 0.5}]


def test_a_failure_keeps_its_line_its_code_and_its_place() -> None:
    code = """
    print('{"event": "failed", "message": "frame 7: truncated (p.exr)", "exit_code": 2, "frame": 7, "path": "p.exr"}')
    raise SystemExit(2)
    """
    with pytest.raises(ChildFailed) as caught:
        follow(python(code), NoProgress(), StopRequest(), print, called="the child")
    error = caught.value
    assert (str(error), error.exit_code) == ("frame 7: truncated (p.exr)", 2)
    assert (error.frame, error.path) == (7, Path("p.exr"))


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("exit(3)", "the child ended with code 3; run again with --debug for the whole story"),
        ("pass", "the child ended with code 0; run again with --debug for the whole story"),
        ("1 / 0", "the child ended with code 1: ZeroDivisionError: division by zero; run again with --debug"),
        ("import sys; sys.exit('a\\nb\\n\\nc\\nd')", "the child ended with code 1: b | c | d; run again"),
    ],
)
def test_an_end_without_a_word_is_told_by_its_last_ones(code: str, line: str) -> None:
    with pytest.raises(ChildFailed) as caught:
        follow(python(code), NoProgress(), StopRequest(), print, called="the child")
    assert str(caught.value).startswith(line) and caught.value.exit_code == 1


def test_debug_lets_its_stderr_through(capfd: pytest.CaptureFixture[str]) -> None:
    code = """
    import os, sys
    print(os.environ.get("PAINTOVER_DEBUG"), file=sys.stderr)
    print('{"event": "finished"}')
    """
    for debug, said in ((False, ""), (True, "1\n")):
        follow(python(code), NoProgress(), StopRequest(), print, called="the child", debug=debug)
        assert capfd.readouterr().err == said


def test_a_child_whose_time_is_over_is_killed() -> None:
    started_s = time.monotonic()
    child = Child(python("import time; time.sleep(60)"), called="the child", timeout_s=0.3)
    assert list(child.events()) == []
    assert child.wait() != 0 and child.late
    assert time.monotonic() - started_s < 30


@pytest.mark.slow
@posix
@pytest.mark.parametrize("own_group", [True, False])
def test_a_group_of_its_own_is_killed_with_what_it_started(own_group: bool) -> None:
    code = """
    import subprocess, sys, time
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print('{"event": "progress", "other": %d}' % other.pid, flush=True)
    time.sleep(60)
    """
    child = Child(python(code), called="the child", own_group=own_group)
    other = psutil.Process(next(child.events())["other"])
    try:
        assert (os.getpgid(other.pid) != os.getpgid(0)) is own_group
        child.kill()
        assert child.wait() == -signal.SIGKILL
        gone, _ = psutil.wait_procs([other], timeout=20 if own_group else 0.5)
        assert bool(gone) is own_group
    finally:
        if other.is_running():
            other.kill()


@posix
def test_end_within_waits_and_then_kills() -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('{}', flush=True); time.sleep(60)"
    for code, ended in (("import time; print('{}', flush=True); time.sleep(60)", -15), (deaf, -9)):
        child = Child(python(code), called="the child", own_group=False)
        next(child.events())
        child.terminate()
        child.end_within(1.0)
        assert child.wait() == ended


@pytest.mark.skipif(sys.version_info < (3, 11), reason="PYTHONSAFEPATH is of Python 3.11")
def test_the_environment_finds_this_engine_and_nothing_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text("raise SystemExit('the wrong one')")
    base = {**os.environ, "PYTHONPATH": str(tmp_path / "more")}
    environment = child_environment(base)
    assert environment["PYTHONPATH"] == os.pathsep.join((str(ROOT), str(tmp_path / "more")))
    assert base["PYTHONPATH"] == str(tmp_path / "more") and "PAINTOVER_DEBUG" not in environment
    subprocess.run([sys.executable, "-c", "import engine.base"], cwd=tmp_path, env=environment, check=True)


def test_the_driver_does_not_load_what_draws_bars() -> None:
    code = "import sys; import plugin.farm.dask_task; sys.exit(bool({'rich', 'torch', 'cv2'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
