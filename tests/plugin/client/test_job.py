"""The job that hosts hand over: its schema, both readers of it, versions, and that its half in hosts needs nothing."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.shot.keyframes import Keyframe
from plugin.arguments.command_line import command_line
from plugin.arguments.commands import COMMANDS
from plugin.arguments.parser import Parser
from plugin.cli import _verb
from plugin.client import job as job_module
from plugin.client.command import CLIENT_FILES
from plugin.client.errors import JobError
from plugin.client.job import SCHEMA, Job, JobKeyframe, check, check_message, parse_line
from tests.support import ROOT, lookfactory
from tests.support.interpreters import VERSIONS, interpreter
from tests.support.pictures import picture

jsonschema = pytest.importorskip("jsonschema", reason="compares with the jsonschema library")

IN_HOSTS = tuple(name for name in CLIENT_FILES if name.endswith(".py"))
"""What runs inside hosts: their Python, nothing installed."""

FULL = Job(
    plate="/shots/a/plate.%04d.exr",
    frames="1001-1010x3",
    work="/shots/a/work",
    colorspace="ACEScg",
    keyframes=(JobKeyframe(1001, "/p/1001.png", "/p/m.png", "sRGB"), JobKeyframe(1007, "/p/1007.png")),
    out="/shots/a/out.%04d.exr",
    look="/looks/hero.onnx",
    out_colorspace="ACES2065-1",
    depth="float",
    compression="dwaa:45",
    ocio="/configs/studio.ocio",
    steps=20,
    seed=7,
    device="cpu",
    tile=512,
    max_image_gib=8.5,
    carried=True,
    softness=0.25,
    matte="/a/matte.%04d.exr",
    matte_use="track",
    guides=False,
    layer="right",
    host="Test 1.0",
)
BARE = Job("/a/plate.%04d.png", "1-3", "/a/work")


def library_accepts(value: Any, name: str) -> bool:
    schema = {**json.loads(SCHEMA.read_text(encoding="utf-8")), "$ref": f"#/$defs/{name}"}
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def ours_accepts(value: Any, name: str) -> bool:
    try:
        check(value, name)
    except JobError:
        return False
    return True


def test_the_schema_is_one_and_both_jobs_follow_it() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA.read_text(encoding="utf-8")))
    for job in (FULL, BARE):
        assert library_accepts(job.to_dict(), "job")
        assert Job.from_json(job.to_json()) == job
    known = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]["job"]["properties"]
    flat = {field.name for field in fields(Job)} - {"frames", "colorspace", "layer"}
    assert set(known) == flat | {"version"}
    assert set(FULL.to_dict()) == set(known) - {"budget_s"}


_WORDS = st.sampled_from(["version", "plate", "work", "path", "frames", "frame", "seed", "tile", "carried", "x"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.sampled_from([1.0, 0.5, 5.0]) | st.sampled_from(["", "/a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_WORDS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_our_validator_agrees_with_the_library(data: st.DataObject) -> None:
    """A valid document with up to two values replaced, removed or added, anywhere."""
    messages = {
        "job": FULL.to_dict(),
        "keyframe": FULL.to_dict()["keyframes"][0],
        "request": {"protocol": 1, "id": 3, "op": "render", "job": {}, "frames": "1", "overwrite": True},
        "event": {"protocol": 1, "id": None, "event": "progress", "fraction": 0.5, "frame": 3, "extra": [1]},
    }
    name = data.draw(st.sampled_from(sorted(messages)))
    value = json.loads(json.dumps(messages[name]))
    for _ in range(data.draw(st.integers(0, 2))):
        place: Any = value
        while True:
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
            inner = place[key]
            if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
                break
            place = inner
        how = data.draw(st.sampled_from(["replace", "remove", "add"]))
        if how == "replace":
            place[key] = data.draw(_VALUES)
        elif how == "remove":
            del place[key]
        elif isinstance(place, dict):
            place[data.draw(_WORDS)] = data.draw(_VALUES)
        if not value:
            break
    assert ours_accepts(value, name) == library_accepts(value, name), value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "the job is of version 2, and this Paintover knows version 1; update Paintover"),
        ({"version": "1"}, "the job is of version '1', and this Paintover knows version 1"),
        ({"version": True}, "the job is of version True, and this Paintover knows version 1"),
        ({"seed": -1}, "job.seed is -1, the least is 0"),
        ({"seed": True}, "job.seed is True, not integer"),
        ({"tile": 1.5}, "job.tile is 1.5, not integer or null"),
        ({"work": ""}, "job.work is empty"),
        ({"work": "work"}, 'the work "work" is not an absolute path'),
        ({"colour": "x"}, "job has 'colour', which this version does not know"),
        ({"plate": {"path": "/p.%04d.exr"}}, "job.plate lacks frames"),
        ({"keyframes": [{"frame": 1, "painting": "/a"}, {"frame": 1, "painting": "/b"}]}, "two paintings for one"),
        ({"keyframes": [{"frame": 1.5, "painting": "/a"}]}, "job.keyframes[0].frame is 1.5, not integer"),
        ({"budget_s": 60, "steps": 5}, "both budget_s and steps"),
        ({"budget_s": 1}, "job.budget_s is 1, the least is 5"),
    ],
)
def test_refusals_are_one_clear_line(change: dict[str, Any], said: str) -> None:
    with pytest.raises(JobError) as caught:
        Job.from_dict({**BARE.to_dict(), **change})
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_messages_of_another_protocol_are_refused_before_anything_else() -> None:
    for kind in ("request", "event"):
        with pytest.raises(JobError, match=f"the {kind} is of protocol 9, and this Paintover knows protocol 1; update"):
            check_message({"protocol": 9, "whatever": []}, kind)
        with pytest.raises(JobError, match="does not say its protocol"):
            check_message({"id": 1}, kind)
    with pytest.raises(JobError, match="not JSON"):
        parse_line("{", "request")
    with pytest.raises(JobError, match="is a JSON object, not list"):
        parse_line("[]", "request")
    assert parse_line('{"protocol": 1, "id": 1.0, "op": "ping"}', "request")["op"] == "ping"


def test_a_job_becomes_the_words_of_every_verb() -> None:
    """Through the verbs' own parsers, so that no option is misspelt and no value lost."""
    seen: dict[str, Any] = {}
    for verb in ("key", "prepare", "train", "render", "verify"):
        words = replace(FULL, guides=True).arguments(verb)
        assert words[0] == verb
        options = _verb(verb).parser().read(words[1:])
        seen[verb] = options
        assert (options.plate, options.frames, options.colorspace) == (FULL.plate, FULL.frames, "ACEScg")
        assert options.ocio == FULL.ocio
    written = [keyframe.text for keyframe in seen["train"].keyframes]
    assert written == ["1001=/p/1001.png,matte=/p/m.png,colorspace=sRGB", "1007=/p/1007.png"]
    assert (seen["train"].steps, seen["train"].seed, seen["train"].look) == (20, 7, "/looks/hero.onnx")
    for verb in ("render", "verify"):
        assert (seen[verb].tile, seen[verb].carried, seen[verb].no_stmaps) == (512, True, False)
        assert (seen[verb].out, seen[verb].work) == (FULL.out, FULL.work)
        assert seen[verb].out_colorspace == "ACES2065-1"
    assert "--no-stmaps" in FULL.arguments("render")
    negative = _verb("render").parser().read(replace(BARE, frames="-5--2", out="/o.%04d.exr").arguments("render")[1:])
    assert (negative.frames, negative.look) == ("-5--2", "/a/work/look.onnx")
    assert "90.000s" in replace(BARE, keyframes=FULL.keyframes, budget_s=90.0).arguments("train")
    with pytest.raises(JobError, match="no keyframe"):
        BARE.arguments("train")
    with pytest.raises(JobError, match="names no output"):
        BARE.arguments("render")
    with pytest.raises(JobError, match="cannot be handed to 'doctor'"):
        BARE.arguments("doctor")


