"""What the application's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Cli


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line in a new folder with a small shot."""
    monkeypatch.delenv("OCIO", raising=False)
    return Cli(tmp_path, capsys, monkeypatch)
