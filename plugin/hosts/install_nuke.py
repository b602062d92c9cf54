"""Puts Paintover's part of Nuke where Nuke looks for it: a folder ``paintover`` and one line in ``init.py``.

``init.py`` runs in every mode of Nuke, so the line stands there; the folder's own ``menu.py`` runs only with a window.
"""

from __future__ import annotations

from pathlib import Path

from engine.base.errors import InputError
from plugin.hosts.installed_files import check_place, check_sources, client_sources, remove_empty, write

__all__ = ["SOURCE", "default_folder", "install", "uninstall"]

SOURCE = Path(__file__).resolve().parents[2] / "nuke_gizmo"
"""The node, and what runs inside Nuke."""
FOLDER = "paintover"
PACKAGE = "paintover_nuke"

_BEGIN = b"# >>> paintover: written by `paintover install nuke`, taken away by `paintover uninstall nuke` >>>"
_END = b"# <<< paintover <<<"
_LINES = (_BEGIN, b"import nuke", b'nuke.pluginAddPath("./paintover")', _END)


def default_folder() -> Path:
    """This user's Nuke folder."""
    return Path.home() / ".nuke"


def install(to: Path | None) -> list[Path]:
    """Write the node and its Python, or bring them up to date, and have ``init.py`` add the folder.

    Args:
        to: a folder on Nuke's plugin path; None for this user's.

    Raises:
        InputError: Paintover's own files are not there, ``to`` is a file, or init.py has half of our lines.
        OSError: it cannot be written.
    """
    folder = default_folder() if to is None else to
    check_place(folder, "name a folder of Nuke's plugin path")
    sources = _sources()
    init = folder / "init.py"
    if init.is_dir():
        raise InputError("a folder stands where Nuke looks for a file", path=init, remedy="remove it")
    before = init.read_bytes() if init.is_file() else b""
    after = _with_lines(before, init)
    for name, source in sources.items():
        write(folder / FOLDER / name, source.read_bytes())
    # Last, so that Nuke never reads of a folder that is not there.
    write(init, after)
    return [*(folder / FOLDER / name for name in sources), init]


def uninstall(to: Path | None) -> list[Path]:
    """Take our files and our lines away; what else lies there stays. Returns what was removed or changed.

    Raises:
        InputError: init.py has half of our lines.
        OSError: it cannot be removed.
    """
    folder = default_folder() if to is None else to
    changed: list[Path] = []
    init = folder / "init.py"
    if init.is_file():
        before = init.read_bytes()
        after = _without_lines(before, init)
        if after != before:
            changed.append(init)
            if after.strip():
                write(init, after)
            else:
                init.unlink()
    ours = folder / FOLDER
    for name in _sources():
        if (ours / name).is_file():
            (ours / name).unlink()
            changed.append(ours / name)
    remove_empty([ours / PACKAGE / "client", ours / PACKAGE, ours])
    return changed


def _sources() -> dict[str, Path]:
    """What is installed: its place below the folder, and where it comes from."""
    found = {name: SOURCE / name for name in ("Paintover.gizmo", "init.py", "menu.py")}
    package = SOURCE / PACKAGE
    found |= {f"{PACKAGE}/{path.name}": path for path in sorted(package.glob("*.py"))}
    clients = client_sources(SOURCE / "client_init.py")
    found |= {f"{PACKAGE}/client/{name}": path for name, path in clients.items()}
    check_sources(found)
    return found


def _with_lines(text: bytes, path: Path) -> bytes:
    text = _without_lines(text, path)
    newline = b"\r\n" if b"\r\n" in text else b"\n"
    if text and not text.endswith(b"\n"):
        text += newline
    return text + newline.join(_LINES) + newline


def _without_lines(text: bytes, path: Path) -> bytes:
    kept: list[bytes] = []
    inside = False
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if bare in (_BEGIN, _END) and inside == (bare == _BEGIN):
            raise InputError("Paintover's lines are damaged", path=path, remedy="delete what is between >>> and <<<")
        if bare == _BEGIN:
            inside = True
        elif bare == _END:
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        raise InputError("Paintover's lines have no end", path=path, remedy=f"write {_END.decode()} after them")
    return b"".join(kept)
