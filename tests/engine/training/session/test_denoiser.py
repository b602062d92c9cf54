"""A session's denoised frames: made beside the training for what is painted and looked at, in the plate's place."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from engine import images
from engine.color import shaper
from engine.look.session import Look
from engine.preparation.prepare import prepare
from engine.shot.shot import Plate
from engine.training.job.session import Export, LookAt, Paint
from engine.training.session.denoiser import Denoiser
from engine.training.session.session import TrainingSession
from tests.support.procedural import TINY, ProceduralShot
from tests.support.session_commands import GivenCommands

pytestmark = pytest.mark.slow
WAIT_S = 240.0


@pytest.fixture
def shot(tmp_path: Path) -> ProceduralShot:
    """With grain, which nothing of the plate has by itself."""
    made = ProceduralShot.write(tmp_path, size=(64, 96), frames=3)
    for frame in range(3):
        path = tmp_path / f"plate.{frame:04d}.exr"
        found = images.read(path)
        grain = np.random.default_rng(frame).normal(0, 0.05, found.rgb.shape)
        images.write(path, (found.rgb + grain).astype(np.float32), like=found.header, bit_depth="float")
    return made


def test_keyframes_and_what_is_looked_at_lose_their_grain(shot: ProceduralShot) -> None:
    job, said = shot.job(steps=3, denoise="aware"), []
    session = TrainingSession(job, said.append, GivenCommands(), TINY)
    session._do(Paint(job.keyframes, job.unpainted, 4))
    first = session.keyframes[0].plate
    assert np.array_equal(first, images.read(shot.folder / "plate.0000.exr").rgb), "nobody waits"
    session._do(LookAt(2))
    session.denoiser.wait_for([0, 2])
    session._take_denoised()
    for frame in (0, 2):
        assert (job.work / "denoised" / f"plate.{frame:04d}.exr").is_file()
    assert not (job.work / "denoised" / "plate.0001.exr").exists(), "nobody looked at it"
    denoised = images.read(job.work / "denoised" / "plate.0000.exr").rgb
    assert np.array_equal(session.keyframes[0].plate, denoised) and not np.array_equal(denoised, first)
    assert session.revision == 4
    # The same files as `prepare --denoise` makes.
    plate = Plate.of(job.plate, job.frames, job.plate_colorspace)
    prepare(plate, (), shot.folder / "other", stmaps=False, denoise="aware", threads=1)
    for frame in (0, 2):
        own, other = (folder / "denoised" / f"plate.{frame:04d}.exr" for folder in (job.work, shot.folder / "other"))
        assert own.read_bytes() == other.read_bytes()
    while session._trains:
        session._step()
    look = shot.folder / "look.onnx"
    session._do(Export(look))
    assert Look.load(look, device="cpu").card.denoise == "aware"
    assert [event for event in said if event["event"] == "warning"] == []
    session.denoiser.close()


def test_a_frame_is_shown_with_its_grain_until_then_and_anew_afterwards(shot: ProceduralShot) -> None:
    job = shot.job(steps=3, denoise="aware")
    session = TrainingSession(job, lambda event: None, GivenCommands(), TINY)
    session.denoiser.close()
    session._do(Paint(job.keyframes, job.unpainted))
    session._do(LookAt(1))
    assert session._render_next(float("inf")) and not session.denoiser.has(1)
    shown = session._shown[1]
    plate = Plate.of(job.plate, job.frames, job.plate_colorspace)
    prepare(plate, (), job.work, stmaps=False, denoise="aware", threads=1)
    session.denoiser = Denoiser(job)
    session.frames._is_denoised = session.denoiser.has
    session._want_denoised()
    deadline = time.monotonic() + WAIT_S
    while 1 in session._shown and time.monotonic() < deadline:
        session._take_denoised()
        time.sleep(0.01)
    assert shown[2] is True and 1 not in session._shown
    denoised = images.read(job.work / "denoised" / "plate.0001.exr").rgb
    assert np.array_equal(session.frames._input(session.keyframes, 1).plate, shaper.encode(denoised))
    session.denoiser.close()


def test_what_cannot_be_denoised_is_said_once(shot: ProceduralShot) -> None:
    denoiser = Denoiser(shot.job(denoise="aware"))
    (shot.folder / "plate.0002.exr").write_bytes(b"no picture")
    denoiser.wait_for([1])
    (frame, why), *rest = denoiser.news()
    assert (frame, rest) == (1, []) and "plate.0002.exr" in why
    assert not denoiser.has(1)
    denoiser.want([1])
    denoiser.close()
    assert denoiser.news() == []


def test_without_denoise_nothing_is_begun(shot: ProceduralShot) -> None:
    denoiser = Denoiser(shot.job())
    denoiser.wait_for([0])
    assert denoiser._thread is None and not denoiser.has(0)
