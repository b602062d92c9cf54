"""The stop flag: Ctrl-C once is remembered with its exit code, twice ends the process at once."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from engine.base.stop_flag import StopFlag
from tests.support import ROOT
from tests.support.signals import posix


def test_the_first_signal_is_remembered_as_the_exit_code() -> None:
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        flag = StopFlag()
        assert flag.exit_code == 0
        flag._on_signal(number, None)
        assert flag.exit_code == code


@posix
@pytest.mark.parametrize(("times", "code", "said"), [(1, 0, "went on"), (2, 130, "")])
def test_the_second_signal_ends_the_process(times: int, code: int, said: str) -> None:
    lines = [
        "import os, signal",
        "from engine.base.stop_flag import StopFlag",
        "StopFlag().install()",
        *["os.kill(os.getpid(), signal.SIGINT)"] * times,
        "print('went on')",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (code, said)
