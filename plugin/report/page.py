"""The report: one HTML page that needs nothing beside it, neither network nor files."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from html import escape
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from engine import __version__
from engine.base.errors import ImageError
from engine.base.frames import SequencePath
from engine.base.temporaries import replacing
from engine.color.config import ColorConfig
from engine.color.showing import Showing
from engine.motion.flow import one_thread
from engine.rendering.render import read_card
from engine.rendering.settings import RenderSettings
from engine.review.coverage import LEAST_GAIN, Neighborhood, next_painting
from engine.shot.shot import Keyframe, Plate
from plugin.progress.stop import StopRequest
from plugin.progress.terminals import Progress
from plugin.report.charts import Line, chart
from plugin.report.contact_sheet import chosen_frames
from plugin.report.frames import (
    FrameChecker,
    FrameReader,
    FrameRow,
    Measured,
    counts,
    errors_between,
    fit,
    measure,
    median,
    prepared_keys,
)
from plugin.report.style import STYLE

__all__ = ["Advice", "Summary", "write_report"]

Pixels8 = npt.NDArray[np.uint8]

_PICTURE_PX = 480
_COLUMNS = 6
_WORST = 3
_REMARKABLE = 0.4
"""Frames with less than this share of the worst one's value are not among the worst."""
_HEAT_CODES = 32.0
"""Temporal error, display codes, at the bright end of a heat map."""
_UNCARRIED = np.array([235, 72, 46], np.float32)
_STATES = {
    "whole": "whole",
    "there": "there, compared with no look",
    "missing": "missing",
    "damaged": "damaged",
    "foreign": "of another look, settings or plate",
}


@dataclass(frozen=True)
class Advice:
    """What to paint next."""

    frame: int | None
    """The frame number; None where another painting would not help, or nothing tells."""
    reason: str
    """One sentence."""
    gain: float = 0.0
    """Share of the shot that it would add, 0..1."""


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
        progress.update(done / total * 0.9, f"{done} of {total}", {"count": done, "total": total})

    showing = None if look is None else Showing.of(read_card(look).paint_colorspace, config)
    reader = FrameReader(plate, out, settings.out_colorspace, keys, work, config, showing=showing)
    with one_thread():
        measured = measure(frames, reader, state, tick)
        advice = _advice(measured, keys, work)
        pictures = FrameReader(plate, out, settings.out_colorspace, keys, work, config, _PICTURE_PX, showing)
        rows = measured.rows
        summary = Summary(
            page,
            rows,
            measured.source,
            _mean([row.carried for row in rows]),
            median([row.error for row in rows]),
            median([row.plate_error for row in rows]),
            advice,
            _warnings(rows),
        )
        html = _page(summary, plate, out, look, keys, pictures)
    with replacing(page) as temporary:
        temporary.write_text(html, encoding="utf-8")
    progress.update(1.0)
    return summary


def _advice(measured: Measured, keys: Sequence[int], work: Path | None) -> Advice:
    rows = measured.rows
    if measured.source == "none":
        place = "The frames were rendered without" if work is None else f"{work} holds no"
        reason = (
            f"{place} STMap sidecars, so what each painting carries is not known: "
            "run paintover prepare and render again, or ask paintover suggest."
        )
        return Advice(None, reason)
    uncarried = [0.0 if row.carried is None else 1.0 - row.carried for row in rows]
    taken = [index for index, row in enumerate(rows) if row.frame in keys]
    best = next_painting(uncarried, measured.retention, taken)
    if best is None or best.gain < LEAST_GAIN:
        share = 100 * (_mean([row.carried for row in rows]) or 0.0)
        return Advice(None, f"The paintings carry {share:.0f} % of the shot, and no other would add 2 %.")
    return Advice(rows[best.index].frame, _reason(best, rows), best.gain)


def _reason(best: Neighborhood, rows: Sequence[FrameRow]) -> str:
    first, last = rows[best.first].frame, rows[best.last].frame
    where = f"frame {first}" if first == last else f"frames {first}-{last}"
    verb = "rides" if first == last else "ride"
    return (
        f"{100 * best.uncarried:.0f} % of {where} {verb} on no painting; "
        f"a painting of frame {rows[best.index].frame} would add about {100 * best.gain:.0f} % of the shot."
    )


