"""Stands in for ``python -m engine.training.train``: prints the events of a training, and misbehaves when told to.

The job's ``recipe`` stays a real one; what to do is read from FAKE_TRAINING, and every signal that arrives is appended
to FAKE_TRAINING_LOG.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType


def say(event: str, **facts: object) -> None:
    print(json.dumps({"event": event, **facts}), flush=True)


def main() -> int:
    job = json.loads(Path(sys.argv[sys.argv.index("--job") + 1]).read_text(encoding="utf-8"))
    behavior = os.environ.get("FAKE_TRAINING", "ok")
    log = os.environ.get("FAKE_TRAINING_LOG")
    asked: list[int] = []

    def on_signal(signum: int, frame: FrameType | None) -> None:
        asked.append(signum)
        if log:
            with Path(log).open("a", encoding="utf-8") as handle:
                handle.write(f"{signum}\n")
        if len(asked) > 1:
            os._exit(128 + signum)

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN if behavior == "deaf" and signum == signal.SIGTERM else on_signal)
    steps = 40 if behavior in ("ok", "noisy") else 100_000
    say("phase", phase="train", steps=steps, budget_s=job["budget_s"], look=job["look"])
    if behavior == "error":
        say("failed", message="frame 0: empty matte (m.png); paint some of it", exit_code=2, frame=0, path="m.png",
            kind="ImageError")  # fmt: skip
        return 2
    if behavior == "noisy":
        print("a library talks on stdout", flush=True)
        say("warning", text="features are missing\nRuntimeError: losses work without them")
    for step in range(1, steps + 1):
        say("progress", fraction=min(1.0, step / 40), step=step, steps=steps, loss=1 / step, steps_per_s=100.0,
            elapsed_s=step / 100, left_s=1.0)  # fmt: skip
        time.sleep(0.01)
        if behavior == "crash" and step == 5:
            print("Traceback (most recent call last):\n  ...\nRuntimeError: out of luck", file=sys.stderr, flush=True)
            return 1
        if behavior == "killed" and step == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        if asked:
            break
    say("phase", phase="export")
    time.sleep(float(os.environ.get("FAKE_TRAINING_EXPORT_S", "0")))
    source = os.environ.get("FAKE_TRAINING_LOOK")
    if source:
        shutil.copyfile(source, job["look"])
    say("progress", fraction=min(1.0, step / 40), preview="preview.png")
    facts = {"look": job["look"], "steps": step, "seconds": step / 100, "loss": 1 / step, "check_error": 1e-5}
    say("finished", **facts, **({"interrupted": True} if asked else {}))
    return 128 + asked[0] if asked else 0


if __name__ == "__main__":
    sys.exit(main())
