"""Plain text: one line of characters that every engine's format can hold as they are."""

from __future__ import annotations

import unicodedata

from engine.base.errors import InputError

__all__ = ["plain"]

_NOT_PLAIN = {"Cc", "Cs", "Zl", "Zp"}
"""Control characters, halves of characters (and bytes that are no text), and what ends lines or paragraphs."""
_NOT_XML = {"\ufffe", "\uffff"}


def plain(text: str, holder: str) -> str:
    """``text`` as it is.

    Args:
        holder: whose format it is for, such as ``OpenCue's XML``.

    Raises:
        InputError: a character in it would end a line, or cannot be written.
    """
    for character in text:
        if unicodedata.category(character) in _NOT_PLAIN or character in _NOT_XML:
            raise InputError(
                f"{holder} cannot hold the character U+{ord(character):04X} in {text!a}", remedy="rename the file"
            )
    return text