def _warnings(rows: Sequence[FrameRow]) -> tuple[str, ...]:
    """One line for each kind of thing that is wrong with frames."""
    found = []
    for state in ("missing", "damaged", "foreign"):
        frames = [row.frame for row in rows if row.state == state]
        if frames:
            count = f"{len(frames)} of {len(rows)} frames"
            verb = "is" if len(frames) == 1 else "are"
            found.append(f"{count} {verb} {_STATES[state]}: {_ranges(frames)}")
    remarked = [row.frame for row in rows if row.warnings and row.state != "missing"]
    if remarked:
        count = f"{len(remarked)} of {len(rows)} frames"
        found.append(f"{count} {'has' if len(remarked) == 1 else 'have'} warnings: {_ranges(remarked)}")
    return tuple(found)


def _ranges(frames: Sequence[int], most: int = 8) -> str:
    """``3-5, 9``: neighbors joined, a long list cut."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][-1] + 1:
            runs[-1].append(frame)
        else:
            runs.append([frame])
    words = [str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


# The page


def _page(
    summary: Summary, plate: Plate, out: SequencePath, look: Path | None, keys: Sequence[int], pictures: FrameReader
) -> str:
    rows = summary.rows
    name = "Report" if look is None else look.stem
    facts = [("Plate", plate.path.text), ("Frames", str(plate.frames)), ("Result", out.text)]
    facts += [("Look", str(look))] if look is not None else []
    facts += [("Keyframes", ", ".join(map(str, keys)) or "none known")]
    listed = "".join(f"<div><dt>{escape(term)}</dt><dd>{escape(text)}</dd></div>" for term, text in facts)
    notes = "".join(f'<p class="note warn">{escape(line)}</p>' for line in summary.warnings)
    body = [
        f"<header><h1>{escape(name)}</h1><dl>{listed}</dl></header>",
        _tiles(summary),
        notes,
        _next(summary.advice, pictures),
        _section("Plate and result", _sheet(rows, plate, keys, pictures), "Keyframes are framed."),
        _carried_chart(summary, keys),
        _error_chart(rows, keys),
        _worst_carried(rows, pictures),
        _worst_errors(rows, pictures),
        _table(rows, keys),
        f"<footer>Paintover {escape(__version__)}</footer>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{escape(name)}: Paintover report</title>'
        f"<style>{STYLE}</style></head><body><main>{''.join(body)}</main></body></html>\n"
    )


def _section(title: str, content: str, hint: str = "") -> str:
    if not content:
        return ""
    under = f'<p class="hint">{escape(hint)}</p>' if hint else ""
    return f"<section><h2>{escape(title)}</h2>{under}{content}</section>"


def _tiles(summary: Summary) -> str:
    found = counts(summary.rows)
    right = found.get("whole", 0) + found.get("there", 0)
    unit = "frames are whole" if "there" not in found else "frames decode; no look to compare with"
    tiles = [(f"{right} of {len(summary.rows)}", unit, "good" if right == len(summary.rows) else "bad")]
    if summary.carried is not None:
        tiles.append((f"{100 * summary.carried:.0f} %", "of the shot rides on a painting", ""))
    else:
        tiles.append(("not known", "how much rides on a painting: no prepare was run", "quiet"))
    if summary.error is not None and summary.plate_error is not None:
        tiles.append(
            (f"{summary.error:.1f}", f"codes of temporal error, the plate itself has {summary.plate_error:.1f}", "")
        )
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile {kind}"><b>{escape(number)}</b><span>{escape(text)}</span></div>'
            for number, text, kind in tiles
        )
        + "</div>"
    )


def _next(advice: Advice, pictures: FrameReader) -> str:
    if advice.frame is None:
        return f'<section class="next"><h2>What to paint next</h2><p>{escape(advice.reason)}</p></section>'
    words = f"frame {advice.frame}, uncarried area in red"
    shown = _shown(partial(_uncarried_picture, advice.frame, pictures), words)
    return (
        f'<section class="next with"><div><h2>Paint frame {advice.frame} next</h2><p>{escape(advice.reason)}</p>'
        f'<p class="hint">Red is what no painting reaches there.</p></div>{shown}</section>'
    )


def _sheet(rows: Sequence[FrameRow], plate: Plate, keys: Sequence[int], pictures: FrameReader) -> str:
    painted = [Keyframe(frame, Path()) for frame in keys]
    state = {row.frame: row.state for row in rows}
    cells = []
    for frame in chosen_frames(plate, painted, _COLUMNS):
        above = _shown(partial(_plate_picture, frame, pictures), f"plate {frame}")
        if state[frame] in ("missing", "damaged"):
            below = f'<div class="blank">{escape(_STATES[state[frame]])}</div>'
        else:
            below = _shown(partial(_result_picture, frame, pictures), f"result {frame}")
        kind = ' class="key"' if frame in keys else ""
        words = f"{frame}, painted" if frame in keys else str(frame)
        cells.append(f"<figure{kind}>{above}{below}<figcaption>{words}</figcaption></figure>")
    return f'<div class="sheet">{"".join(cells)}</div>'


def _carried_chart(summary: Summary, keys: Sequence[int]) -> str:
    rows = summary.rows
    if summary.source == "none":
        return ""
    frames = [row.frame for row in rows]
    line = Line("carried", [row.carried for row in rows], "accent", filled=True)
    title = "Share of each frame that rides on a painting"
    drawn = chart(frames, [line], title=title, top=1.0, percent=True, marks=keys, bands=_bands(rows))
    origin = {
        "layer": "From the layer paintover.carried of the rendered frames.",
        "sidecars": "From the confidence of the STMap sidecars. Upright lines are keyframes.",
    }[summary.source]
    return _section(title, drawn, origin)


def _error_chart(rows: Sequence[FrameRow], keys: Sequence[int]) -> str:
    values = [value for row in rows for value in (row.error, row.plate_error) if value is not None]
    if not values:
        return ""
    step = next(step for step in (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0) if step >= max(values))
    lines = [
        Line("plate", [row.plate_error for row in rows], "plate"),
        Line("result", [row.error for row in rows], "accent"),
    ]
    title = "Temporal error from each frame to the next"
    legend = (
        '<p class="legend"><i style="background:var(--accent)"></i>result'
        '<i style="background:var(--plate)"></i>the plate itself</p>'
    )
    drawn = chart([row.frame for row in rows], lines, title=title, top=step, marks=keys, bands=_bands(rows))
    hint = (
        "Mean difference, in display codes of 255, between a frame and the next one pulled back along the plate's "
        "motion, where that is reliable. The plate's own is what grain, light and interpolation leave."
    )
    return _section(title, legend + drawn, hint)


def _bands(rows: Sequence[FrameRow]) -> dict[int, str]:
    return {row.frame: row.state for row in rows if row.state in ("missing", "damaged")}


def _worst_carried(rows: Sequence[FrameRow], pictures: FrameReader) -> str:
    worst = _worst([(row.frame, 1.0 - row.carried) for row in rows if row.carried is not None], 0.015)
    figures = []
    for frame, share in worst:
        shown = _shown(partial(_uncarried_picture, frame, pictures), f"uncarried area of {frame}")
        figures.append(f"<figure>{shown}<figcaption>{frame}: {100 * share:.0f} % not carried</figcaption></figure>")
    content = f'<div class="sheet wide">{"".join(figures)}</div>' if figures else ""
    return _section("Carried least", content, "Red is what no painting reaches; it is synthesized in the style.")


def _worst_errors(rows: Sequence[FrameRow], pictures: FrameReader) -> str:
    after = {row.frame: following.frame for row, following in pairwise(rows)}
    worst = _worst([(row.frame, row.error) for row in rows if row.error is not None], 0.0)
    figures = []
    for frame, codes in worst:
        shown = _shown(partial(_error_picture, frame, after[frame], pictures), f"temporal error of {frame}")
        words = f"{frame} to {after[frame]}: {codes:.1f} codes"
        figures.append(f"<figure>{shown}<figcaption>{words}</figcaption></figure>")
    if not figures:
        return ""
    legend = f'<p class="legend"><i class="heat"></i>0 to {_HEAT_CODES:.0f} codes or more</p>'
    return _section("Least steady", f'{legend}<div class="sheet wide">{"".join(figures)}</div>')


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


def _table(rows: Sequence[FrameRow], keys: Sequence[int]) -> str:
    lines = []
    for row in rows:
        share = "" if row.carried is None else f"{100 * row.carried:.1f} %"
        bar = "" if row.carried is None else f'<i class="bar" style="width:{60 * row.carried:.0f}px"></i>'
        error = "" if row.error is None else f"{row.error:.2f}"
        own = "" if row.plate_error is None else f"{row.plate_error:.2f}"
        frame = f"{row.frame} <small>painted</small>" if row.frame in keys else str(row.frame)
        lines.append(
            f'<tr class="{escape(row.state)}"><th scope="row">{frame}</th><td class="state">{escape(row.state)}</td>'
            f"<td>{bar}{share}</td><td>{error}</td><td>{own}</td>"
            f'<td class="words">{"<br>".join(escape(line) for line in row.warnings)}</td></tr>'
        )
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("Frame", "State", "Carried", "Temporal error", "Plate's own", "Warnings")
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return _section("Every frame", f'<div class="scroll">{table}</div>')


# Pictures


def _plate_picture(frame: int, pictures: FrameReader) -> Pixels8:
    return pictures.plate(frame).rgb


def _result_picture(frame: int, pictures: FrameReader) -> Pixels8:
    return pictures.result(frame).rgb


def _uncarried_picture(frame: int, pictures: FrameReader) -> Pixels8:
    """The plate in gray, red where nothing is carried."""
    plate = pictures.plate(frame)
    try:
        result = pictures.result(frame)
    except ImageError:
        result = None
    carried, _ = pictures.carried(frame, result, plate.size)
    height, width = plate.rgb.shape[:2]
    share = np.zeros((height, width), np.float32)
    if carried is not None:
        share = np.asarray(cv2.resize(carried, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    gray = np.repeat(plate.rgb.mean(axis=2, keepdims=True, dtype=np.float32), 3, axis=2) * 0.8
    mixed = gray + 0.85 * (1.0 - share[..., None]) * (_UNCARRIED - gray)
    return np.asarray(np.clip(mixed + 0.5, 0.0, 255.0), np.uint8)


def _error_picture(frame: int, after: int, pictures: FrameReader) -> Pixels8:
    """The result in dark gray under its temporal error as heat."""
    plate, result = pictures.plate(frame).rgb, pictures.result(frame).rgb
    error = errors_between(plate, result, pictures.plate(after).rgb, pictures.result(after).rgb)
    gray = np.repeat(fit(result, plate).mean(axis=2, keepdims=True, dtype=np.float32), 3, axis=2) * 0.25
    if error is None:
        return np.asarray(gray, np.uint8)
    strength = np.clip(cv2.GaussianBlur(error.image, (0, 0), 1.0) / _HEAT_CODES, 0.0, 1.0)
    codes = np.asarray(strength * 255.0 + 0.5, np.uint8)
    heat = cv2.applyColorMap(codes, cv2.COLORMAP_INFERNO)[..., ::-1].astype(np.float32)
    return np.asarray(np.clip(heat + gray * (1.0 - strength[..., None]), 0.0, 255.0), np.uint8)


def _shown(picture: Callable[[], Pixels8], text: str) -> str:
    """An ``<img>`` that holds its picture; words in its place where a file of it cannot be read."""
    try:
        rgb = picture()
    except ImageError as error:
        return f'<div class="blank">{escape(str(error))}</div>'
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 84])
    if not done:
        return f'<div class="blank">{escape(text)}</div>'
    uri = base64.b64encode(data.tobytes()).decode("ascii")
    size = f'width="{rgb.shape[1]}" height="{rgb.shape[0]}"'
    return f'<img src="data:image/jpeg;base64,{uri}" {size} alt="{escape(text)}">'


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
