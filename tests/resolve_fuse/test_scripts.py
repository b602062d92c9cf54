"""Resolve's timeline scripts against a stand-in for its API in two shapes, with real workers and real frames."""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import images
from plugin.client.command import CLIENT_FILES, child_environment
from plugin.client.errors import HostError, JobError
from plugin.client.host import Session
from plugin.client.worker_client import WorkerClient
from tests.support import ROOT, lookfactory
from tests.support.host_contract import HostContract, SessionSubject, Stage, Subject
from tests.support.pictures import picture
from tests.support.resolve_stub import Media, Resolve, Timeline

# In the repository the client is the application's own; installation puts a copy beside the scripts.
sys.path.insert(0, str(ROOT / "resolve_fuse"))
sys.modules["paintover_resolve.client"] = types.ModuleType("paintover_resolve.client")
for _name in CLIENT_FILES:
    if _name.endswith(".py"):
        _stem = _name[: -len(".py")]
        sys.modules[f"paintover_resolve.client.{_stem}"] = importlib.import_module(f"plugin.client.{_stem}")

from paintover_resolve import buttons, settings  # type: ignore[import-not-found]
from paintover_resolve.resolve_host import ResolveHost, stop_file  # type: ignore[import-not-found]
from paintover_resolve.sources import source_of  # type: ignore[import-not-found]
from paintover_resolve.timeline import chosen_clips, current_clip, playhead  # type: ignore[import-not-found]

pytestmark = pytest.mark.host

VERSIONS = ("18.6.6", "19.1.4", "21.0.0")
HOUR = 86400
"""Frames of an hour at 24 a second, where timelines begin."""


def never(title: str, fraction: float) -> bool:
    return False


class TestResolveHost(HostContract):
    """A session around the adapter."""

    @pytest.fixture
    def subject(self, stage: Stage) -> Iterator[Subject]:
        rules: list[Callable[[str, float], bool]] = [never]
        host = ResolveHost(
            stage.job, "DaVinci Resolve 21.0", lambda: 0, lambda line: None, lambda *last: rules[0](*last)
        )

        def cancel_when(rule: Callable[[str, float], bool] | None) -> None:
            rules[0] = rule or never

        subject = SessionSubject(stage, host, cancel_when)
        yield subject
        subject.close()


@pytest.fixture(scope="module")
def worker() -> Iterator[WorkerClient]:
    environment = {**child_environment(), "PYTHONPATH": str(ROOT)}
    with WorkerClient([sys.executable, "-m", "plugin"], environment=environment) as client:
        yield client


class Room:
    """An edit of ten frames of a sequence, beginning with its third, and what the scripts said."""

    def __init__(self, folder: Path, version: str, worker: WorkerClient) -> None:
        self.folder = folder
        self.worker = worker
        self.said: list[str] = []
        for frame in range(12):
            picture(folder / "shots" / f"plate.{1001 + frame:04d}.exr", seed=frame)
        lookfactory.gain(folder / "look.onnx", 0.5)
        self.resolve = Resolve(version, folder / "movie")
        self.media = Media(str(folder / "shots" / "plate.[1001-1012].exr"), 12)
        self.resolve.add(1, "plate", self.media, HOUR, 4, offset=2)
        self.choose(look=str(folder / "look.onnx"), device="cpu")

    @property
    def project(self) -> Any:
        return self.resolve.project

    @property
    def timeline(self) -> Timeline:
        return self.resolve.timeline

    def choose(self, **values: Any) -> None:
        name = self.project.GetName()
        found = settings.load(name)
        settings.save(name, settings.Settings(**{**found.__dict__, **values}))

    def press(self, action: Any, **session: Any) -> int:
        self.resolve.freeze()

        def opened(host: Any) -> Session:
            return Session(host, worker=self.worker, **session)

        return int(buttons.press(action, self.resolve, self.said.append, opened))

    def duplicate(self) -> Timeline:
        """The one timeline that was made."""
        own, made = self.project.timelines
        assert own is self.timeline and self.project.current is made and made.name.startswith("Edit Paintover ")
        return made

    def work(self) -> Path:
        (found,) = (self.folder / "settings" / "A project_ one").iterdir()
        return found


