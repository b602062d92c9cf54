"""The verb ``report``: what it writes and says, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from plugin.cli import main
from tests.support import ROOT
from tests.support.report_shots import Shot, alone


@pytest.fixture
def shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shot:
    monkeypatch.delenv("OCIO", raising=False)
    return Shot(tmp_path)


def report(shot: Shot, *more: str) -> list[str]:
    return ["report", "--plate", shot.plate.path.text, "--frames", "1-9", "--work", str(shot.work),
            "--out", shot.out.text, *more]  # fmt: skip


def test_the_verb_writes_the_page_and_warns(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    shot.out.path(3).unlink()
    shot.sidecars({1: 1.0, 2: 1.0, 3: 1.0, 4: 0.5, 5: 0.5, 6: 0.5, 7: 1.0, 8: 1.0, 9: 1.0})
    assert main(report(shot)) == 0
    said = capsys.readouterr()
    assert "paintover: warning: 1 of 9 frames is missing: 3" in said.err
    assert re.search(r"paint frame [456] next: 50 % of frames 4-6 ride on no painting; ", said.out)
    assert f"{shot.work / 'report.html'}: open it in a browser" in said.out
    alone((shot.work / "report.html").read_text(encoding="utf-8"))


def test_json_is_all_of_stdout(shot: Shot, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(report(shot, "--json", "--page", str(shot.folder / "p.html"))) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["states"] == {"there": 9} and facts["page"] == str(shot.folder / "p.html")
    assert [row["frame"] for row in facts["rows"]] == list(range(1, 10))
    assert facts["source"] == "none" and (shot.folder / "p.html").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--page", "p.txt"), '"p.txt" does not end in .html; write --page p.html'),
        (("--out", "nothing.%04d.png"), "no rendered frame of 1-9 is on disk (nothing.0001.png)"),
        (("--keyframe", "40=p.png"), "keyframe 40 is outside the frame range 1-9"),
        (("--colorspace", "sRBG"), "unknown colorspace 'sRBG'"),
        (("--look", "none.onnx"), "(none.onnx)"),
    ],
)
def test_wrong_input_is_one_line(
    shot: Shot, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(report(shot, *words, "--progress", "none")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and message in lines[0]


def test_it_never_loads_torch() -> None:
    code = "import sys, plugin.verbs.report, plugin.verbs.suggest; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
