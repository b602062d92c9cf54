"""Words for a shell: what is pasted is one argument, and nothing in it runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from engine.base.shell_words import shell_line, shell_word

NAMES = [
    "plain.mov",
    "two words.mov",
    "$(touch ran).mov",
    "`touch ran`",
    "a'b\"c",
    "a\\",
    "a;b&c|d",
    "%PATH%",
    "-x",
    "*",
    "",
]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells")
def test_a_shell_gives_every_name_back_and_runs_nothing(tmp_path) -> None:
    program = [sys.executable, "-c", "import sys; print(ascii(sys.argv[1:]))", *NAMES]
    done = subprocess.run(
        ["sh", "-c", shell_line(program, windows=False)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ascii(NAMES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "word"),
    [
        (r"C:\shots\a.mov", r"C:\shots\a.mov"),
        (r"C:\my shots\a.mov", r'"C:\my shots\a.mov"'),
        ("a & b.mov", '"a & b.mov"'),
        ("a(1).mov", '"a(1).mov"'),
        ("C:\\my shots\\", '"C:\\my shots\\\\"'),
        ("$(calc).mov", "'$(calc).mov'"),
        ("it's $x.mov", "'it''s $x.mov'"),
        ("", '""'),
    ],
)
def test_words_for_windows(name: str, word: str) -> None:
    assert shell_word(name, windows=True) == word