@pytest.fixture(params=VERSIONS)
def room(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker: WorkerClient) -> Room:
    return made(tmp_path, monkeypatch, request.param, worker)


@pytest.fixture
def newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, worker: WorkerClient) -> Room:
    return made(tmp_path, monkeypatch, VERSIONS[-1], worker)


def made(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str, worker: WorkerClient) -> Room:
    monkeypatch.setenv("PAINTOVER_RESOLVE", str(folder / "settings"))
    (folder / "shots").mkdir()
    return Room(folder, version, worker)


# Clips


def test_a_clips_mattes_lie_in_its_work_folder(newest: Room) -> None:
    newest.choose(mattes="mattes/%04d.exr", matte_use="stylize")
    newest.resolve.freeze()
    desk = buttons.Desk.of(newest.resolve, newest.said.append)
    clip = current_clip(desk.timeline)
    job = desk.prepared(clip, 0)[0].job()
    assert (job.matte, job.matte_use) == (None, "stylize")
    folder = desk.work(clip) / "mattes"
    folder.mkdir(parents=True)
    assert desk.prepared(clip, 0)[0].job().matte == str(folder / "%04d.exr")
    newest.choose(mattes="/studio/mattes/%04d.exr")
    desk = buttons.Desk.of(newest.resolve, newest.said.append)
    assert desk.prepared(clip, 0)[0].job().matte == "/studio/mattes/%04d.exr"
    newest.choose(matte_use="trak")
    with pytest.raises(JobError, match=r"matte_use is 'trak' in .*; write both, stylize or track"):
        buttons.Desk.of(newest.resolve, newest.said.append)


@pytest.mark.parametrize(
    ("timecode", "rate", "frame"),
    [
        ("01:00:00:05", "24", HOUR + 5),
        ("01:00:00:05", "23.976", HOUR + 5),
        # SMPTE 12M: two numbers are skipped in each minute but every tenth.
        ("00:01:00;02", "29.97", 1800),
        ("00:10:00;00", "29.97", 17982),
        ("00:01:00:02", "30", 1802),
    ],
)
def test_the_playhead_in_frames(newest: Room, timecode: str, rate: str, frame: int) -> None:
    newest.timeline.timecode, newest.timeline.rate = timecode, rate
    assert playhead(newest.timeline) == frame
    newest.timeline.timecode = "no idea"
    with pytest.raises(JobError, match="which is no timecode"):
        playhead(newest.timeline)


def test_which_clips_are_chosen(room: Room) -> None:
    other = room.resolve.add(2, "b-roll", Media("/b.[0001-0100].dpx", 100), HOUR + 20, 5)
    room.resolve.add(1, "title", None, HOUR + 4, 5)
    other.color = "Orange"

    def names(choice: str) -> list[str]:
        return [clip.name for clip in chosen_clips(room.project, room.timeline, choice)]

    assert names("current") == ["plate"] == names("track 1")
    assert names("track 2") == ["b-roll"] == names("color Orange")
    if room.resolve.old:
        with pytest.raises(JobError, match="does not tell scripts which clips are selected; choose color"):
            names("selected")
    else:
        room.project.pool.selected = [room.media]
        assert names("selected") == ["plate"]
    for choice, said in (
        ("track 3", "there is no video track 3; choose 1 to 2"),
        ("color Blue", "no clip is chosen"),
        ("everything", "chooses no clips"),
    ):
        with pytest.raises(JobError, match=said):
            names(choice)
    room.timeline.timecode = "02:00:00:00"
    with pytest.raises(JobError, match="no clip under the playhead"):
        names("current")


