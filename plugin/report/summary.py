"""A report's summary: what its page says, for a program, and how a shot is measured for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from engine.base.arrays import Bytes, Floats
from engine.base.errors import ImageError
from engine.shot.paintings import painted_coverage
from engine.shot.shot import Keyframe, Plate
from plugin.report.advice import Advice, advice_of, plan_paintings
from plugin.report.frames import FrameRow, counts
from plugin.report.measurement import Measured, median

__all__ = ["STATES", "Advised", "Summary", "advise", "coverage_of", "frame_list", "state_warnings", "summarize"]

STATES = {
    "whole": "complete",
    "there": "there, compared with no look",
    "missing": "missing",
    "damaged": "damaged",
    "foreign": "of another look, settings or plate",
}
"""A frame's state in words."""


@dataclass(frozen=True)
class Summary:
    """What the page says, for a program."""

    page: Path
    rows: tuple[FrameRow, ...]
    source: str
    """Where the carried shares come from: layer, sidecars, or none."""
    carried: float | None
    """Share of the shot that rides on paintings, 0..1."""
    error: float | None
    """Median temporal error of the steps, display codes."""
    plate_error: float | None
    """The plate's own."""
    advice: Advice
    warnings: tuple[str, ...]
    """What is not as it should be, a line each."""

    def facts(self) -> dict[str, object]:
        """As JSON values."""
        return {**asdict(self), "page": str(self.page), "states": dict(counts(self.rows))}


@dataclass(frozen=True, eq=False)
class Advised:
    """An advice, and the map that it was estimated by."""

    advice: Advice
    carried: Bytes | None
    """(h, w) uint8, small: how far the paintings carry the frame to paint, 255 for wholly; None where sidecars tell."""


def coverage_of(
    keyframes: Sequence[Keyframe], keys: Sequence[int], plate: Plate
) -> tuple[dict[int, Floats | None], list[str]]:
    """For each keyframe what is painted of it, (H, W) in 0..1 or None for wholly; and a line on each that is unknown.

    Args:
        keyframes: those whose paintings are known.
        keys: frame numbers of all, ascending; of the others, the whole frame counts as painted.
    """
    known = {keyframe.frame: keyframe for keyframe in keyframes}
    coverage: dict[int, Floats | None] = dict.fromkeys(keys)
    problems = []
    for key in keys:
        if key in known:
            try:
                coverage[key] = painted_coverage(known[key], plate)
            except ImageError as error:
                problems.append(f"keyframe {key} counts as painted wholly: {error}")
    return coverage, problems


def advise(
    measured: Measured,
    coverage: Mapping[int, Floats | None],
    work: Path | None,
    rendered_with: Path | None,
    tick: Callable[[float], None],
) -> Advised:
    """What to paint next, by the same plan as ``paintover suggest --count 1``.

    Args:
        coverage: what is painted, see :func:`coverage_of`.
        work: the work folder, with or without sidecars.
        rendered_with: the folder whose sidecars the frames were rendered with; None for none.

    Raises:
        Interrupted: ``tick`` may.
    """
    if not measured.luma:
        return Advised(Advice(None, "No frame of the plate can be read, so nothing tells what to paint."), None)
    try:
        plan, told = plan_paintings(measured.luma, measured.size, coverage, work, 1, tick)
    except ImageError:
        # A damaged sidecar: every row says which, and the plate's motion still tells.
        plan, told = plan_paintings(measured.luma, measured.size, coverage, None, 1, tick)
    advice = advice_of(plan)
    guessed = [one.frame for one in plan.painted if one.frame not in told]
    carried = None
    if advice.frame is not None and (guessed or not plan.painted):
        carried = plan.painted_carried[plan.frames.index(advice.frame)]
    if measured.source == "none" and plan.painted:
        place = "The frames were rendered without" if rendered_with is None else f"{rendered_with} holds no"
        reason = (
            f"{place} STMap sidecars, so what each painting carries is estimated from the plate's motion; "
            f"run paintover prepare and render again to have it measured. {advice.reason}"
        )
        advice = replace(advice, reason=reason)
    elif guessed:
        names = f"keyframe {guessed[0]} carries" if len(guessed) == 1 else f"keyframes {frame_list(guessed)} carry"
        reason = f"{advice.reason} What {names} is estimated: paintover prepare was not run for every frame."
        advice = replace(advice, reason=reason)
    return Advised(advice, carried)


def summarize(page: Path, measured: Measured, advice: Advice, problems: Sequence[str]) -> Summary:
    """The measured rows with what they come to; ``problems`` follow the warnings about frames."""
    rows = measured.rows
    shares = [row.carried for row in rows if row.carried is not None]
    return Summary(
        page,
        rows,
        measured.source,
        sum(shares) / len(shares) if shares else None,
        median([row.error for row in rows]),
        median([row.plate_error for row in rows]),
        advice,
        (*state_warnings(rows), *_remarks(rows), *problems),
    )


def frame_list(frames: Sequence[int], most: int = 8) -> str:
    """``3-5, 9``: neighbors joined, a long list cut."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][-1] + 1:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def state_warnings(rows: Sequence[FrameRow]) -> tuple[str, ...]:
    """One line for each state that frames should not be in."""
    found = []
    for state in ("missing", "damaged", "foreign"):
        frames = [row.frame for row in rows if row.state == state]
        if frames:
            verb = "is" if len(frames) == 1 else "are"
            found.append(f"{len(frames)} of {len(rows)} frames {verb} {STATES[state]}: {frame_list(frames)}")
    return tuple(found)


def _remarks(rows: Sequence[FrameRow]) -> list[str]:
    remarked = [row.frame for row in rows if row.warnings and row.state != "missing"]
    verb = "has" if len(remarked) == 1 else "have"
    return [f"{len(remarked)} of {len(rows)} frames {verb} warnings: {frame_list(remarked)}"] if remarked else []
