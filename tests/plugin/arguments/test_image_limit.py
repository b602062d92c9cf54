"""The limit of one image's memory: what an option makes of the variable, here and in children."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.base.errors import InputError
from engine.base.image_memory import VARIABLE, limit_bytes
from plugin.arguments.image_limit import active_limit, image_limit
from plugin.cli import main
from plugin.progress.child import child_environment
from tests.support.pictures import picture


def test_it_holds_for_a_while_and_for_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "3")
    with image_limit(0.5):
        assert limit_bytes() == 2**29
        said = subprocess.run(
            [sys.executable, "-c", "from engine.base.image_memory import limit_bytes; print(limit_bytes())"],
            env=child_environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.strip() == str(2**29)
    with image_limit(None):
        assert limit_bytes() == 3 * 2**30
    assert os.environ[VARIABLE] == "3" and active_limit(None) == 3 and active_limit(8) == 8
    monkeypatch.delenv(VARIABLE)
    with image_limit(1):
        pass
    assert VARIABLE not in os.environ and active_limit(None) is None
    with pytest.raises(InputError, match="is no size"), image_limit(2.0**30):
        pass
    assert VARIABLE not in os.environ


def test_a_command_refuses_and_takes_images_by_its_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "plate.0001.png")
    command = ["key", "--plate", "plate.%04d.png", "--frames", "1", "--out", "key.%04d.png", "--max-image-gib"]
    assert main([*command, "0.00001"]) == 2
    line = capsys.readouterr().err
    assert "over the limit" in line and "--max-image-gib 1" in line and line.count("\n") == 1
    assert main([*command, "1"]) == 0
    capsys.readouterr()
    for wrong in ("0", "-1", "nan", "a lot", "1e300"):
        assert main([*command[:-1], f"--max-image-gib={wrong}"]) == 2
        assert capsys.readouterr().err.count("\n") == 1
