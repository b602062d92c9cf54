"""How a host finds and starts ``paintover``, which is installed in an environment of its own.

Standard library only, Python 3.9: this runs inside hosts.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from .errors import CommandMissing

__all__ = [
    "CLIENT_FILES",
    "CONFIG_NAME",
    "child_environment",
    "config_file",
    "find_command",
    "start_beside",
    "write_config",
]

CLIENT_FILES = (
    "address.py",
    "command.py",
    "errors.py",
    "host.py",
    "job.py",
    "job.schema.json",
    "verb_process.py",
    "worker_client.py",
    "worker_request.py",
)
"""What a host needs a copy of, side by side in one package of any name."""

CONFIG_NAME = "host.json"
_VARIABLE = "PAINTOVER_COMMAND"
_HOSTS_OWN = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__")
"""A host's Python settings, which would lead another Python astray."""


def find_command(environment: Mapping[str, str] | None = None) -> list[str]:
    """How to start ``paintover``: the variable PAINTOVER_COMMAND, the PATH, or what was written at installation.

    PAINTOVER_COMMAND is the path of a program, or a command line with quotes as the system's shell has them.

    Raises:
        CommandMissing: none of them names a program.
    """
    known = os.environ if environment is None else environment
    text = known.get(_VARIABLE, "").strip()
    if text:
        words = [text] if Path(text).is_file() else shlex.split(text, posix=os.name == "posix")
        words = [word.strip('"') for word in words] if os.name != "posix" else words
        if shutil.which(words[0], path=known.get("PATH")) is None:
            raise CommandMissing(f'{_VARIABLE} is "{text}", which is no program', "correct it or unset it")
        return words
    found = shutil.which("paintover", path=known.get("PATH"))
    if found:
        return [found]
    path = config_file(known)
    if path.is_file():
        return _configured(path)
    raise CommandMissing(
        "the paintover command was not found",
        f"install Paintover on this machine, or set {_VARIABLE} to its program ({path} does not exist)",
    )


def config_file(environment: Mapping[str, str] | None = None) -> Path:
    """Where installation writes the command: this user's configuration folder as the system has it."""
    known = os.environ if environment is None else environment
    home = Path(known.get("HOME") or known.get("USERPROFILE") or Path.home())
    if os.name == "nt":
        folder = Path(known.get("APPDATA") or home / "AppData" / "Roaming") / "Paintover"
    elif sys.platform == "darwin":
        folder = home / "Library" / "Application Support" / "Paintover"
    else:
        folder = Path(known.get("XDG_CONFIG_HOME") or home / ".config") / "paintover"
    return folder / CONFIG_NAME


def write_config(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    installed: Sequence[Sequence[str]] | None = None,
) -> Path:
    """Remember how to start ``paintover``, for hosts that do not see the PATH; returns the file.

    Args:
        command: what starts it.
        environment: that says where the file is; None for this process's.
        installed: host and folder of each part that was installed, for whoever takes the last one away; None where
            that is not known.

    Raises:
        OSError: it cannot be written.
    """
    path = config_file(environment)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    facts: dict[str, object] = {"command": list(command)}
    if installed is not None:
        facts["installed"] = [list(place) for place in installed]
    temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)  # noqa: PTH105 (one call, whatever the system)
    return path


def child_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """A host's environment without its own Python settings."""
    known = dict(os.environ if environment is None else environment)
    for name in _HOSTS_OWN:
        known.pop(name, None)
    known["PYTHONUNBUFFERED"] = "1"
    known["PYTHONIOENCODING"] = "utf-8"
    return known


def start_beside(
    words: Sequence[str],
    environment: Mapping[str, str] | None,
    *,
    stdin: int = subprocess.DEVNULL,
    output: int,
    errors: int | IO[bytes] | None = None,
    own_group: bool = True,
) -> subprocess.Popen[bytes]:
    """Start a process beside the host: without a window, and out of reach of a Ctrl-C at the host's terminal.

    Args:
        words: the command line.
        environment: None for the host's without its own Python settings.
        stdin, output, errors: as ``subprocess`` has them; ``output`` is of stdout, and of stderr without ``errors``.
        own_group: on Windows, let Ctrl-Break reach it and not the host.

    Raises:
        CommandMissing: it cannot be started.
    """
    flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    flags |= getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) if own_group else 0
    try:
        return subprocess.Popen(
            list(words),
            stdin=stdin,
            stdout=output,
            stderr=output if errors is None else errors,
            env=child_environment() if environment is None else dict(environment),
            start_new_session=os.name == "posix",
            creationflags=flags,
        )
    except OSError as error:
        raise CommandMissing(f"{words[0]} cannot be started: {error.strerror or error}") from error


def _configured(path: Path) -> list[str]:
    try:
        words = json.loads(path.read_text(encoding="utf-8"))["command"]
        if words and all(isinstance(word, str) for word in words):
            return list(words)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise CommandMissing(f"{path} does not say how to start paintover", "install again, or delete the file")
