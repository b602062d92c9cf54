"""Job files for OpenCue and Deadline 10: their form, and that the commands in them do what the engine would ask for.

No server of either is here. What is executed are the commands, with the engine's tokens replaced as it would.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from plugin.arguments.engine_options import ENGINES
from plugin.farm import plan
from plugin.farm.plan import program
from tests.support.command_line import Cli
from tests.support.farm_shot import make_cli

SHOT = ("--plate", "plate.%04d.png", "--work", "the work", "--out", "out.%04d.png", "--device", "cpu")
SUBMIT = ("submit", *SHOT, "--frames", "0-10", "--chunk", "3")
TRAINED = ("--keyframe", "0=painted.0000.png", "--keyframe", "5=painted.0000.png")
GIVEN = ("--look", "hero.onnx", "--no-stmaps")
OPENCUE = ("--engine", "opencue", "--user", "artist")
DEADLINE = ("--engine", "deadline10", "--write-only")

# Content models of cjsl-1.12.dtd: each child is its name and a space.
CONTENT = {
    "spec": "(facility )?(dept )?show shot user (email )?(uid )?(job )*(depends )*",
    "job": "(paused )?(priority )?(maxretries )?(autoeat )?(localbook )?(os )?(env )*(layers )?",
    "layers": "(layer )+",
    "layer": "cmd range chunk (cores )?(threadable )?(memory )?(gpus )?(gpu )?(gpu_memory )?(timeout )?(timeout_llu )?"
    "(tags )?(limits )?(env )*(services )?",
    "services": "(service )+",
    "depends": "(depend )*",
    "depend": "depjob (deplayer )?(depframe )?onjob (onlayer )?(onframe )?",
}
ATTRIBUTES = {"job": {"name"}, "layer": {"name", "type"}, "depend": {"type", "anyframe"}}
NMTOKEN = re.compile(r"[\w.:-]+")
CUEBOT_NAME = re.compile(r"[a-z0-9_.]{3,}")


@pytest.fixture
def shot(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    return make_cli(tmp_path / "Bob's $HOME 100% shot", capsys, monkeypatch)


@pytest.mark.parametrize("engine", ENGINES)
def test_dry_run_and_write_only_mean_the_same_for_every_engine(
    shot: Cli, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One shows what the other writes; neither submits, starts or renders anything."""
    monkeypatch.setenv("PATH", "")
    words = [*SUBMIT, *TRAINED, "--engine", engine, *(("--user", "artist") if engine == "opencue" else ())]
    farm = shot.folder / "the work" / "farm"
    shown = shot(*words, "--dry-run")
    assert (shown.code, shown.err) == (0, "") and not farm.exists()
    written = shot(*words, "--write-only")
    assert (written.code, written.err) == (0, "")
    files = [path for path in farm.rglob("*") if path.is_file()]
    assert files and all(f"# {path}\n{path.read_text(encoding='utf-8')}" in shown.out for path in files)
    assert not list(shot.folder.glob("out.*")) and not (shot.folder / "the work" / "look.onnx").exists()


def cue_job(shot: Cli, *words: str, name: str = "look") -> ElementTree.Element:
    said = shot(*SUBMIT, *OPENCUE, *words)
    assert (said.code, said.err) == (0, "")
    assert "validated, not executed" in said.out
    return ElementTree.parse(shot.folder / "the work" / "farm" / "opencue" / f"{name}.xml").getroot()


def deadline_files(shot: Cli, *words: str) -> Path:
    said = shot(*SUBMIT, *DEADLINE, *words)
    assert (said.code, said.err) == (0, "")
    assert "emitted, not executed" in said.out
    return shot.folder / "the work" / "farm" / "deadline10"


def pairs(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text(encoding="utf-8").splitlines())


def frames(shot: Cli) -> list[int]:
    return sorted(int(path.name.split(".")[1]) for path in shot.folder.glob("out.*.png"))


def check(element: ElementTree.Element) -> None:
    """Raise where an element is not as the DTD and Cuebot have it."""
    children = "".join(f"{child.tag} " for child in element)
    model = CONTENT.get(element.tag)
    if model is None:
        assert not children and (element.text or "").strip(), element.tag
    else:
        assert re.fullmatch(model, children), f"<{element.tag}> has {children}"
        assert not (element.text or "").strip()
    assert set(element.attrib) == ATTRIBUTES.get(element.tag, set())
    assert all(NMTOKEN.fullmatch(value) for value in element.attrib.values())
    for child in element:
        check(child)


# OpenCue


