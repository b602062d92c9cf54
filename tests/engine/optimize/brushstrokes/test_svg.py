"""SVG of brushstrokes: what it says, and that another renderer draws the picture that ours draws."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")

from engine.base.errors import OutputError
from engine.optimize.brushstrokes.curves import Brushstrokes
from engine.optimize.brushstrokes.render import render
from engine.optimize.brushstrokes.svg import svg_text, write_svg
from tests.support.brushstrokes import scattered
from tests.support.strokes_figures import CHROMIUM, browser_picture

NAME = "{http://www.w3.org/2000/svg}"
CANVAS = (0.5, 0.25, 1.0)


def test_each_stroke_is_a_path_in_order() -> None:
    curve = torch.tensor([[[-4.0, 0.0], [0.0, 3.0], [4.5, 0.0]], [[-1.0, 0.0], [0.0, 0.0], [1.004, 0.0]]])
    color = torch.tensor([[1.0, 0.5, 0.0], [0.2, 1.7, -0.3]])
    strokes = Brushstrokes(torch.tensor([[10.0, 8.0], [3.0, 2.0]]), curve, torch.tensor([2.5, 3.0]), color)
    root = ElementTree.fromstring(svg_text(strokes, 20, 30, CANVAS))
    assert (root.get("width"), root.get("height"), root.get("viewBox")) == ("30", "20", "0 0 30 20")
    (group,) = root
    assert (group.get("fill"), group.get("stroke-linecap"), group.get("mask")) == ("none", "round", None)
    assert group[0].tag == f"{NAME}rect" and group[0].get("fill") == "#8040ff"
    found = [(path.get("d"), path.get("stroke"), path.get("stroke-width")) for path in group.iter(f"{NAME}path")]
    assert found == [("M6 8Q10 11 14.5 8", "#ff8000", "2.5"), ("M2 2Q3 2 4 2", "#33ff00", "3")]


def test_the_file_is_written_whole(tmp_path: Path) -> None:
    strokes = scattered(5, 20, 30)
    write_svg(tmp_path / "a.svg", strokes, 20, 30, CANVAS)
    assert (tmp_path / "a.svg").read_bytes() == svg_text(strokes, 20, 30, CANVAS).encode()
    with pytest.raises(OutputError):
        write_svg(tmp_path / "gone" / "a.svg", strokes, 20, 30, CANVAS)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium; PAINTOVER_CHROMIUM=PATH names another one")
def test_a_browser_draws_it_alike(tmp_path: Path) -> None:
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    height, width = 120, 180
    strokes = scattered(250, height, width, seed=7)
    matte = np.zeros((height, width), np.float32)
    matte[:, 90:] = np.linspace(1, 0, 90)
    drawings = [svg_text(strokes, height, width, CANVAS), svg_text(strokes, height, width, CANVAS, matte)]
    seen = browser_picture(drawings, width, 2 * height, tmp_path / "shot.png")
    ours = render(strokes, height, width, torch.tensor(CANVAS))[0].permute(1, 2, 0).numpy()
    off = np.abs(seen[:height] - ours)
    # Only outlines differ, by how they are smoothed: the browser differs from its own drawing at eight times the size,
    # averaged, by 1.5 / 255.
    assert off.mean() < 2.0 / 255
    assert np.percentile(off, 99) < 24 / 255
    assert np.abs(seen[height:] - ours * matte[..., None]).mean() < 1.0 / 255
