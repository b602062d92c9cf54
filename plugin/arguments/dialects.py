"""Frame ranges as each engine writes them, each with its own parser and writer.

The same text means different frames: ``1-7:2`` is every second frame to Open Job Description and SLURM, but all seven
in another order to fileseq and OpenCue. No parser here is ever fed another's text.

=========  =====================================  =====================================================================
dialect    step                                   else
=========  =====================================  =====================================================================
fileseq    ``1-7x2``                              ours; ``1-7y2`` is what a step leaves out, ``1-7:2`` a stagger (all)
openjd     ``1-7:2``                              ``7-1:-2`` reversed; no frame twice; spaces anywhere between words
opencue    ``1-7x2``                              ``1-7y2`` and ``1-7:2`` as in fileseq; ``7-1`` and ``7-1x-2`` reversed
slurm      ``1-7:2``                              array indices: from 0, ``%N`` at the end limits what runs at once
deadline   ``1-7x2``, ``1-7step2``, ``by``,       reversed allowed; commas or spaces between
           ``every``
=========  =====================================  =====================================================================

Every parser raises :class:`engine.base.errors.InputError` for an empty text, for what its dialect does not know, and
for more than ``engine.base.frames.MAX_FRAMES`` frames, which it counts before it lists them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from engine.base.errors import InputError
from engine.base.frames import MAX_FRAMES, FrameRange

__all__ = [
    "DIALECTS",
    "format_deadline",
    "format_opencue",
    "format_openjd",
    "format_slurm",
    "parse_deadline",
    "parse_fileseq",
    "parse_opencue",
    "parse_openjd",
    "parse_slurm",
    "runs",
]

_OPENJD = re.compile(r"(-?\d+)(?:\s*-\s*(-?\d+)(?:\s*:\s*(-?\d+))?)?")
_OPENCUE = re.compile(r"(-?\d+)(?:-(-?\d+)(?:([xy:])(-?\d+))?)?")
_SLURM = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")
_DEADLINE = re.compile(r"(-?\d+)(?:-(-?\d+)(?:(?:x|step|by|every)(\d+))?)?", re.IGNORECASE)


def runs(frames: Iterable[int]) -> tuple[tuple[int, int, int], ...]:
    """Frames as (first, last, step), ascending; step 1 for a single frame and for two neighbors.

    Args:
        frames: sorted and unique, as a :class:`FrameRange` yields them.
    """
    numbers, found, start = list(frames), [], 0
    while start < len(numbers):
        step = numbers[start + 1] - numbers[start] if start + 1 < len(numbers) else 1
        end = start
        while end + 1 < len(numbers) and numbers[end + 1] - numbers[end] == step:
            end += 1
        if step != 1 and end - start < 2:
            # Two frames apart from each other are no series: the second may begin one.
            end = start
        found.append((numbers[start], numbers[end], 1 if end == start else step))
        start = end + 1
    return tuple(found)


def parse_fileseq(text: str) -> FrameRange:
    """Our own dialect, as ``--frames`` has it."""
    return FrameRange.parse(text)


def parse_openjd(text: str) -> FrameRange:
    """A range expression of Open Job Description: what a chunk of tasks is called in a command."""
    spans: list[range] = []
    for word in _words(text, "openjd"):
        first, last, step = _match(_OPENJD, word, text, "openjd")
        if last is not None and step is None and last < first:
            raise _wrong(text, "openjd", f"{word} goes backward without a step")
        spans.append(_span(first, last, 1 if step is None else step, text, "openjd"))
    frames = _collect(spans, text, "openjd")
    if sum(map(len, spans)) != len(frames):
        raise _wrong(text, "openjd", "a frame is named twice")
    return frames


def parse_opencue(text: str) -> FrameRange:
    """A frame spec of OpenCue: a job's range, or what ``#FRAMESPEC#`` becomes."""
    spans: list[range] = []
    kept: set[int] = set()
    for word in _words(text, "opencue"):
        match = _OPENCUE.fullmatch(word)
        if match is None:
            raise _wrong(text, "opencue", f'"{word}" is no part of one')
        first, kind, size = int(match[1]), match[3], None if match[4] is None else int(match[4])
        last = first if match[2] is None else int(match[2])
        if kind in ("y", ":") and (size is None or size < 1):
            raise _wrong(text, "opencue", f"{word} needs a positive number after {kind}")
        whole = _span(first, last, 1 if last >= first else -1, text, "opencue")
        if kind == "x" and size is not None:
            spans.append(_span(first, last, size, text, "opencue"))
        elif kind == "y" and size is not None:
            kept |= set(whole) - set(whole[::size])
        else:
            spans.append(whole)
    if kept or not spans:
        _limit(spans, text, "opencue")
        every = kept.union(*spans)
        if not every:
            raise _wrong(text, "opencue", "it is empty")
        return FrameRange(tuple(every))
    return _collect(spans, text, "opencue")


