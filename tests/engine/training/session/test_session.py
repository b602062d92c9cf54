"""A session: what it trains and shows, paintings that change meanwhile, and that nothing is lost when it is killed."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch")

from engine import images
from engine.base.errors import InputError
from engine.color import shaper
from engine.look.session import Look
from engine.training.job.job import TrainingJob
from engine.training.job.session import (
    Attend,
    Export,
    GoOn,
    LookAt,
    Paint,
    Pause,
    SessionCommand,
    TrainAgain,
    command_line_of,
    result_path,
)
from engine.training.session.commands import CommandQueue
from engine.training.session.session import TrainingSession
from tests.support.procedural import TINY, ProceduralShot, painting_of, plate
from tests.support.session_commands import GivenCommands

pytestmark = pytest.mark.slow
SIZE = (96, 128)


class Driven:
    """A session that does one thing at a time."""

    def __init__(self, job: TrainingJob) -> None:
        self.said: list[dict[str, Any]] = []
        self.commands = GivenCommands()
        self.session = TrainingSession(job, self.said.append, self.commands, TINY)
        self.session._do(Paint(job.keyframes, job.unpainted))

    def do(self, *commands: SessionCommand) -> None:
        self.commands.next = list(commands)
        self.session._hear()

    def train(self) -> int:
        """Steps until training is over."""
        before = self.session.schedule.step
        while self.session._trains:
            self.session._step()
        return self.session.schedule.step - before

    def show(self, frame: int) -> np.ndarray:
        """The frame's result, whole, once the session has nothing more to render of it."""
        self.do(LookAt(frame))
        while (found := self.session._to_render(float("inf"))) is not None and found[0] == frame:
            assert self.session._render_next(float("inf"))
        return np.load(result_path(self.session.job.work, frame)).astype(np.float32)

    def texts(self, kind: str) -> list[str]:
        return [event["text"] for event in self.said if event["event"] == kind]


@pytest.fixture
def shot(tmp_path: Path) -> ProceduralShot:
    return ProceduralShot.write(tmp_path, size=SIZE, frames=3)


def test_a_session_trains_as_long_as_it_is_told(shot: ProceduralShot) -> None:
    driven = Driven(shot.job(steps=12))
    assert driven.train() == 12
    reports = [event for event in driven.said if "state" in event]
    assert reports[0]["state"] == "training" and reports[-1]["state"] == "trained"
    assert reports[-1]["loss"] > 0 and reports[-1]["fraction"] == 1.0
    driven.do(GoOn())
    # Half as long again, as after a changed painting.
    assert driven.train() == 6


def test_the_frame_in_view_comes_at_half_size_first(shot: ProceduralShot) -> None:
    driven = Driven(shot.job(steps=4))
    result = driven.show(1)
    shown = [event["shown"] for event in driven.said if "shown" in event]
    assert [(each["frame"], each["proxy"]) for each in shown] == [(1, True), (1, False)]
    assert result.shape == (*SIZE, 4) and np.isfinite(result).all()


def test_a_keyframe_shows_new_paint_at_once(shot: ProceduralShot) -> None:
    driven = Driven(shot.job(steps=4))
    before = driven.show(0)
    painting = painting_of(plate(*SIZE))
    painting[32:64, 40:80] = (0.8, 0.1, 0.1)
    changed = shot.folder / "changed.exr"
    images.write(changed, painting, bit_depth="float")
    driven.do(Paint((shot.keyframe(0, painting=changed),), None, 5))
    after = driven.show(0)
    shown = [event["shown"] for event in driven.said if "shown" in event]
    assert shown[-1]["revision"] == 5
    inside, outside = (slice(36, 60), slice(44, 76)), (slice(0, 24), slice(0, 128))
    moved = np.abs(shaper.encode(after[..., :3]) - shaper.encode(before[..., :3]))
    assert moved[inside].mean() > 0.1 > 10 * moved[outside].mean()


def test_a_changed_painting_opens_training_again_and_its_strokes_come_first(shot: ProceduralShot) -> None:
    driven = Driven(shot.job(steps=10))
    driven.train()
    assert driven.session.schedule.is_over
    driven.do(Paint(shot.job().keyframes, None, 1))
    assert driven.session.schedule.is_over, "nothing has changed"
    painting = painting_of(plate(*SIZE))
    painting[32:64, 40:80] = (0.8, 0.1, 0.1)
    images.write(shot.painting(), painting, bit_depth="float")
    driven.do(Paint(shot.job().keyframes, None, 2))
    assert driven.session.schedule.progress == 0.5
    sampler = driven.session.recipe.sampler
    assert sampler._fresh == {}, "the frame in view is shown first"
    driven.session._take_repainted()
    assert {tuple(cell) for cell in sampler._fresh[0].tolist()} == {
        (row, column) for row in (32, 48, 64) for column in (48, 64, 80)
    }
    assert driven.train() == 5


def test_what_was_erased_is_no_longer_learnt(shot: ProceduralShot) -> None:
    alpha = np.ones(SIZE, np.float32)
    alpha[:, 64:] = 0
    painting = painting_of(plate(*SIZE))
    images.write(shot.painting(), painting, alpha=alpha, bit_depth="float")
    driven = Driven(shot.job(steps=4, unpainted="translate"))
    assert driven.session.recipe.sampler.pairs[0].weight[0, 8:104, 8:136].numpy().mean() == 0.5
    alpha[:, 32:] = 0
    images.write(shot.painting(), painting, alpha=alpha, bit_depth="float")
    driven.do(Paint(shot.job().keyframes, "translate", 1))
    driven.session._take_repainted()
    assert driven.session.recipe.sampler.pairs[0].weight[0, 8:104, 8:136].numpy().mean() == 0.25


