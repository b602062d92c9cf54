"""The fuzzer itself: two thousand tries with a fixed seed find no fault, and a try can be repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

pytestmark = pytest.mark.slow

TRIES = 2160
TARGETS = ("images", "looks", "texts", "lines", "movies")


def fuzz(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.fuzz", "--faults", str(tmp_path / "faults"), *words]
    return subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )


def test_hostile_files_texts_and_lines_end_in_a_line(tmp_path: Path) -> None:
    chosen = [word for target in TARGETS for word in ("--target", target)]
    done = fuzz(tmp_path, *chosen, "--tries", str(TRIES), "--seed", "12", "--json", "result.json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["faults"] == []
    tried = {name: row["tried"] for name, row in result["targets"].items()}
    assert tried == {"images": 1080, "looks": 432, "texts": 216, "lines": 216, "movies": 216}
    # A fuzzer whose every input is refused at the door finds nothing.
    for name, row in result["targets"].items():
        assert row["done"] > row["tried"] / 50 and row["refused"] > row["tried"] / 50, name
    assert result["targets"]["images"]["found"] > 0


def test_a_try_can_be_repeated(tmp_path: Path) -> None:
    first, second = (fuzz(tmp_path, "--target", "images", "--seed", "5", "--only", "17") for _ in range(2))
    assert (first.returncode, first.stdout) == (0, second.stdout)
    assert "images 17: " in first.stdout
