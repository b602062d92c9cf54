"""Parallel work on a plate's frames: how it reports, how it is stopped, and what became of the files that it makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from engine.base.errors import Interrupted

__all__ = ["MadeFiles", "Progress", "Stop", "for_each", "stopped"]

Progress = Callable[[int, int, str], None]
"""Receives files done, all of them, and a text."""

Stop = Callable[[], bool]
"""Says whether to stop; asked often."""


@dataclass(frozen=True)
class MadeFiles:
    """What became of the files."""

    made: int
    kept: int
    """Were right already."""
    foreign: tuple[Path, ...]
    """Put there by somebody else, and left alone."""


def for_each(
    frames: Sequence[int],
    work: Callable[[int], None],
    threads: int,
    *,
    done: Callable[[int], None],
    stop: Stop,
    poll: Callable[[], None] = lambda: None,
) -> None:
    """Run ``work`` for frames on some threads, about in their order.

    ``done`` is called with each frame, and ``poll`` several times a second while waiting, both from this thread.

    Raises:
        Interrupted: ``stop`` said so.
        Whatever ``work`` raises; the rest is not begun.
    """
    ahead = iter(frames)
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="frames") as pool:
        pending: dict[Future[None], int] = {}
        try:
            while True:
                while len(pending) < threads and (frame := next(ahead, None)) is not None:
                    pending[pool.submit(work, frame)] = frame
                if not pending:
                    return
                if stop():
                    raise stopped()
                poll()
                finished, _ = wait(pending, timeout=0.1, return_when=FIRST_COMPLETED)
                for future in finished:
                    frame = pending.pop(future)
                    future.result()
                    done(frame)
        finally:
            for future in pending:
                future.cancel()


def stopped() -> Interrupted:
    """What ends preparing on request."""
    return Interrupted("stopped on request", remedy="run again to prepare the rest")
