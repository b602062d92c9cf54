"""Hints: advice that a person reads once on a machine, and not in every run.

Which were shown is kept in this user's configuration folder. ``PAINTOVER_HINTS=0`` shows none; where the file cannot be
written, a hint comes again.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping

from engine.base.whole_file import read_text
from plugin.client.command import config_file

__all__ = ["FILE_NAME", "VARIABLE", "is_new_hint"]

_LOG = logging.getLogger(__name__)

FILE_NAME = "hints.json"
VARIABLE = "PAINTOVER_HINTS"


def is_new_hint(name: str, environment: Mapping[str, str] | None = None) -> bool:
    """Whether a hint is to be shown now; it then counts as shown.

    Args:
        name: a word for the hint, such as ``features``.
        environment: that says where the file is; None for this process's.
    """
    known = os.environ if environment is None else environment
    if known.get(VARIABLE) == "0":
        return False
    try:
        path = config_file(known).with_name(FILE_NAME)
        try:
            read = json.loads(read_text(path, 1 << 16))
        except (OSError, ValueError, RecursionError):
            read = []
        shown = {str(each) for each in read} if isinstance(read, list) else set()
        if name in shown:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two processes at once may lose a name, and a hint then comes again.
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(sorted({*shown, name})) + "\n", encoding="utf-8")
        temporary.replace(path)
    except (OSError, RuntimeError):
        _LOG.debug("which hints were shown cannot be kept")
    return True
