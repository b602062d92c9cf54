"""The node's text in a real Tcl interpreter, what the Python reads of it, and how it is installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from plugin.cli import main
from plugin.client.command import CLIENT_FILES, config_file
from plugin.hosts.install_nuke import SOURCE, install, uninstall

pytest.importorskip("tkinter", reason="node text is parsed by the Tcl interpreter that comes with tkinter")
from tests.support.nuke import stub as nuke_stub

GIZMO = SOURCE / "Paintover.gizmo"
PYTHON = sorted((SOURCE / "paintover_nuke").glob("*.py"))


@pytest.fixture
def text() -> str:
    return GIZMO.read_text(encoding="utf-8")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return tmp_path


# The text


def test_tcl_reads_one_group_and_nothing_by_accident(text: str) -> None:
    names = [words[0] for words in nuke_stub.commands(text)]
    assert names == [
        "version", "add_layer", "Group", "Input", "Multiply", "Text2", "Read", "Read", "Switch", "Output", "end_group",
    ]  # fmt: skip
    (group,) = nuke_stub.load_text(text)
    assert sorted(group.children) == ["Black", "NotShown", "Notice", "Output1", "Plate", "Result", "Shown"]
    assert "Write" not in names, "a farm's submitters do not look into groups"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"\\[value work]/paint', '"[value work]/paint'),
        ("end_group", "}\nend_group"),
        (" name Result\n", ""),
        ('T "import paintover_nuke\\npaintover_nuke.press(\\"train\\")"', 'T "import" paintover_nuke'),
    ],
)
def test_the_interpreter_finds_what_is_wrong(text: str, before: str, after: str) -> None:
    """The tests around this one can fail."""
    assert before in text
    broken = text.replace(before, after, 1)
    with pytest.raises((nuke_stub.tkinter.TclError, AssertionError, KeyError, ValueError, IndexError, TypeError)):
        test_tcl_reads_one_group_and_nothing_by_accident(broken)


def test_a_script_that_holds_the_node_loads_as_well(text: str) -> None:
    script = f"set cut_paste_input [stack 0]\n{text}Dot {{\n name After\n}}\n"
    names = [words[0] for words in nuke_stub.commands(script)]
    assert names[:3] == ["stack", "set", "version"] and names[-1] == "Dot"


def test_frames_are_chosen_by_one_switch_and_never_the_plate(text: str) -> None:
    (group,) = nuke_stub.load_text(text)
    switch = group.children["Shown"]
    assert [switch.input(index).name() for index in range(3)] == ["NotShown", "Result", "Notice"]
    assert switch["which"]._value.text == "[python __import__('paintover_nuke').which()]"
    output = group.children["Output1"]
    assert output.input(0) is switch
    # The notice stands on the plate's format, with nothing of its pixels.
    black = group.children["Notice"].input(0)
    assert black["value"].value() == 0 and black["channels"].value() == "all"
    for name in ("Result", "NotShown"):
        read = group.children[name]
        assert read["on_error"].value() == "error" and read["localizationPolicy"].value() == "off"


def test_every_knob_that_the_python_reads_is_there(text: str, tmp_path: Path) -> None:
    (group,) = nuke_stub.load_text(text)
    known = set(group.knobs())
    sources = "\n".join(path.read_text(encoding="utf-8") for path in PYTHON)
    read = set(re.findall(r'(?:self\.node, |_file\(|_path\(|\.text\(|node\[|_write\()["\'](\w+)["\']', sources))
    assert {"keyframes", "work", "out", "mode", "missing", "status", "engine", "budget"} <= read
    assert read - known == set()
    listed = re.search(r"KNOBS = \((.*?)\)", sources, re.DOTALL)
    assert listed is not None
    names = set(re.findall(r'"(\w+)"', listed.group(1)))
    assert names - known == set() and read - names == set()
    assert set(re.findall(r'node\.node\((?:RESULT|"(\w+)")\)', sources)) <= {"", *group.children}


def test_every_button_has_an_action_and_the_other_way_round(text: str) -> None:
    (group,) = nuke_stub.load_text(text)
    buttons = {name: knob for name, knob in group.knobs().items() if knob._kind == "22"}
    source = (SOURCE / "paintover_nuke" / "buttons.py").read_text(encoding="utf-8")
    actions = set(re.findall(r'^    "(\w+)": _\w+,$', source, re.MULTILINE)) | {"cancel"}
    assert set(buttons) == actions
    for name, knob in buttons.items():
        assert knob._value == f'import paintover_nuke\npaintover_nuke.press("{name}")'
        compile(knob._value, name, "exec")


def test_knobs_say_what_they_are(text: str) -> None:
    (group,) = nuke_stub.load_text(text)
    for name, knob in group.knobs().items():
        if knob._kind in ("1", "2", "3", "4", "6", "7", "22") and name != "paintover_version":
            assert len(knob.tooltip) > 10, name
    assert group["mode"].choices == ("frames", "on_demand")
    assert group["missing"].choices == ("error", "notice")
    from plugin.verbs.submit import ENGINES

    assert group["engine"].choices == ENGINES


def test_colors_and_places_are_not_written_down() -> None:
    """Colorspaces, displays and views come from the project."""
    everything = "\n".join(path.read_text(encoding="utf-8") for path in [GIZMO, *PYTHON])
    code = re.sub(r'""".*?"""', "", everything, flags=re.DOTALL)
    assert not re.findall(r"ACEScg|scene_linear|rec709|['\"]sRGB|['\"]linear['\"]", code)


def test_the_picture_is_that_of_the_text(text: str) -> None:
    from tests.support.nuke_knobs_picture import PICTURE, draw

    drawn = draw(text)
    assert PICTURE.read_text(encoding="utf-8") == drawn, "run python -m tests.support.nuke_knobs_picture"
    (group,) = nuke_stub.load_text(text)
    for name in ("Add keyframe", "Build .cat", "keyframes", "if a frame is missing"):
        assert f">{name}<" in drawn
    assert "INVISIBLE" not in drawn and len(group.knobs()) > 40


# Its Python


def test_only_one_module_imports_nuke_and_the_rest_is_the_standard_library() -> None:
    for path in PYTHON:
        source = path.read_text(encoding="utf-8")
        assert ("\nimport nuke\n" in source) == (path.name == "nuke_host.py"), path.name
        for name in re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE):
            assert name in sys.stdlib_module_names | {"nuke"}, f"{path.name} imports {name}"


@pytest.mark.slow
def test_types_are_those_of_nuke(tmp_path: Path) -> None:
    """mypy against the published stubs of Nuke's module finds calls that are not there."""
    pytest.importorskip("mypy", reason="needs mypy")
    if not any((Path(folder) / "nuke-stubs").is_dir() for folder in sys.path):
        pytest.skip("types-nuke is not installed")
    install(tmp_path)
    place = tmp_path / "paintover"

    def checked() -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.10", "paintover_nuke"],
            cwd=place, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    assert checked().startswith("Success"), checked()
    host = place / "paintover_nuke" / "nuke_host.py"
    host.write_text(host.read_text(encoding="utf-8").replace("nuke.thisView()", "nuke.thisViews()"), encoding="utf-8")
    assert '"thisViews"' in checked()


