"""The frames of a clip's source on disk: an image sequence as it is, a movie through one of Resolve's render jobs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .client.errors import HostError, JobError, RequestCancelled
from .timeline import Clip, duration_of, first_number, has

if TYPE_CHECKING:
    from fusionscript import Project, Timeline

__all__ = ["Source", "source_of"]

_STILLS = {".exr", ".dpx", ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".tga", ".bmp", ".cin"}
_FORMATS = (("exr", "RGBHalf"), ("exr", "RGBHalfZIP"), ("tif", "RGB16"), ("dpx", "RGB16"))
"""Format and codec of a rendered movie, best first; the first that Resolve takes."""
_PRESET = "Paintover, settings before"
_POLL_S = 0.2


@dataclass(frozen=True)
class Source:
    """A part of a clip's source as numbered files."""

    pattern: str
    """Path with %0Nd for the frame number."""
    first: int
    """Number of the file of source frame ``base``."""
    base: int
    """Source frame, from 0."""
    count: int
    """Files."""

    def frame(self, index: int) -> int:
        """The number of the file of a source frame."""
        return self.first + index - self.base

    def window(self, clip: Clip, handles: int) -> tuple[int, int]:
        """First and last source frame of a clip with up to ``handles`` frames more at each end.

        Raises:
            JobError: the clip shows more than the source has.
        """
        end = self.base + self.count - 1
        if clip.offset < self.base or clip.offset + clip.duration - 1 > end:
            raise JobError(f'"{clip.name}" shows frames that its source lacks ({self.pattern})', "relink it")
        return max(self.base, clip.offset - handles), min(end, clip.offset + clip.duration - 1 + handles)


def source_of(
    project: Project,
    timeline: Timeline,
    clip: Clip,
    handles: int,
    folder: Path,
    progress: Callable[[float], bool],
) -> Source:
    """The files of a clip's source.

    Args:
        handles: frames more at each end, where the source has them.
        folder: where a movie's frames go; those that are there already are not rendered again.
        progress: told how far a render job is, 0 to 1; returns whether to stop it.

    Raises:
        JobError: the clip is a still, offline, or a compound clip; or a subclip whose place in its files is uncertain.
        HostError: Resolve refuses or fails the render job.
        RequestCancelled: ``progress`` said stop.
    """
    path = str(clip.media.GetClipProperty("File Path") or "")
    found = re.fullmatch(r"(.*)\[(\d+)-(\d+)\](\.\w+)", path)
    if found:
        first, last = _shown_files(clip, int(found[2]), int(found[3]))
        return Source(f"{found[1]}%0{len(found[2])}d{found[4]}", first, 0, last - first + 1)
    if not path:
        raise JobError(f'"{clip.name}" has no file', "render compound and multicam clips to a sequence first")
    if Path(path).suffix.lower() in _STILLS:
        raise JobError(f'"{clip.name}" is a single image ({path})', "choose a sequence or a movie")
    frames = int(str(clip.media.GetClipProperty("Frames") or "0"))
    start = max(0, clip.offset - handles)
    end = min(max(frames, clip.offset + clip.duration) - 1, clip.offset + clip.duration - 1 + handles)
    # By Resolve's own numbers: a subclip of the same movie shows other frames.
    number = first_number(clip.media)
    target = folder / f"source_{number + start}-{number + end}"
    done = _rendered(target, start, end)
    if done is None:
        _render(project, timeline, clip, start, end, target, progress)
        done = _rendered(target, start, end)
    if done is None:
        raise HostError(f'the render job of "{clip.name}" left not {end - start + 1} frames in {target}', "try again")
    return done


def _shown_files(clip: Clip, first: int, last: int) -> tuple[int, int]:
    """The first and last file of a sequence that the media pool's clip shows: of a subclip, a part of them.

    ``Start`` counts a subclip's place from 0 or by the files' numbers, as the table in docs/resolve.md has it; where
    both could be meant, nobody can tell.

    Raises:
        JobError: it could be either, or fits neither.
    """
    media: Any = clip.media
    text = str(media.GetClipProperty("Frames") or "")
    frames, files = int(text) if text.isdigit() else 0, last - first + 1
    if not 0 < frames < files:
        return first, last
    start = first_number(media)
    places = {begin for begin in (start, start - first) if 0 <= begin and begin + frames <= files}
    item: Any = clip.item
    if has(item, "GetSourceStartFrame") and int(item.GetSourceStartFrame()) != start + clip.offset:
        places = set()
    if len(places) != 1:
        fault = f'"{clip.name}" is a subclip of {frames} frames, and Resolve does not say clearly where it begins'
        raise JobError(fault, "use the whole clip of the media pool on the timeline, trimmed")
    (begin,) = places
    return first + begin, first + begin + frames - 1


