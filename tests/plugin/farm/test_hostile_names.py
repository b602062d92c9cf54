"""Job files of every engine with names that somebody else chose: read back by a reader of our own, word for word."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from engine.base.errors import InputError
from engine.base.frames import FrameRange, SequencePath
from plugin.arguments.options import Options
from plugin.farm import deadline10, job_files, opencue, openjd, slurm
from plugin.farm.plan import FarmPlan, FarmStep
from tests.support.farm_shot import make_cli
from tests.support.hostile_names import CONTROL, NAMES, UNNAMEABLE

CALLS = ("/opt/paintover", "-m", "plugin")


def plan_of(name: str) -> FarmPlan:
    """A render whose paths all hold a name."""
    folder = Path("/shots") / name
    out = f"{folder}/out.%04d.exr"
    words = ("render", "--look", f"{folder}/a.onnx", "--plate", f"{folder}/{name}.%04d.exr", "--out", out)
    step = FarmStep("render", (*words, "--work", str(folder)), "1-4", chunks=("1-2", "3-4"))
    inputs = (f"{folder}/{name}.%04d.exr", f"{folder}/a.onnx")
    return FarmPlan(
        "hero", (step,), FrameRange.parse("1-4"), folder, folder / "a.onnx", SequencePath.parse(out), inputs
    )


def deadline_pairs(text: str) -> list[tuple[str, str]]:
    """Keys and values as .NET reads lines: each of CR, LF and both ends one."""
    return [(key, value) for key, _, value in (line.partition("=") for line in re.split(r"\r\n|\r|\n", text) if line)]


def windows_words(line: str) -> list[str]:
    """A command line's words, as Windows programs split it."""
    words, word, quoted, i = [], None, False, 0
    while i < len(line):
        c = line[i]
        if c == "\\":
            run = len(line[i:]) - len(line[i:].lstrip("\\"))
            i += run
            mark = i < len(line) and line[i] == '"'
            word = (word or "") + "\\" * (run // 2 if mark else run)
            if mark and run % 2:
                word, i = word + '"', i + 1
            continue
        if c == '"':
            quoted, word = not quoted, word or ""
        elif c == " " and not quoted:
            words, word = words + ([] if word is None else [word]), None
        else:
            word = (word or "") + c
        i += 1
    return words + ([] if word is None else [word])


@pytest.mark.parametrize("name", NAMES)
def test_deadline_has_the_keys_that_we_wrote_and_the_words_that_we_gave(name: str) -> None:
    plan = plan_of(NAMES[name])
    step = plan.steps[0]
    job = deadline_pairs(deadline10.job_info(plan, step, Options()))
    keys = [key for key, _ in job]
    assert len(keys) == len(set(keys)) and not {"PreJobScript", "touch"} & set(keys)
    assert dict(job)["OutputDirectory0"] == str(plan.work)
    if name == "an element":
        with pytest.raises(InputError, match="Deadline's files cannot hold"):
            deadline10.plugin_info(step, CALLS)
        return
    plugin = deadline_pairs(deadline10.plugin_info(step, CALLS))
    assert [key for key, _ in plugin] == ["Executable", "Arguments", "ShellExecute", "SingleFramesOnly"]
    wanted = [*CALLS[1:], *step.command, "--frames=<STARTFRAME>-<ENDFRAME>"]
    assert windows_words(dict(plugin)["Arguments"]) == wanted == shlex.split(dict(plugin)["Arguments"])


@pytest.mark.parametrize("word", ["C:\\shots\\", "C:\\the shots\\\\", "\\\\server\\share\\", "", "it's", "#1"])
def test_a_deadline_word_stays_one_word(word: str) -> None:
    step = FarmStep("render", ("render", word, "--carried"), "1")
    arguments = dict(deadline_pairs(deadline10.plugin_info(step, ("paintover",))))["Arguments"]
    assert windows_words(arguments) == ["render", word, "--carried", "--frames=1"]


@pytest.mark.parametrize("word", ["<STARTFRAME>", "<startframe%4>", "<QUOTE>", 'a"b'])
def test_deadlines_own_words_are_refused(word: str) -> None:
    with pytest.raises(InputError, match="Deadline's files cannot hold"):
        deadline10.plugin_info(FarmStep("render", ("render", word), "1"), CALLS)


@pytest.mark.parametrize("name", NAMES)
def test_opencue_has_the_words_that_we_gave(name: str) -> None:
    plan = plan_of(NAMES[name])
    text = opencue.job_xml(plan, Options(user="artist", show="show"), CALLS)
    layers = list(ElementTree.fromstring(text.encode()).iter("layer"))
    assert [layer.attrib["name"] for layer in layers] == ["render"]
    words = shlex.split(layers[0].findtext("cmd") or "")
    assert words[: len(CALLS) + len(plan.steps[0].command)] == [*CALLS, *plan.steps[0].command]


@pytest.mark.parametrize("name", CONTROL | UNNAMEABLE)
def test_a_name_that_ends_lines_is_refused_where_a_format_has_no_way_for_it(name: str) -> None:
    hostile = (CONTROL | UNNAMEABLE)[name]
    if name == "text that turns around":
        return  # It is one line, and stays as it is; terminals show it written out.
    writes = [
        lambda: deadline10.job_info(plan_of("a"), plan_of("a").steps[0], Options(pool=hostile)),
        lambda: opencue.job_xml(plan_of("a"), Options(user="artist", show="show", tags=hostile), CALLS),
    ]
    if name == "a NUL":
        with pytest.raises(InputError, match="a path has a zero character"):
            plan_of(hostile)
    else:
        plan = plan_of(hostile)
        writes += [
            lambda: deadline10.job_info(plan, plan.steps[0], Options()),
            lambda: deadline10.plugin_info(plan.steps[0], CALLS),
            lambda: opencue.job_xml(plan, Options(user="artist", show="show"), CALLS),
            lambda: openjd.template(plan, CALLS),
        ]
    for write in writes:
        with pytest.raises(InputError, match=r"cannot hold the character U\+") as caught:
            write()
        assert str(caught.value).isprintable() and str(caught.value).endswith("rename the file")


@pytest.mark.skipif(shutil.which("bash") is None, reason="job scripts are bash's")
@pytest.mark.parametrize("name", [*NAMES, *CONTROL])
def test_slurm_scripts_call_with_the_words_that_we_gave(name: str, tmp_path: Path) -> None:
    """Run by bash, with a program that writes down its words."""
    plan = plan_of((NAMES | CONTROL)[name])
    (job,) = slurm.jobs_from(plan, Options(), 1001)
    program = tmp_path / "program"
    program.write_text('#!/bin/bash\nprintf \'%s\\0\' "$@" > "$SAID"\n')
    program.chmod(0o755)
    job_files.write({tmp_path / "render.sh": slurm.script(plan, job, (str(program),))})
    environment = {"PATH": "/usr/bin:/bin", "SAID": str(tmp_path / "said"), "SLURM_ARRAY_TASK_ID": "1"}
    subprocess.run(
        ["bash", str(tmp_path / "render.sh")], check=True, capture_output=True, env=environment, cwd=tmp_path
    )
    said = (tmp_path / "said").read_bytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
    assert said == [*plan.steps[0].command, "--frames=3-4"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["program", "render.sh", "said"]


@pytest.mark.parametrize("name", NAMES)
def test_job_templates_are_read_back(name: str) -> None:
    yaml = pytest.importorskip("yaml")
    plan = plan_of(NAMES[name])
    if "{{" in NAMES[name]:
        with pytest.raises(InputError, match="cannot be in a job template"):
            openjd.template(plan, CALLS)
        return
    made = openjd.template(plan, CALLS)
    text = openjd.document(made)
    read = json.loads(text)
    assert read == made == yaml.safe_load(text)
    words = read["steps"][0]["script"]["actions"]["onRun"]["args"]
    for place in openjd.folders(plan):
        words = [word.replace(f"{{{{Param.{place.parameter}}}}}", place.path) for word in words]
    assert {plan.out.text, str(plan.look), plan.inputs[0]} <= {word.partition("=")[2] or word for word in words} | set(
        words
    )


@pytest.mark.parametrize(
    "value",
    [
        "\U0001f3a8",
        "\\\U0001f3a8\\",
        "\\\\ud83c\\\\udfa8",
        "\\ud83c\\udfa8",
        "\u2028\x85\ufeff",
        "\U0001f3a8\U0010ffff",
        'a"\n',
    ],
)
def test_readers_of_json_and_of_yaml_find_the_same_text(value: str) -> None:
    yaml = pytest.importorskip("yaml")
    text = openjd.document({value: [value]})
    assert json.loads(text) == yaml.safe_load(text) == {value: [value]}
    assert "\\ud83c\\udfa8" not in text.replace("\\\\", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
@pytest.mark.parametrize("engine", ["opencue", "openjd", "slurm"])
@pytest.mark.parametrize("name", ["$(touch pwned)", "`touch pwned`", 'a"; touch pwned; "', "Bob's"])
def test_what_is_printed_for_a_shell_runs_nothing_but_itself(
    engine: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each printed command is run by a shell that finds a program which writes its words down."""
    try:
        (tmp_path / name).mkdir()
    except OSError:
        pytest.skip("this disk takes no such name")
    shot = make_cli(tmp_path / name / "shot", capsys, monkeypatch)
    extra = {"opencue": ("--user", "artist"), "openjd": (), "slurm": ("--write-only",)}[engine]
    words = ("--plate", "plate.%04d.png", "--work", "work", "--out", "out.%04d.png", "--frames", "0-10", "--no-stmaps")
    said = shot("submit", "--engine", engine, *extra, "--look", "hero.onnx", *words)
    assert said.code == 0, said.err
    found = re.findall(r"(?:installed|machine|AWS|with): (.+?)(?=; on AWS|$)", said.out, re.MULTILINE)
    assert len(found) == (2 if engine == "openjd" else 1), said.out
    programs = tmp_path / "programs"
    programs.mkdir()
    for called in ("python", "openjd", "deadline", "bash"):
        program = programs / called
        program.write_text('#!/bin/sh\nprintf \'%s\\0\' "$@" > "$SAID"\n')
        program.chmod(0o755)
    for command in found:
        environment = {"PATH": str(programs), "SAID": str(tmp_path / "said")}
        subprocess.run(["/bin/sh", "-c", command], check=True, capture_output=True, env=environment, cwd=programs)
        last = (tmp_path / "said").read_text().split("\0")[-2].removeprefix("file://")
        assert last.startswith(str(tmp_path / name)) and Path(last).exists()
    assert "pwned" not in {path.name for path in [*programs.iterdir(), *tmp_path.iterdir()]}


@pytest.mark.parametrize("engine", ["opencue", "openjd", "slurm", "deadline10"])
def test_the_limit_of_images_reaches_a_farms_commands(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shot = make_cli(tmp_path / "shot", capsys, monkeypatch)
    extra = {"opencue": ("--user", "artist")}.get(engine, ())
    words = ("--plate", "plate.%04d.png", "--work", "work", "--out", "out.%04d.png", "--frames", "0-10", "--no-stmaps")
    command = ("submit", "--engine", engine, *extra, "--look", "hero.onnx", *words, "--dry-run")
    monkeypatch.delenv("PAINTOVER_MAX_IMAGE_GIB", raising=False)
    assert "--max-image-gib" not in shot(*command).out
    asked = shot(*command, "--max-image-gib", "7.5").out
    assert re.search(r"--max-image-gib[\s\",]+7\.5", asked)
    monkeypatch.setenv("PAINTOVER_MAX_IMAGE_GIB", "6")
    assert re.search(r"--max-image-gib[\s\",]+6", shot(*command).out)
