"""Nothing leaves the machine: onnxruntime's telemetry is off wherever Paintover loads it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.base.runtime import TELEMETRY_SWITCH
from tests.support import ROOT, lookfactory

RENDER = """
import sys
from pathlib import Path
import numpy as np
from engine.look.session import Look

with_look = Look.load(Path(sys.argv[1]), device="cpu")
styled = with_look.stylize(np.full((32, 48, 3), 0.18, np.float32))
print(styled.rgb.shape)
"""


def rendered(home: Path, *before: str) -> str:
    """What a process that renders an image prints; everything it may keep of a user is below ``home``."""
    look = home.parent / "look.onnx"
    lookfactory.gain(look)
    folders = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "LOCALAPPDATA": str(home / "local")}
    environment = {name: value for name, value in os.environ.items() if name != TELEMETRY_SWITCH}
    environment |= folders | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [*before, sys.executable, "-c", RENDER, str(look)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_rendering_writes_nothing_about_the_user(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    assert rendered(home) == "(32, 48, 3)\n"
    assert sorted(home.rglob("*")) == []


def test_rendering_looks_up_no_name(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    home, log = tmp_path / "home", tmp_path / "calls.txt"
    home.mkdir()
    rendered(home, "strace", "-f", "-e", "trace=network,open,openat", "-o", str(log))
    calls = log.read_text(errors="replace")
    assert "openat(" in calls
    assert not re.findall(r"AF_INET6?|resolv\.conf|/etc/hosts|nss_dns", calls)


def test_only_one_module_imports_onnxruntime() -> None:
    importing = re.compile(r"^\s*(import|from) onnxruntime\b", re.MULTILINE)
    sources = [path for folder in ("engine", "plugin") for path in (ROOT / folder).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix() for path in sources if importing.search(path.read_text("utf-8"))}
    assert found == {"engine/base/runtime.py"}
