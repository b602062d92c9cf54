"""What the four scripts do. Each says in the console what it did, or in one line why not, and where."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .client.errors import HostError, JobError
from .client.host import Session
from .client.job import Job
from .client.worker_client import WorkerClient
from .resolve_host import ResolveHost, take_stop
from .results import Result, bring, reread
from .settings import Settings, load, save, settings_file
from .sources import Source, source_of
from .timeline import Clip, chosen_clips, current_clip, playhead

if TYPE_CHECKING:
    from fusionscript import Project, Resolve, Timeline

__all__ = ["Desk", "export_keyframe", "press", "refresh", "stylize", "train"]


@dataclass(frozen=True)
class Desk:
    """What is open in Resolve."""

    name: str
    """Resolve and its version."""
    project: Project
    timeline: Timeline
    settings: Settings
    say: Callable[[str], None] = print

    @classmethod
    def of(cls, resolve: Resolve | None, say: Callable[[str], None] = print) -> Desk:
        """The desk as it is now.

        Raises:
            JobError: Resolve cannot be reached, or no timeline is open.
        """
        if not resolve:
            raise JobError(
                "Resolve does not answer",
                "start the script from Workspace > Scripts; outside Resolve it needs the Studio edition",
            )
        project = resolve.GetProjectManager().GetCurrentProject()
        timeline = project.GetCurrentTimeline() if project else None
        if not project or not timeline:
            raise JobError("no timeline is open", "open the one to work on")
        name = f"DaVinci Resolve {resolve.GetVersionString()}"
        return cls(name, project, timeline, load(project.GetName()), say)

    def work(self, clip: Clip) -> Path:
        """A clip's work folder: the same for every clip of one source, so that it has one look and one set of maps."""
        path = str(clip.media.GetClipProperty("File Path") or clip.name)
        label = re.sub(r"[^\w-]", "_", Path(path).stem)[:40]
        return Path(self.settings.root) / f"{label}_{hashlib.sha256(path.encode()).hexdigest()[:8]}"

    def prepared(self, clip: Clip, handles: int) -> tuple[ResolveHost, Source, tuple[int, int]]:
        """A clip as a host, its files, and the source frames of its job; a movie is rendered to files first."""
        work = self.work(clip)

        def progress(fraction: float) -> bool:
            return take_stop(work)

        self.say(f'"{clip.name}": {work}')
        source = source_of(self.project, self.timeline, clip, handles, work, progress)
        first, last = source.window(clip, handles)
        movie = Path(source.pattern).parent.parent == work
        settings = self.settings
        job = Job(
            plate=source.pattern,
            frames=f"{source.frame(first)}-{source.frame(last)}",
            work=str(work),
            colorspace=settings.movie_colorspace if movie else settings.colorspace,
            out=str(work / "out" / f"{Path(source.pattern).name.split('%')[0].rstrip('._-') or 'frame'}.%04d.exr"),
            look=settings.look,
            out_colorspace=settings.out_colorspace,
            budget_s=float(settings.budget_s),
            device=settings.device,
            matte=_mattes(settings, work),
            matte_use=settings.matte_use,
            # STMaps are found by the keyframe's number, and another clip's keyframe may have the same one.
            guides=settings.look is None or Path(settings.look).parent == work,
        )
        host = ResolveHost(
            job, self.name, lambda: source.frame(clip.offset + playhead(self.timeline) - clip.start), self.say
        )
        return host, source, (first, last)


def _mattes(settings: Settings, work: Path) -> str | None:
    """The pattern of a clip's mattes; None where it has none."""
    if settings.mattes is None:
        return None
    pattern = work / settings.mattes
    return str(pattern) if Path(settings.mattes).is_absolute() or pattern.parent.is_dir() else None


def export_keyframe(desk: Desk, open_session: Callable[[ResolveHost], Session]) -> None:
    """Export the frame under the playhead for painting, and remember it as a keyframe."""
    host, _, _ = desk.prepared(current_clip(desk.timeline), desk.settings.handles)
    with open_session(host) as session:
        session.add_keyframe()
        frames = ", ".join(str(one.frame) for one in session.job().keyframes)
    desk.say(f"keyframes: {frames}; paint them, then start Paintover Train from clip")