def test_what_a_clip_shows_of_its_source(room: Room) -> None:
    clip = current_clip(room.timeline)
    assert (clip.track, clip.start, clip.duration, clip.offset) == (1, HOUR, 4, 2)
    source = source_of(room.project, room.timeline, clip, 0, room.folder, lambda fraction: False)
    assert source.pattern == str(room.folder / "shots" / "plate.%04d.exr")
    assert [source.frame(index) for index in source.window(clip, 0)] == [1003, 1006]
    # Handles end where the source does.
    assert [source.frame(index) for index in source.window(clip, 4)] == [1001, 1010]
    room.media.path = str(room.folder / "shots" / "plate.[1001-1005].exr")
    short = source_of(room.project, room.timeline, clip, 0, room.folder, lambda fraction: False)
    with pytest.raises(JobError, match="shows frames that its source lacks"):
        short.window(clip, 0)
    for path, said in (("/a/still.0001.png", "is a single image"), ("", "has no file")):
        room.media.path = path
        with pytest.raises(JobError, match=said):
            source_of(room.project, room.timeline, clip, 0, room.folder, lambda fraction: False)


@pytest.mark.parametrize("start", [4, 1005], ids=["from 0", "files' numbers"])
def test_a_subclip_shows_a_part_of_its_files(room: Room, start: int) -> None:
    """Files 1005 to 1010 of twelve, of which the timeline shows the third to the sixth."""
    room.media.start, room.media.frames = start, 6
    clip = current_clip(room.timeline)
    source = source_of(room.project, room.timeline, clip, 0, room.folder, lambda fraction: False)
    assert (source.first, source.count, source.frame(clip.offset)) == (1005, 6, 1007)
    # Handles end where the subclip does.
    assert [source.frame(index) for index in source.window(clip, 4)] == [1005, 1010]


def test_a_subclip_whose_place_is_uncertain_is_refused(newest: Room) -> None:
    """Start 3 of files numbered from 1 is the third file by their numbers, and the fourth from 0."""
    newest.media.path = str(newest.folder / "shots" / "plate.[0001-0012].exr")
    for start, frames in ((3, 6), (9, 6)):
        newest.media.start, newest.media.frames = start, frames
        clip = current_clip(newest.timeline)
        with pytest.raises(JobError, match='"plate" is a subclip of 6 frames, and Resolve does not say clearly'):
            source_of(newest.project, newest.timeline, clip, 0, newest.folder, lambda fraction: False)
    # All of the files are all of them, whatever number Resolve begins with.
    newest.media.start, newest.media.frames = 1, 12
    clip = current_clip(newest.timeline)
    whole = source_of(newest.project, newest.timeline, clip, 0, newest.folder, lambda fraction: False)
    assert (whole.first, whole.count, whole.frame(clip.offset)) == (1, 12, 3)


@pytest.mark.parametrize("included", [False, True], ids=["last left out", "last included"])
def test_ranges_come_out_as_long_as_the_clip(newest: Room, included: bool) -> None:
    newest.project.pool.last_included = included
    newest.choose(bring="track", handles=1)
    assert newest.press(buttons.stylize) == 0, newest.said
    placed = [(item.GetStart(), item.GetDuration(), item.GetLeftOffset()) for item in newest.duplicate().tracks[1]]
    assert placed == [(HOUR, 4, 1)]


def test_a_retimed_clip_is_refused_where_resolve_tells(newest: Room) -> None:
    newest.timeline.tracks[0][0].speed = 2.0  # type: ignore[attr-defined]
    with pytest.raises(JobError, match='"plate" shows 7 source frames in 4; remove its retime'):
        current_clip(newest.timeline)


# Stylize


def test_results_come_back_as_takes_of_a_duplicate(room: Room) -> None:
    room.choose(handles=1)
    assert room.press(buttons.stylize) == 0, room.said
    duplicate = room.duplicate()
    (item,) = duplicate.tracks[0]
    ((media, start, end),) = item.takes
    assert (start, end, item.selected_take) == (1, 4, 1)
    out = room.work() / "out" / "plate.%04d.exr"
    assert media.path == str(out).replace("%04d", "[1002-1007]")
    assert media in room.project.pool.root.folders[0].clips and room.project.pool.folder is room.project.pool.root
    for frame in range(1002, 1008):
        plate = images.read(room.folder / "shots" / f"plate.{frame:04d}.exr").rgb
        np.testing.assert_allclose(images.read(Path(str(out) % frame)).rgb, plate * 0.5, rtol=2e-3, atol=1e-4)
    assert room.timeline.tracks[0][0].takes == [] and '"Edit" is as it was' in room.said[-1]


