"""The first line of every bug report: it must work where something is broken, and say so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from plugin.cli import main
from plugin.verbs import doctor
from plugin.verbs.doctor import examine
from tests.support import ROOT


def test_this_machine_is_healthy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    captured = capsys.readouterr()
    for heading in ("Paintover", "Packages", "Machine", "Rendering", "Training", "Images and movies", "Color", "Paths"):
        assert f"\n{heading}\n" in f"\n{captured.out}"
    assert captured.out.endswith("Everything needed is here.\n")
    assert re.search(r"^    interpreter +" + re.escape(sys.executable), captured.out, re.MULTILINE)
    assert re.search(r"[Ee]rror: ", captured.out) is None


def test_json_has_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"] is True
    named = {(finding["section"], finding["name"]): finding for finding in report["findings"]}
    assert named["Rendering", "CPU"]["state"] == "ok"
    assert named["Color", "working space"]["value"]
    assert {finding["state"] for finding in report["findings"]} <= {"ok", "bad", "missing", "fact"}


def test_a_broken_config_is_named_and_the_rest_still_examined(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    broken = tmp_path / "show.ocio"
    broken.write_text("not a config", encoding="utf-8")
    assert main(["doctor", "--ocio", str(broken)]) == 1
    out = capsys.readouterr().out
    assert "cannot load the OCIO config" in out and "\nPaths\n" in out
    assert out.endswith("Something needed is broken; see the lines marked above.\n")


def test_a_check_that_falls_over_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def falls() -> None:
        raise RuntimeError("Error: driver\nmismatch")

    monkeypatch.setattr(doctor, "_rendering", falls)
    bad = [finding for finding in examine() if finding.state == "bad"]
    assert [(finding.section, finding.value) for finding in bad] == [
        ("Rendering", "RuntimeError, Error, driver mismatch")
    ]


def test_missing_packages_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda distribution: None)
    states = {finding.name: finding.state for finding in examine() if finding.section in ("Packages", "Training")}
    assert states["numpy"] == states["ONNX Runtime"] == "bad"
    assert states["torch"] == "missing"


def test_a_control_group_limits_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def memory() -> str:
        return next(finding.value for finding in examine() if finding.name == "memory")

    monkeypatch.setattr(doctor, "memory_limit_bytes", lambda: 2 << 30)
    assert "limited to 2.0 GiB for this process; 8K needs 4 GiB" in memory()
    monkeypatch.setattr(doctor, "memory_limit_bytes", lambda: None)
    assert "limited" not in memory()


def test_an_ascii_console_gets_plain_marks() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "plugin", "doctor"],
        capture_output=True,
        cwd=ROOT,
        env={"PYTHONIOENCODING": "ascii", "PATH": ""},
        check=True,
    )
    text = done.stdout.decode("ascii")
    assert re.search(r"^  \+ numpy", text, re.MULTILINE)


def test_doctor_never_imports_torch() -> None:
    code = "import sys; from plugin.verbs.doctor import examine; examine(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
