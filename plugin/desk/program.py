"""The painting program of this machine: what opens a picture where somebody double-clicks it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["open_in_program"]


def open_in_program(path: Path) -> bool:
    """Open a picture as the desktop would; False where there is no desktop to ask."""
    if sys.platform == "win32":
        os.startfile(path)
        return True
    opener = shutil.which("open" if sys.platform == "darwin" else "xdg-open")
    has_desktop = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if opener is None or not has_desktop:
        return False
    # Absolute, so that no name is taken for an option.
    subprocess.Popen(
        [opener, str(path.absolute())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return True
