"""Going on from an earlier training: a checkpoint's networks, a look's weights taken apart, and what is refused."""

from __future__ import annotations

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
from engine.training.job.job import CHECKPOINT, Settings, TrainingJob
from engine.training.train import train
from tests.support import lookfactory
from tests.support.procedural import TINY, ProceduralShot, painting_of, plate

SIZE = (96, 128)
STEPS = 30


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> ProceduralShot:
    """A shot whose look and checkpoint are of some steps."""
    shot = ProceduralShot.write(tmp_path_factory.mktemp("shot"), size=SIZE, frames=2)
    train(shot.job(steps=STEPS), lambda event: None, settings=TINY)
    return shot


def goes_on(shot: ProceduralShot, start: Path, settings: Settings = TINY, **changes: Any) -> tuple[Look, list[str]]:
    """The look of a training that goes on, and its notes."""
    job: TrainingJob = shot.job(work="next", **{"steps": 1, **changes})
    said: list[dict[str, Any]] = []
    done = train(msgspec.structs.replace(job, start=start), said.append, settings=settings)
    return Look.load(done.look, device="cpu"), [event["text"] for event in said if event["event"] == "note"]


def result(look: Look, shot: ProceduralShot) -> np.ndarray:
    return shaper.encode(look.stylize(images.read(shot.plate()).rgb).rgb)


@pytest.mark.slow
def test_a_look_is_taken_apart_to_what_it_does(trained: ProceduralShot) -> None:
    """After one step at hardly any rate it still gives nearly its own result, and far from that of a new training."""
    own = trained.folder / "work" / "look.onnx"
    before = result(Look.load(own, device="cpu"), trained)
    look, notes = goes_on(trained, own)
    assert "goes on from the weights of look.onnx" in notes
    begun, _ = goes_on(trained, trained.folder / "work" / CHECKPOINT)
    fresh = train(trained.job(work="fresh", steps=1), lambda event: None, settings=TINY)
    afresh = np.abs(result(Look.load(fresh.look, device="cpu"), trained) - before).mean()
    for each in (look, begun):
        assert np.abs(result(each, trained) - before).mean() < 0.35 * afresh


@pytest.mark.slow
def test_a_changed_painting_is_learnt_from_there(trained: ProceduralShot, tmp_path: Path) -> None:
    painting = 0.4 * painting_of(plate(*SIZE))
    changed = tmp_path / "changed.exr"
    images.write(changed, painting, bit_depth="float")
    checkpoint = trained.folder / "work" / CHECKPOINT
    look, notes = goes_on(trained, checkpoint, steps=STEPS, keyframes=(trained.keyframe(0, painting=changed),))
    assert f"goes on from step {STEPS} of checkpoint.safetensors" in notes
    before = result(Look.load(trained.folder / "work" / "look.onnx", device="cpu"), trained)
    after, wanted = result(look, trained), shaper.encode(painting)
    assert np.abs(after - wanted).mean() < 0.7 * np.abs(before - wanted).mean()


@pytest.mark.slow
def test_a_look_of_another_network_is_refused(trained: ProceduralShot) -> None:
    with pytest.raises(InputError, match="the look is of another network than 16 channels and 2 blocks"):
        goes_on(trained, trained.folder / "work" / "look.onnx", TINY.with_values({"blocks": 2}))
    with pytest.raises(InputError, match="the checkpoint does not fit this recipe"):
        goes_on(trained, trained.folder / "work" / CHECKPOINT, TINY.with_values({"blocks": 2}))


def test_what_is_nothing_to_go_on_from_is_refused(tmp_path: Path) -> None:
    shot = ProceduralShot.write(tmp_path, size=SIZE, frames=2)
    with pytest.raises(InputError, match="there is no look and no checkpoint to go on from"):
        goes_on(shot, tmp_path / "none.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing")
    with pytest.raises(InputError, match="the checkpoint is damaged"):
        goes_on(shot, damaged)
    lookfactory.gain(tmp_path / "foreign.onnx", 0.5)
    with pytest.raises(InputError, match=r"of another network|by the recipe"):
        goes_on(shot, tmp_path / "foreign.onnx")
