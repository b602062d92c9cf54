"""``paintover uninstall``: takes away what ``paintover install`` put into a host."""

from __future__ import annotations

from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.hosts.host_config import forget_place
from plugin.progress.protocol import Phase, Progress
from plugin.progress.stop import StopRequest
from plugin.verbs.install import chosen, load_installer

__all__ = ["parser", "run"]


def parser() -> Parser:
    """The options of ``paintover uninstall``."""
    return Parser(COMMANDS["uninstall"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Remove, and say what."""
    name, place = chosen(options)
    installer = load_installer(name)
    progress.plan([Phase("uninstall", f"Removing from {name}")])
    progress.begin("uninstall")
    removed = installer.uninstall(place)
    for path in removed:
        # A file of the artist's own loses our lines and stays.
        progress.note(f"{'changed' if path.exists() else 'removed'} {path}", {"path": str(path)})
    if not removed:
        progress.note(f"nothing of Paintover was installed for {name}")
    config = forget_place(name, place or installer.default_folder())
    if config is not None:
        progress.note(f"removed {config}: no host needs to find this paintover any more", {"path": str(config)})
    progress.finish()
    return 0
