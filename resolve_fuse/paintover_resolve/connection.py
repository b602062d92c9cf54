"""The way to a running Resolve: given to scripts of its menu, or through the vendor's module outside it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["connect"]


def connect(known: Mapping[str, Any]) -> Any:
    """Resolve, or None where it cannot be reached.

    Args:
        known: the script's globals, which hold ``resolve`` or ``bmd`` where Resolve started it.
    """
    if known.get("resolve"):
        return known["resolve"]
    bmd = known.get("bmd")
    if bmd is not None:
        return bmd.scriptapp("Resolve")
    modules = os.environ.get("RESOLVE_SCRIPT_API")
    if modules and str(Path(modules) / "Modules") not in sys.path:
        sys.path.append(str(Path(modules) / "Modules"))
    try:
        return importlib.import_module("DaVinciResolveScript").scriptapp("Resolve")
    except ImportError:
        return None