def test_results_come_back_on_a_track_of_a_duplicate(room: Room) -> None:
    room.resolve.add(1, "plate again", room.media, HOUR + 4, 2, offset=8)
    room.choose(bring="track", clips="track 1", handles=0)
    assert room.press(buttons.stylize) == 0, room.said
    duplicate = room.duplicate()
    assert len(duplicate.tracks) == 2 and duplicate.names == {2: "Paintover"} and len(room.timeline.tracks) == 1
    placed = [(item.GetStart(), item.GetDuration(), item.GetLeftOffset()) for item in duplicate.tracks[1]]
    assert placed == [(HOUR, 4, 0), (HOUR + 4, 2, 0)]
    spans = [item.media.path.partition("[")[2].partition("]")[0] for item in duplicate.tracks[1] if item.media]
    assert spans == ["1003-1006", "1009-1010"]
    assert all(not item.takes for item in duplicate.tracks[0])


def test_a_clip_that_fails_does_not_take_the_others_along(newest: Room) -> None:
    newest.resolve.add(2, "lost", Media(str(newest.folder / "gone.[0001-0009].exr"), 9), HOUR + 10, 3)
    newest.resolve.timeline.tracks[0][0].color = newest.resolve.timeline.tracks[1][0].color = "Pink"
    newest.choose(clips="color Pink")
    assert newest.press(buttons.stylize) == 1
    assert newest.said[-1].startswith('Paintover: 1 of 2 clips failed, first "lost": ')
    assert "gone" in newest.said[-1] and len(newest.duplicate().tracks[0][0].takes) == 1
    newest.choose(clips="track 2")
    assert newest.press(buttons.stylize) == 1 and len(newest.project.timelines) == 2


def test_a_refusal_of_resolve_leaves_no_half_made_timeline(newest: Room) -> None:
    newest.choose(bring="track")
    newest.project.pool.refuse_append = True
    assert newest.press(buttons.stylize) == 1
    assert 'puts no clip over "plate"; set "bring" to take' in newest.said[-1]
    assert newest.project.timelines == [newest.timeline] and newest.project.current is newest.timeline


def test_a_stop_file_stops(newest: Room) -> None:
    host = ResolveHost(_job(newest), "Resolve", lambda: 0, newest.said.append)
    stop = stop_file(newest.folder / "work")
    assert not host.cancelled()
    stop.parent.mkdir()
    stop.touch()
    assert host.cancelled() and not stop.exists() and not host.cancelled()


def _job(room: Room) -> Any:
    from plugin.client.job import Job

    return Job(plate=str(room.folder / "shots" / "plate.%04d.exr"), frames="1001", work=str(room.folder / "work"))


def test_another_clip_s_look_takes_no_maps_of_this_one(newest: Room) -> None:
    """Keyframe 1001 of the look is not keyframe 1001 of this clip, though both have that number."""
    assert newest.press(buttons.stylize) == 0, newest.said
    sidecar = newest.work() / "stmap" / "key_1001" / "1003.exr"
    sidecar.parent.mkdir(parents=True)
    images.write(sidecar, np.full((24, 32, 3), 0.5, np.float32), alpha=np.ones((24, 32), np.float32), bit_depth="float")
    newest.project.SetCurrentTimeline(newest.timeline)
    assert newest.press(buttons.refresh) == 0
    assert '"plate": 4 of 4 frames are right' in newest.said
    # The same look as the clip's own takes them.
    own = newest.work() / "look.onnx"
    own.write_bytes((newest.folder / "look.onnx").read_bytes())
    newest.choose(look=str(own))
    assert newest.press(buttons.refresh) == 0
    assert "  the STMaps of frame 1003 changed after it was rendered" in newest.said