@pytest.mark.parametrize(
    "words",
    [
        (*TRAINED, "--gpu", "--memory", "8g", "--tags", "general | gpu", "--priority", "90", "--facility", "local"),
        GIVEN,
    ],
)
def test_the_specification_follows_its_dtd(shot: Cli, words: tuple[str, ...]) -> None:
    spec = cue_job(shot, *words, name="look" if words[0] == "--keyframe" else "hero")
    check(spec)
    job = spec.find("job")
    assert job is not None
    layers = job.findall("layers/layer")
    names = [job.attrib["name"], spec.findtext("shot", ""), *(layer.attrib["name"] for layer in layers)]
    assert all(CUEBOT_NAME.fullmatch(name) for name in names)
    assert {layer.attrib["type"] for layer in layers} == {"Render", "Util"}
    text = next((shot.folder / "the work" / "farm" / "opencue").glob("*.xml")).read_text()
    assert text.splitlines()[1].endswith('dtd/cjsl-1.12.dtd">')


def test_the_check_of_the_specification_can_fail(shot: Cli) -> None:
    spec = cue_job(shot, *GIVEN, name="hero")
    layer = spec.find("job/layers/layer")
    assert layer is not None
    layer.append(layer[0])
    with pytest.raises(AssertionError, match="<layer> has cmd range chunk services cmd"):
        check(spec)


def test_layers_wait_for_those_before(shot: Cli) -> None:
    spec = cue_job(shot, *TRAINED, "--gpu")
    layers = {layer.attrib["name"]: layer for layer in spec.iter("layer")}
    assert {name: (layer.findtext("range"), layer.findtext("chunk")) for name, layer in layers.items()} == {
        "train": ("1", "1"),
        "prepare": ("1-3", "1"),
        "render": ("0-10", "3"),
        "verify": ("1", "1"),
    }
    assert {(each.findtext("deplayer"), each.findtext("onlayer")) for each in spec.iter("depend")} == {
        ("render", "train"),
        ("render", "prepare"),
        ("verify", "render"),
    }
    assert {each.attrib["type"] for each in spec.iter("depend")} == {"LAYER_ON_LAYER"}
    assert [name for name, layer in layers.items() if layer.findtext("gpus") == "1"] == ["train", "render"]
    assert spec.findtext("job/maxretries") == "1"
    assert (layers["prepare"].findtext("cmd") or "").endswith(" --shard=#IFRAME#/3")


def test_verifying_a_long_shot_is_shared_out(shot: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_VERIFY_FRAMES", 4)
    verify = list(cue_job(shot, *GIVEN, name="hero").iter("layer"))[-1]
    assert (verify.findtext("range"), verify.findtext("chunk"), verify.attrib["type"]) == ("0-10", "4", "Util")
    assert "--frames=#FRAMESPEC#" in (verify.findtext("cmd") or "")
    job = pairs(deadline_files(shot, *GIVEN) / "verify.job")
    assert (job["Frames"], job["ChunkSize"], "OutputDirectory0" in job) == ("0-10", "4", False)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("sh") is None, reason="hosts run commands through a shell")
def test_opencue_commands_end_in_verified_frames(shot: Cli) -> None:
    spec = cue_job(shot, *GIVEN, "--frames", "0-8x2,9", name="hero")
    render, verify = (layer.findtext("cmd") or "" for layer in spec.iter("layer"))
    assert [layer.findtext("range") for layer in spec.iter("layer")] == ["0-8x2,9", "1"]
    for chunk in ("0-4x2", "6,8,9"):
        subprocess.run(["sh", "-c", render.replace("#FRAMESPEC#", chunk)], check=True, capture_output=True)
    done = subprocess.run(["sh", "-c", verify], check=True, capture_output=True, text=True)
    assert "6 frames verified" in done.stdout and frames(shot) == [0, 2, 4, 6, 8, 9]


