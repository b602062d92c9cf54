"""Checkpoints: data only, whole or not there, and a resumed run ends where an uninterrupted one does."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

torch = pytest.importorskip("torch", reason="training is not installed")
torch.set_num_threads(1)  # tiny networks on a busy machine: a second thread mostly waits

from engine.base.errors import InputError, Interrupted, OutputError
from engine.base.stop_flag import StopFlag
from engine.training import train as training
from engine.training.job.job import TrainingJob
from engine.training.train import Trained, train
from tests.support.interrupts import StopAfter
from tests.support.procedural import TINY, ProceduralShot


def run(job: TrainingJob, stop: StopFlag | None = None) -> Trained:
    return train(job, lambda event: None, stop, settings=TINY)


def checkpoint(job: TrainingJob) -> Path:
    return job.work / "train" / "checkpoint.safetensors"


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> ProceduralShot:
    return ProceduralShot.write(tmp_path_factory.mktemp("shot"), painted=(0, 2))


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "stops"), [("paintover", (3,)), ("paintover", (0, 2, 5)), ("texler2020", (1,))])
def test_a_resumed_run_gives_the_same_look(
    shot: ProceduralShot, tmp_path: Path, recipe: str, stops: tuple[int, ...]
) -> None:
    steps = 7 if recipe == "paintover" else 2
    whole = shot.job(work="whole", steps=steps, look=tmp_path / "whole.onnx", recipe=recipe)
    parts = replace(whole, work=tmp_path / "parts", look=tmp_path / "parts" / "whole.onnx")
    assert run(whole).stopped == "done"
    reached = 0
    for number, stop in enumerate(stops):
        if stop == 0:
            # An untrained look would take the place of a good one.
            with pytest.raises(Interrupted, match="stopped before its first step"):
                run(parts, StopAfter(0))
            assert not parts.look.exists()
            continue
        done = run(replace(parts, resume=number > 0), StopAfter(stop - reached))
        reached = stop
        assert (done.stopped, done.steps) == ("interrupted", reached)
        assert parts.look.is_file()
    done = run(replace(parts, resume=True))
    assert (done.stopped, done.steps) == ("done", steps)
    assert parts.look.read_bytes() == whole.look.read_bytes()


def test_resuming_a_finished_run_gives_the_same_look_again(shot: ProceduralShot, tmp_path: Path) -> None:
    job = shot.job(steps=3, work="finished", look=tmp_path / "look.onnx")
    run(job)
    before = job.look.read_bytes()
    assert run(replace(job, resume=True)).steps == 3
    assert job.look.read_bytes() == before


def test_a_longer_run_continues_a_shorter_one(shot: ProceduralShot, tmp_path: Path) -> None:
    job = shot.job(steps=3, work="longer", look=tmp_path / "look.onnx")
    run(job)
    events: list[dict[str, object]] = []
    done = train(replace(job, steps=5, resume=True), events.append, settings=TINY)
    assert done.steps == 5
    assert any("resumed at step 3" in str(event.get("text")) for event in events)


def test_the_seed_decides(shot: ProceduralShot, tmp_path: Path) -> None:
    looks = []
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        job = shot.job(steps=4, seed=seed, work=name, look=tmp_path / name / "look.onnx")
        run(job)
        looks.append(job.look.read_bytes())
    assert looks[0] == looks[1] != looks[2]


def test_a_checkpoint_is_tensors_and_json(shot: ProceduralShot, tmp_path: Path) -> None:
    job = shot.job(steps=2, work="plain", look=tmp_path / "look.onnx")
    run(job)
    path = checkpoint(job)
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    kinds = {entry["dtype"] for key, entry in header.items() if key != "__metadata__"}
    assert kinds <= {"F32", "I64"}
    ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
    assert len(data) == 8 + length + max(ends)  # nothing before, between or behind the tensors
    state = json.loads(header["__metadata__"]["paintover"])
    assert (state["step"], state["recipe"], state["format"]) == (2, "paintover", 1)
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["step"] == 2
    assert sorted(p.name for p in path.parent.iterdir()) == ["checkpoint.json", "checkpoint.safetensors"]
    for name in (b"torch._utils", b"collections", b"pickle", str(shot.folder).encode()):
        assert name not in data


@pytest.fixture
def trained(shot: ProceduralShot, tmp_path: Path) -> TrainingJob:
    job = replace(shot.job(steps=2), work=tmp_path, look=tmp_path / "look.onnx")
    run(job)
    job.look.unlink()
    return replace(job, steps=4, resume=True)


def refused(job: TrainingJob) -> str:
    with pytest.raises(InputError) as caught:
        run(job)
    line = str(caught.value)
    assert "\n" not in line and "without --resume" in line and "checkpoint.safetensors" in line
    assert caught.value.exit_code == 2 and not job.look.exists()
    return line


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.5, 0.999])
def test_a_truncated_checkpoint(trained: TrainingJob, share: float) -> None:
    data = checkpoint(trained).read_bytes()
    checkpoint(trained).write_bytes(data[: int(share * len(data))])
    assert "the checkpoint is damaged" in refused(trained)


@pytest.mark.parametrize("place", [0.6, 0.8, 0.95])
def test_a_hole_of_zeros_in_a_checkpoint(trained: TrainingJob, place: float) -> None:
    data = bytearray(checkpoint(trained).read_bytes())
    start = int(place * len(data))
    assert any(data[start : start + 4096])  # zeros over zeros would be no damage
    data[start : start + 4096] = bytes(len(data[start : start + 4096]))
    checkpoint(trained).write_bytes(data)
    assert "the checkpoint is damaged" in refused(trained)


@pytest.mark.parametrize("text", ["[]", "{}", "not json", '{"format": 1}', '{"format": 99}', "null"])
def test_a_checkpoint_with_another_header(trained: TrainingJob, text: str) -> None:
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, checkpoint(trained), metadata={"paintover": text})
    assert "checkpoint" in refused(trained)


def test_a_pickle_in_its_place_is_not_unpickled(trained: TrainingJob, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"x": Trap()}, checkpoint(trained))
    assert "the checkpoint is damaged" in refused(trained)
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_of_other_inputs(trained: TrainingJob) -> None:
    assert "other keyframes, recipe or seed" in refused(replace(trained, seed=99))
    assert "other keyframes, recipe or seed" in refused(replace(trained, recipe="texler2020"))
    assert "other keyframes, recipe or seed" in refused(replace(trained, keyframes=trained.keyframes[:1]))


def test_a_checkpoint_of_another_network(trained: TrainingJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights would fit, and mean something else."""
    monkeypatch.setattr(training, "REVISION", training.REVISION - 1)
    assert "by another version" in refused(trained)
    monkeypatch.undo()
    assert run(trained).stopped == "done"


