"""The report's page: one HTML file that needs nothing beside it, neither network nor files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import jinja2

from engine import __version__
from engine.base.arrays import Bytes, Floats
from engine.base.errors import ImageError
from engine.base.frames import SequencePath
from engine.base.temporaries import replacing
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.motion.flow import one_thread
from engine.rendering.render import read_card
from engine.rendering.settings import RenderSettings
from engine.shot.matte_sequence import MatteSequence
from engine.shot.shot import Keyframe, Plate
from plugin.progress.protocol import Progress
from plugin.progress.stop import StopRequest
from plugin.report.advice import key_command, painting_name, percent
from plugin.report.charts import Line, chart
from plugin.report.contact_sheet import chosen_frames
from plugin.report.frames import FrameChecker, FrameReader, FrameRow, counts, prepared_keys
from plugin.report.measurement import measure
from plugin.report.pictures import HEAT_CODES, Picture, error_picture, picture, uncarried_picture
from plugin.report.player import Reel, View, as_uri
from plugin.report.stills import STILL_PX
from plugin.report.summary import STATES, Summary, advise, coverage_of, frame_list, state_warnings, summarize

__all__ = ["Summary", "shot_name", "write_report"]

_PICTURE_PX = 480
_COLUMNS = 6
_WORST = 3
_REMARKABLE = 0.4
"""Frames with less than this share of the worst one's value are not among the worst."""
_LEAST_UNCARRIED = 0.015
"""Share of a frame from which on it is shown what no painting carries of it."""
_SCALES = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
"""Upper ends of the chart of temporal errors, display codes."""
_MATTE_WORDS = {
    "stylize": "outside the plate stays",
    "track": "the object and what lies behind it are followed apart",
    "both": "outside the plate stays, and the object and what lies behind it are followed apart",
}
_TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, eq=False)
class _Report:
    """All that the page is written from."""

    summary: Summary
    plate: Plate
    out: SequencePath
    look: Path | None
    coverage: Mapping[int, Floats | None]
    reel: Reel
    views: Mapping[int, View]
    pictures: FrameReader
    estimated: Bytes | None
    """How far the frame to paint is carried, where that is estimated."""
    matte: MatteSequence | None
    """Of the shot, and what it is used for."""


@dataclass(frozen=True)
class _Figure:
    """One picture, or plate above result, with what stands under it."""

    pictures: tuple[Picture, ...]
    caption: str
    frame: int
    painted: bool = False


def write_report(
    page: Path,
    plate: Plate,
    out: SequencePath,
    look: Path | None,
    keyframes: Sequence[Keyframe],
    work: Path | None,
    config: ColorConfig,
    progress: Progress,
    *,
    settings: RenderSettings | None = None,
    matte: MatteSequence | None = None,
    states: Mapping[int, str] | None = None,
    prepared: Path | None = None,
    stop: StopRequest | None = None,
) -> Summary:
    """Measure every frame and write the page; the caller has begun a phase of ``progress``.

    Args:
        page: the HTML file; its folder exists.
        out: the rendered frames, of which some may be missing.
        look: what they were rendered with; None where that is not known.
        keyframes: those with paintings; the look's card adds its own. Where neither names one, those that were
            prepared.
        work: folder with STMap sidecars; None for frames that were rendered without.
        config: converts what is not sRGB already.
        settings: what the frames were rendered with.
        matte: the shot's mattes, and what they were used for.
        states: of frames that are verified already, by frame number; the others are verified here.
        prepared: folder with guide images and denoised frames, for a look that needs them; None for ``work``.
        stop: asked at every frame.

    Raises:
        ImageError: no rendered frame of the range is on disk.
        LookError: not a look.
        OutputError: the page cannot be written.
        Interrupted: a stop was asked for.
    """
    frames = plate.frames.frames
    if not any(out.path(frame).is_file() for frame in frames):
        found = out.existing()
        remedy = f"on disk are frames {found}; check --frames" if found else "render first, or check --out"
        message = f"no rendered frame of {plate.frames} is on disk"
        raise ImageError(message, path=out.path(frames[0]), remedy=remedy)
    settings = settings or RenderSettings()
    checker = FrameChecker(plate, out, look, work, settings, config, prepared)
    keys = sorted({*(keyframe.frame for keyframe in keyframes), *checker.keys}) or prepared_keys(work)
    known = states or {}

    def state(frame: int) -> str:
        return known[frame] if frame in known else checker(frame)

    def tick(done: int, total: int) -> None:
        if stop is not None:
            stop.check()
        progress.update(done / total * 0.7, f"{done} of {total}", {"count": done, "total": total})

    def followed(fraction: float) -> None:
        if stop is not None:
            stop.check()
        progress.update(0.7 + 0.2 * fraction)

    coverage, problems = coverage_of(keyframes, keys, plate)
    reel = Reel.of(frames, keys)
    showing = None if look is None else Showing.of(read_card(look).paint_colorspace, config)
    reader = partial(FrameReader, plate, out, settings.out_colorspace, coverage, work, config, showing=showing)
    with one_thread():
        measured = measure(frames, reader(max(STILL_PX, reel.width_px)), state, reel, tick)
        advised = advise(measured, coverage, prepared or work, work, followed)
        summary = summarize(page, measured, advised.advice, problems)
        pictures = reader(_PICTURE_PX)
        html = _html(
            _Report(summary, plate, out, look, coverage, reel, measured.views, pictures, advised.carried, matte)
        )
    with replacing(page) as temporary:
        temporary.write_text(html, encoding="utf-8")
    progress.update(1.0)
    return summary