def train(desk: Desk, open_session: Callable[[ResolveHost], Session]) -> None:
    """Follow the keyframes of the clip under the playhead, train, and keep its look in the settings."""
    desk = replace(desk, settings=replace(desk.settings, look=None))
    host, _, _ = desk.prepared(current_clip(desk.timeline), desk.settings.handles)
    with open_session(host) as session:
        session.prepare()
        look = session.train()
    save(desk.project.GetName(), replace(desk.settings, look=look))
    desk.say(f"trained {look}; start Paintover Stylize clips")


def stylize(desk: Desk, open_session: Callable[[ResolveHost], Session]) -> None:
    """Render the chosen clips, then bring all that are whole back on a duplicate of the timeline.

    Raises:
        HostError: a clip failed; the others are done.
    """
    results: list[Result] = []
    failures: list[str] = []
    for clip in chosen_clips(desk.project, desk.timeline, desk.settings.clips):
        try:
            results.append(_rendered(desk, clip, open_session))
        except HostError as error:
            if error.exit_code == 130:
                raise
            failures.append(f'"{clip.name}": {error}')
            desk.say(f"error: {failures[-1]}")
    if results:
        name = bring(desk.project, desk.timeline, results, desk.settings.bring)
        desk.say(f'{len(results)} clips are on the timeline "{name}"; "{desk.timeline.GetName()}" is as it was')
    if failures:
        raise HostError(f"{len(failures)} of {len(results) + len(failures)} clips failed, first {failures[0]}")


def refresh(desk: Desk, open_session: Callable[[ResolveHost], Session]) -> None:
    """Say of the chosen clips which frames are right and why others are not, and have Resolve read them again."""
    for clip in chosen_clips(desk.project, desk.timeline, desk.settings.clips):
        host, _, _ = desk.prepared(clip, desk.settings.handles)
        with open_session(host) as session:
            states = session.refresh()
        wrong = [state for state in states if not state.shown]
        desk.say(f'"{clip.name}": {len(states) - len(wrong)} of {len(states)} frames are right')
        for state in wrong:
            desk.say(f"  {state.reason}")
        out = str(host.job().out)
        if reread(desk.project, out):
            desk.say(f"Resolve reads {out} again")


def press(
    action: Callable[[Desk, Callable[[ResolveHost], Session]], None],
    resolve: Any,
    say: Callable[[str], None] = print,
    open_session: Callable[[ResolveHost], Session] | None = None,
) -> int:
    """What a script calls: does one of the above and returns the exit code; an error is one line.

    Args:
        action: one of the above.
        open_session: for a host of its own kind; None for sessions that share one worker, which keeps looks loaded.
    """
    try:
        desk = Desk.of(resolve, say)
        say(f"settings: {settings_file(desk.project.GetName())}")
        if open_session is not None:
            action(desk, open_session)
        else:
            with WorkerClient(report=say) as worker:
                action(desk, lambda host: Session(host, worker=worker))
    except HostError as error:
        say(f"Paintover: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say("Paintover: stopped")
        return 130
    sys.stdout.flush()
    return 0


def _rendered(desk: Desk, clip: Clip, open_session: Callable[[ResolveHost], Session]) -> Result:
    host, source, (first, last) = desk.prepared(clip, desk.settings.handles)
    with open_session(host) as session:
        if session.job().guides and session.job().keyframes:
            # Frames that training did not see, such as new handles, have no STMaps yet.
            session.prepare()
        states = session.render()
    wrong = [state.reason for state in states if not state.shown]
    if wrong:
        raise HostError(f"{len(wrong)} frames are not right, first: {wrong[0]}", "start Paintover Refresh")
    return Result(clip, str(host.job().out), source.frame(first), source.frame(last), clip.offset - first)
