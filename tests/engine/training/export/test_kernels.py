"""CUDA kernels: every operator of a look has one in every recorded onnxruntime, and the command says which."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

torch = pytest.importorskip("torch", reason="training is not installed")

from engine.training.export import kernels
from engine.training.export.kernels import RUNTIMES, Placement, kernel_for, main, read_placement, table
from engine.training.export.look import build_look
from engine.training.model.network import Architecture, Translator
from tests.support.graphs import renamed
from tests.support.networks import blended, card, stored
from tests.support.procedural import TINY, painting_of, plate


def look(*, crisp: bool = False, guides: int = 0, published: bool = False) -> onnx.ModelProto:
    exemplars = [stored(painting_of(plate(24, 32, seed=seed))) for seed in (1, 2)]
    exemplars[0].coverage[:, 8:] = 0.5
    net = (
        blended()
        if published
        else Translator(Architecture(TINY.width, TINY.blocks, guide_channels=guides, crisp=crisp)).eval()
    )
    return build_look(net, exemplars, card(exemplars))


@pytest.mark.parametrize("made", [{}, {"crisp": True, "guides": 2}, {"published": True}], ids=str)
def test_every_operator_of_a_look_has_a_cuda_kernel(made: dict[str, int]) -> None:
    rows = table(look(**made))
    assert len(rows) > 25 and {len(row.kernels) for row in rows} == {len(RUNTIMES)}
    assert [row.operator for row in rows if not all(row.kernels)] == []


def test_looks_of_opset_20_lacked_four() -> None:
    rows = {row.operator: row for row in table(renamed(look(), 20))}
    lacking = {name: row.kernels for name, row in rows.items() if not all(row.kernels)}
    assert set(lacking) == {"AveragePool", "GridSample", "Pad", "Resize"}
    assert lacking["GridSample"] == ("", "", "20-21") and rows["GridSample"].since == 20


@pytest.mark.parametrize(
    ("since", "kernels", "found"),
    [
        (16, "16+", "16+"),
        (20, "16+", ""),
        (20, "16-19 20-21 22+", "20-21"),
        (19, "13-17 18 19+", "19+"),
        (18, "13-17 18 19+", "18"),
        (12, "13+", ""),
        (13, "", ""),
    ],
)
def test_a_kernel_without_an_end_takes_its_own_version_only(since: int, kernels: str, found: str) -> None:
    assert kernel_for(since, kernels) == found


LOG = """
2026 [V:onnxruntime:, session_state.cc:1296 VerifyEachNodeIsAssignedToAnEp] Node placements
2026 [V:onnxruntime:, session_state.cc:1302 VerifyEachNodeIsAssignedToAnEp]  Node(s) placed on [CPUExecutionProvider]. \
Number of nodes: 3
2026 [V:onnxruntime:, session_state.cc:1304 VerifyEachNodeIsAssignedToAnEp]   Slice (slice_0)
2026 [V:onnxruntime:, session_state.cc:1304 VerifyEachNodeIsAssignedToAnEp]   Neg (neg_0)
2026 [V:onnxruntime:, session_state.cc:1304 VerifyEachNodeIsAssignedToAnEp]   Slice (slice_1)
2026 [V:onnxruntime:, session_state.cc:1302 VerifyEachNodeIsAssignedToAnEp]  Node(s) placed on \
[CUDAExecutionProvider]. Number of nodes: 1
2026 [V:onnxruntime:, session_state.cc:1304 VerifyEachNodeIsAssignedToAnEp]   Conv (conv_0)
2026 [I:onnxruntime:, inference_session.cc:2532 Initialize] Session (1) initialized.
"""


def test_the_placement_is_read_from_the_log() -> None:
    assert read_placement(LOG) == Placement(1, {"Neg": 1, "Slice": 2})


@pytest.mark.parametrize("placed", [None, Placement(241, {"Neg": 1, "Slice": 2})])
def test_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, placed: Placement | None
) -> None:
    path = tmp_path / "look.onnx"
    onnx.save(renamed(look(), 20), path)
    monkeypatch.setattr(kernels, "installed_placement", lambda path: placed)
    assert main([str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("operator | opset | nodes | CUDA kernel of 1.19.2 | ")
    assert "GridSample | 20 | 2 | none | none | 20-21" in lines
    said = "could not place it" if placed is None else "places 241 nodes on the GPU; on the CPU: Neg 1, Slice 2"
    assert said in lines[-1]


def test_the_command_on_what_is_no_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nothing.onnx")]) == 2
    assert "nothing.onnx" in capsys.readouterr().err
