"""A host without a host: the same session, driven by a script. For tests, and for pipelines of one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from plugin.client.host import FrameState, Host
from plugin.client.job import Job, JobKeyframe

__all__ = ["FakeHost"]


def _never(title: str, fraction: float) -> bool:
    return False


@dataclass
class FakeHost(Host):
    """Holds a job as a host's knobs would, and writes down everything that it is told."""

    knobs: Job
    """The shot; :meth:`add_keyframe` changes it."""
    frame: int = 0
    """Where the artist is."""
    stop_when: Callable[[str, float], bool] = _never
    """Asked with the last title and fraction: whether the artist presses Cancel."""
    view: tuple[str | None, str | None] = (None, None)
    """Display and view of the viewer."""
    progress: list[tuple[str, float, str]] = field(default_factory=list)
    """Title, fraction and text of every report."""
    messages: list[tuple[str, str]] = field(default_factory=list)
    """Level and text."""
    previews: list[str] = field(default_factory=list)
    """Paths, one for each time that the image was new."""
    viewer: dict[int, str] = field(default_factory=dict)
    """What the result shows: the path of each frame that is right, and of no other."""
    reasons: dict[int, str] = field(default_factory=dict)
    """For each frame that is not shown, why."""

    @property
    def name(self) -> str:
        """Itself."""
        return "FakeHost"

    def current_frame(self) -> int:
        """Where the artist is."""
        return self.frame

    def job(self) -> Job:
        """The knobs."""
        return self.knobs

    def painting_view(self) -> tuple[str | None, str | None]:
        """The viewer's."""
        return self.view

    def add_keyframe(self, frame: int, painting: str) -> None:
        """Add to the knobs."""
        self.knobs = replace(self.knobs, keyframes=(*self.knobs.keyframes, JobKeyframe(frame, painting)))

    def show_progress(self, title: str, fraction: float, text: str) -> None:
        """Written down."""
        self.progress.append((title, fraction, text))

    def cancelled(self) -> bool:
        """What ``stop_when`` says of the last report."""
        title, fraction, _ = self.progress[-1] if self.progress else ("", 0.0, "")
        return self.stop_when(title, fraction)

    def message(self, level: str, text: str) -> None:
        """Written down."""
        self.messages.append((level, text))

    def show_preview(self, path: str) -> None:
        """Written down."""
        self.previews.append(path)

    def show_result(self, pattern: str, states: Sequence[FrameState]) -> None:
        """Show what is right, and say of the rest why not."""
        for state in states:
            self.viewer.pop(state.frame, None)
            self.reasons.pop(state.frame, None)
            if state.shown:
                self.viewer[state.frame] = state.path
            else:
                self.reasons[state.frame] = state.reason
