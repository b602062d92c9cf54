"""``paintover`` with frames that take their time: a real renderer whose every written frame waits SLOW_FRAME_S more.

Frames of numbers in SLOW_FRAME_HANG never end, and those in SLOW_FRAME_KILL take their process with them.
SLOW_FRAME_LOG gets one line for each frame that was begun: its number and the process. Training is fake_training.py.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

from engine import images
from plugin.cli import main
from plugin.training import process as training_process

_write = images.write


def _numbers(name: str) -> set[int]:
    return {int(word) for word in os.environ.get(name, "").split(",") if word}


def write(path: Path, *arguments: Any, **options: Any) -> None:
    frame = int(re.findall(r"\d+", Path(path).stem)[-1])
    log = os.environ.get("SLOW_FRAME_LOG")
    if log:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{frame} {os.getpid()}\n")
    if frame in _numbers("SLOW_FRAME_KILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    if frame in _numbers("SLOW_FRAME_HANG"):
        time.sleep(600)
    time.sleep(float(os.environ.get("SLOW_FRAME_S", "0")))
    _write(path, *arguments, **options)


if __name__ == "__main__":
    images.write = write
    training_process.COMMAND = (sys.executable, str(Path(__file__).with_name("fake_training.py")))
    sys.exit(main())