def test_what_cuebot_would_refuse(shot: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Cuebot launches nothing as root; give --user" in shot.refused(*SUBMIT, *OPENCUE, *GIVEN, "--user", "root")
    line = shot.refused(*SUBMIT, *OPENCUE, *GIVEN, "--cue-shot", "s1")
    assert 'OpenCue takes no shot named "s1"; give it three letters or more' in line
    line = shot.refused(*SUBMIT, *OPENCUE, *GIVEN, "--out", "x#LAYER#.%04d.png")
    assert "OpenCue would replace a part of" in line


def test_names_become_cuebots(shot: Cli) -> None:
    spec = cue_job(shot, *GIVEN, "--show", "Big Buck-Bunny", "--cue-shot", "SH-010", name="hero")
    assert (spec.findtext("show"), spec.findtext("shot")) == ("big_buck_bunny", "sh_010")


# Deadline 10


def test_jobs_and_their_dependencies(shot: Cli) -> None:
    folder = deadline_files(shot, *TRAINED, "--pool", "gpu", "--priority", "70", "--timeout", "90", "--retries", "1")
    names = ["prepare", "render", "train", "verify"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{name}.{kind}" for name in names for kind in ("job", "plugin")
    )
    jobs = {name: pairs(folder / f"{name}.job") for name in names}
    assert {name: job.get("JobDependencies") for name, job in jobs.items()} == {
        "train": None,
        "prepare": None,
        "render": "@train@,@prepare@",
        "verify": "@render@",
    }
    assert {(job["Plugin"], job["Pool"], job["Priority"], job["BatchName"]) for job in jobs.values()} == {
        ("CommandLine", "gpu", "70", "Paintover look")
    }
    assert [(jobs[name]["Frames"], jobs[name]["ChunkSize"]) for name in names] == [
        ("1-3", "1"), ("0-10", "3"), ("0", "1"), ("0", "1")
    ]  # fmt: skip
    assert jobs["render"]["TaskTimeoutMinutes"] == str(-(-(90 * 3 + 900) // 60))
    assert jobs["render"]["FailureDetectionTaskErrors"] == "2"
    assert [name for name in names if jobs[name].get("ResumeOnFailedDependencies") == "true"] == ["verify"]
    assert pairs(folder / "prepare.plugin")["Arguments"].endswith("--shard=<STARTFRAME>/3")


def test_frames_with_gaps_go_one_to_a_task(shot: Cli) -> None:
    folder = deadline_files(shot, *GIVEN, "--frames", "0-8x2,9")
    job = pairs(folder / "render.job")
    assert (job["Frames"], job["ChunkSize"]) == ("0-8x2,9", "1")


@pytest.mark.slow
def test_deadline_commands_end_in_verified_frames(shot: Cli) -> None:
    folder = deadline_files(shot, *GIVEN)
    said = ""
    for step, spans in (("render", [(0, 2), (3, 5), (6, 8), (9, 10)]), ("verify", [(0, 0)])):
        plugin = pairs(folder / f"{step}.plugin")
        assert plugin["Executable"] == program()[0]
        for first, last in spans:
            arguments = plugin["Arguments"].replace("<STARTFRAME>", str(first)).replace("<ENDFRAME>", str(last))
            words = re.findall(r'"([^"]*)"|(\S+)', arguments)
            done = subprocess.run(
                [plugin["Executable"], *(quoted or plain for quoted, plain in words)], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            said = done.stdout
    assert "11 frames verified" in said and frames(shot) == list(range(11))


def test_a_windows_installation_is_quoted(shot: Cli) -> None:
    folder = deadline_files(shot, *GIVEN, "--program", r"C:\Program Files\paintover\paintover.exe")
    plugin = pairs(folder / "render.plugin")
    assert plugin["Executable"] == r"C:\Program Files\paintover\paintover.exe"
    assert plugin["Arguments"].startswith(f'render --look "{shot.folder / "hero.onnx"}" --plate "')


def command(folder: Path, text: str) -> None:
    (folder / "deadlinecommand").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "deadlinecommand").chmod(0o755)


@pytest.mark.skipif(shutil.which("sh") is None, reason="the stand-in for deadlinecommand is a shell script")
def test_ids_stand_where_jobs_wait(shot: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    # Answers as Deadline does, with the job's own name as its id.
    command(tmp_path, 'name=${1##*/}; echo "Deadline Command"; echo "JobID=id_${name%.job}"; echo "Result=Success"')
    said = shot(*SUBMIT, *DEADLINE[:2], *TRAINED)
    assert said.code == 0 and "render: job id_render" in said.out
    folder = shot.folder / "the work" / "farm" / "deadline10"
    assert pairs(folder / "render.job")["JobDependencies"] == "id_train,id_prepare"
    assert pairs(folder / "verify.job")["JobDependencies"] == "id_render"
    command(tmp_path, 'case $1 in *render*) echo "no such pool" >&2; exit 1;; esac; echo "JobID=7"')
    line = shot.refused(*SUBMIT, *DEADLINE[:2], *TRAINED)
    assert "deadlinecommand refuses render.job: no such pool; already there: 7, 7" in line


def test_without_deadline_and_with_words_it_cannot_hold(
    shot: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    line = shot.refused(*SUBMIT, *DEADLINE[:2], *GIVEN)
    assert line.startswith("there is no deadlinecommand on this machine (") and "the files are written" in line
    line = shot.refused(*SUBMIT, *DEADLINE, *GIVEN, "--out", 'the "end".%04d.png')
    assert "Deadline's files cannot hold" in line


def test_commands_survive_a_shell(shot: Cli) -> None:
    words = shlex.split(next(cue_job(shot, *GIVEN, name="hero").iter("cmd")).text or "")
    assert words[words.index("--plate") + 1] == str(shot.folder / "plate.%04d.png")
