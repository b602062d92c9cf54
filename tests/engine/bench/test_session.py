"""The timed session: what stands in for an artist, and what a failed command says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.bench.session import _paint, main
from tests.support.pictures import picture


def test_a_repaint_changes_one_corner(tmp_path: Path) -> None:
    key, painted = picture(tmp_path / "key.png", height=24, width=32), tmp_path / "painted.png"
    _paint(key, painted, 1.0)
    first = images.read(painted).rgb
    _paint(key, painted, 0.25)
    changed = (images.read(painted).rgb != first).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (rows.max(), columns.max()) == (5, 7) and changed[:6, :8].mean() > 0.9


def test_a_folder_that_is_no_checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--checkout", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("session: no checkout of Paintover")
