"""What a host must offer, and the session that every host's buttons call: add a keyframe, train, render, refresh.

Standard library only, Python 3.9: this runs inside hosts. Only an adapter, a subclass of :class:`Host`, imports its
host; everything else is here and is tested without one. Heavy work happens in processes beside the host.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from .errors import HostError, JobError, RequestCancelled, RequestFailed
from .job import Job
from .verb_process import VerbProcess, VerbStatus
from .worker_client import WorkerClient

__all__ = ["FrameState", "Host", "Session"]

_POLL_S = 0.05
_DESK_IDLE_S = 600.0
"""Without an open page, a desk that a host opened ends."""

Made = TypeVar("Made")


@dataclass(frozen=True)
class FrameState:
    """What a host may do with one frame of the result."""

    frame: int
    state: str
    """shown, missing (not there, or damaged), stale (ours, of other inputs) or foreign (not rendered by Paintover)."""
    reason: str
    """One line for a person; empty where the frame is shown."""
    path: str

    @property
    def shown(self) -> bool:
        """Whether a host may show it."""
        return self.state == "shown"


class Host(abc.ABC):
    """What an adapter offers. Called from the thread that called the session, never from another."""

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The host and its version, for logs: ``Nuke 16.0v3``."""

    @abc.abstractmethod
    def current_frame(self) -> int:
        """The frame that the artist looks at."""

    @abc.abstractmethod
    def job(self) -> Job:
        """The shot as the host's knobs have it: plate sequence, keyframes, work folder, output, colorspaces, budget.

        Raises:
            JobError: a knob is empty or wrong; the message names it.
        """

    @abc.abstractmethod
    def add_keyframe(self, frame: int, painting: str) -> None:
        """Put an exported frame into the list of keyframes; the artist paints on ``painting``."""

    @abc.abstractmethod
    def show_progress(self, title: str, fraction: float, text: str) -> None:
        """Show how far work is, ``fraction`` 0 to 1. Called often; 1 ends it."""

    @abc.abstractmethod
    def cancelled(self) -> bool:
        """Whether the artist asked to stop what is at work. Asked often."""

    @abc.abstractmethod
    def message(self, level: str, text: str) -> None:
        """One line for the artist; ``level`` is info, warning or error."""

    @abc.abstractmethod
    def show_preview(self, path: str) -> None:
        """Training has a new preview image: plate, painting, result on the keyframe and on an unpainted frame."""

    @abc.abstractmethod
    def show_result(self, pattern: str, states: Sequence[FrameState]) -> None:
        """Show the result sequence: only frames that are ``shown``, and the reason for each that is not."""

    def painting_view(self) -> tuple[str | None, str | None]:
        """OCIO display and view that frames are painted under, such as the viewer's; None for the config's own."""
        return (None, None)

    def export_keyframe(self, session: Session, frame: int, path: str) -> None:
        """Write a frame of the plate for painting. This one goes through ``paintover key``, whose way back to
        scene-linear light is exact; override it only for a view that OCIO does not know.

        Raises:
            HostError: it cannot be written.
        """
        # A pattern that gives this one path: `key` writes sequences.
        job = replace(session.job(), frames=str(frame), out=_pattern(path, frame))
        words = job.arguments("key")
        for option, value in zip(("--display", "--view"), self.painting_view()):  # noqa: B905 (Python 3.9)
            words += [] if value is None else [f"{option}={value}"]
        session.run_verb(words)

    def wait(self, seconds: float) -> None:
        """Between two polls; a host with a window lets its events through here."""
        time.sleep(seconds)


