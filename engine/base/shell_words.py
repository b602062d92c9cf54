"""Shell words: arguments as a person can paste them into a shell."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable

__all__ = ["shell_line", "shell_word"]


def shell_word(text: str | os.PathLike[str], *, windows: bool = os.name == "nt") -> str:
    """One argument, quoted where it needs to be, so that nothing in it is run or replaced.

    Args:
        text: the argument.
        windows: for cmd.exe and PowerShell instead of a POSIX shell. Both take what stands in double quotes as it is,
            but for "$" and "`" in PowerShell: those go into its single quotes, which cmd.exe doesn't know.
    """
    word = os.fspath(text)
    if not windows:
        return shlex.quote(word)
    if re.fullmatch(r"[\w@+=:,./\\-]+", word, re.ASCII):
        return word
    if "$" in word or "`" in word:
        return "'" + word.replace("'", "''") + "'"
    word = re.sub(r'(\\*)"', r'\1\1\\"', word)
    return '"' + re.sub(r"(\\+)$", r"\1\1", word) + '"'


def shell_line(words: Iterable[str | os.PathLike[str]], *, windows: bool = os.name == "nt") -> str:
    """A command line of :func:`shell_word`."""
    return " ".join(shell_word(word, windows=windows) for word in words)