def shot_name(plate: Plate, look: Path | None) -> str:
    """What people call the shot: the look's name, else the plate's, else its folder's, whichever says something."""
    names = [] if look is None else [look.stem]
    path = Path(plate.path.text)
    names += [path.name.split("%")[0].split("#")[0].split("$")[0].strip("._- "), path.absolute().parent.name]
    return next((name for name in names if name.lower() not in ("", "look", "plate", "plates")), names[-1] or "Shot")


def _html(report: _Report) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    summary, rows, keys = report.summary, report.summary.rows, tuple(report.coverage)
    found = counts(rows)
    right = found.get("whole", 0) + found.get("there", 0)
    unit = "frames are complete" if "there" not in found else "frames can be read; there is no look to compare with"
    wrong = [row.frame for row in rows if row.state in ("missing", "damaged", "foreign")]
    advised = summary.advice.frame
    return environment.get_template("page.html").render(
        name=shot_name(report.plate, report.look),
        version=__version__,
        facts=_facts(report),
        summary=summary,
        wrong=frame_list(wrong),
        wrong_count=len(wrong),
        wrong_lines=state_warnings(rows),
        remarks=summary.warnings[len(state_warnings(rows)) :],
        percent=percent,
        right=right,
        right_unit=unit,
        command="" if advised is None else key_command(report.plate, [advised]),
        painting="" if advised is None else painting_name(report.plate, advised),
        next_picture=None if advised is None else _uncarried(advised, report.pictures, report.estimated),
        player=_player(report),
        player_words=_player_words(report),
        sheet=_sheet(report),
        carried_chart=_carried_chart(summary, keys),
        error_chart=_error_chart(rows, keys),
        least_carried=_least_carried(report),
        least_steady=_least_steady(report),
        heat_codes=HEAT_CODES,
        keys=keys,
        states=STATES,
    )


def _facts(report: _Report) -> list[tuple[str, str]]:
    frames = report.plate.frames
    facts = [("Plate", report.plate.path.text), ("Frames", f"{frames} ({len(frames)})"), ("Result", report.out.text)]
    facts += [("Look", str(report.look))] if report.look is not None else []
    painted = [
        str(key) if part is None else f"{key} ({percent(float(part.mean()))} of the frame)"
        for key, part in report.coverage.items()
    ]
    facts.append(("Keyframes", ", ".join(painted) or "none known"))
    matte = report.matte
    return facts if matte is None else [*facts, ("Mattes", f"{matte.path}: {_MATTE_WORDS[matte.use]}")]


def _player(report: _Report) -> dict[str, object]:
    """What the player's script reads."""
    state = {row.frame: row.state for row in report.summary.rows}

    def shown(frame: int, view: View) -> dict[str, object]:
        lost = state[frame] in ("missing", "damaged")
        return {
            "frame": frame,
            "painted": frame in report.coverage,
            "state": state[frame],
            "plate": as_uri(view.plate) if view.plate else None,
            "result": as_uri(view.result) if view.result else None,
            "why": STATES[state[frame]] if lost else "cannot be read",
        }

    return {"frames": [shown(frame, view) for frame, view in sorted(report.views.items())]}