def _rendered(folder: Path, start: int, end: int) -> Source | None:
    """The frames of a render job, whatever number Resolve began with; None where they are not all there."""
    numbered: dict[int, tuple[str, str, str]] = {}
    for file in folder.glob("plate*") if folder.is_dir() else ():
        found = re.fullmatch(r"(.*?)(\d+)(\.\w+)", file.name)
        if found:
            numbered[int(found[2])] = (found[1], found[2], found[3])
    if len(numbered) != end - start + 1 or max(numbered) - min(numbered) != end - start:
        return None
    first = min(numbered)
    head, digits, tail = numbered[first]
    return Source(str(folder / f"{head}%0{len(digits)}d{tail}"), first, start, len(numbered))


def _render(
    project: Project,
    timeline: Timeline,
    clip: Clip,
    start: int,
    end: int,
    target: Path,
    progress: Callable[[float], bool],
) -> None:
    """Render a part of a movie from a timeline of its own, so that no grade and no neighbor is in it."""
    pool = project.GetMediaPool()
    try:
        target.mkdir(parents=True, exist_ok=True)
        for old in target.glob("plate*"):
            old.unlink()
    except OSError as error:
        raise HostError(f"cannot write {target}: {error.strerror or error}", "choose another root") from error
    name = f"Paintover source {clip.name} {time.time_ns()}"
    made = _timeline_of(pool, clip, name, start, end)
    # A preset that could not be deleted again would pile up: 18.6 keeps our render settings instead.
    presets: Any = project
    saved = has(presets, "DeleteRenderPreset") and bool(project.SaveAsNewRenderPreset(_PRESET))
    job = ""
    try:
        project.SetCurrentTimeline(made)
        if not any(project.SetCurrentRenderFormatAndCodec(*one) for one in _FORMATS):
            raise HostError("Resolve renders no EXR, TIFF or DPX", "render the clip to a sequence by hand")
        settings: Any = {
            "SelectAllFrames": True,
            "TargetDir": str(target),
            "CustomName": "plate_",
            "ExportVideo": True,
            "ExportAudio": False,
        }
        if not project.SetRenderSettings(settings):
            raise HostError(f"Resolve refuses to render to {target}", "choose another root")
        job = project.AddRenderJob()
        if not job or not project.StartRendering(job):
            raise HostError(f'Resolve does not start the render job of "{clip.name}"', "empty the render queue")
        _wait(project, job, clip, progress)
    finally:
        if job:
            project.DeleteRenderJob(job)
        if saved:
            project.LoadRenderPreset(_PRESET)
            presets.DeleteRenderPreset(_PRESET)
        project.SetCurrentTimeline(timeline)
        pool.DeleteTimelines([made])


def _timeline_of(pool: Any, clip: Clip, name: str, start: int, end: int) -> Timeline:
    """A timeline of the frames ``start`` to ``end`` of a media pool clip, both included, counted from its first."""
    number = first_number(clip.media)
    # The last frame is left out in 21, and versions may differ: what comes of it tells.
    for last in (end + 1, end):
        part: Any = {"mediaPoolItem": clip.media, "startFrame": number + start, "endFrame": number + last}
        made: Timeline | None = pool.CreateTimelineFromClips(name, [part])
        if not made:
            continue
        items = made.GetItemListInTrack("video", 1) or []
        if len(items) == 1 and duration_of(items[0]) == end - start + 1:
            return made
        pool.DeleteTimelines([made])
    raise HostError(f'Resolve makes no timeline of "{clip.name}"', "relink the clip")


def _wait(project: Project, job: str, clip: Clip, progress: Callable[[float], bool]) -> None:
    while True:
        status: Any = project.GetRenderJobStatus(job)
        state = str(status.get("JobStatus", ""))
        if state == "Complete":
            return
        if state in ("Failed", "Cancelled"):
            raise HostError(f'the render job of "{clip.name}" ended: {state}, {status.get("Error", "no reason given")}')
        if progress(float(status.get("CompletionPercentage", 0)) / 100):
            project.StopRendering()
            raise RequestCancelled(f'the render job of "{clip.name}" was stopped')
        time.sleep(_POLL_S)
