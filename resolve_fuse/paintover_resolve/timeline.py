"""Clips on the timeline: where they lie, and which part of their source they show, in Resolve 18.6 to 21.

The versions differ in what exists, so this module asks what exists and never which version it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .client.errors import JobError

if TYPE_CHECKING:
    from fusionscript import MediaPoolItem, Project, Timeline, TimelineItem

__all__ = ["Clip", "chosen_clips", "current_clip", "duration_of", "first_number", "has", "playhead", "twin"]

_DROP_FRAME = {30: 2, 60: 4}
"""Frame numbers that drop-frame timecode skips in a minute, by its nominal rate."""


@dataclass(frozen=True)
class Clip:
    """One clip of a video track, unretimed."""

    name: str
    track: int
    """Of the video tracks, from 1."""
    start: int
    """First frame on the timeline, counted from timecode 0."""
    duration: int
    """Frames on the timeline."""
    offset: int
    """Of its first frame in the media pool's clip, whose first frame is 0. A subclip is a part of its file."""
    media: MediaPoolItem
    item: TimelineItem


def playhead(timeline: Timeline) -> int:
    """The frame under the playhead, counted from timecode 0, as clips count theirs.

    Raises:
        JobError: the timecode is none.
    """
    text = timeline.GetCurrentTimecode()
    found = re.fullmatch(r"(\d+):(\d+):(\d+)([:;.])(\d+)", text or "")
    if found is None:
        raise JobError(f'the playhead is at "{text}", which is no timecode', "open a timeline")
    hours, minutes, seconds, frames = (int(found[group]) for group in (1, 2, 3, 5))
    rate = round(float(timeline.GetSetting("timelineFrameRate") or 24))
    counted = ((hours * 60 + minutes) * 60 + seconds) * rate + frames
    if found[4] == ":":
        return counted
    whole = hours * 60 + minutes
    return counted - _DROP_FRAME.get(rate, 0) * (whole - whole // 10)


def current_clip(timeline: Timeline) -> Clip:
    """The clip under the playhead.

    Raises:
        JobError: there is none, or see :func:`chosen_clips`.
    """
    item = timeline.GetCurrentVideoItem()
    if not item:
        raise JobError("there is no clip under the playhead", "move the playhead onto the clip")
    for track in range(1, timeline.GetTrackCount("video") + 1):
        for one in timeline.GetItemListInTrack("video", track) or []:
            # Two handles of one item need not be one object, so its place tells.
            if (one.GetName(), _start(one)) == (item.GetName(), _start(item)):
                return _clip(one, track)
    raise JobError(f'the clip "{item.GetName()}" is on no video track', "choose a clip of a video track")


def chosen_clips(project: Project, timeline: Timeline, choice: str) -> list[Clip]:
    """The clips to work on, in the timeline's order.

    Args:
        choice: ``current``: under the playhead; ``selected``: those whose source is selected in the media pool;
            ``color NAME``: those of a clip color; ``track N``: all of a video track.

    Raises:
        JobError: there is none, the choice is none of these, or a clip is retimed or has no source.
    """
    if choice == "current":
        return [current_clip(timeline)]
    tracks: Sequence[int] = range(1, timeline.GetTrackCount("video") + 1)
    wanted: set[str] | None = None
    color: str | None = None
    found = re.fullmatch(r"track (\d+)", choice)
    if found:
        if int(found[1]) not in tracks:
            raise JobError(f"there is no video track {found[1]}", f"choose 1 to {len(tracks)}")
        tracks = [int(found[1])]
    elif choice == "selected":
        wanted = _selected(project)
    elif choice.startswith("color "):
        color = choice[len("color ") :].strip()
    else:
        raise JobError(f'"{choice}" chooses no clips', "write current, selected, color NAME or track N")
    clips = []
    for track in tracks:
        for item in timeline.GetItemListInTrack("video", track) or []:
            media = item.GetMediaPoolItem()
            if wanted is not None and (not media or media.GetUniqueId() not in wanted):
                continue
            if color is not None and item.GetClipColor() != color:
                continue
            # Titles and generators of a track have no source, and nobody meant them.
            if media or wanted is not None or color is not None:
                clips.append(_clip(item, track))
    if not clips:
        raise JobError(f'no clip is chosen by "{choice}"', "select clips, or choose a track in the settings")
    return clips


def twin(timeline: Timeline, clip: Clip) -> TimelineItem:
    """The same clip on a duplicate of its timeline.

    Raises:
        JobError: it is not there.
    """
    for item in timeline.GetItemListInTrack("video", clip.track) or []:
        if (item.GetName(), _start(item)) == (clip.name, clip.start):
            return item
    raise JobError(f'the duplicated timeline lacks "{clip.name}" on track {clip.track}', "delete it and try again")


def _selected(project: Project) -> set[str]:
    pool: Any = project.GetMediaPool()
    if not has(pool, "GetSelectedClips"):
        raise JobError(
            "this Resolve does not tell scripts which clips are selected",
            "choose color NAME or track N in the settings",
        )
    return {str(media.GetUniqueId()) for media in pool.GetSelectedClips() or []}


def _clip(item: TimelineItem, track: int) -> Clip:
    name, media = item.GetName(), item.GetMediaPoolItem()
    if not media:
        raise JobError(f'"{name}" has no source in the media pool', "choose clips of footage")
    duration = duration_of(item)
    _refuse_retimed(item, name, duration)
    return Clip(name, track, _start(item), duration, _left_offset(item), media, item)


def _refuse_retimed(item: Any, name: str, duration: int) -> None:
    # 18.6 does not tell, which docs/resolve.md says.
    if has(item, "GetSourceStartFrame") and has(item, "GetSourceEndFrame"):
        shown = int(item.GetSourceEndFrame()) - int(item.GetSourceStartFrame())
        # Versions differ in whether the end is the last frame or the one after it.
        if abs(shown - duration) > 1:
            fault = f'"{name}" shows {shown} source frames in {duration}'
            raise JobError(fault, "remove its retime, and retime the result")


def first_number(media: Any) -> int:
    """The number that Resolve gives to a media pool clip's first frame; 0 where it gives none.

    Ranges for timelines count in these numbers: that of a subclip is where it begins in its file, and that of an image
    sequence may be its first file's.
    """
    text = str(media.GetClipProperty("Start") or "")
    return int(text) if re.fullmatch(r"\d+", text) else 0


def has(thing: Any, method: str) -> bool:
    """Whether this Resolve has a method; what it lacks is None there, or an AttributeError."""
    return callable(getattr(thing, method, None))


def _left_offset(item: Any) -> int:
    return _whole(item.GetLeftOffset)


def _start(item: Any) -> int:
    return _whole(item.GetStart)


def duration_of(item: Any) -> int:
    """Frames of a clip on the timeline."""
    return _whole(item.GetDuration)


def _whole(method: Any) -> int:
    """A count of frames: versions with subframe precision take an argument for it, and earlier ones none."""
    try:
        frames: float = method()
    except TypeError:
        frames = method(False)
    return round(frames)
