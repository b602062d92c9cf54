"""Stands in for ``python -m engine.training.session``: answers commands at once, and misbehaves when told to.

A result is the plate's size in gray, brighter with every revision. FAKE_SESSION=dies ends it by a kill at the first
frame that is looked at, once; every command is appended to FAKE_SESSION_LOG. What it exports is FAKE_SESSION_LOOK.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

from engine.training.job.job import TrainingJob
from engine.training.job.session import result_path


def say(event: str, **facts: object) -> None:
    print(json.dumps({"event": event, **facts}), flush=True)


def main() -> int:
    job = TrainingJob.load(Path(sys.argv[sys.argv.index("--job") + 1]))
    height, width = (int(word) for word in os.environ["FAKE_SESSION_SIZE"].split("x"))
    log = os.environ.get("FAKE_SESSION_LOG")
    revision, step, view = 0, 0, None
    for line in sys.stdin:
        command = json.loads(line)
        if log:
            with Path(log).open("a", encoding="utf-8") as handle:
                handle.write(line)
        what = command["do"]
        if what == "leave":
            break
        if what == "paint":
            revision, step = command["revision"], step + 1
        elif what == "look_at":
            view = command["frame"]
            flag = job.work / "died"
            if os.environ.get("FAKE_SESSION") == "dies" and not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        elif what == "export":
            look = os.environ.get("FAKE_SESSION_LOOK")
            Path(command["look"]).write_bytes(b"a look" if look is None else Path(look).read_bytes())
            say("progress", fraction=1.0, exported=command["look"], check_error=0.0)
        state = "paused" if what == "pause" else "training"
        say("progress", fraction=0.5, state=state, step=step, loss=0.25, steps_per_s=2.0, left_s=9.0, revision=revision)
        if view is not None and what in ("paint", "look_at"):
            path = result_path(job.work, view)
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.full((height, width, 4), min(0.02 * revision, 1.0), np.float16)
            with path.with_suffix(".tmp").open("wb") as file:
                np.save(file, pixels)
            path.with_suffix(".tmp").replace(path)
            say("progress", fraction=0.5, shown={"frame": view, "proxy": False, "step": step, "revision": revision})
    say("finished")
    return 0


if __name__ == "__main__":
    sys.exit(main())
