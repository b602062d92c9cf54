"""Rendered frames back on a timeline: always on a duplicate, as takes or on a track of their own."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .client.errors import HostError
from .timeline import Clip, duration_of, first_number, twin

if TYPE_CHECKING:
    from fusionscript import Folder, MediaPoolItem, Project, Timeline

__all__ = ["BIN", "Result", "bring", "reread"]

BIN = "Paintover"
"""The media pool's folder for results."""
TRACK = "Paintover"


class Result:
    """The rendered frames of one clip."""

    def __init__(self, clip: Clip, out: str, first: int, last: int, handle: int) -> None:
        """
        Args:
            out: pattern of the frames.
            first, last: their numbers.
            handle: frames ahead of the clip's own first.
        """
        self.clip = clip
        self.out = out
        self.first = first
        self.last = last
        self.handle = handle


def bring(project: Project, timeline: Timeline, results: list[Result], how: str) -> str:
    """Duplicate the timeline and put the results on the duplicate; returns its name.

    Args:
        how: ``take``: a new, selected take of each clip; ``track``: a new video track above.

    Raises:
        HostError: Resolve refuses; the duplicate is deleted then, and the timeline is current again.
    """
    duplicated = timeline.DuplicateTimeline(f"{timeline.GetName()} Paintover {time.strftime('%Y-%m-%d %H.%M.%S')}")
    if not duplicated:
        raise HostError("Resolve does not duplicate the timeline", "duplicate it by hand, and work on the duplicate")
    try:
        project.SetCurrentTimeline(duplicated)
        track = _new_track(duplicated) if how == "track" else 0
        for result in results:
            media = _imported(project, result)
            if track:
                _append(project, duplicated, result, media, track)
            else:
                _take(duplicated, result, media)
    except BaseException:
        project.SetCurrentTimeline(timeline)
        project.GetMediaPool().DeleteTimelines([duplicated])
        raise
    return str(duplicated.GetName())


def reread(project: Project, out: str) -> bool:
    """Have Resolve read a result's files again; False where none of them was imported."""
    pool = project.GetMediaPool()
    ours = [media for media in _clips_of_bin(project) if _pattern(media) == out]
    if not ours:
        return False
    return bool(pool.RelinkClips(ours, str(Path(out).parent)))


def _new_track(timeline: Any) -> int:
    # A duplicate is ours, so the track on top is the one that was added.
    if not timeline.AddTrack("video"):
        raise HostError("Resolve adds no video track", 'set "bring" to take in the settings')
    track = int(timeline.GetTrackCount("video"))
    timeline.SetTrackName("video", track, TRACK)
    return track


def _imported(project: Project, result: Result) -> MediaPoolItem:
    pool = project.GetMediaPool()
    before = pool.GetCurrentFolder()
    pool.SetCurrentFolder(_bin(project) or pool.AddSubFolder(pool.GetRootFolder(), BIN) or before)
    try:
        info: Any = {"FilePath": result.out, "StartIndex": result.first, "EndIndex": result.last}
        found = pool.ImportMedia([info])
    finally:
        pool.SetCurrentFolder(before)
    if not found or len(found) != 1:
        raise HostError(f"Resolve imports no sequence from {result.out}", "import it by hand to see why")
    media: MediaPoolItem = found[0]
    return media


def _take(timeline: Timeline, result: Result, media: MediaPoolItem) -> None:
    clip = result.clip
    item = twin(timeline, clip)
    start = first_number(media) + result.handle
    if not item.AddTake(media, start, start + clip.duration - 1):
        raise HostError(f'Resolve adds no take to "{clip.name}"', 'set "bring" to track in the settings')
    item.SelectTakeByIndex(item.GetTakesCount())


def _append(project: Project, timeline: Any, result: Result, media: MediaPoolItem, track: int) -> None:
    clip = result.clip
    pool: Any = project.GetMediaPool()
    start = first_number(media) + result.handle
    # The last frame is left out in 21, and versions may differ: what comes of it tells.
    for end in (start + clip.duration, start + clip.duration - 1):
        info: Any = {
            "mediaPoolItem": media,
            "startFrame": start,
            "endFrame": end,
            "mediaType": 1,
            "trackIndex": track,
            "recordFrame": clip.start,
        }
        made = pool.AppendToTimeline([info])
        if made and duration_of(made[0]) == clip.duration:
            return
        if made:
            timeline.DeleteClips(made)
    raise HostError(f'Resolve puts no clip over "{clip.name}"', 'set "bring" to take in the settings')


def _bin(project: Project) -> Folder | None:
    for folder in project.GetMediaPool().GetRootFolder().GetSubFolderList() or []:
        if folder.GetName() == BIN:
            return folder
    return None


def _clips_of_bin(project: Project) -> list[MediaPoolItem]:
    folder = _bin(project)
    return list(folder.GetClipList() or []) if folder else []


def _pattern(media: MediaPoolItem) -> str:
    path = str(media.GetClipProperty("File Path") or "")
    found = re.fullmatch(r"(.*)\[(\d+)-(\d+)\](\.\w+)", path)
    return f"{found[1]}%0{len(found[2])}d{found[4]}" if found else path