def _player_words(report: _Report) -> str:
    """Which frames the player shows."""
    shown, every = len(report.views), len(report.summary.rows)
    if shown == every:
        return f"All {every} frames." if every > 1 else "One frame."
    keyframes = ", the keyframes" if report.reel.keys else ""
    return (
        f"{shown} of {every} frames, evenly spread{keyframes} and the last one among them: more would make this page "
        "larger than 12 MB."
    )


def _sheet(report: _Report) -> list[_Figure]:
    painted = [Keyframe(frame, Path()) for frame in report.coverage]
    state = {row.frame: row.state for row in report.summary.rows}
    figures = []
    for frame in chosen_frames(report.plate, painted, _COLUMNS):
        above = picture(lambda frame=frame: report.pictures.plate(frame).rgb, f"plate, frame {frame}")  # type: ignore[misc]
        below = Picture(f"result, frame {frame}", problem=STATES[state[frame]])
        if state[frame] not in ("missing", "damaged"):
            below = picture(lambda frame=frame: report.pictures.result(frame).rgb, below.alt)  # type: ignore[misc]
        is_key = frame in report.coverage
        caption = f"Frame {frame}, painted" if is_key else f"Frame {frame}"
        figures.append(_Figure((above, below), caption, frame, is_key))
    return figures


def _uncarried(frame: int, frames: FrameReader, estimated: Bytes | None = None) -> Picture:
    return picture(
        partial(uncarried_picture, frame, frames, estimated), f"frame {frame}, what no painting carries in red"
    )


def _least_carried(report: _Report) -> list[_Figure]:
    shares = [(row.frame, 1.0 - row.carried) for row in report.summary.rows if row.carried is not None]
    return [
        _Figure((_uncarried(frame, report.pictures),), f"Frame {frame}: {percent(share)} rides on no painting", frame)
        for frame, share in _worst(shares, _LEAST_UNCARRIED)
    ]


def _least_steady(report: _Report) -> list[_Figure]:
    rows = report.summary.rows
    after = {row.frame: following.frame for row, following in pairwise(rows)}
    figures = []
    for frame, codes in _worst([(row.frame, row.error) for row in rows if row.error is not None], 0.0):
        draw = partial(error_picture, frame, after[frame], report.pictures)
        drawn = picture(draw, f"change from frame {frame} to {after[frame]} that motion does not explain")
        figures.append(_Figure((drawn,), f"Frame {frame} to {after[frame]}: {codes:.1f} code values", frame))
    return figures


def _carried_chart(summary: Summary, keys: Sequence[int]) -> str | None:
    rows = summary.rows
    if summary.source == "none" or len(rows) < 2:
        return None
    line = Line("carried", [row.carried for row in rows], "accent", filled=True)
    frames, title = [row.frame for row in rows], "How much of each frame rides on your paintings"
    return chart(frames, [line], title=title, top=1.0, percent=True, marks=keys, bands=_bands(rows))


def _error_chart(rows: Sequence[FrameRow], keys: Sequence[int]) -> str | None:
    values = [value for row in rows for value in (row.error, row.plate_error) if value is not None]
    if not values:
        return None
    lines = [
        Line("plate", [row.plate_error for row in rows], "plate"),
        Line("result", [row.error for row in rows], "accent"),
    ]
    top = next(scale for scale in _SCALES if scale >= max(values))
    frames, title = [row.frame for row in rows], "Flicker from each frame to the next"
    return chart(frames, lines, title=title, top=top, marks=keys, bands=_bands(rows))


def _bands(rows: Sequence[FrameRow]) -> dict[int, str]:
    return {row.frame: row.state for row in rows if row.state in ("missing", "damaged")}


def _worst(values: Sequence[tuple[int, float]], least: float) -> list[tuple[int, float]]:
    """Frames with the highest values, over ``least`` and not far under the highest, spread out, in order."""
    place = {frame: index for index, (frame, _) in enumerate(values)}
    apart = max(1, len(values) // (_WORST + 1))
    least = max([least, *(_REMARKABLE * value for _, value in values)])
    found: list[tuple[int, float]] = []
    for frame, value in sorted(values, key=lambda one: (-one[1], one[0])):
        if value > least and all(abs(place[frame] - place[other]) >= apart for other, _ in found):
            found.append((frame, value))
        if len(found) == _WORST:
            break
    return sorted(found)
