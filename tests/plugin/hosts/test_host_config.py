"""The host configuration: a damaged one is no command and no list of places, whatever it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugin.client.command import config_file, find_command
from plugin.client.errors import CommandMissing
from plugin.hosts.host_config import forget_place, remember_place

DAMAGED = ("", "[" * 100_000, '{"command":' * 100_000, "9" * 5000, "null", '{"command": [1]}', '{"installed": [1]}',
           '{"installed": [["nuke", "elsewhere"], ["nuke", "here"]]}')  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("PAINTOVER_COMMAND", raising=False)
    path = config_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CommandMissing, match="does not say how to start"):
        find_command()
    assert forget_place("nuke", tmp_path) is None and path.is_file()
    remember_place(["paintover"], "nuke", tmp_path)
    assert find_command() == ["paintover"]
