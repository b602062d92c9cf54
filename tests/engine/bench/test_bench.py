"""The benchmark: its arithmetic by numbers, and one quick run of everything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from engine.base.errors import InputError, PaintoverError
from engine.bench.__main__ import main
from engine.bench.child import train_look
from engine.bench.inference import macs_per_pixel
from engine.bench.plan import BenchPlan
from engine.bench.shots import draw_shot, open_shot, texture
from engine.bench.table import Need, Table, TableRow
from engine.bench.timing import Samples, alternate
from engine.training.export.graph import GraphWriter


def test_samples_give_median_and_spread() -> None:
    samples = Samples((3.0, 1.0, 2.0, 10.0))
    assert (samples.median, samples.low, samples.high) == (2.5, 1.0, 10.0)
    assert samples.to_json()["samples"] == 4
    assert str(samples) == "2.5 (1..10, n=4)"


def test_a_ratio_is_taken_round_by_round() -> None:
    # Both slow down tenfold in the last round; the ratio does not move.
    assert Samples((2.0, 4.0, 20.0)).over(Samples((1.0, 2.0, 10.0))).values == (2.0, 2.0, 2.0)


def test_cases_alternate_and_warmups_do_not_count() -> None:
    calls: list[str] = []

    def case(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    taken = alternate({"a": lambda: case("a"), "b": lambda: case("b")}, 3, warmups=1)
    assert "".join(calls) == "abababab"
    assert taken["a"].values == (3.0, 5.0, 7.0) and taken["b"].values == (4.0, 6.0, 8.0)


@pytest.mark.parametrize(("value", "verdict"), [(9.99, "NOT MET"), (10.0, "met")])
def test_a_need_that_is_not_met_says_so(value: float, verdict: str) -> None:
    row = TableRow("960x540", {"times faster": Samples((1.0, value, 99.0))}, Need("times faster", 10.0, at_least=True))
    table = Table("Inference", (row,))
    assert row.verdict() == verdict and verdict in str(table)
    assert table.to_json()["rows"][0]["verdict"] == verdict  # type: ignore[index]


def test_an_upper_need_and_one_without_its_figure() -> None:
    need = Need("over inference", 1.25, at_least=False)
    assert need.met_by(1.25) and not need.met_by(1.26)
    assert TableRow("1 worker", {}, need).verdict() == ""


@pytest.mark.parametrize("wrong", [{"repeats": 0}, {"budget_s": 1.0}])
def test_settings_that_measure_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        BenchPlan(**wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_drawn_shot_is_found_again_and_moves(tmp_path: Path) -> None:
    drawn = draw_shot(tmp_path, 48, 64)
    assert open_shot(tmp_path) == drawn
    assert drawn.keyframe == 0 and not drawn.references and str(drawn.plate.frames) == "0-2"
    assert abs(texture(48, 64, 1) - texture(48, 64, 0)).mean() > 0.01


def test_a_folder_without_paintings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plate.0001.png").write_bytes(b"")
    with pytest.raises(InputError, match="no shot to measure on"):
        open_shot(tmp_path)


def test_wrong_arguments_give_one_line_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "speed"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("bench: unknown part speed") and error.count("\n") == 1


def test_torch_is_not_loaded_to_measure_onnxruntime() -> None:
    code = "import sys, engine.bench.__main__, engine.bench.memory; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_multiply_adds_are_counted_from_the_graph(tmp_path: Path) -> None:
    g = GraphWriter()
    padded = g.op("Pad", "plate", g.constant([0, 0, 8, 8, 0, 0, 8, 8], np.int64), mode="edge")
    how = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}
    half = g.op("Conv", padded, g.constant(np.ones((16, 3, 3, 3))), **how)
    g.op("Conv", half, g.constant(np.ones((4, 16, 1, 1))), output="styled", kernel_shape=[1, 1])
    path = tmp_path / "look.onnx"
    onnx.save(g.model({"plate": ("n", 3, "h", "w")}, {"styled": ("n", 4, "a", "b")}, {}), path)
    assert macs_per_pixel(path) == (16 * 3 * 9 + 4 * 16) / 4


@pytest.mark.slow
def test_a_quick_run_measures_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bench.json"
    assert main(["--quick", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    data = json.loads(out.read_text())
    assert list(data["parts"]) == ["inference", "render", "training"]
    tables = {table["title"]: table for part in data["parts"].values() for table in part["tables"]}
    for title in tables:
        assert title in printed
    cells = tables["Inference, one frame at a time"]["rows"][0]["cells"]
    assert cells["ours s/frame"]["samples"] == 3 == len(cells["ours s/frame"]["values"])
    assert cells["times faster"]["values"] == [
        theirs / ours
        for theirs, ours in zip(cells["texler2020 s/frame"]["values"], cells["ours s/frame"]["values"], strict=True)
    ]
    assert cells["texler2020 peak GiB"] > cells["ours peak GiB"] > 0
    split = tables["Rendering"]["rows"][1]["cells"]
    assert min(split[name]["min"] for name in ("reading s", "in session s", "writing s")) > 0
    assert tables["Training speed"]["rows"][0]["cells"]["texler2020"]["min"] > 0
    assert data["machine"]["cores"] >= 1 and data["machine"]["packages"]["onnx"]
    assert data["settings"]["quick"] is True


@pytest.mark.slow
def test_a_training_that_fails_says_why(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training is not installed")
    with pytest.raises(PaintoverError, match="training texler2020 failed: cannot read the training job"):
        train_look({"recipe": "texler2020"}, tmp_path)