def test_paintings_that_cannot_be_read_are_told_and_the_others_go_on(shot: ProceduralShot) -> None:
    driven = Driven(shot.job(steps=4))
    missing = shot.keyframe(1, painting=shot.folder / "none.exr")
    driven.do(Paint((*shot.job().keyframes, missing)))
    assert "frame 1: the painting is missing" in driven.texts("warning")[-1]
    assert [keyframe.frame for keyframe in driven.session.keyframes] == [0]
    driven.do(Paint(()))
    assert driven.said[-1]["state"] == "unpainted" and driven.train() == 0


def test_a_paused_session_takes_no_step(shot: ProceduralShot) -> None:
    driven = Driven(shot.job(steps=4))
    driven.do(Pause())
    assert driven.train() == 0 and driven.said[-1]["state"] == "paused"
    driven.do(GoOn())
    assert driven.train() == 4


def test_what_a_killed_session_learnt_is_gone_on_with(shot: ProceduralShot) -> None:
    first = Driven(shot.job(steps=12))
    for _ in range(8):
        first.session._step()
    first.session.checkpoint()
    before = first.show(2)
    second = Driven(shot.job(steps=12, resume=True))
    assert "goes on at step 8" in second.texts("note")
    np.testing.assert_allclose(second.show(2), before, atol=2e-3)
    assert second.train() == 4
    again = Driven(shot.job(steps=12))
    assert again.session.schedule.step == 0


def test_a_checkpoint_of_another_network_is_told_and_left(shot: ProceduralShot) -> None:
    first = Driven(shot.job(steps=4))
    first.train()
    first.session.checkpoint()
    other = msgspec.structs.replace(shot.job(steps=4, resume=True))
    said: list[dict[str, Any]] = []
    session = TrainingSession(other, said.append, GivenCommands(), TINY.with_values({"blocks": 2}))
    session._do(Paint(other.keyframes))
    assert session.schedule.step == 0
    assert any("checkpoint is not gone on with" in event.get("text", "") for event in said)


def test_training_afresh_forgets(shot: ProceduralShot) -> None:
    driven = Driven(shot.job(steps=6))
    driven.train()
    learnt = driven.session.recipe
    driven.do(TrainAgain())
    assert driven.session.recipe is not learnt and driven.session.schedule.step == 0
    assert driven.train() == 6


def test_an_exported_look_is_what_is_shown(shot: ProceduralShot) -> None:
    driven = Driven(shot.job(steps=6))
    driven.do(Export(shot.folder / "early.onnx"))
    assert driven.texts("warning")[-1].startswith("there is nothing to export yet")
    driven.train()
    driven.do(Export(shot.folder / "hero.onnx"))
    exported = next(event for event in driven.said if "exported" in event)
    assert exported["check_error"] < 1e-3
    look = Look.load(shot.folder / "hero.onnx", device="cpu")
    assert look.card.trained.steps == 6 and [key.frame for key in look.card.keyframes] == [0]


def test_wrong_commands_are_one_warning_each(shot: ProceduralShot) -> None:
    driven = Driven(shot.job(steps=4))
    driven.do(LookAt(99))
    assert driven.texts("warning") == ["frame 99 is outside the frame range 0-2"]


def test_commands_are_heard_in_order_and_the_latest_counts() -> None:
    lines = [command_line_of(command) for command in (LookAt(1), Paint(()), LookAt(2), Pause())]
    commands = CommandQueue(io.StringIO("\n".join([*lines[:2], "nonsense", *lines[2:]]) + "\n"))
    heard: list[SessionCommand | InputError] = []
    while not heard or type(heard[-1]).__name__ != "Leave":
        heard += commands.take(5.0)
    names = [type(each).__name__ for each in heard]
    assert names[-2:] == ["Pause", "Leave"] and names.count("InputError") == 1
    assert [each.frame for each in heard if isinstance(each, LookAt)][-1] == 2


def test_while_somebody_paints_no_step_is_begun_but_not_for_ever(shot: ProceduralShot) -> None:
    driven = Driven(shot.job(steps=4))
    session = driven.session
    began = time.perf_counter()
    session._last_step = began
    driven.do(Attend())
    assert began + 1.5 <= session._quiet_until <= time.perf_counter() + 1.5
    assert session._is_quiet(began + 1.4) and not session._is_quiet(time.perf_counter() + 1.6)
    session._last_step = began - 6.1
    assert not session._is_quiet(began + 0.1), "a step is made now and then"


def test_a_picture_that_is_no_longer_wanted_is_given_up(shot: ProceduralShot) -> None:
    driven = Driven(shot.job(steps=4))
    driven.show(0)
    said = len(driven.said)
    driven.commands.next = [LookAt(2)]
    driven.session._view = 1
    assert driven.session._render_next(float("inf"))
    assert len(driven.said) == said and not result_path(shot.job().work, 1).exists()
    driven.session._hear()
    assert driven.session._to_render(float("inf")) == (2, True)