_TEXTS = st.text("abc01 =,%.#-", min_size=1, max_size=8).map(str.strip).filter(bool)
_PATHS = _TEXTS.map(lambda text: f"/{text}")
_NAMES = st.none() | st.sampled_from(["sRGB", "ACES - ACEScg", "a=b"])


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """Any job that a host may make; lengths to the millisecond, as they are written."""
    painted = st.builds(JobKeyframe, st.integers(-9, 2000), _PATHS, st.none() | _PATHS, _NAMES)
    length = draw(st.sampled_from(["budget_s", "steps", "neither"]))
    return Job(
        plate=draw(_PATHS),
        frames=draw(st.sampled_from(["7", "1001-1100x2", "-5--2", "-5"])),
        work=draw(_PATHS),
        colorspace=draw(_NAMES),
        keyframes=tuple(draw(st.lists(painted, min_size=1, max_size=3, unique_by=lambda one: one.frame))),
        out=draw(_PATHS),
        look=draw(st.none() | _PATHS),
        out_colorspace=draw(_NAMES),
        depth=draw(st.sampled_from([None, "half", "float"])),
        compression=draw(st.sampled_from([None, "zip", "zip:6", "dwaa:45"])),
        ocio=draw(st.none() | _PATHS | st.just("ocio://default")),
        budget_s=draw(st.integers(5000, 9_999_999)) / 1000 if length == "budget_s" else None,
        steps=draw(st.integers(1, 9999)) if length == "steps" else None,
        seed=draw(st.integers(0, 99)),
        device=draw(st.sampled_from(["auto", "cpu", "cuda:1"])),
        tile=draw(st.none() | st.integers(0, 4096)),
        max_image_gib=draw(st.none() | st.sampled_from([0.5, 8.0, 64.0])),
        carried=draw(st.booleans()),
        softness=draw(st.sampled_from([0.0, 0.5, 1.0])),
        guides=draw(st.booleans()),
    )


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in values.items() if value is not None and value is not False}


