"""``paintover submit --engine openjd``: bundles, checked and run by Open Job Description's own tools."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from plugin.farm import openjd, plan
from tests.support.command_line import Cli
from tests.support.farm_shot import make_cli, make_program
from tests.support.pictures import picture

pytestmark = pytest.mark.cluster

pytest.importorskip("openjd.cli", reason="needs openjd-cli; see the extra dev")

SUBMIT = ("submit", "--engine", "openjd", "--plate", "plates/plate.%04d.png", "--frames", "0-10", "--work", "the work",
          "--out", "frames/out.%04d.png", "--device", "cpu", "--chunk", "3")  # fmt: skip
TRAIN = ("--keyframe", "0=paint, over/painted.0000.png,matte=paint, over/matte.0000.png")

posix = pytest.mark.skipif(os.name != "posix", reason="the stand-in for paintover is a shell script")


@pytest.fixture
def shot(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A small shot in several folders, under a name that a shell would take apart."""
    folder = tmp_path / "Bob's $HOME 100% shot"
    made = make_cli(folder, capsys, monkeypatch)
    for name in ("plates", "paint, over", "frames"):
        (folder / name).mkdir()
    for plate in folder.glob("plate.*.png"):
        plate.rename(folder / "plates" / plate.name)
    (folder / "painted.0000.png").rename(folder / "paint, over" / "painted.0000.png")
    picture(folder / "paint, over" / "matte.0000.png", seed=7)
    return made


@pytest.fixture
def program(tmp_path: Path) -> str:
    """``paintover`` with a stand-in for training."""
    return make_program(tmp_path / "paint over")