class Session:
    """One shot in one host: what the buttons do. Closing it ends the worker.

    Every method raises :class:`HostError`; a button goes through :meth:`guarded`, which shows it instead.
    """

    def __init__(
        self,
        host: Host,
        *,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        worker: WorkerClient | None = None,
    ) -> None:
        """
        Args:
            command: what starts ``paintover``; None finds it.
            environment: of its processes; None for the host's without its own Python settings.
            worker: one that is shared between sessions and stays its owner's; None starts one when it is needed.
        """
        self.host = host
        self._command = command
        self._environment = environment
        self._owns_worker = worker is None
        # A crash is reported from another thread, and hosts are called from one only.
        self._told: list[str] = []
        self.worker = worker or WorkerClient(command, environment=environment, report=self._told.append)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker, unless it is somebody else's."""
        if self._owns_worker:
            self.worker.close()

    def guarded(self, action: Callable[[], Made]) -> Made | None:
        """What a button calls: the action's answer, or None after an error was shown."""
        try:
            return action()
        except RequestCancelled as error:
            self.host.message("info", str(error))
        except HostError as error:
            self.host.message("error", str(error))
        return None

    def job(self) -> Job:
        """The host's job, signed with the host's name."""
        return replace(self.host.job(), host=self.host.name)

    def add_keyframe(self, frame: int | None = None) -> str:
        """Export the current frame, or ``frame``, for painting, and add it to the host's list; returns the image.

        An image that is there already may hold hours of work: it is kept, and only listed.
        """
        job = self.job()
        number = self.host.current_frame() if frame is None else frame
        path = Path(job.work) / "paint" / f"{number:04d}.png"
        if path.is_file():
            self.host.message("info", f"{path} is there already and stays as it is")
        else:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                why = error.strerror or str(error)
                raise JobError(f"cannot make {path.parent}: {why}", "choose another place") from error
            self.host.export_keyframe(self, number, str(path))
            self.host.message("info", f"paint on {path}")
        if all(keyframe.frame != number for keyframe in job.keyframes):
            self.host.add_keyframe(number, str(path))
        return str(path)

    def prepare(self) -> VerbStatus:
        """Follow the keyframes through the shot, so that strokes are carried along; waits for the end."""
        return self.run_verb(self.job().arguments("prepare"))

    def train(self) -> str:
        """Train a look from the keyframes and wait for it; returns its path.

        While it trains the host shows progress and preview; cancelled, the best look so far is kept.
        """
        job = self.job()
        self.run_verb(job.arguments("train"))
        return job.look_path

    def open_desk(self) -> VerbProcess:
        """Open the desk on this shot in the artist's browser; returns once it is open, and leaves it open.

        It ends when its page has been closed for a while. The look that it exports is the job's.

        Raises:
            RequestFailed: it could not be opened.
            RequestCancelled: the artist stopped it before it was.
        """
        job = self.job()
        process = self.begin_verb([*job.arguments("desk"), f"--idle={_DESK_IDLE_S:g}"])
        status = self.poll(process)
        while not status.finished and not any(note.startswith("http://") for note in status.notes):
            self.host.wait(_POLL_S)
            status = self.poll(process, status)
        if status.finished:
            process.check()
            raise RequestFailed("the desk has closed at once", 1)
        self.host.message("info", f"the desk is open in the browser; Export look there writes {job.look_path}")
        return process

    def begin_training(self) -> VerbProcess:
        """Start training and return; the host polls with :meth:`poll` until that says finished, then checks it."""
        return self.begin_verb(self.job().arguments("train"))

    def begin_verb(self, arguments: Sequence[str]) -> VerbProcess:
        """Start any verb beside the host."""
        return VerbProcess(arguments, self._command, self._environment)

    def poll(self, process: VerbProcess, before: VerbStatus | None = None) -> VerbStatus:
        """Pass on to the host what is new since ``before``, and its wish to stop to the process; returns at once."""
        status = process.poll()
        if self.host.cancelled() and not status.finished and not process.asked:
            process.cancel()
        old = before or VerbStatus()
        for warning in status.warnings[len(old.warnings) :]:
            self.host.message("warning", warning)
        if status.preview is not None and (status.text, status.preview) != (old.text, old.preview):
            self.host.show_preview(status.preview)
        if (status.title, status.fraction, status.text) != (old.title, old.fraction, old.text):
            self.host.show_progress(status.title, status.fraction, status.text)
        return status

    def run_verb(self, arguments: Sequence[str]) -> VerbStatus:
        """Run a verb to its end while the host stays alive.

        Raises:
            RequestFailed: it failed.
            RequestCancelled: the artist stopped it.
        """
        process = self.begin_verb(arguments)
        try:
            status = self.poll(process)
            while not status.finished:
                self.host.wait(_POLL_S)
                status = self.poll(process, status)
        except BaseException:
            # The host is gone, or its artist interrupted it: nobody will ask for the process any more.
            process.cancel()
            raise
        return process.check()

    def render(self, frames: str | None = None) -> list[FrameState]:
        """Render frames of the job that are not right yet through the warm worker, then refresh them.

        Raises:
            RequestFailed: some frames failed and the others are done and shown.
            RequestCancelled: the artist stopped it; finished frames stay.
        """
        job = self.job()
        fresh: list[Mapping[str, object]] = []
        pending = self.worker.submit("render", fresh.append, job=job, frames=frames)
        title = f"Rendering {frames or job.frames}"
        seen = 0
        while not pending.done():
            if self.host.cancelled() and not pending.cancelled:
                pending.cancel()
            seen = self._show(title, fresh, seen)
            self.host.wait(_POLL_S)
        self._show(title, fresh, seen)
        try:
            pending.result(0)
        finally:
            states = self._shown(job, frames)
        self.host.show_progress(title, 1.0, "")
        return states

    def refresh(self, frames: str | None = None) -> list[FrameState]:
        """Look at the frames on disk again, and have the host show those that are right."""
        return self._shown(self.job(), frames)

    def result_state(self, frame: int) -> FrameState:
        """Whether a host may show this frame, by the hashes that it carries."""
        return self._states(self.job(), str(frame))[0]

    def _shown(self, job: Job, frames: str | None) -> list[FrameState]:
        states = self._states(job, frames)
        if job.out is not None:
            self.host.show_result(job.out, states)
        return states

    def _states(self, job: Job, frames: str | None) -> list[FrameState]:
        found = [FrameState(s["frame"], s["state"], s["reason"], s["path"]) for s in self.worker.states(job, frames)]
        self._tell()
        return found

    def _show(self, title: str, events: Sequence[Mapping[str, object]], seen: int) -> int:
        """Pass new events on; returns how many there are."""
        self._tell()
        known = len(events)
        for event in events[seen:known]:
            if event["event"] == "warning":
                self.host.message("warning", str(event.get("message", "")))
            else:
                fraction = float(str(event.get("fraction", 0.0)))
                self.host.show_progress(title, fraction, f"frame {event.get('frame')} {event.get('state')}")
        return known

    def _tell(self) -> None:
        while self._told:
            self.host.message("warning", self._told.pop(0))


def _pattern(path: str, frame: int) -> str:
    """``/p/1001.png`` as ``/p/%04d.png``: the sequence that has this path at this frame."""
    file = Path(path)
    number = f"{frame:04d}"
    if number not in file.name:
        raise JobError(f'the name of "{path}" lacks its frame number {number}', "put it there")
    head, _, tail = file.name.rpartition(number)
    return str(file.with_name(f"{head}%04d{tail}"))
