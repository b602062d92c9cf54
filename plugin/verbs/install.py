"""``paintover install`` and what ``paintover uninstall`` shares with it: a host's part, put where the host looks.

Each host has a module ``plugin.hosts.install_NAME``; what it writes is its own concern.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Protocol

from engine.base.errors import InputError, NoPermissionError
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.client.command import config_file
from plugin.hosts.host_config import remember_place
from plugin.progress.protocol import Phase, Progress
from plugin.progress.stop import StopRequest

__all__ = ["HOSTS", "Installer", "chosen", "load_installer", "own_command", "parser", "run"]

HOSTS = ("nuke", "resolve")


class Installer(Protocol):
    """What a module ``plugin.hosts.install_NAME`` offers. All is idempotent and leaves what is not ours alone."""

    def default_folder(self) -> Path:
        """Where the host looks for it."""

    def install(self, to: Path | None) -> list[Path]:
        """Put the host's part into ``to``, or where the host looks for it; returns every file that is ours or was
        changed.

        Raises:
            InputError: the place cannot be used.
            OSError: it cannot be written.
        """

    def uninstall(self, to: Path | None) -> list[Path]:
        """Take away what :meth:`install` put there; returns what was removed or changed, empty where nothing was."""


def parser() -> Parser:
    """The options of ``paintover install``."""
    return Parser(COMMANDS["install"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Install, and say what lies where."""
    name, place = chosen(options)
    installer = load_installer(name)
    progress.plan([Phase("install", f"Installing for {name}")])
    progress.begin("install")
    for path in installer.install(place):
        progress.note(str(path), {"path": str(path)})
    try:
        config = remember_place(own_command(), name, place or installer.default_folder())
    except OSError as error:
        raise NoPermissionError(
            f"everything is installed, but where this paintover is cannot be written down: {error.strerror or error}",
            path=config_file(),
            remedy=f"set PAINTOVER_COMMAND to {own_command()[0]} where {name} is started",
        ) from error
    progress.note(f"{config}: how {name} finds this paintover", {"path": str(config)})
    progress.finish()
    return 0


def chosen(options: Options) -> tuple[str, Path | None]:
    """The host's name, and the folder if one was given, absolute.

    Raises:
        InputError: no host, or an unknown one.
    """
    remedy = f"the hosts are {', '.join(HOSTS)}"
    if options.path is None:
        raise InputError("the host is missing", remedy=remedy)
    if options.path not in HOSTS:
        raise InputError(f"there is no host {options.path!r}", remedy=remedy)
    if options.place is None:
        return options.path, None
    return options.path, Path(os.path.abspath(Path(options.place).expanduser()))  # noqa: PTH100 (links stay)


def load_installer(name: str) -> Installer:
    """The module of a host.

    Raises:
        InputError: this version has none.
    """
    path = f"plugin.hosts.install_{name}"
    if importlib.util.find_spec(path) is None:
        raise InputError(f"this version has nothing for {name}", remedy="update Paintover")
    module: Installer = importlib.import_module(path)
    return module


def own_command() -> list[str]:
    """What starts this very paintover: the program beside its Python, else the Python itself."""
    for name in ("paintover", "paintover.exe"):
        program = Path(sys.executable).with_name(name)
        if program.is_file():
            return [str(program)]
    return [sys.executable, "-m", "plugin"]
