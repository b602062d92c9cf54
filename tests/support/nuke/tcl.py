"""Node text as a real Tcl interpreter reads it. Python 3.9, because it runs under every host's Python."""

from __future__ import annotations

from collections.abc import Callable

try:
    import tkinter
except ImportError:  # The tests skip, and say so.
    tkinter = None  # type: ignore[assignment]

__all__ = ["commands", "tkinter", "words"]


def commands(text: str) -> list[tuple[str, ...]]:
    """Every command of a Tcl text with its words, as a Tcl interpreter sees them; nothing is run.

    A bracket that is not escaped is a command as well, and stands in the list.
    """
    tcl = tkinter.Tcl()
    found: list[tuple[str, ...]] = []

    def recorder(name: str | None) -> Callable[..., str]:
        def record(*words: str) -> str:
            found.append(words if name is None else (name, *words))
            return ""

        return record

    for name in tcl.splitlist(tcl.eval("info commands")):
        tcl.createcommand(name, recorder(name))
    tcl.createcommand("unknown", recorder(None))
    tcl.eval(text)
    return found


def words(text: str) -> tuple[str, ...]:
    """A Tcl list's elements."""
    return tuple(str(word) for word in tkinter.Tcl().splitlist(text))
