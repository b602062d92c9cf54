"""Tracks beside the exact ones: each figure by a track that is made wrong on purpose, and one shot followed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.bench.methods import Case
from engine.bench.scenes import make_scene
from engine.bench.tracks import compare, measure


def test_each_figure_counts_what_it_says() -> None:
    exact = np.zeros((10, 10, 2), np.float32)
    points, confidence = exact.copy(), np.ones((10, 10), np.float32)
    seen = np.ones((10, 10), bool)
    points[0, :, 0] = 0.3  # ten pixels a little off
    points[1, :, 1] = 2.0  # ten far off, and sure
    points[2, :, 1] = 2.0
    confidence[2] = 0.2  # ten far off, and not sure
    seen[3] = False  # ten hidden, and sure
    confidence[4] = 0.0  # ten right, and lost
    found = compare(points, confidence, exact, seen)
    assert found.median_px == 0
    assert found.over_quarter == pytest.approx(30 / 90) and found.over_one == pytest.approx(20 / 90)
    assert found.sure_but_wrong == pytest.approx(0.1) and found.sure_but_hidden == pytest.approx(0.1)
    assert found.lost == pytest.approx(0.2)
    # Of the 80 surest, ten are far off and ten hidden; of those at 0.2 none is right, at 0 all.
    assert found.right[-1] == pytest.approx(60 / 80) and found.right[2] == 0 and found.right[0] == 1
    assert found.pixels[-1] == 80 and np.isnan(found.right[5])


def test_a_shot_is_followed_and_judged(tmp_path: Path) -> None:
    scene = make_scene("grade", 0, 160, 96, 6)
    case = Case(lambda: scene, "grade-0", tmp_path / "grade-0", 6, (0, 5), (3, 4), None, 1, 0)
    lines: list[str] = []
    errors, calibration = measure([case], lines.append, tmp_path / "page")
    cells = errors.rows[0].cells
    assert isinstance(cells["median px"], float) and cells["median px"] < 0.4
    assert isinstance(cells["processor s/frame"], float) and cells["processor s/frame"] > 0
    assert calibration.rows[0].name == "grade" and isinstance(calibration.rows[0].cells["0.9"], float)
    assert lines[0].startswith("tracks: 1/1 grade-0: median 0.")
    plot = (tmp_path / "page" / "confidence.svg").read_text()
    assert plot.startswith("<svg") and "grade</text>" in plot
    # Once followed, the cost is not measured again: nothing was done.
    assert "processor s/frame" not in measure([case], lines.append)[0].rows[0].cells
