"""Hints: once on a machine, off on request, and never in the way."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from plugin import cli
from plugin.client.command import config_file
from plugin.progress.hints import FILE_NAME, VARIABLE, is_new_hint


def test_a_hint_comes_once(tmp_path: Path) -> None:
    known = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config"), "APPDATA": str(tmp_path)}
    assert [is_new_hint(name, known) for name in ("features", "features", "other", "features")] == [
        True, False, True, False,
    ]  # fmt: skip
    path = config_file(known).with_name(FILE_NAME)
    assert json.loads(path.read_text(encoding="utf-8")) == ["features", "other"]
    assert [each.name for each in path.parent.iterdir()] == [FILE_NAME]


def test_no_hints_at_all(tmp_path: Path) -> None:
    known = {"HOME": str(tmp_path), "APPDATA": str(tmp_path), VARIABLE: "0"}
    assert not is_new_hint("features", known)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    known = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "APPDATA"), str(tmp_path / "file"))
    assert is_new_hint("features", known) and is_new_hint("features", known)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "9" * 5000, '{"a": 1}', ""])
def test_a_damaged_file_is_written_anew(tmp_path: Path, text: str) -> None:
    known = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "APPDATA": str(tmp_path)}
    path = config_file(known).with_name(FILE_NAME)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    assert is_new_hint("features", known) and not is_new_hint("features", known)


def test_a_warning_that_is_a_hint_comes_once_on_a_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv(VARIABLE)

    def doctor() -> int:
        logging.getLogger("engine").warning("no GPU here", extra={"hint": "cpu"})
        logging.getLogger("engine").warning("something else", extra={"hint": None})
        return 0

    class Verb:
        parser = staticmethod(cli._verb("doctor").parser)

        @staticmethod
        def run(*_: object) -> int:
            return doctor()

    monkeypatch.setattr(cli, "_verb", lambda name: Verb)
    said = []
    for _ in range(2):
        assert cli.main(["doctor"]) == 0
        said.append(capsys.readouterr().err)
    assert "no GPU here" in said[0] and "no GPU here" not in said[1]
    assert all("something else" in each for each in said)
