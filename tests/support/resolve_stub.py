"""A stand-in for DaVinci Resolve's scripting API, in the shapes of 18.6 and of 19 and later.

It knows what the scripts use and no more: what it lacks is None, as in Resolve. It keeps a journal of every call that
changes something, and refuses to change a timeline that was there at the start.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Item", "Media", "Pool", "Project", "Resolve", "Timeline"]


class Remote:
    """Resolve's objects answer None for what they do not have."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


@dataclass(eq=False)
class Media(Remote):
    """A clip of the media pool."""

    path: str
    frames: int = 0
    start: int | None = None
    """The number of its first frame, where this Resolve gives one."""

    def GetClipProperty(self, name: str) -> str:
        start = "" if self.start is None else str(self.start)
        return {"File Path": self.path, "Frames": str(self.frames), "Start": start}.get(name, "")

    def GetUniqueId(self) -> str:
        return f"id of {self.path}"

    def GetName(self) -> str:
        return Path(self.path).name


class Item(Remote):
    """A clip of a timeline, in the shape of 18.6."""

    def __init__(self, name: str, media: Media | None, start: int, duration: int, offset: int, color: str = "") -> None:
        self._name, self.media, self._start, self._duration, self._offset = name, media, start, duration, offset
        self.color = color
        self.takes: list[tuple[Media, int, int]] = []
        self.selected_take = 0
        self.frozen = False

    def copy(self) -> Item:
        return type(self)(self._name, self.media, self._start, self._duration, self._offset, self.color)

    def GetName(self) -> str:
        return self._name

    def GetMediaPoolItem(self) -> Media | None:
        return self.media

    def GetStart(self) -> int:
        return self._start

    def GetDuration(self) -> int:
        return self._duration

    def GetLeftOffset(self) -> int:
        return self._offset

    def GetClipColor(self) -> str:
        return self.color

    def AddTake(self, media: Media, start: int, end: int) -> bool:
        assert not self.frozen, "the user's own timeline was altered"
        self.takes.append((media, start, end))
        return True

    def GetTakesCount(self) -> int:
        return len(self.takes)

    def SelectTakeByIndex(self, index: int) -> bool:
        assert not self.frozen and 1 <= index <= len(self.takes)
        self.selected_take = index
        return True


class NewItem(Item):
    """In the shape of 19 and later: fractions where they are asked for, and the source range."""

    speed = 1.0

    def GetStart(self, subframe_precision: bool = False) -> Any:
        return self._start + (0.25 if subframe_precision else 0)

    def GetDuration(self, subframe_precision: bool = False) -> Any:
        return self._duration + (0.25 if subframe_precision else 0)

    def GetLeftOffset(self, subframe_precision: bool = False) -> Any:
        return float(self._offset)

    def GetSourceStartFrame(self) -> int:
        return self._offset + ((self.media.start if self.media else None) or 0)

    def GetSourceEndFrame(self) -> int:
        return self.GetSourceStartFrame() + int(self._duration * self.speed) - 1


@dataclass(eq=False)
class Timeline(Remote):
    """Video tracks of items."""

    project: Project
    name: str
    tracks: list[list[Item]]
    timecode: str = "01:00:00:00"
    rate: str = "24"
    names: dict[int, str] = field(default_factory=dict)
    frozen: bool = False

    def GetName(self) -> str:
        return self.name

    def GetSetting(self, name: str) -> str:
        return {"timelineFrameRate": self.rate}[name]

    def GetCurrentTimecode(self) -> str:
        return self.timecode

    def GetTrackCount(self, kind: str) -> int:
        assert kind == "video"
        return len(self.tracks)

    def GetItemListInTrack(self, kind: str, index: int) -> list[Item]:
        assert kind == "video" and 1 <= index <= len(self.tracks)
        return list(self.tracks[index - 1])

    def GetCurrentVideoItem(self) -> Item | None:
        frames = [int(part) for part in re.split("[:;]", self.timecode)]
        at = ((frames[0] * 60 + frames[1]) * 60 + frames[2]) * int(self.rate) + frames[3]
        for track in reversed(self.tracks):
            for item in track:
                if item._start <= at < item._start + item._duration:
                    return item
        return None

    def AddTrack(self, kind: str) -> bool:
        assert kind == "video" and not self.frozen
        self.tracks.append([])
        return True

    def SetTrackName(self, kind: str, index: int, name: str) -> bool:
        assert not self.frozen
        self.names[index] = name
        return True

    def DeleteClips(self, items: Sequence[Item]) -> bool:
        assert not self.frozen
        self.tracks = [[item for item in track if item not in items] for track in self.tracks]
        return True

    def DuplicateTimeline(self, name: str) -> Timeline:
        copies = [[item.copy() for item in track] for track in self.tracks]
        made = Timeline(self.project, name, copies, self.timecode, self.rate)
        self.project.timelines.append(made)
        self.project.current = made
        return made


