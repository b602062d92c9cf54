"""Chromium for tests: where it is, and how it is started."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Any

__all__ = ["FAKE_CAMERA", "chromium_path", "launch_options"]

FAKE_CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
"""Of a camera that shows a moving figure, and is always allowed."""


def chromium_path() -> str | None:
    """Debian's, or the one that PAINTOVER_CHROMIUM names; None where there is none."""
    return os.environ.get("PAINTOVER_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def launch_options(path: str | None, more: Sequence[str] = ()) -> dict[str, Any]:
    """What playwright launches it with."""
    # Root may not use chromium's sandbox, and CI is root; the page is our own.
    flags = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return {"executable_path": path, "args": [*flags, "--disable-dev-shm-usage", *more]}