# Movies


@pytest.fixture
def movie(room: Room) -> Room:
    """The clip is a movie of 30 frames; the stand-in renders its frames from files of their own."""
    (room.folder / "movie").mkdir()
    for frame in range(30):
        picture(room.folder / "movie" / f"{frame:04d}.exr", seed=100 + frame)
    room.media.path, room.media.frames = str(room.folder / "clip.mov"), 30
    return room


def test_a_movie_goes_through_a_render_job(movie: Room) -> None:
    movie.choose(handles=1)
    assert movie.press(buttons.stylize) == 0, movie.said
    # Source frames 1 to 6, whatever numbers the job gave them.
    rendered = sorted((movie.work() / "source_1-6").iterdir())
    assert [path.name for path in rendered] == [f"plate_{HOUR + n:08d}.exr" for n in range(6)]
    for n in range(6):
        source = images.read(movie.folder / "movie" / f"{1 + n:04d}.exr").rgb
        result = images.read(movie.work() / "out" / f"plate.{HOUR + n:04d}.exr").rgb
        np.testing.assert_allclose(result, source * 0.5, rtol=2e-3, atol=1e-4)
    ((_, start, end),) = movie.duplicate().tracks[0][0].takes
    assert (start, end) == (1, 4)
    # The temporary timeline, its job and, where Resolve can, our render settings are gone.
    assert movie.project.jobs == {} and movie.project.presets == {}
    if not movie.resolve.old:
        assert movie.project.render_settings["TargetDir"] == "the user's"
        assert movie.project.render_format == ("mov", "ProRes")
    movie.project.SetCurrentTimeline(movie.timeline)
    assert movie.press(buttons.refresh) == 0 and movie.project.rendered == 1
    assert any(line == '"plate": 6 of 6 frames are right' for line in movie.said)


def test_a_render_job_that_fails_or_is_stopped(movie: Room) -> None:
    movie.project.render_ends = "Failed"
    assert movie.press(buttons.stylize) == 1
    assert 'the render job of "plate" ended: Failed, disk full' in movie.said[-1]
    assert movie.project.timelines == [movie.timeline] and movie.project.current is movie.timeline
    movie.project.render_ends, movie.project.polled = "Complete", 0
    stop_file(movie.work()).parent.mkdir(parents=True, exist_ok=True)
    stop_file(movie.work()).touch()
    assert movie.press(buttons.stylize) == 130 and movie.project.stopped
    assert movie.said[-1] == 'Paintover: the render job of "plate" was stopped'
    assert not stop_file(movie.work()).exists()


# Keyframes, training, refresh


def test_keyframe_training_stylize_refresh(newest: Room, tmp_path: Path) -> None:
    """The whole way, with the tests' quick training in place of the real one."""
    (tmp_path / "stage").mkdir()
    stage = Stage(tmp_path / "stage")
    stage.set_look(0.25)
    started = {"command": stage.command, "environment": stage.environment}
    newest.choose(look=None)
    newest.timeline.timecode = "01:00:00:02"
    assert newest.press(buttons.export_keyframe, **started) == 0, newest.said
    painting = newest.work() / "paint" / "1005.png"
    assert f"paint on {painting}" in newest.said and painting.is_file()
    known = json.loads((newest.work() / "keyframes.json").read_text())
    assert known == [{"frame": 1005, "painting": str(painting)}]
    assert newest.press(buttons.train, **started) == 0, newest.said
    look = newest.work() / "look.onnx"
    assert settings.load(newest.project.GetName()).look == str(look) and look.is_file()
    assert (newest.work() / "stmap" / "key_1005" / "1003.exr").is_file()
    # Handles that training did not see get their STMaps before they are rendered.
    newest.choose(handles=1)
    assert newest.press(buttons.stylize, **started) == 0, newest.said
    assert (newest.work() / "stmap" / "key_1005" / "1002.exr").is_file()
    plate = images.read(newest.folder / "shots" / "plate.1003.exr").rgb
    result = newest.work() / "out" / "plate.1003.exr"
    np.testing.assert_allclose(images.read(result).rgb, plate * 0.25, rtol=2e-3, atol=1e-4)
    result.unlink()
    newest.said.clear()
    newest.project.SetCurrentTimeline(newest.timeline)
    assert newest.press(buttons.refresh, **started) == 0
    assert '"plate": 5 of 6 frames are right' in newest.said and "  frame 1003 is not rendered yet" in newest.said
    assert len(newest.project.pool.relinked) == 1 and newest.said[-1].startswith("Resolve reads ")