@settings(max_examples=200, deadline=None)
@given(jobs(), st.sampled_from(["key", "prepare", "train", "render", "verify"]))
def test_the_words_of_a_job_are_those_of_the_table(job: Job, verb: str) -> None:
    """What the host's own writer says is read as the job's values, and as what the table writes."""
    keyframes = [
        Keyframe(one.frame, Path(one.painting), None if one.matte is None else Path(one.matte), one.colorspace)
        for one in job.keyframes
    ]
    known = {
        "plate": job.plate,
        "frames": job.frames,
        "colorspace": job.colorspace,
        "ocio": job.ocio,
        "keyframes": keyframes,
        "keyframe_numbers": [keyframe.frame for keyframe in keyframes],
        "out": job.out,
        "work": job.work,
        "look": job.look_path,
        "budget": job.budget_s,
        "steps": job.steps,
        "seed": job.seed,
        "device": job.device,
        "tile": job.tile,
        "max_image_gib": job.max_image_gib,
        "out_colorspace": job.out_colorspace,
        "depth": job.depth,
        "compression": job.compression,
        "no_stmaps": not job.guides,
        "carried": job.carried,
        "softness": job.softness or None,
    }
    command = COMMANDS[verb]
    expected = {option.field: known[option.field] for option in command.options if option.field in known}
    read = vars(Parser(command).read(job.arguments(verb)[1:]))
    assert _given(read) == _given(expected)
    assert vars(Parser(command).read(command_line(verb, expected)[1:])) == read


def test_what_runs_in_hosts_is_python_3_9_and_standard_library() -> None:
    standard = sys.stdlib_module_names
    for name in IN_HOSTS:
        tree = ast.parse((ROOT / "plugin" / "client" / name).read_text(encoding="utf-8"), feature_version=(3, 9))
        for node in ast.walk(tree):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                siblings = {f"{stem}.py" for stem in [node.module or ""]} <= set(IN_HOSTS)
                assert siblings if node.level else (node.module or "").split(".")[0] in standard, (name, node.module)
            assert all(module.split(".")[0] in standard for module in imported), (name, imported)
            # Newer than 3.9, and no matter of syntax.
            keywords = {k.arg for k in node.keywords} if isinstance(node, ast.Call) else set()
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            assert not (called == "zip" and "strict" in keywords), name
            assert not (called == "dataclass" and keywords & {"slots", "kw_only"}), name
        assert "from __future__ import annotations" in ast.unparse(tree), name


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_every_python_of_a_host_drives_a_worker(tmp_path: Path, version: str) -> None:
    """The host's Python has the copied client alone; the worker is ours, found by the variable."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    package = tmp_path / "copied"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name in CLIENT_FILES:
        (package / name).write_bytes((ROOT / "plugin" / "client" / name).read_bytes())
    for frame in range(2):
        picture(tmp_path / f"plate.{frame:04d}.png", seed=frame)
    lookfactory.gain(tmp_path / "hero.onnx")
    script = tmp_path / "host.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from copied.host import Host, Session\n"
        "from copied.job import Job\n"
        "class Bare(Host):\n"
        "    name = 'Bare'\n"
        "    def current_frame(self): return 0\n"
        f"    def job(self): return Job(plate={str(tmp_path / 'plate.%04d.png')!r}, frames='0-1', device='cpu',\n"
        f"        work={str(tmp_path / 'work')!r}, look={str(tmp_path / 'hero.onnx')!r},\n"
        f"        out={str(tmp_path / 'out.%04d.png')!r})\n"
        "    def add_keyframe(self, frame, painting): pass\n"
        "    def show_progress(self, title, fraction, text): pass\n"
        "    def cancelled(self): return False\n"
        "    def message(self, level, text): print(level)\n"
        "    def show_preview(self, path): pass\n"
        "    def show_result(self, pattern, states): print(*[state.state for state in states])\n"
        "with Session(Bare()) as session:\n"
        "    session.add_keyframe()\n"
        "    session.render('0')\n"
        "    session.refresh()\n"
        "print('%d.%d' % sys.version_info[:2])\n"
    )
    starter = tmp_path / "starter.py"
    lines = ["import sys", f"sys.path.insert(0, {str(ROOT)!r})", "from plugin.cli import main", "sys.exit(main())"]
    starter.write_text("\n".join(lines))
    command = f'"{sys.executable}" "{starter}"'
    environment = {**os.environ, "PAINTOVER_COMMAND": command, "PYTHONHOME": ""}
    # -E would hide the variable as well; -s and -S hide what is installed.
    done = subprocess.run(
        [python, "-s", "-S", str(script)], env=environment, capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.stdout, done.stderr) == (f"info\nshown\nshown missing\n{version}\n", "")


def test_hosts_can_keep_a_copy_under_another_name(tmp_path: Path) -> None:
    """In a bare interpreter: no site packages, no environment, and not this folder."""
    package = tmp_path / "copied"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name in CLIENT_FILES:
        (package / name).write_bytes((ROOT / "plugin" / "client" / name).read_bytes())
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from copied import host, worker_client, job\n"
        f"job.Job.from_json({BARE.to_json()!r})\n"
        "assert not {'engine', 'plugin', 'numpy', 'rich'} & set(sys.modules)\n"
        "print(worker_client.PROTOCOL)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == (f"{job_module.PROTOCOL}\n", "")
