"""``paintover clean``: shows what can be made again, and removes it where that is asked for."""

from __future__ import annotations

from engine.base.frames import SequencePath
from engine.shot.shot import Shot
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.request import work_from
from plugin.phases.made_again import made_again, remove
from plugin.progress.protocol import Phase, Progress
from plugin.progress.stop import StopRequest

__all__ = ["parser", "run"]


def parser() -> Parser:
    """The options of ``paintover clean``."""
    return Parser(COMMANDS["clean"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Show it, and with ``--remove`` remove it."""
    file = None if options.shot is None else Shot.load(options.shot)
    work = work_from(options, file)
    out = SequencePath.parse(options.out) if options.out is not None else (file.out if file else None)
    progress.plan([Phase("clean", f"Looking through {work}")])
    progress.begin("clean")
    total = 0
    found = made_again(work, None if out is None else out.folder)
    for done, kind in enumerate(found):
        stop.check()
        size, files = kind.size, len(kind.files)
        if options.remove:
            remove(kind)
        total += size
        facts = {"what": kind.what, "files": files, "bytes": size, "removed": options.remove}
        again = f"{kind.maker} makes them again" if files > 1 else f"{kind.maker} makes it again"
        count = f"{files} files" if files > 1 else "1 file"
        progress.note(f"{kind.what}: {count}, {_shown(size)}; {again}", facts)
        progress.update((done + 1) / len(found))
    if not found:
        progress.note(f"{work}: nothing there that could be made again")
    elif options.remove:
        progress.note(f"{work}: {_shown(total)} removed; looks, paintings and rendered frames stay", {"bytes": total})
    else:
        progress.note(f"{work}: {_shown(total)} in all; nothing was removed, --remove does", {"bytes": total})
    progress.finish()
    return 0


def _shown(size: int) -> str:
    """Bytes as people say them: ``12 kB``, ``3.4 GB``."""
    value, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if value >= 10 or unit == "bytes" else f"{value:.1f} {unit}"
