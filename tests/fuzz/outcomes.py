"""Outcome of a try: what was done with a hostile input, through the command line or through its boundary of errors."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from engine.base.errors import PaintoverError
from engine.base.system_errors import system_error
from plugin.cli import main

__all__ = ["Job", "Outcome", "Said", "judged", "run"]

Job: TypeAlias = Sequence[str] | Callable[[], object]
"""Words of a command, or a call that a verb makes in the same way."""

WORDS = {0: "done", 2: "refused", 3: "found"}
"""Exit codes that a hostile input may lead to."""

_TRACEBACK = "Traceback (most recent call last)"
_MOST_SAID = 20_000
"""Characters of a refusal: a line for each of some failed frames."""


@dataclass(frozen=True)
class Outcome:
    """What became of one try."""

    word: str
    """``done``, ``refused``, ``found`` (by ``verify``), or ``fault``."""
    what: str = ""
    """The last line of what was said; of a fault what is wrong."""


class Said:
    """What a process says on both of its streams, libraries in C included: the file that they lead to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def forget(self) -> None:
        """Begin anew."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with self._path.open("r+b") as file:
            file.truncate(0)

    def text(self) -> str:
        """All of it."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        return self._path.read_bytes().decode("utf-8", "backslashreplace")


def run(job: Job, said: Said, *, debug: bool = False) -> Outcome:
    """Run a job as the command line would, and judge how it ended; with ``debug`` also print where it failed."""
    said.forget()
    if callable(job):
        code, what = _call(job, debug=debug)
    else:
        try:
            code, what = main([*job, "--debug"] if debug else job), ""
        except SystemExit as left:
            code, what = int(left.code or 0), ""
    text = said.text()
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "")
    return judged(code, what or last, "" if debug else text)


def _call(job: Callable[[], object], *, debug: bool) -> tuple[int, str]:
    try:
        job()
    except PaintoverError as error:
        if debug:
            traceback.print_exc()
        # What a verb does with it.
        str(error)
        return error.exit_code, str(error)
    except OSError as fault:
        error = system_error(fault)
        return error.exit_code, str(error)
    except Exception as fault:
        if debug:
            traceback.print_exc()
        return 1, f"internal fault: {type(fault).__name__}, {fault}"
    return 0, ""


def judged(code: int, what: str, text: str) -> Outcome:
    """An outcome by exit code, by what it comes down to in a line, and by all that was said."""
    what = what.encode("utf-8", "backslashreplace").decode()[:400]
    if _TRACEBACK in text:
        return Outcome("fault", f"a traceback: {what}")
    if code not in WORDS:
        return Outcome("fault", f"exit {code}: {what}")
    if any(letter < " " and letter not in "\n\r\t" for letter in text):
        return Outcome("fault", f"control characters on the terminal: {what!r}")
    if code and len(text) > _MOST_SAID:
        return Outcome("fault", f"{len(text):,} characters instead of a line: {what[:100]}")
    return Outcome(WORDS[code], what)