def bundle(shot: Cli, *words: str) -> Path:
    said = shot(*SUBMIT, *words)
    assert (said.code, said.err) == (0, "")
    return shot.folder / "the work" / "farm" / "openjd"


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def tool(*words: str) -> subprocess.CompletedProcess[str]:
    """``openjd``; its messages are on both streams."""
    return subprocess.run(
        [sys.executable, "-m", "openjd", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return tool("run", str(folder / "template.json"), "--job-param", f"file://{folder / 'parameters.json'}", *words)


def wanted(shot: Cli) -> list[str]:
    return sorted(path.name for path in (shot.folder / "frames").iterdir())


@posix
def test_a_bundle_from_keyframes_to_verified_frames(shot: Cli, program: str) -> None:
    folder = bundle(shot, *TRAIN, "--program", program)
    checked = tool("check", str(folder / "template.json"))
    assert checked.returncode == 0 and "passes validation checks" in checked.stdout, checked.stdout
    ran = run(folder)
    assert ran.returncode == 0, ran.stdout
    assert wanted(shot) == [f"out.{frame:04d}.png" for frame in range(11)]
    lines = ran.stdout.splitlines()
    order = ("40 steps in", "STMaps, 11 made", "Frame(CHUNK[INT]) = 0-2", "Frame(CHUNK[INT]) = 9,10", "frames verified")
    at = [next(i for i, line in enumerate(lines) if text in line) for text in order]
    assert at == sorted(at)
    assert "openjd_progress: 33.3" in ran.stdout and ran.stdout.count("openjd_progress: 100.0") == 7
    assert "Chunks run: 7" in ran.stdout


def test_a_failing_frame_fails_its_task(shot: Cli) -> None:
    (shot.folder / "plates" / "plate.0004.png").write_bytes(b"no picture")
    folder = bundle(shot, "--look", "hero.onnx", "--no-stmaps")
    ran = run(folder)
    assert ran.returncode != 0
    assert "openjd_fail: " in ran.stdout and "frame 4" in ran.stdout
    assert "exited with code: 2" in ran.stdout and "Session ended with errors" in ran.stdout
    # The chunk's other frames are done; what depends on it is not run.
    assert {"out.0003.png", "out.0005.png"} <= set(wanted(shot))
    assert "frames verified" not in ran.stdout


def test_paths_are_mapped_by_the_session(shot: Cli, tmp_path: Path) -> None:
    folder = bundle(shot, "--look", "hero.onnx", "--no-stmaps")
    elsewhere = tmp_path / "the worker's disk"
    shutil.copytree(shot.folder, elsewhere)
    for plate in (shot.folder / "plates").iterdir():
        plate.unlink()
    rules = {
        "version": "pathmapping-1.0",
        "path_mapping_rules": [
            {"source_path_format": "POSIX", "source_path": str(shot.folder), "destination_path": str(elsewhere)}
        ],
    }
    if os.name != "posix":
        rules["path_mapping_rules"][0]["source_path_format"] = "WINDOWS"  # type: ignore[index]
    ran = run(folder, "--path-mapping-rules", json.dumps(rules))
    assert ran.returncode == 0, ran.stdout
    assert wanted(shot) == [] and len(list((elsewhere / "frames").iterdir())) == 11


def test_every_path_is_a_parameter(shot: Cli) -> None:
    folder = bundle(shot, *TRAIN, "--gpu", "--timeout", "90")
    assert tool("check", str(folder / "template.json")).returncode == 0
    template, values = read(folder / "template.json"), read(folder / "parameters.json")
    assert str(shot.folder) not in json.dumps(template["steps"])
    flows = {each["name"]: each["dataFlow"] for each in template["parameterDefinitions"] if each["type"] == "PATH"}
    assert flows == {"PlateDir": "IN", "OutDir": "OUT", "WorkDir": "INOUT", "PaintingsDir": "IN"}
    assert {name: values[name] for name in flows} == {
        "PlateDir": str(shot.folder / "plates"),
        "OutDir": str(shot.folder / "frames"),
        "WorkDir": str(shot.folder / "the work"),
        "PaintingsDir": str(shot.folder / "paint, over"),
    }
    assert (values["Frames"], values["ChunkSize"]) == ("0-10", 3)
    pairs = read(folder / "parameter_values.json")["parameterValues"]
    assert {pair["name"]: pair["value"] for pair in pairs} == values
    train, prepare, render, verify = template["steps"]
    words = train["script"]["actions"]["onRun"]["args"]
    painted = "0={{Param.PaintingsDir}}/painted.0000.png,matte={{Param.PaintingsDir}}/matte.0000.png"
    assert words[words.index("--keyframe") + 1] == painted
    assert words[words.index("--look") + 1] == "{{Param.WorkDir}}/look.onnx"
    assert "hostRequirements" in train and "hostRequirements" in render and "hostRequirements" not in prepare
    assert [step["dependsOn"] for step in render["dependencies"]] == ["Train", "Prepare"]
    assert [step["dependsOn"] for step in verify["dependencies"]] == ["Render"]
    assert render["script"]["actions"]["onRun"]["timeout"] == 90 * 3 + 900


def test_attachments_name_what_workers_need(shot: Cli) -> None:
    references = read(bundle(shot, *TRAIN) / "asset_references.json")["assetReferences"]
    assert references["inputs"] == {
        "filenames": [str(shot.folder / "paint, over" / name) for name in ("painted.0000.png", "matte.0000.png")],
        "directories": [str(shot.folder / "plates")],
    }
    assert references["outputs"]["directories"] == [str(shot.folder / "frames"), str(shot.folder / "the work")]


def test_scattered_frames_keep_their_steps(shot: Cli) -> None:
    folder = bundle(shot, "--look", "hero.onnx", "--no-stmaps", "--frames", "0-8x2,9")
    assert read(folder / "parameters.json")["Frames"] == "0-8:2,9"
    ran = run(folder)
    assert ran.returncode == 0, ran.stdout
    assert wanted(shot) == [f"out.{frame:04d}.png" for frame in (0, 2, 4, 6, 8, 9)]
    assert "6 frames verified" in ran.stdout


def test_a_range_longer_than_a_parameter_may_be(shot: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openjd, "_LONGEST_VALUE", 3)
    folder = bundle(shot, "--look", "hero.onnx", "--no-stmaps")
    template = read(folder / "template.json")
    assert "Frames" not in [each["name"] for each in template["parameterDefinitions"]]
    assert template["steps"][0]["parameterSpace"]["taskParameterDefinitions"][0]["range"] == "0-10"
    assert tool("check", str(folder / "template.json")).returncode == 0
    assert run(folder).returncode == 0


def test_verifying_a_long_shot_is_shared_out(shot: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_VERIFY_FRAMES", 5)
    folder = bundle(shot, "--look", "hero.onnx", "--no-stmaps", "--chunk", "11")
    ran = run(folder)
    assert ran.returncode == 0, ran.stdout
    assert re.findall(r"(\d+) frames? verified", ran.stdout) == ["4", "4", "3"]
    assert "Chunks run: 4" in ran.stdout


def test_what_a_template_cannot_hold(shot: Cli) -> None:
    (shot.folder / "hero.onnx").rename(shot.folder / "{{hero}}.onnx")
    line = shot.refused(*SUBMIT, "--look", "{{hero}}.onnx", "--no-stmaps")
    assert "cannot be in a job template: {{ is its own; rename the file" in line


def test_the_bundle_goes_where_it_is_wanted(shot: Cli, tmp_path: Path) -> None:
    said = shot(*SUBMIT, "--look", "hero.onnx", "--bundle", str(tmp_path / "a bundle"))
    assert said.code == 0 and "deadline bundle submit" in said.out
    assert sorted(path.name for path in (tmp_path / "a bundle").iterdir()) == [
        "asset_references.json", "parameter_values.json", "parameters.json", "template.json"
    ]  # fmt: skip


def test_a_session_has_one_worker_that_ends_with_it(shot: Cli) -> None:
    plain = bundle(shot, "--look", "hero.onnx", "--no-stmaps")
    assert run(plain).returncode == 0
    expected = {path.name: path.read_bytes() for path in (shot.folder / "frames").iterdir()}
    shutil.rmtree(shot.folder / "frames")
    folder = bundle(shot, "--look", "hero.onnx", "--no-stmaps", "--session")
    checked = tool("check", str(folder / "template.json"))
    assert checked.returncode == 0 and "passes validation checks" in checked.stdout, checked.stdout
    render, verify = read(folder / "template.json")["steps"]
    assert "--resident" in render["script"]["actions"]["onRun"]["args"] and "stepEnvironments" not in verify
    ran = run(folder)
    assert ran.returncode == 0, ran.stdout
    assert {path.name: path.read_bytes() for path in (shot.folder / "frames").iterdir()} == expected
    assert "Chunks run: 5" in ran.stdout and "openjd_progress: 100.0" in ran.stdout
    begun, ended = (json.loads(line) for line in re.findall(r"\{\"protocol\".*\}", ran.stdout))
    assert (begun["event"], ended["event"]) == ("done", "done")
    # It answered the request to end, and then it does.
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(begun["pid"]).wait(60)
    assert not psutil.pid_exists(begun["pid"])


def test_a_failing_frame_of_a_session_fails_its_task(shot: Cli) -> None:
    (shot.folder / "plates" / "plate.0004.png").write_bytes(b"no picture")
    ran = run(bundle(shot, "--look", "hero.onnx", "--no-stmaps", "--session"))
    assert ran.returncode != 0
    assert "openjd_fail: " in ran.stdout and "frame 4" in ran.stdout and "exited with code: 2" in ran.stdout
    assert {"out.0003.png", "out.0005.png"} <= set(wanted(shot))
    begun, ended = (json.loads(line) for line in re.findall(r"\{\"protocol\".*\}", ran.stdout))
    assert (begun["event"], ended["event"]) == ("done", "done")


def test_what_a_session_has_no_way_for(shot: Cli) -> None:
    for words in (("--timeout", "9"), ("--threads", "1"), ("--tensorrt",)):
        line = shot.refused(*SUBMIT, "--look", "hero.onnx", "--no-stmaps", "--session", *words)
        assert "--session takes no --timeout, --threads or --tensorrt" in line