# Installing


FOREIGN = b"# -*- coding: latin-1 -*-\r\nimport nuke\r\nnuke.pluginAddPath('./gizmos')  # caf\xe9\r\n"


def test_installing_twice_changes_nothing_and_removing_gives_everything_back(tmp_path: Path) -> None:
    init = tmp_path / "init.py"
    init.write_bytes(FOREIGN)
    (tmp_path / "menu.py").write_text("print('mine')\n")
    first = install(tmp_path)
    state = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()}
    assert set(first) <= set(state)
    assert install(tmp_path) == first
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in state} == state
    assert init.read_bytes().startswith(FOREIGN) and init.read_bytes().count(b"pluginAddPath") == 2
    assert set(CLIENT_FILES) <= {path.name for path in (tmp_path / "paintover/paintover_nuke/client").iterdir()}
    removed = uninstall(tmp_path)
    assert init in removed and init.read_bytes() == FOREIGN
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["init.py", "menu.py"]
    assert uninstall(tmp_path) == []


def test_an_init_of_ours_alone_goes_and_files_of_others_stay(tmp_path: Path) -> None:
    install(tmp_path)
    mine = tmp_path / "paintover" / "paintover_nuke" / "mine.py"
    mine.write_text("1\n")
    uninstall(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_damaged_lines_are_said_and_nothing_is_written(tmp_path: Path) -> None:
    from engine.base.errors import InputError

    install(tmp_path)
    init = tmp_path / "init.py"
    damaged = init.read_bytes().replace(b"# <<< paintover <<<", b"")
    init.write_bytes(damaged)
    for change in (install, uninstall):
        with pytest.raises(InputError, match="have no end"):
            change(tmp_path)
    assert init.read_bytes() == damaged


def test_the_verb_installs_for_this_user_and_remembers_the_command(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["install", "nuke"]) == 0
    assert (home / ".nuke" / "paintover" / "Paintover.gizmo").is_file()
    assert config_file().is_file() and str(config_file()).startswith(str(home))
    assert str(home / ".nuke" / "init.py") in capsys.readouterr().out
    assert main(["uninstall", "nuke"]) == 0
    assert not (home / ".nuke" / "init.py").exists() and not config_file().parent.exists()
    assert main(["uninstall", "nuke"]) == 0
    assert "nothing of Paintover was installed for nuke" in capsys.readouterr().out


def test_the_command_is_remembered_until_the_last_part_is_gone(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = [("nuke", tmp_path / "studio"), ("nuke", tmp_path / "desk"), ("resolve", tmp_path / "Fusion")]
    for host, place in (*places, places[0]):
        assert main(["install", host, "--to", str(place)]) == 0
    command = json.loads(config_file().read_text())["command"]
    (config_file().parent / "mine.txt").write_text("")
    for host, place in places:
        assert json.loads(config_file().read_text())["command"] == command
        assert main(["uninstall", host, "--to", str(place)]) == 0
    assert not config_file().exists() and (config_file().parent / "mine.txt").is_file()
    assert f"removed {config_file()}" in capsys.readouterr().out
    # An earlier version did not write down where parts were installed: others may need it.
    config_file().write_text('{"command": ["paintover"]}')
    assert main(["install", "nuke", "--to", str(tmp_path / "desk")]) == 0
    assert main(["uninstall", "nuke", "--to", str(tmp_path / "desk")]) == 0
    assert list(json.loads(config_file().read_text())) == ["command"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the host is missing; the hosts are nuke, resolve"),
        (["nuk"], "there is no host 'nuk'; the hosts are nuke, resolve"),
    ],
)
def test_the_verb_says_which_hosts_there_are(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(["install", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_file_is_no_place(tmp_path: Path, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    (tmp_path / "file").write_text("")
    assert main(["install", "nuke", "--to", str(tmp_path / "file")]) == 2
    assert "this is a file" in capsys.readouterr().err
    assert not config_file().exists()


def a_folder_for_init(place: Path) -> Path:
    (place / "init.py").mkdir(parents=True)
    return place


def a_file_in_the_way(place: Path) -> Path:
    place.mkdir()
    (place / "paintover").write_text("mine")
    return place


def a_name_too_long(place: Path) -> Path:
    place.mkdir()
    return place / ("x" * 300)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (a_folder_for_init, "a folder stands where Nuke looks for a file"),
        (a_file_in_the_way, "cannot make the folder: File exists"),
        (a_name_too_long, "cannot make the folder: File name too long"),
    ],
)
def test_a_place_that_cannot_be_used_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], home: Path, make: Callable[[Path], Path], said: str
) -> None:
    place = make(tmp_path / "an é {place} [b] $c")
    before = sorted(tmp_path.rglob("*"))
    assert main(["install", "nuke", "--to", str(place), "--progress", "none"]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before and not config_file().exists()


def test_a_command_that_cannot_be_remembered_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for name in ("HOME", "USERPROFILE", "APPDATA", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "file"))
    assert main(["install", "nuke", "--to", str(tmp_path / "nuke"), "--progress", "none"]) == 2
    err = capsys.readouterr().err
    assert "everything is installed, but" in err and "set PAINTOVER_COMMAND to " in err and err.count("\n") == 1
    assert (tmp_path / "nuke" / "paintover" / "Paintover.gizmo").is_file()