def test_no_checkpoint_to_resume_from(shot: ProceduralShot, tmp_path: Path) -> None:
    events: list[dict[str, object]] = []
    job = replace(shot.job(resume=True), work=tmp_path, look=tmp_path / "look.onnx")
    assert train(job, events.append, settings=TINY).steps == 3
    assert any("no checkpoint to resume from" in str(event.get("text")) for event in events)


def test_what_a_killed_run_left_is_cleaned_up(trained: TrainingJob) -> None:
    import os

    from engine.base import temporaries

    dead = 2**22 - 3  # above every pid that a Linux kernel gives out by default
    for folder, stem, suffix in (
        (checkpoint(trained).parent, "checkpoint", ".safetensors"),
        (trained.look.parent, "look", ".onnx"),
    ):
        name = f".{stem}.{temporaries._host_tag()}-{dead}-0123abcd.tmp{suffix}"
        (folder / name).write_bytes(b"half")
    assert not Path(f"/proc/{dead}").exists() or os.name != "posix"
    run(trained)
    left = [p.name for p in trained.work.rglob("*") if ".tmp" in p.name]
    assert left == []


# The best look, when texture fades


@pytest.fixture
def fading(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The third and fourth step have texture, every later one has less."""
    monkeypatch.setattr(training, "GUARD_FROM", 0.05)
    monkeypatch.setattr(training, "GUARD_FROM_STEP", 3)
    monkeypatch.setattr(training, "GUARD_CHECKS", 1000)
    ratios = iter([0.8, 0.8, 0.5, 0.4, 0.3, *[0.2] * 100])
    # Only the exemplar's texture is asked for with a weight.
    monkeypatch.setattr(training, "texture_energy", lambda _, weight=None: next(ratios) if weight is None else 1.0)
    return monkeypatch


def weights(look: Path) -> list[bytes]:
    import onnx

    return [tensor.raw_data for tensor in onnx.load(look).graph.initializer]


def test_washing_out_stops_with_the_best_look(shot: ProceduralShot, tmp_path: Path, fading: pytest.MonkeyPatch) -> None:
    events: list[dict[str, object]] = []
    job = replace(shot.job(steps=50), work=tmp_path / "w", look=tmp_path / "w" / "look.onnx")
    done = train(job, events.append, settings=TINY)
    # Good at steps 3 and 4, fading at 5, 6 and 7.
    assert (done.stopped, done.steps) == ("washout", 7)
    assert any("wash out" in str(event.get("text")) for event in events)
    fading.setattr(training, "GUARD_FROM_STEP", 1000)
    best = replace(job, work=tmp_path / "b", look=tmp_path / "b" / "look.onnx")
    assert run(best, StopAfter(4)).steps == 4
    assert weights(job.look) == weights(best.look)


@pytest.mark.slow
def test_a_resumed_run_still_knows_the_best_look(
    shot: ProceduralShot, tmp_path: Path, fading: pytest.MonkeyPatch
) -> None:
    job = replace(shot.job(steps=50), work=tmp_path / "w", look=tmp_path / "w" / "look.onnx")
    assert run(job, StopAfter(6)).stopped == "interrupted"  # two looks into the fading
    interrupted = weights(job.look)
    done = run(replace(job, resume=True))
    assert (done.stopped, done.steps) == ("washout", 7)
    assert weights(job.look) == interrupted
    best = replace(job, steps=50, work=tmp_path / "b", look=tmp_path / "b" / "look.onnx")
    fading.setattr(training, "GUARD_FROM_STEP", 1000)
    run(best, StopAfter(4))
    assert weights(best.look) == interrupted
    # Finished by the wash-out: there is nothing to go on with.
    again = run(replace(job, resume=True))
    assert again.steps == 7 and weights(job.look) == interrupted


def test_a_work_folder_that_cannot_be_made(shot: ProceduralShot, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    job = replace(shot.job(steps=1), work=tmp_path / "file" / "work", look=tmp_path / "look.onnx")
    with pytest.raises(OutputError, match="cannot write"):
        run(job)


def test_no_texture_is_no_reason_to_stop(shot: ProceduralShot, tmp_path: Path, fading: pytest.MonkeyPatch) -> None:
    fading.setattr(training, "texture_energy", lambda *_: 0.0)
    job = replace(shot.job(steps=12), work=tmp_path, look=tmp_path / "look.onnx")
    assert run(job).stopped == "done"
    assert np.isfinite(run(replace(job, resume=True)).loss)
