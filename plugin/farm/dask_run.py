"""Goes through a plan's steps on a Dask cluster: submits, listens, counts, stops, and says what failed."""

from __future__ import annotations

import logging
import queue
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from engine import __version__
from engine.base.errors import FrameFailures, InputError, Interrupted, PaintoverError, VerifyError
from engine.base.frames import FrameRange
from plugin.arguments.options import Options
from plugin.farm.dask_task import Outcome, Task, TaskFailed, stop_job, version, work
from plugin.farm.plan import DEFAULT_FRAME_S, FarmPlan, FarmStep, chunked, frames_per_chunk
from plugin.progress.protocol import Phase, Progress, counted_frames, duration
from plugin.progress.stop import StopRequest

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["RunReport", "render_plan", "run_plan"]

_LOG = logging.getLogger(__name__)

_POLL_S = 0.2
_NOBODY_S = 15.0
"""Without any worker for so long, somebody should know."""
_PILOT_FRAMES = 2
"""Of each worker's first chunk, by which a frame's time is measured."""
_WEIGHTS = {"train": 6.0, "prepare": 2.0, "render": 3.0, "verify": 0.3}


@dataclass
class RunReport:
    """What a job did."""

    outcomes: list[Outcome] = field(default_factory=list)
    """Of every task that came to an end, in that order."""
    settled: dict[int, str] = field(default_factory=dict)
    """Frames and their last state: done, skipped or failed."""
    chunk_frames: int = 0
    """Frames in a chunk; the first ones, which measure, may have fewer."""
    render_s: float = 0.0
    """From the first chunk handed over to the last one back."""


def run_plan(
    plan: FarmPlan,
    client: Client,
    options: Options,
    progress: Progress,
    stop: StopRequest,
    *,
    words: Sequence[str] = (),
    threads: int | None = None,
    program: Sequence[str] = (),
) -> RunReport:
    """Run a plan on a cluster.

    Args:
        options: whether ``--chunk`` or ``--frame-time`` was given; else a frame's time is measured.
        words: what every command gets beside its own.
        threads: for a command that is not told another number; None for what a worker's machine has.
        program: what workers call; empty for their own installation.

    Raises:
        InputError: a worker has no Paintover, or another version.
        FrameFailures, VerifyError, PaintoverError: what a step failed of, with its exit code.
        Interrupted: ``stop`` said so.
    """
    _check_workers(client)
    groups = _groups(plan)
    progress.plan([_phase(group) for group in groups])
    run = _Run(plan, client, options, progress, stop, tuple(words), threads, tuple(program))
    with run.under_way():
        for group in groups:
            run.go_through(group)
    run.sum_up("; all verified")
    return run.report


def render_plan(
    plan: FarmPlan, client: Client, options: Options, progress: Progress, stop: StopRequest, *, threads: int | None
) -> RunReport:
    """Render a plan's frames on a cluster, in the phase ``render`` of whatever is under way; nothing else of the plan.

    Args:
        options: see :func:`run_plan`.
        threads: see :func:`run_plan`.

    Raises:
        InputError: a worker has no Paintover, or another version.
        FrameFailures: some frames failed; the others are done.
        PaintoverError: rendering failed otherwise.
        Interrupted: ``stop`` said so.
    """
    _check_workers(client)
    run = _Run(plan, client, options, progress, stop, (), threads, ())
    with run.under_way():
        run.go_through([step for step in plan.steps if step.name == "render"])
        run.raise_failure()
    run.sum_up()
    return run.report


