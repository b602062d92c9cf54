"""Resolve's scripts and the Fuse in a folder of Resolve's: put there, taken away, and run as Resolve runs them."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from engine.base.errors import InputError
from plugin.client.command import CLIENT_FILES, child_environment
from plugin.hosts.install_resolve import default_folder, install, uninstall
from tests.support import ROOT
from tests.support.interpreters import VERSIONS, interpreter


def test_installing_twice_and_taking_away(tmp_path: Path) -> None:
    fusion = tmp_path / "Fus'ion"
    foreign = fusion / "Scripts" / "Utility" / "mine.py"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    first = install(fusion)
    assert first == install(fusion) and all(path.is_file() for path in first)
    assert (fusion / "Fuses" / "Paintover.fuse").read_bytes() == (ROOT / "resolve_fuse" / "Paintover.fuse").read_bytes()
    menu = sorted(path.name for path in foreign.parent.iterdir())
    assert menu == ["Paintover Export keyframe.py", "Paintover Open desk.py", "Paintover Refresh.py",
                    "Paintover Stylize clips.py", "Paintover Train from clip.py", "mine.py"]  # fmt: skip
    assert {path.name for path in (fusion / "Paintover/paintover_resolve/client").iterdir()} > set(CLIENT_FILES)
    assert sorted(uninstall(fusion)) == sorted(first) and uninstall(fusion) == []
    assert foreign.read_text() == "mine" and not (fusion / "Paintover").exists()
    with pytest.raises(InputError, match="this is a file"):
        install(foreign)


def test_the_documented_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform.startswith("linux") and not Path("/opt/resolve/Fusion").is_dir():
        assert default_folder({"HOME": "/h"}) == Path("/h/.local/share/DaVinciResolve/Fusion")
    monkeypatch.setattr("plugin.hosts.install_resolve.sys", types.SimpleNamespace(platform="darwin"))
    mac = "/Library/Application Support/Blackmagic Design/DaVinci Resolve/Fusion"
    assert os.name != "posix" or default_folder() == Path(mac)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_installed_script_runs_in_a_host_s_python(tmp_path: Path, version: str) -> None:
    """As Resolve runs it: its globals given, no __file__, nothing of the application on the path."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} on this machine")
    install(tmp_path)
    for script in sorted((tmp_path / "Scripts" / "Utility").glob("*.py")):
        code = (
            "import sys\nclass Bmd:\n    def scriptapp(self, name): return None\n"
            f"exec(compile(open({str(script)!r}).read(), 's', 'exec'), {{'__name__': '__main__', 'bmd': Bmd()}})\n"
            "assert 'plugin' not in sys.modules and 'numpy' not in sys.modules\n"
        )
        done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, env=child_environment())
        assert done.stderr == "" and done.stdout.startswith("Paintover: Resolve does not answer; "), script
