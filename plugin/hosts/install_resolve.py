"""Puts Paintover's part of DaVinci Resolve where Resolve looks for it: the Fuse, four scripts, and what they call.

The scripts' modules lie beside the scripts' folder and not in it, because Resolve lists every file there in its menu.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from plugin.hosts.installed_files import check_place, check_sources, client_sources, remove_empty, write

__all__ = ["SOURCE", "default_folder", "install", "uninstall"]

SOURCE = Path(__file__).resolve().parents[2] / "resolve_fuse"
"""The Fuse, the scripts, and their modules."""
PACKAGE = "paintover_resolve"
PARTS = "Paintover"
_PLACE = b'PARTS = ""'
_MENU = Path("Scripts") / "Utility"


def default_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Resolve's folder ``Fusion`` as the vendor documents it.

    Linux has one for all users and one for each; this user's own is taken where the other may not be written.
    """
    known = os.environ if environment is None else environment
    if os.name == "nt":
        base = Path(known.get("PROGRAMDATA", r"C:\ProgramData"))
        return base / "Blackmagic Design" / "DaVinci Resolve" / "Fusion"
    if sys.platform == "darwin":
        return Path("/Library/Application Support/Blackmagic Design/DaVinci Resolve/Fusion")
    shared = Path("/opt/resolve/Fusion")
    if shared.is_dir() and os.access(shared, os.W_OK):
        return shared
    home = Path(known.get("HOME") or Path.home())
    return home / ".local" / "share" / "DaVinciResolve" / "Fusion"


def install(to: Path | None) -> list[Path]:
    """Write the Fuse, the scripts and their modules, or bring them up to date; returns every file that is ours.

    Args:
        to: Resolve's folder ``Fusion``; None for the one that the vendor documents.

    Raises:
        InputError: Paintover's own files are not there, or ``to`` is a file.
        OutputError, NoPermissionError: it cannot be written.
        OSError: a folder cannot be made.
    """
    folder = default_folder() if to is None else to
    check_place(folder, "name Resolve's folder Fusion")
    placed = b"PARTS = " + ascii(str((folder / PARTS).resolve())).encode()
    for name, source in _sources().items():
        data = source.read_bytes()
        write(folder / name, data.replace(_PLACE, placed, 1) if name.parts[0] == "Scripts" else data)
    return [folder / name for name in _sources()]


def uninstall(to: Path | None) -> list[Path]:
    """Take our files away; what else lies there stays. Returns what was removed, nothing where nothing was.

    Raises:
        OSError: it cannot be removed.
    """
    folder = default_folder() if to is None else to
    removed = []
    for name in _sources():
        if (folder / name).is_file():
            (folder / name).unlink()
            removed.append(folder / name)
    parts = folder / PARTS
    remove_empty([parts / PACKAGE / "client", parts / PACKAGE, parts])
    return removed


def _sources() -> dict[Path, Path]:
    """What is installed: its place below ``Fusion``, and where it comes from."""
    parts = Path(PARTS) / PACKAGE
    found = {Path("Fuses") / "Paintover.fuse": SOURCE / "Paintover.fuse"}
    found |= {_MENU / path.name: path for path in sorted((SOURCE / "scripts").glob("*.py"))}
    found |= {parts / path.name: path for path in sorted((SOURCE / PACKAGE).glob("*.py"))}
    clients = client_sources(SOURCE / "client_init.py")
    found |= {parts / "client" / name: path for name, path in clients.items()}
    check_sources(found)
    return found
