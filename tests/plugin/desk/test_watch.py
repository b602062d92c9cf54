"""Files that painting programs save: heard of once, when they are whole."""

from __future__ import annotations

import os
from pathlib import Path

from plugin.desk.watch import FileWatch


def test_a_saved_file_is_told_once_when_it_stays_the_same(tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    watch = FileWatch(lambda path, number: told.append((path.name, number)))
    path = tmp_path / "p.png"
    path.write_bytes(b"first")
    watch.add(path, 7)
    watch.look()
    watch.look()
    assert told == []
    path.write_bytes(b"half of the sec")
    watch.look()
    path.write_bytes(b"half of the second, and more")
    watch.look()
    assert told == [], "it is still being written"
    watch.look()
    watch.look()
    assert told == [("p.png", 7)]


def test_programs_that_replace_their_file_are_heard_too(tmp_path: Path) -> None:
    told: list[int] = []
    watch = FileWatch(lambda path, number: told.append(number))
    path = tmp_path / "p.png"
    path.write_bytes(b"first")
    watch.add(path, 1)
    path.unlink()
    watch.look()
    path.write_bytes(b"")
    watch.look()
    watch.look()
    assert told == [], "an empty file is none"
    (tmp_path / "new").write_bytes(b"another")
    os.replace(tmp_path / "new", path)  # noqa: PTH105
    watch.look()
    watch.look()
    assert told == [1]
    watch.forget(path)
    path.write_bytes(b"once more")
    watch.look()
    watch.look()
    assert told == [1]
