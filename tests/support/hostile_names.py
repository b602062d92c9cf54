"""Names of files that somebody else chose, each of which has broken out of some format somewhere."""

from __future__ import annotations

__all__ = ["CONTROL", "NAMES", "UNNAMEABLE"]

CONTROL: dict[str, str] = {
    "a line feed and a key": "x\nPreJobScript=y",
    "a carriage return": "a\rExecutable=b",
    "both": "a\r\nName=b",
    "start of heading": "a\x01b",
    "a vertical tab": "a\x0bb",
    "a form feed": "a\x0cb",
    "a tab": "a\tb",
    "an escape that clears the screen": "a\x1b[2Jb",
    "an escape that sets the title": "a\x1b]0;owned\x07b",
    "delete": "a\x7fb",
    "next line": "a\x85b",
    "an eight-bit escape": "a\x9b31mb",
    "a line separator": "a\u2028PreJobScript=b",
    "a paragraph separator": "a\u2029b",
    "text that turns around": "a\u202egpj.exe",
    "a byte that is no text": "a\udcffb",
}
"""Names with characters that end lines, or steer terminals."""

NAMES: dict[str, str] = {
    "spaces": "the last shot",
    "a leading hyphen": "-rf",
    "a single quote": "Bob's",
    "a lone quote at the end": "end'",
    "a command": "$(touch pwned)",
    "backquotes": "`touch pwned`",
    "a variable": "$HOME",
    "braces": "${HOME}",
    "a semicolon": "a;touch pwned",
    "a pipe": "a|touch pwned",
    "an ampersand": "a&touch pwned&",
    "redirection": "a>pwned",
    "a number sign": "#comment",
    "an exclamation mark": "!!",
    "a tilde": "~root",
    "stars": "*",
    "square brackets": "[exec touch pwned]",
    "curly brackets": "{a,b}",
    "a percent sign": "100%PATH%",
    "a caret": "a^b",
    "an element": "</cmd><cmd>touch pwned",
    "an entity": "&lt;&#10;",
    "the end of a section": "]]>",
    "a YAML key": "a: b",
    "a YAML alias": "*a &b !!python/object",
    "equals": "PreJobScript=y",
    "a comma": "a,matte=b",
    "accents": "\u00e9t\u00e9",
    "a wide character": "\u753b",
    "beyond the basic plane": "\U0001f3a8",
    "a no-break space": "a\u00a0b",
    "three brackets": "{{{a",
}
"""Names that are one line of text, and mean something to a shell, to XML, YAML or Tcl."""

UNNAMEABLE: dict[str, str] = {"a NUL": "a\0b", "half a character": "a\ud800b"}
"""What no file can be named, though JSON can say it."""