class _Run:
    """One job under way."""

    def __init__(
        self,
        plan: FarmPlan,
        client: Client,
        options: Options,
        progress: Progress,
        stop: StopRequest,
        words: tuple[str, ...],
        threads: int | None,
        program: tuple[str, ...],
    ) -> None:
        self.report = RunReport()
        self._plan, self._client, self._options = plan, client, options
        self._progress, self._stop = progress, stop
        self._words, self._threads, self._program = words, threads, program
        self._job = f"paintover-{plan.name}-{uuid.uuid4().hex[:8]}"
        self._inbox: queue.SimpleQueue[Future[Outcome] | Mapping[str, Any]] = queue.SimpleQueue()
        self._pending: dict[Future[Outcome], FarmStep] = {}
        self._shares: dict[tuple[str, int], float] = {}
        self._failure: PaintoverError | None = None
        self._quiet_since: float | None = None
        self._first_s: float | None = None
        client.subscribe_topic(self._job, self._take)

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """Whatever ends the job early ends its tasks as well."""
        try:
            yield
        except BaseException:
            self.abandon()
            raise

    def go_through(self, group: Sequence[FarmStep]) -> None:
        """Every task of steps that run side by side.

        Raises:
            PaintoverError: a step failed; where frames failed, they are first verified.
        """
        self._progress.begin(group[0].name)
        self._shares.clear()
        started = time.monotonic()
        outcomes: list[Outcome] = []
        steps = [step for step in group if step.name != "render"]
        for step in steps:
            self._hand_over(step, range(step.tasks))
        expected = sum(step.tasks for step in steps)
        for step in group:
            if step.name == "render":
                outcomes += self._render(step)
        outcomes += self._wait(expected)
        failed = [outcome for outcome in outcomes if outcome.code]
        if group[0].name == "render":
            self.report.render_s = time.monotonic() - started
            # Verified all the same: what is whole and what is not is then known for the whole range.
            self._failure = self._frame_failures(failed) if failed else None
            return
        self.raise_failure()
        if failed:
            raise _error(failed)

    def raise_failure(self) -> None:
        """Say now what rendering failed of.

        Raises:
            PaintoverError: it did.
        """
        if self._failure is not None:
            raise self._failure

    def sum_up(self, end: str = "") -> None:
        """The closing line, which ends with ``end``."""
        done = sum(outcome.rendered for outcome in self.report.outcomes if outcome.step == "render")
        skipped = len(self._plan.frames) - done
        rate = f", {done / self.report.render_s:.2f} frames/s" if done and self.report.render_s else ""
        kept = f", {skipped} were already right" if skipped else ""
        text = f"{self._plan.out}: {done} rendered in {duration(self.report.render_s)}{rate}{kept}{end}"
        self._progress.note(text, {"rendered": done, "skipped": skipped, "chunk": self.report.chunk_frames})

    def abandon(self) -> None:
        """Cancel what waits and end what runs; frames are renamed into place when whole, so none is half done."""
        with suppress(Exception):
            self._client.cancel(list(self._pending), force=True)
        with suppress(Exception):
            self._client.run(stop_job, self._job, wait=True, on_error="ignore")

    def _render(self, step: FarmStep) -> list[Outcome]:
        """The chunks; where nobody said how long a frame takes, the first ones are short and measure it."""
        given = self._options.chunk is not None or self._options.frame_time is not None
        frames = FrameRange.parse(step.frames).frames
        workers = max(1, len(self._client.scheduler_info(n_workers=-1)["workers"]))
        pilot = 0 if given else min(len(frames), workers * _PILOT_FRAMES)
        if given:
            self.report.chunk_frames = len(FrameRange.parse(step.chunks[0]))
            self._hand_over(step, range(step.tasks))
            return self._wait(step.tasks)
        first = replace(step, chunks=chunked(FrameRange(frames[:pilot]), _PILOT_FRAMES))
        self._hand_over(first, range(first.tasks))
        if pilot == len(frames):
            self.report.chunk_frames = _PILOT_FRAMES
            return self._wait(first.tasks)
        outcomes = self._wait(1)
        good = [outcome for outcome in outcomes if outcome.code == 0]
        frame_s = median(outcome.work_s for outcome in good) / _PILOT_FRAMES if good else DEFAULT_FRAME_S
        start_s = median(outcome.start_s for outcome in good) if good else 0.0
        left = FrameRange(frames[pilot:])
        size = frames_per_chunk(len(left), max(frame_s, 1e-3), start_s=start_s, workers=workers)
        _LOG.debug("a frame takes %.2f s after a start of %.2f s: chunks of %d", frame_s, start_s, size)
        self.report.chunk_frames = size
        rest = replace(step, chunks=chunked(left, size))
        self._hand_over(rest, range(rest.tasks), before=first.tasks)
        return outcomes + self._wait(first.tasks - 1 + rest.tasks)

    def _hand_over(self, step: FarmStep, tasks: range, *, before: int = 0) -> None:
        for task in tasks:
            number = before + task
            words = (*step.words(task), *self._words)
            future: Future[Outcome] = self._client.submit(
                work,
                Task(self._job, step.name, number, words, self._program, self._threads, step.timeout_s),
                key=f"{self._job}-{step.name}-{number}",
                pure=False,
                retries=step.retries,
                resources={"GPU": 1} if step.needs_gpu else None,
                fifo_timeout="0s",
            )
            self._pending[future] = step
            future.add_done_callback(self._inbox.put)

    def _take(self, event: tuple[float, Any]) -> None:
        self._inbox.put(event[1])

    def _wait(self, count: int) -> list[Outcome]:
        """The next ``count`` outcomes.

        Raises:
            Interrupted: a stop was asked for.
            PaintoverError: the scheduler is gone.
        """
        outcomes: list[Outcome] = []
        while len(outcomes) < count:
            if self._stop():
                settled = sum(state != "failed" for state in self.report.settled.values())
                raise Interrupted(
                    f"stopped with {settled} of {len(self._plan.frames)} frames done",
                    exit_code=self._stop.exit_code,
                    remedy="submit again to go on",
                )
            try:
                item = self._inbox.get(timeout=_POLL_S)
            except queue.Empty:
                self._look_around()
                continue
            if isinstance(item, Mapping):
                self._hear(item)
            elif self._pending.pop(item, None) is not None:
                outcomes.append(self._settle(item))
        self.report.outcomes += outcomes
        return outcomes

    def _settle(self, future: Future[Outcome]) -> Outcome:
        from distributed import KilledWorker

        try:
            outcome = future.result()
        except TaskFailed as failure:
            outcome = failure.args[0]
        except KilledWorker:
            step, number = _numbered(future.key)
            outcome = Outcome(step, number, 1, "every worker that took it was lost; memory may have run out")
        except Exception as error:  # Whatever Dask raises: a task of ours has no other errors.
            step, number = _numbered(future.key)
            outcome = Outcome(step, number, 1, f"Dask: {type(error).__name__}: {error}")
        if outcome.code:
            self._progress.warn(f"{outcome.step} {outcome.number}: {outcome.message}")
        self._shares[outcome.step, outcome.number] = 1.0
        return outcome

    def _hear(self, event: Mapping[str, Any]) -> None:
        step, frame = event.get("step"), event.get("frame")
        if step != "render":
            self._shares[str(step), int(event.get("number", 0))] = float(event.get("overall") or 0.0)
            tasks = sum(other.tasks for other in self._plan.steps if other.name in {name for name, _ in self._shares})
            share = sum(self._shares.values()) / max(1, tasks)
            self._progress.update(min(1.0, share), f"{share:.0%}", {"step": step})
            return
        if frame is None:
            return
        self.report.settled[frame] = str(event.get("state"))
        self._show(frame, event)

    def _show(self, frame: int, event: Mapping[str, Any]) -> None:
        states, total = self.report.settled, len(self._plan.frames)
        failed = sum(state == "failed" for state in states.values())
        done = sum(state == "done" for state in states.values())
        facts: dict[str, object] = {"frame": frame, "state": event.get("state"), "message": event.get("message")}
        facts |= {"count": len(states), "total": total, "failed": failed}
        text = f"{len(states)} of {total}"
        self._first_s = self._first_s or time.monotonic()
        elapsed_s = time.monotonic() - self._first_s
        if done > 1 and elapsed_s > 0:
            # The clock starts with the first frame, which therefore does not count.
            rate = (done - 1) / elapsed_s
            left_s = (total - len(states)) / rate
            facts |= {"frames_per_s": rate, "left_s": left_s}
            text += f", {rate:.2f} frames/s, {duration(left_s)} left"
        text += f", {failed} failed" if failed else ""
        what = ", ".join(str(part) for part in (event.get("state"), event.get("message")) if part)
        self._progress.log(f"frame {frame}: {what} (look {event.get('look')})")
        self._progress.update(len(states) / total, text, facts)

    def _look_around(self) -> None:
        """Says so where nobody works, and gives up where nobody can."""
        if self._client.status not in ("running", "connecting"):
            raise PaintoverError("the Dask scheduler is gone", remedy="start it and submit again: whole frames stay")
        if self._client.scheduler_info(n_workers=1)["workers"]:
            self._quiet_since = None
            return
        now = time.monotonic()
        self._quiet_since = self._quiet_since or now
        if now - self._quiet_since > _NOBODY_S:
            self._quiet_since = now + 60.0
            self._progress.warn("no Dask worker is there; waiting for one: dask worker ADDRESS --nthreads 1")

    def _frame_failures(self, failed: Sequence[Outcome]) -> PaintoverError:
        frames = {frame: why for outcome in failed for frame, why in outcome.frames.items()}
        code = 2 if all(outcome.code == 2 for outcome in failed) else 1
        if not frames:
            return _error(failed)
        numbers = FrameRange(tuple(frames))
        text = f"{len(frames)} of {len(self._plan.frames)} frames failed ({numbers}); {frames[numbers.first]}"
        return FrameFailures(text, frames, exit_code=code)


