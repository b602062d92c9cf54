"""What the node's buttons do: begun from Nuke's main thread, done in another one, so that Nuke stays usable.

Without a window everything happens at once, and a failure is an exception, which ends a script.
"""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable
from pathlib import Path

from . import nuke_host
from .client.errors import HostError, JobError, RequestCancelled
from .client.host import Session
from .nuke_host import SHOWN, NukeHost
from .watching_worker import WatchingWorker

__all__ = ["ACTIONS", "at_work", "close_worker", "press", "quit_work", "shared_worker", "submit_words"]

_QUIT_S = 5.0
"""How long Nuke may wait at its end for a training that writes its look."""
_LOCK = threading.Lock()
_AT_WORK: dict[str, list[NukeHost]] = {}
_WORKER: list[WatchingWorker] = []


def press(action: str) -> None:
    """A button was pressed.

    Args:
        action: one of :data:`ACTIONS`, or cancel.

    Raises:
        RuntimeError: it failed, and there is no window to show it in.
    """
    host = nuke_host.pressed()
    if action == "cancel":
        for one in _AT_WORK.get(host.label, []):
            one.stopped = True
        return
    try:
        hosts = host.by_view() if action in _EACH_VIEW else [host]
        for one in hosts:
            one.freeze()
        with _LOCK:
            if host.label in _AT_WORK:
                raise JobError(f"{host.label} is at work already", "wait for it, or press Cancel")
            _AT_WORK[host.label] = hosts
    except HostError as error:
        _failed(host, error)
        return
    if nuke_host.has_window():
        threading.Thread(
            target=_work, args=(action, hosts, host.label), name=f"paintover-{action}", daemon=True
        ).start()
    else:
        _work(action, hosts, host.label)


def at_work(label: str) -> bool:
    """Whether something is being done for the node of this name."""
    return label in _AT_WORK


def shared_worker() -> WatchingWorker:
    """The worker of this Nuke, started with its first request and ended with Nuke."""
    with _LOCK:
        if not _WORKER:
            _WORKER.append(WatchingWorker(SHOWN))
        return _WORKER[0]


def quit_work() -> None:
    """Nuke quits: what is at work is asked to stop, which keeps the best look so far, and the worker ends."""
    with _LOCK:
        for hosts in _AT_WORK.values():
            for host in hosts:
                host.stopped = True
    deadline = time.monotonic() + _QUIT_S
    while _AT_WORK and time.monotonic() < deadline:
        time.sleep(0.05)
    close_worker()


def close_worker() -> None:
    """End the worker; the next request starts another."""
    with _LOCK:
        for worker in _WORKER:
            worker.close(1.0)
        _WORKER.clear()


def submit_words(host: NukeHost) -> list[str]:
    """The command line of Send to farm.

    Raises:
        JobError: the options cannot be read, or the job lacks something.
    """
    job = host.job()
    try:
        extra = shlex.split(host.text("farm_options"))
    except ValueError as error:
        raise JobError(f"the knob farm_options cannot be read: {error}", "close the quotes") from error
    # Without keyframes a farm renders with the look that is there.
    words = (job.arguments("train")[1:] if job.keyframes else []) + job.arguments("render")[1:]
    options: list[list[str]] = []
    for option in _options(words):
        if option not in options:
            options.append(option)
    return ["submit", f"--engine={host.text('engine')}", *(word for option in options for word in option), *extra]


def _options(words: list[str]) -> list[list[str]]:
    """Each option with the value that follows it."""
    found: list[list[str]] = []
    for word in words:
        if word.startswith("--"):
            found.append([word])
        else:
            found[-1].append(word)
    return found


def _add_keyframe(session: Session, host: NukeHost) -> None:
    session.add_keyframe()


def _train(session: Session, host: NukeHost) -> None:
    if host.job().guides:
        session.prepare()
    look = session.train()
    # The last image may have been replaced while it was read, and no other follows.
    host.show_preview(str(Path(host.job().work) / "preview.png"))
    host.message("info", f"{look} is trained: render locally, or send to the farm")


def _render(session: Session, host: NukeHost) -> None:
    session.render()


def _refresh(session: Session, host: NukeHost) -> None:
    session.refresh()


def _submit(session: Session, host: NukeHost) -> None:
    status = session.run_verb(submit_words(host))
    host.message("info", "; ".join(status.notes) or "the farm has it")


def _build_cat(session: Session, host: NukeHost) -> None:
    job = host.job()
    look = Path(job.look_path)
    if not look.is_file():
        raise JobError(f"there is no look at {look}", "train one, or name another")
    folder = Path(job.work) / "nuke"
    status = session.run_verb(["export", str(look), "--to", "nuke", str(folder)])
    host.message("info", "; ".join(status.notes))
    host.offer(str(folder / f"{look.stem}.nk"))


def _open_desk(session: Session, host: NukeHost) -> None:
    session.open_desk()


ACTIONS: dict[str, Callable[[Session, NukeHost], None]] = {
    "add_keyframe": _add_keyframe,
    "open_desk": _open_desk,
    "train": _train,
    "render": _render,
    "refresh": _refresh,
    "submit": _submit,
    "build_cat": _build_cat,
}
_EACH_VIEW = ("render", "refresh")


def _work(action: str, hosts: list[NukeHost], label: str) -> None:
    host = hosts[0]
    try:
        worker = shared_worker()
        # A worker that crashed twice is not started again unless somebody asks for it, which this is.
        worker.restart()
        for host in hosts:
            ACTIONS[action](Session(host, worker=worker), host)
    except HostError as error:
        # Told while the node is still at work: whoever waits for the end finds the reason.
        _failed(host, error)
    finally:
        for one in hosts:
            one.end_progress()
        with _LOCK:
            _AT_WORK.pop(label, None)


def _failed(host: NukeHost, error: HostError) -> None:
    if nuke_host.has_window():
        host.message("info" if isinstance(error, RequestCancelled) else "error", str(error))
        return
    raise RuntimeError(f"Paintover: {host.label}: {error}") from error
