"""The one module that imports ``nuke``: a Paintover node as :class:`client.host.Host`.

Nuke wants its nodes touched from its main thread only. Work runs in other threads on a frozen copy of the knobs, and
what it has to show is handed over to the main thread.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import nuke

from .above import Asked, asked_above
from .client.errors import JobError
from .client.host import FrameState, Host
from .client.job import Job, JobKeyframe
from .patterns import (
    colorspace_name,
    frame_list,
    frame_path,
    in_html,
    in_knob,
    is_absolute,
    names_view,
    range_ends,
    view_and_display,
    with_frame_token,
    with_view,
)
from .plate import ReadFacts, facts_of_read, read_above
from .shown import ShownFrames

__all__ = [
    "KNOBS",
    "RESULT",
    "SHOWN",
    "NukeHost",
    "asking",
    "executing",
    "has_window",
    "pressed",
    "register_callbacks",
    "upstream",
]

KNOBS = (
    "budget", "carried", "colorspace_in", "colorspace_out", "device", "engine", "farm_options", "follow", "frames",
    "keyframes", "look", "matte", "matte_use", "mattes", "missing", "mode", "ocio", "out", "paintings",
    "paintover_version", "plate", "preview", "seed", "status", "steps", "tile", "work",
)  # fmt: skip
"""Every knob of the node that is read or written here."""
RESULT = "Result"
"""The Read inside the node."""
SHOWN = ShownFrames()
_STEP = 0.1
"""Between two lines of progress where there is no window."""


def has_window() -> bool:
    """Whether Nuke has a window: not under ``-t`` and ``-x``."""
    return bool(nuke.env.get("gui", False))


def executing() -> bool:
    """Whether Nuke renders a Write right now."""
    return bool(nuke.executing())


def pressed() -> NukeHost:
    """The node whose button was pressed."""
    return NukeHost(nuke.thisNode())


def asking() -> tuple[NukeHost, int]:
    """The node around the one whose knob is evaluated, and the frame that it is evaluated for."""
    group = nuke.thisParent() or nuke.thisGroup()
    return NukeHost(group, nuke.thisView()), int(nuke.frame())


def upstream() -> list[tuple[NukeHost, Asked]]:
    """What the Write that is about to render a frame asks of Paintover nodes, for each of its views."""
    write = nuke.thisNode()
    found = []
    for asked in asked_above(write, int(nuke.frame()), nuke.toNode):
        views = _views(write) if NukeHost(asked.node).differs_by_view() else _views(write)[:1]
        found += [(NukeHost(asked.node, view), asked) for view in views]
    return found


def register_callbacks(before_render: Callable[[], None], before_frame: Callable[[], None]) -> None:
    """Have Nuke call before a Write begins, and before each of its frames; an exception ends the render."""
    nuke.addBeforeRender(before_render, nodeClass="Write")
    nuke.addBeforeFrameRender(before_frame, nodeClass="Write")


class NukeHost(Host):
    """One Paintover node, for one view."""

    def __init__(self, node: nuke.Node, view: str | None = None) -> None:
        self.node = node
        self.view = view or _views(None)[0]
        self.stopped = False
        """Set by the button Cancel."""
        self._frozen: tuple[Job, int, tuple[str | None, str | None]] | None = None
        self._task: Any = None
        self._title = ""
        self._told = -_STEP
        self._previews = 0

    @property
    def name(self) -> str:
        """``Nuke 16.0v3``."""
        return f"Nuke {nuke.NUKE_VERSION_STRING}"

    @property
    def label(self) -> str:
        """The node's name."""
        return str(self.node.fullName())

    def freeze(self) -> None:
        """Keep the knobs as they are now, so that other threads need not ask Nuke.

        Raises:
            JobError: see :meth:`job`.
        """
        self._frozen = (self._job(), int(nuke.frame()), self._viewer())

    def current_frame(self) -> int:
        """The frame in the viewer, or of the script."""
        return self._frozen[1] if self._frozen else int(nuke.frame())

    def painting_view(self) -> tuple[str | None, str | None]:
        """Display and view of the active viewer; without one those of the project's monitor."""
        return self._frozen[2] if self._frozen else self._viewer()

    def job(self) -> Job:
        """The knobs as a job. Nothing about color is assumed: what is empty comes from the plate's Read and from the
        project.

        Raises:
            JobError: a knob is empty or wrong; the message names it.
        """
        return self._frozen[0] if self._frozen else self._job()

    def text(self, name: str) -> str:
        """A text knob's value, without spaces around it."""
        return str(_value(self.node, name) or "").strip()

    def by_view(self) -> list[NukeHost]:
        """This node once for each view that has frames of its own."""
        if not self.differs_by_view():
            return [self]
        return [NukeHost(self.node, view) for view in _views(None)]

    def differs_by_view(self) -> bool:
        """Whether each view has frames of its own."""
        return names_view(self._file("out"))

    def add_keyframe(self, frame: int, painting: str) -> None:
        """Add to the knob; where paintings are kept elsewhere, say where this one is expected."""

        def add() -> None:
            frames = sorted({*frame_list(self.text("keyframes")), frame})
            self.node["keyframes"].setValue(" ".join(map(str, frames)))
            expected = frame_path(self._file("paintings"), frame)
            if expected and Path(expected) != Path(painting):
                self.message("info", f"paint on {painting} and save it as {expected}, where this node looks for it")

        self._in_main(add)
        if self._frozen:
            job, now, viewer = self._frozen
            self._frozen = (self._with_keyframe(job, frame, painting), now, viewer)

    def show_progress(self, title: str, fraction: float, text: str) -> None:
        """In Nuke's own panel, which has a button to cancel; without a window a line for every tenth."""
        if title != self._title:
            self._title, self._task, self._told = title, None, -_STEP
        if not has_window():
            if fraction >= self._told + _STEP or fraction >= 1 > self._told:
                self._told = fraction
                _say(f"{self.label}: {title} {100 * fraction:.0f}% {text}".rstrip())
            return
        if fraction >= 1:
            self._task = None
            return
        if self._task is None:
            self._task = nuke.ProgressTask(title)
        self._task.setProgress(int(100 * fraction))
        self._task.setMessage(text)

    def end_progress(self) -> None:
        """Take the panel away, whatever came of the work."""
        self._task = None

    def offer(self, script: str) -> None:
        """Put the nodes of a written script into the artist's and have its CatFileCreator make the ``.cat``.

        Only where there is a window and the answer is yes.
        """
        torchscript = Path(script).with_suffix(".pt")

        def ask() -> None:
            if not nuke.ask(f"{script} is written. Put its nodes into this script, and make the .cat?"):
                return
            try:
                nuke.nodePaste(script)
                # What was pasted is selected. The artist's own creators are left alone.
                for creator in nuke.selectedNodes("CatFileCreator"):
                    if Path(str(_value(creator, "torchScriptFile"))) == torchscript:
                        cast("nuke.Script_Knob", creator["createCatFile"]).execute()
            except (NameError, RuntimeError) as error:
                self.message("error", f"Nuke did not make the .cat: {error}; open {script} and press Create there")

        if has_window():
            self._in_main(ask)

    def cancelled(self) -> bool:
        """Whether Cancel was pressed, in the panel or on the node."""
        return self.stopped or (self._task is not None and bool(self._task.isCancelled()))

    def message(self, level: str, text: str) -> None:
        """On the node; an error also in a window of its own. Without a window on the terminal."""
        if not has_window():
            _say(f"{self.label}: {level}: {text}")
            return

        def show() -> None:
            self._write("status", _html(text, level))
            if level == "error":
                nuke.message(f"{self.label}: {text}")

        self._in_main(show)

    def show_preview(self, path: str) -> None:
        """On the node. Nuke keeps an image that it has read, so each comes under another name."""
        if not has_window():
            return
        self._previews += 1
        source = Path(path)
        copy = source.with_name(f"{source.stem}.nuke{self._previews % 2}{source.suffix}")
        try:
            shutil.copyfile(source, copy)
        except OSError:
            return  # The next one comes soon.
        self._in_main(lambda: self._write("preview", f'<img src="{in_html(copy.as_posix())}" width="480">'))

    def show_result(self, pattern: str, states: Sequence[FrameState]) -> None:
        """Keep what was found, point the Read inside at the sequence, and say how many frames are not shown."""
        job = self.job()
        SHOWN.keep(job)
        self._in_main(lambda: self._show(job, states))

    def result_matches(self, job: Job) -> bool:
        """Whether the Read inside reads the job's frames as what they are."""
        read = self._result()
        file = str(_value(read, "file") or "")
        if with_view(file, self.view) != in_knob(job.out or ""):
            return False
        return job.out_colorspace is None or _same_space(read, job.out_colorspace)

    def _result(self) -> nuke.Node:
        read = cast("nuke.Group", self.node).node(RESULT)
        if read is None:
            raise JobError(f"{self.node.name()} has no {RESULT} inside", "create the node anew and copy its knobs")
        return read

    def _job(self) -> Job:
        name = self.node.name()
        work = self._path("work", "save the script, or give a folder")
        out = self._path("out", "save the script, or give a pattern such as /shots/a/out.%04d.exr")
        facts = self._plate_facts()
        first, last = facts.first, facts.last
        for knob, path in (("out", out), ("work", work)):
            if names_view(facts.pattern) and not names_view(self._file(knob)):
                raise JobError(
                    f"the plate differs by view and the knob {knob} of {name} does not: {path}",
                    "put %V into it, so that views do not overwrite each other",
                )
        steps = int(_value(self.node, "steps") or 0)
        tile = int(_value(self.node, "tile"))
        try:
            keyframes = frame_list(self.text("keyframes"))
            range_ends(self.text("frames") or "1")
        except JobError as error:
            raise JobError(f"{name}: {error.message}", error.remedy) from error
        return Job(
            plate=self._absolute("plate", with_view(facts.pattern, self.view), "give the whole path"),
            frames=self.text("frames") or (f"{first}-{last}" if last > first else f"{first}"),
            work=work,
            colorspace=facts.colorspace,
            keyframes=tuple(self._keyframe(frame) for frame in keyframes),
            out=out,
            look=self._path("look", "give the whole path") if self._file("look") else None,
            out_colorspace=colorspace_name(self.text("colorspace_out")) or self._working_space(),
            ocio=self._ocio(),
            budget_s=None if steps > 0 else float(_value(self.node, "budget")),
            steps=steps if steps > 0 else None,
            seed=int(_value(self.node, "seed") or 0),
            device=self.text("device") or "auto",
            tile=tile if tile >= 0 else None,
            carried=bool(_value(self.node, "carried")),
            matte=self._path("mattes", "give the whole path") if self._file("mattes") else None,
            matte_use=self.text("matte_use") or "both",
            guides=bool(_value(self.node, "follow")),
            host=self.name,
        )

    def _plate_facts(self) -> ReadFacts:
        given = self._file("plate")
        space = colorspace_name(self.text("colorspace_in"))
        if given:
            root = nuke.root()
            return ReadFacts(given, int(root.firstFrame()), int(root.lastFrame()), space)
        facts = facts_of_read(read_above(self.node), self._file_of, self._working_space())
        return ReadFacts(facts.pattern, facts.first, facts.last, space or facts.colorspace)

    def _keyframe(self, frame: int) -> JobKeyframe:
        painting = frame_path(self._path("paintings", "give a pattern such as /paint/%04d.png"), frame)
        matte = frame_path(self._path("matte", "give the whole path"), frame) if self._file("matte") else None
        return JobKeyframe(frame, painting, matte if matte is not None and Path(matte).is_file() else None)

    def _with_keyframe(self, job: Job, frame: int, painting: str) -> Job:
        kept = tuple(keyframe for keyframe in job.keyframes if keyframe.frame != frame)
        return replace(job, keyframes=(*kept, JobKeyframe(frame, painting)))

    def _path(self, knob: str, remedy: str) -> str:
        text = self._file(knob)
        if not text:
            raise JobError(f"the knob {knob} of {self.node.name()} is empty", remedy)
        return self._absolute(knob, with_view(text, self.view), remedy)

    def _absolute(self, knob: str, path: str, remedy: str) -> str:
        if not is_absolute(path):
            raise JobError(f'the knob {knob} of {self.node.name()} gives "{path}", which is no whole path', remedy)
        return path

    def _file(self, knob: str) -> str:
        return self._file_of(self.node, knob)

    def _file_of(self, node: nuke.Node, name: str) -> str:
        """A file knob's text with Tcl evaluated, and frame and view left open."""
        knob = cast("nuke.File_Knob | None", node.knob(name))
        raw = str((None if knob is None else knob.value()) or "").strip()
        text = with_frame_token(raw)
        if knob is None or "[" not in text:
            return text
        try:
            if text == raw:
                return str(knob.getEvaluatedValue() or "").strip()
            # Nuke would put the current frame's number in, and the whole sequence is wanted.
            return str(nuke.tcl("subst", text)).strip()
        except RuntimeError as error:
            raise JobError(
                f'the knob {name} of {node.name()} holds "{raw}", which cannot be evaluated: {error}', "correct it"
            ) from error

    def _working_space(self) -> str | None:
        return colorspace_name(_value(nuke.root(), "workingSpaceLUT"))

    def _ocio(self) -> str | None:
        """The OCIO config: the knob, $OCIO, or the project's own. None where the project's is not a file that can be
        found, and OCIO's built-in one is used."""
        given = self._file("ocio")
        if given:
            return given
        if os.environ.get("OCIO"):
            return os.environ["OCIO"]
        root = nuke.root()
        chosen = str(_value(root, "OCIO_config") or "")
        if chosen == "custom":
            return self._file_of(root, "customOCIOConfigPath") or None
        folder = Path(str(nuke.env.get("ExecutablePath", ""))).parent
        config = folder / "plugins" / "OCIOConfigs" / "configs" / chosen / "config.ocio"
        return str(config) if chosen and config.is_file() else None

    def _viewer(self) -> tuple[str | None, str | None]:
        viewer = nuke.activeViewer() if has_window() else None
        label = _value(viewer.node(), "viewerProcess") if viewer is not None else _value(nuke.root(), "monitorLut")
        view, display = view_and_display(None if label is None else str(label))
        return display, view

    def _show(self, job: Job, states: Sequence[FrameState]) -> None:
        try:
            self.point_result(job)
        except JobError as error:
            self.message("error", str(error))
            return
        self.reload()
        self._write("status", _summary(states))

    def reload(self) -> None:
        """Have the Read inside read its files again: Nuke keeps frames that were replaced since."""
        cast("nuke.Script_Knob", self._result()["reload"]).execute()

    def point_result(self, job: Job) -> None:
        """Point the Read inside at the job's frames, as what they are. From the main thread.

        Raises:
            JobError: Nuke does not know the frames' colorspace.
        """
        read = self._result()
        first, last = range_ends(job.frames)
        read["file"].setValue(in_knob(self._file("out")))
        for knob, value in (("first", first), ("last", last), ("origfirst", first), ("origlast", last)):
            read[knob].setValue(value)
        read["origset"].setValue(True)
        if job.out_colorspace is not None:
            read["colorspace"].setValue(job.out_colorspace)
            if not _same_space(read, job.out_colorspace):
                raise JobError(
                    f"Nuke does not take {job.out_colorspace} as a file's colorspace",
                    f"fill in colorspace out of {self.node.name()} with one that a Read offers",
                )

    def _write(self, knob: str, text: str) -> None:
        self.node[knob].setValue(text)

    def _in_main(self, call: Callable[[], None]) -> None:
        if threading.current_thread() is threading.main_thread():
            call()
        else:
            nuke.executeInMainThread(call)


def _views(write: nuke.Node | None) -> list[str]:
    chosen = str(_value(write, "views") or "").split() if write is not None else []
    known = list(nuke.views())
    return [view for view in chosen if view in known] or known or ["main"]


def _same_space(read: nuke.Node, name: str) -> bool:
    """Whether a Read takes its file as this colorspace; a role may be shown with what it stands for in brackets."""
    space = colorspace_name(_value(read, "colorspace")) or ""
    return space == name or space.startswith(f"{name} (")


def _value(node: nuke.Node, name: str) -> Any:
    knob = node.knob(name)
    return None if knob is None else knob.value()


def _say(text: str) -> None:
    # A name that steers terminals is written out.
    nuke.tprint("".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text))


def _html(text: str, level: str) -> str:
    plain = in_html(text)
    return plain if level == "info" else f"<b>{level}:</b> {plain}"


def _summary(states: Sequence[FrameState]) -> str:
    hidden = [state for state in states if not state.shown]
    text = f"{len(states) - len(hidden)} of {len(states)} frames shown"
    if not hidden:
        return text
    return _html(f"{text}; {'; '.join(state.reason for state in hidden[:5])}" + (" ..." if hidden[5:] else ""), "info")