@pytest.mark.slow
def test_the_whole_way_with_real_training(newest: Room) -> None:
    """Nothing is faked but Resolve: a plate that moves, a painter who darkens it, seconds of training."""
    pytest.importorskip("torch", reason="training is not installed")
    from tests.support.procedural import plate

    for frame in range(1001, 1013):
        path = newest.folder / "shots" / f"plate.{frame:04d}.exr"
        images.write(path, plate(96, 128, shift=3 * (frame - 1001)), bit_depth="half")
    started = {
        "command": [sys.executable, "-m", "plugin"],
        "environment": {**child_environment(), "PYTHONPATH": str(ROOT)},
    }
    newest.choose(look=None, budget_s=6)
    newest.timeline.timecode = "01:00:00:01"
    assert newest.press(buttons.export_keyframe, **started) == 0, newest.said
    painting = newest.work() / "paint" / "1004.png"
    painted = images.read(painting)
    images.write(painting, painted.rgb * np.array([0.4, 0.9, 1.0], np.float32), bit_depth="uint16")
    assert newest.press(buttons.train, **started) == 0, newest.said
    assert newest.press(buttons.stylize, **started) == 0, newest.said
    source, result = (
        images.read(folder / f"{name}.1006.exr").rgb
        for folder, name in ((newest.folder / "shots", "plate"), (newest.work() / "out", "plate"))
    )
    red, blue = (float(result[..., channel].mean() / source[..., channel].mean()) for channel in (0, 2))
    # Six seconds of training on any machine, on a frame that was not painted: darker by far, not yet all the way.
    assert red < 0.7 < 0.8 < blue
    assert len(newest.duplicate().tracks[0][0].takes) == 1
    assert any(line.startswith("preview: ") for line in newest.said)


def test_errors_are_one_line(newest: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    newest.choose(look=None)
    assert newest.press(buttons.train) == 2
    assert newest.said[-1] == "Paintover: the job has no keyframe; add a keyframe and paint it"
    path = settings.settings_file(newest.project.GetName())
    for text, said in (
        ("{", "cannot read the settings"),
        ('{"root": "/r", "colour": 1}', "unexpected keyword argument 'colour'"),
        ('{"root": "/r", "handles": "two"}', "handles is 'two'"),
        ('{"root": "/r", "bring": "replace"}', "write take or track"),
    ):
        path.write_text(text)
        assert newest.press(buttons.stylize) == 2
        assert said in newest.said[-1] and str(path) in newest.said[-1] and "\n" not in newest.said[-1]
    said: list[str] = []
    assert buttons.press(buttons.stylize, None, said.append) == 2
    assert said == [
        "Paintover: Resolve does not answer; start the script from Workspace > Scripts; outside Resolve it needs the "
        "Studio edition"
    ]
    newest.project.current = None
    assert newest.press(buttons.stylize) == 2
    assert newest.said[-1] == "Paintover: no timeline is open; open the one to work on"


def test_only_host_errors_are_caught(newest: Room) -> None:
    """A fault of ours shows its place."""

    def broken(desk: Any, open_session: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        newest.press(broken)

    def refused(desk: Any, open_session: Any) -> None:
        raise HostError("no", "yes")

    assert newest.press(refused) == 1 and newest.said[-1] == "Paintover: no; yes"
