"""Puts Paintover's part of DaVinci Resolve where Resolve looks for it: the Fuse, four scripts, and what they call.

The scripts' modules lie beside the scripts' folder and not in it, because Resolve lists every file there in its menu.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from engine.errors import InputError
from engine.temporaries import replacing
from plugin.host_command import CLIENT_FILES

__all__ = ["SOURCE", "default_folder", "install", "uninstall"]

SOURCE = Path(__file__).resolve().parents[1] / "resolve_fuse"
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
    if folder.exists() and not folder.is_dir():
        raise InputError("this is a file", path=folder, remedy="name Resolve's folder Fusion")
    placed = b"PARTS = " + ascii(str((folder / PARTS).resolve())).encode()
    for name, source in _sources().items():
        data = source.read_bytes()
        _write(folder / name, data.replace(_PLACE, placed, 1) if name.parts[0] == "Scripts" else data)
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
    for sub in (folder / PARTS / PACKAGE / "client", folder / PARTS / PACKAGE, folder / PARTS):
        for compiled in sub.glob("__pycache__/*.pyc"):
            compiled.unlink()
        for one in (sub / "__pycache__", sub):
            if one.is_dir() and not any(one.iterdir()):
                one.rmdir()
    return removed


def _sources() -> dict[Path, Path]:
    """What is installed: its place below ``Fusion``, and where it comes from."""
    parts = Path(PARTS) / PACKAGE
    plugin = Path(__file__).resolve().parent
    found = {Path("Fuses") / "Paintover.fuse": SOURCE / "Paintover.fuse"}
    found |= {_MENU / path.name: path for path in sorted((SOURCE / "scripts").glob("*.py"))}
    found |= {parts / path.name: path for path in sorted((SOURCE / PACKAGE).glob("*.py"))}
    found |= {parts / "client" / name: plugin / name for name in CLIENT_FILES}
    found[parts / "client" / "__init__.py"] = SOURCE / "client_init.py"
    for path in found.values():
        if not path.is_file():
            raise InputError("Paintover's own file is missing", path=path, remedy="install Paintover again")
    return found


def _write(path: Path, data: bytes) -> None:
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # A link to a shared file stays one.
    with replacing(path.resolve()) as temporary:
        temporary.write_bytes(data)