def _check_workers(client: Client) -> None:
    """Those that are there; one that joins later shows itself by its failures, and its frames by ``verify``."""
    for address, found in client.run(version, on_error="return").items():
        if not isinstance(found, str):
            what = f"the worker {address} cannot run Paintover: {type(found).__name__}, {found}"
            raise InputError(what, remedy="install it where the worker runs")
        if found != __version__:
            raise InputError(
                f"the worker {address} has Paintover {found}, and this is {__version__}",
                remedy="install the same version everywhere: others give other pixels",
            )


def _error(failed: Sequence[Outcome]) -> PaintoverError:
    """The failure of a step that is not about single frames."""
    found = [outcome.message for outcome in failed if outcome.step == "verify" and outcome.code == 3]
    if found:
        return VerifyError("; ".join(found))
    first = failed[0]
    more = f", and {len(failed) - 1} tasks more" if len(failed) > 1 else ""
    error = PaintoverError(f"{first.step} failed{more}: {first.message}")
    error.exit_code = 2 if all(outcome.code == 2 for outcome in failed) else 1
    return error


def _groups(plan: FarmPlan) -> list[list[FarmStep]]:
    """Steps in order; those that wait for the same ones run side by side."""
    groups: list[list[FarmStep]] = []
    for step in plan.steps:
        if groups and groups[-1][0].needs == step.needs and "render" not in (step.name, groups[-1][0].name):
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def _phase(group: Sequence[FarmStep]) -> Phase:
    what = " and ".join(step.name for step in group)
    tasks = sum(step.tasks for step in group)
    if group[0].name == "render":
        what = f"render {counted_frames(len(FrameRange.parse(group[0].frames)))}"
        return Phase("render", f"On the farm: {what}", _WEIGHTS["render"])
    weight = sum(_WEIGHTS.get(step.name, 1.0) for step in group)
    return Phase(group[0].name, f"On the farm: {what}, {tasks} task{'' if tasks == 1 else 's'}", weight)


def _numbered(key: object) -> tuple[str, int]:
    """Step and number of a task, from its key."""
    _, step, number = str(key).rsplit("-", 2)
    return step, int(number)