def parse_slurm(text: str) -> FrameRange:
    """Array indices as ``--array`` has them; what follows ``%`` is how many run at once, and no frame."""
    body, percent, limit = text.partition("%")
    if percent and not (limit.isascii() and limit.isdigit() and int(limit) > 0):
        raise _wrong(text, "slurm", "a whole number is needed after %")
    spans: list[range] = []
    for word in _words(body, "slurm"):
        first, last, step = _match(_SLURM, word, text, "slurm")
        if last is not None and last < first:
            raise _wrong(text, "slurm", f"{word} goes backward")
        spans.append(_span(first, last, 1 if step is None else step, text, "slurm"))
    return _collect(spans, text, "slurm")


def parse_deadline(text: str) -> FrameRange:
    """A frame list of Deadline."""
    spans: list[range] = []
    for word in _words(text.replace(" ", ","), "deadline"):
        first, last, step = _match(_DEADLINE, word, text, "deadline")
        size = 1 if step is None else step
        spans.append(_span(first, last, -size if last is not None and last < first else size, text, "deadline"))
    return _collect(spans, text, "deadline")


def format_openjd(frames: FrameRange) -> str:
    """``1001-1009:2,1020``."""
    return _format(frames, ":")


def format_opencue(frames: FrameRange) -> str:
    """``1001-1009x2,1020``."""
    return _format(frames, "x")


def format_slurm(indices: FrameRange, at_once: int | None = None) -> str:
    """``0-99``, or ``0-99%8`` where no more than ``at_once`` may run.

    Raises:
        InputError: a negative index, which SLURM does not know: number the chunks instead.
    """
    if indices.first < 0:
        raise InputError(f"SLURM has no array index {indices.first}", remedy="number chunks from 0, not frames")
    return _format(indices, ":") + ("" if at_once is None else f"%{at_once}")


def format_deadline(frames: FrameRange) -> str:
    """``1001-1009x2,1020``."""
    return _format(frames, "x")


DIALECTS: Mapping[str, Callable[[str], FrameRange]] = MappingProxyType(
    {
        "fileseq": parse_fileseq,
        "openjd": parse_openjd,
        "opencue": parse_opencue,
        "slurm": parse_slurm,
        "deadline": parse_deadline,
    }
)
"""The parser of each dialect by its name."""


def _format(frames: FrameRange, step_sign: str) -> str:
    words = []
    for first, last, step in runs(frames):
        if first == last:
            words.append(str(first))
        else:
            words.append(f"{first}-{last}" + ("" if step == 1 else f"{step_sign}{step}"))
    return ",".join(words)


def _words(text: str, dialect: str) -> list[str]:
    words = [word.strip() for word in text.split(",")]
    if not any(words):
        raise InputError(f"the frame range is empty ({dialect})", remedy="name at least one frame")
    if not all(words) and dialect != "deadline":
        raise _wrong(text, dialect, "nothing between two commas")
    return [word for word in words if word]


def _match(pattern: re.Pattern[str], word: str, text: str, dialect: str) -> tuple[int, int | None, int | None]:
    match = pattern.fullmatch(word)
    if match is None or not word.isascii():
        raise _wrong(text, dialect, f'"{word}" is no part of one')
    first, last, step = (None if part is None else int(part) for part in match.groups())
    return first or 0, last, step


def _span(first: int, last: int | None, step: int, text: str, dialect: str) -> range:
    if step == 0:
        raise _wrong(text, dialect, "a step of 0 goes nowhere")
    end = first if last is None else last
    span = range(first, end + (1 if step > 0 else -1), step)
    if first != end and (end > first) != (step > 0):
        raise _wrong(text, dialect, f"from {first} to {end} there is no step of {step}")
    if span.stop - span.start > MAX_FRAMES * abs(step) or len(span) > MAX_FRAMES:
        raise _many(text, dialect)
    return span


def _limit(spans: list[range], text: str, dialect: str) -> None:
    # Overlaps count twice: a text that needs them to stay under the limit is a typing error as well.
    if sum(map(len, spans)) > MAX_FRAMES:
        raise _many(text, dialect)


def _collect(spans: list[range], text: str, dialect: str) -> FrameRange:
    _limit(spans, text, dialect)
    return FrameRange(tuple(frame for span in spans for frame in span))


def _many(text: str, dialect: str) -> InputError:
    return InputError(f'frame range "{text}" ({dialect}) has over {MAX_FRAMES:,} frames', remedy="check its ends")


def _wrong(text: str, dialect: str, why: str) -> InputError:
    return InputError(f'"{text}" is not a frame range of {dialect}: {why}', remedy="check which engine wrote it")
