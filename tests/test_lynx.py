"""The real shot end to end: one painted keyframe, twenty seconds, eleven frames, scored against another painting."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from tests.support import ROOT, SHARED
from tests.support.signals import posix

pytest.importorskip("torch", reason="training is not installed")


from engine import images
from engine.look.card import open_look

LYNX = SHARED / "shots" / "lynx"
SCORE = SHARED / "bench" / "score.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.alone,
    pytest.mark.skipif(
        not (LYNX.is_dir() and SCORE.is_file()), reason="needs ../shared (real footage and its score, not in a clone)"
    ),
]


def score_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("score", SCORE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def command(verb: str, work: Path, *more: str) -> list[str]:
    words = ["--plate", str(LYNX / "plate.%04d.jpg"), "--frames", "0-10", "--work", str(work)]
    words += ["--keyframe", f"0={LYNX / 'painted.0000.jpg'}", "--device", "cpu"]
    return [sys.executable, "-m", "plugin", verb, *words, *more]


def test_one_keyframe_of_lynx_in_twenty_seconds(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    out = tmp_path / "out.%04d.png"
    began = time.monotonic()
    done = subprocess.run(
        command("run", tmp_path / "work", "--budget", "20s", "--no-stmaps", "--out", str(out)),
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (look,) = (tmp_path / "work").glob("*.onnx")
    card = open_look(look).card
    # Training alone holds the budget; a step of the default network may be under way when it ends.
    assert card.trained.seconds <= 22.0 + 2.0
    for frame in range(11):
        assert images.read(str(out) % frame).rgb.shape == (540, 960, 3)
    summary, _ = score_module().score(str(out), str(LYNX / "painted.%04d.png"), [10])
    lpips = float(summary["lpips"])
    record_property("lpips", lpips)
    record_property("steps", card.trained.steps)
    print(f"lpips {lpips:.4f} after {card.trained.steps} steps, {time.monotonic() - began:.0f} s in all")
    # The issue asks for 0.285 after sixty seconds; a third of them, on a machine with other work, stays near.
    assert lpips <= 0.30


@posix
def test_sigterm_while_the_default_network_trains_at_540p(tmp_path: Path) -> None:
    work = tmp_path / "work"
    process = subprocess.Popen(
        command("train", work, "--budget", "120s", "--progress", "json"),
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if '"steps_per_s"' in line:
            break
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert time.monotonic() - began <= 5.0
    for look in work.glob("*.onnx"):
        open_look(look)
