"""Other versions of Python on this machine."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
"""Nuke 14 to 17 have 3.9 to 3.11; Resolve takes the system's."""


def interpreter(version: str) -> str | None:
    """A Python of this version: on the PATH, or of pyenv."""
    found = shutil.which(f"python{version}")
    if found is None or subprocess.run([found, "-V"], capture_output=True).returncode:
        kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
        found = str(kept[-1]) if kept else None
    return found