@dataclass(eq=False)
class Folder(Remote):
    """A bin."""

    name: str
    folders: list[Folder] = field(default_factory=list)
    clips: list[Media] = field(default_factory=list)

    def GetName(self) -> str:
        return self.name

    def GetSubFolderList(self) -> list[Folder]:
        return self.folders

    def GetClipList(self) -> list[Media]:
        return self.clips


class Pool(Remote):
    """The media pool, in the shape of 18.6."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.root = Folder("Master")
        self.folder = self.root
        self.relinked: list[str] = []
        self.refuse_append = False
        self.last_included = True
        """Whether the last frame of a range is in it."""

    def GetRootFolder(self) -> Folder:
        return self.root

    def GetCurrentFolder(self) -> Folder:
        return self.folder

    def SetCurrentFolder(self, folder: Folder) -> bool:
        self.folder = folder
        return True

    def AddSubFolder(self, folder: Folder, name: str) -> Folder:
        folder.folders.append(Folder(name))
        return folder.folders[-1]

    def ImportMedia(self, items: Sequence[dict[str, Any]]) -> list[Media]:
        made = []
        for item in items:
            first, last = item["StartIndex"], item["EndIndex"]
            assert all(Path(item["FilePath"] % frame).is_file() for frame in range(first, last + 1))
            digits = len(item["FilePath"] % 0) - len(re.sub(r"%0?\d*d", "", item["FilePath"]))
            span = f"[{first:0{digits}d}-{last:0{digits}d}]"
            made.append(Media(re.sub(r"%0?\d*d", span, item["FilePath"]), last - first + 1))
        self.folder.clips += made
        return made

    def AppendToTimeline(self, infos: Sequence[dict[str, Any]]) -> list[Item] | None:
        if self.refuse_append:
            return None
        timeline = self.project.current
        assert not timeline.frozen
        made = []
        for info in infos:
            assert info["mediaType"] == 1
            media = info["mediaPoolItem"]
            length = info["endFrame"] - info["startFrame"] + self.last_included
            item = Item(media.GetName(), media, info["recordFrame"], length, info["startFrame"] - (media.start or 0))
            timeline.tracks[info["trackIndex"] - 1].append(item)
            made.append(item)
        return made

    def CreateTimelineFromClips(self, name: str, infos: Sequence[dict[str, Any]]) -> Timeline:
        (info,) = infos
        media = info["mediaPoolItem"]
        length = info["endFrame"] - info["startFrame"] + self.last_included
        item = Item("source", media, 86400, length, info["startFrame"] - (media.start or 0))
        made = Timeline(self.project, name, [[item]])
        self.project.timelines.append(made)
        self.project.current = made
        return made

    def DeleteTimelines(self, timelines: Sequence[Timeline]) -> bool:
        for timeline in timelines:
            assert not timeline.frozen
            self.project.timelines.remove(timeline)
        return True

    def RelinkClips(self, clips: Sequence[Media], folder: str) -> bool:
        self.relinked += [clip.path for clip in clips]
        return all(Path(clip.path).parent == Path(folder) for clip in clips)


class NewPool(Pool):
    """In the shape of 19 and later."""

    selected: Sequence[Media] = ()

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.last_included = False

    def GetSelectedClips(self) -> list[Media]:
        return list(self.selected)


class Project(Remote):
    """A project with its render queue, in the shape of 18.6."""

    def __init__(self, movie_frames: Path | None = None) -> None:
        self.pool: Pool = Pool(self)
        self.timelines: list[Timeline] = []
        self.current: Timeline = Timeline(self, "none", [])
        self.movie_frames = movie_frames
        self.render_ends = "Complete"
        self.render_settings: dict[str, Any] = {"TargetDir": "the user's"}
        self.render_format = ("mov", "ProRes")
        self.presets: dict[str, Any] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.polled = 0
        self.rendered = 0
        self.stopped = False

    def GetName(self) -> str:
        return "A project: one"

    def GetMediaPool(self) -> Pool:
        return self.pool

    def GetCurrentTimeline(self) -> Timeline:
        return self.current

    def SetCurrentTimeline(self, timeline: Timeline) -> bool:
        assert timeline in self.timelines
        self.current = timeline
        return True

    def SaveAsNewRenderPreset(self, name: str) -> bool:
        if name in self.presets:
            return False
        self.presets[name] = (dict(self.render_settings), self.render_format)
        return True

    def LoadRenderPreset(self, name: str) -> bool:
        self.render_settings, self.render_format = self.presets[name]
        return True

    def SetCurrentRenderFormatAndCodec(self, name: str, codec: str) -> bool:
        if (name, codec) != ("exr", "RGBHalfZIP"):
            return False
        self.render_format = (name, codec)
        return True

    def SetRenderSettings(self, settings: dict[str, Any]) -> bool:
        self.render_settings = {**self.render_settings, **settings}
        return True

    def AddRenderJob(self) -> str:
        self.jobs["job 1"] = {"settings": dict(self.render_settings), "item": self.current.tracks[0][0]}
        return "job 1"

    def StartRendering(self, job: str) -> bool:
        return job in self.jobs

    def StopRendering(self) -> None:
        self.stopped = True

    def GetRenderJobStatus(self, job: str) -> dict[str, Any]:
        self.polled += 1
        if self.polled < 2:
            return {"JobStatus": "Rendering", "CompletionPercentage": 40}
        if self.render_ends != "Complete":
            return {"JobStatus": self.render_ends, "Error": "disk full"}
        at = self.jobs[job]
        target = Path(at["settings"]["TargetDir"])
        item = at["item"]
        self.rendered += 1
        assert self.movie_frames is not None
        for index in range(item._duration):
            # Resolve numbers a sequence from the timeline's start.
            name = f"{at['settings']['CustomName']}{86400 + index:08d}.exr"
            shutil.copyfile(self.movie_frames / f"{item._offset + index:04d}.exr", target / name)
        return {"JobStatus": "Complete", "CompletionPercentage": 100}

    def DeleteRenderJob(self, job: str) -> bool:
        return self.jobs.pop(job, None) is not None


class NewProject(Project):
    """In the shape of 19 and later."""

    def __init__(self, movie_frames: Path | None = None) -> None:
        super().__init__(movie_frames)
        self.pool = NewPool(self)

    def DeleteRenderPreset(self, name: str) -> bool:
        return self.presets.pop(name, None) is not None


@dataclass(eq=False)
class Resolve(Remote):
    """One running Resolve with one project and one timeline of the user's."""

    version: str
    movie_frames: Path | None = None
    project: Project = field(init=False)
    timeline: Timeline = field(init=False)

    def __post_init__(self) -> None:
        self.project = (Project if self.old else NewProject)(self.movie_frames)
        self.timeline = Timeline(self.project, "Edit", [])
        self.project.timelines.append(self.timeline)
        self.project.current = self.timeline

    @property
    def old(self) -> bool:
        return self.version.startswith("18")

    def add(self, track: int, name: str, media: Media | None, start: int, duration: int, offset: int = 0) -> Item:
        """Put a clip on the user's timeline."""
        while len(self.timeline.tracks) < track:
            self.timeline.tracks.append([])
        item = (Item if self.old else NewItem)(name, media, start, duration, offset)
        self.timeline.tracks[track - 1].append(item)
        return item

    def freeze(self) -> None:
        """From here on, changing the user's timeline is an error."""
        self.timeline.frozen = True
        for track in self.timeline.tracks:
            for item in track:
                item.frozen = True

    def GetVersionString(self) -> str:
        return self.version

    def GetProjectManager(self) -> Resolve:
        return self

    def GetCurrentProject(self) -> Project:
        return self.project
