"""What was prepared for a frame is checked by hash before a farm renders it: files swapped, damaged, added since."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.base.frames import SequencePath
from engine.motion.stmap import sidecar_path
from engine.preparation.hash_records import record_path
from engine.preparation.prepared_files import denoised_frames, guide_images
from engine.shot.keyframes import Keyframe
from engine.shot.plate import plate_sha256
from plugin.arguments.options import Options
from plugin.cli import main
from plugin.farm.plan import FarmPlan, plan_from
from tests.support import ROOT, lookfactory
from tests.support.command_line import Cli
from tests.support.farm_shot import make_cli
from tests.support.pictures import picture

pytestmark = pytest.mark.cluster

REMEDY = "run paintover prepare again"
OTHER = np.full((24, 32, 3), 0.25, np.float32)


@pytest.fixture
def shot(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """A look that takes STMaps, guide images, and denoised frames in the plate's place."""
    made = make_cli(tmp_path / "shot", capsys, monkeypatch)
    exemplar = {"frame": 0, "exemplar_sha256": "0", "width": 32, "height": 24}
    lookfactory.guided(made.folder / "hero.onnx", "points", keyframes=[exemplar])
    return made


@pytest.fixture
def plan(shot: Cli) -> FarmPlan:
    """The shot planned as ``submit`` does, and prepared and trained as the farm does."""
    options = Options(
        plate="plate.%04d.png", frames="0-5", keyframes=[Keyframe.parse("0=painted.0000.png")],
        work="work", out="out.%04d.exr",
        steps=10, device="cpu", denoise="aware", guides="points", chunk=6,
    )  # fmt: skip
    made = plan_from(options)
    assert [step.name for step in made.steps] == ["prepare", "train", "render", "verify"]
    for step in made.steps[:2]:
        assert [main(step.words(task)) for task in range(step.tasks)] == [0] * step.tasks
    return made


def render(plan: FarmPlan, *more: str) -> subprocess.CompletedProcess[str]:
    step = plan.step("render")
    assert step is not None
    words = [sys.executable, "-m", "plugin", *step.words(0), *more]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)


def stmap(plan: FarmPlan, frame: int) -> Path:
    return sidecar_path(plan.work, 0, frame)


def plate(plan: FarmPlan) -> SequencePath:
    return SequencePath.parse(plan.inputs[0])


def foreign_stmap(plan: FarmPlan) -> Path:
    shutil.copyfile(stmap(plan, 5), stmap(plan, 4))
    return stmap(plan, 4)


def half_an_stmap(plan: FarmPlan) -> Path:
    stmap(plan, 4).write_bytes(stmap(plan, 4).read_bytes()[:-40])
    return stmap(plan, 4)


def stmap_of_unknown_origin(plan: FarmPlan) -> Path:
    record_path(stmap(plan, 4)).unlink()
    return stmap(plan, 4)


def forged_denoised_frame(plan: FarmPlan) -> Path:
    """Its header says all the right things."""
    files = denoised_frames(plan.work, plate(plan), "aware")
    digest = images.read_provenance(files.path(4))["derived"]
    files.write(4, OTHER, plate_sha256=plate_sha256(plate(plan), 4), digest=digest)
    return files.path(4)


def guide_put_there_since(plan: FarmPlan) -> Path:
    path = guide_images(plan.work, "points", [0]).path(4)
    images.write(path, OTHER)
    return path


@pytest.mark.parametrize(
    ("swap", "workers"),
    [
        (foreign_stmap, ("--workers", "2")),
        (half_an_stmap, ()),
        (stmap_of_unknown_origin, ()),
        (forged_denoised_frame, ()),
        (guide_put_there_since, ()),
    ],
)
def test_what_is_not_what_was_prepared_fails_its_frame_alone(
    plan: FarmPlan, swap: Callable[[FarmPlan], Path], workers: tuple[str, ...]
) -> None:
    path = swap(plan)
    said = render(plan, *workers)
    assert said.returncode == 1, said
    (line,) = [line for line in said.stderr.splitlines() if line.startswith("paintover: 1 of 6")]
    assert "1 of 6 frames failed (4); " in line and "frame 4" in line and str(path) in line and REMEDY in line
    assert tuple(plan.out.existing() or ()) == (0, 1, 2, 3, 5)


def test_preparing_again_makes_it_right(plan: FarmPlan) -> None:
    half_an_stmap(plan)
    assert render(plan).returncode == 1
    prepare = plan.step("prepare")
    assert prepare is not None
    assert [main(prepare.words(task)) for task in range(prepare.tasks)] == [0] * prepare.tasks
    said = render(plan)
    assert said.returncode == 0, said
    assert tuple(plan.out.existing() or ()) == (0, 1, 2, 3, 4, 5)


def test_a_frame_that_lost_its_stmap_is_no_plain_translation(plan: FarmPlan) -> None:
    stmap(plan, 4).unlink()
    step = plan.step("render")
    assert step is not None
    words = [word for word in step.words(0) if word != "--expect-stmaps"]
    said = subprocess.run([sys.executable, "-m", "plugin", *words], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 1 and "the STMap of keyframe 0 is missing" in said.stderr, said
    assert 4 not in (plan.out.existing() or ())


def test_an_artists_own_stmap_is_known_by_what_it_was_when_prepared(shot: Cli, plan: FarmPlan) -> None:
    own = stmap(plan, 4)
    images.write(own, OTHER, bit_depth="float")
    assert render(plan).returncode == 1
    prepare = plan.step("prepare")
    assert prepare is not None
    assert [main(prepare.words(task)) for task in range(prepare.tasks)] == [0] * prepare.tasks
    assert images.read(own).rgb == pytest.approx(OTHER)
    assert render(plan).returncode == 0


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_records_are_as_sha256sum_has_them(plan: FarmPlan) -> None:
    for folder, count in (("stmap/key_0000", 6), ("denoised", 6), ("guide", 6)):
        records = sorted((plan.work / folder).glob("*.sha256"))
        assert len(records) == count
        words = ["sha256sum", "--check", "--strict", *(path.name for path in records)]
        assert subprocess.run(words, cwd=plan.work / folder, capture_output=True).returncode == 0
    picture(plan.work / "guide" / "0002.exr", seed=3)
    words = ["sha256sum", "--check", "--strict", "0002.exr.sha256"]
    assert subprocess.run(words, cwd=plan.work / "guide", capture_output=True).returncode == 1


def test_without_preparing_nothing_is_asked_for(shot: Cli) -> None:
    lookfactory.gain(shot.folder / "hero.onnx", 0.5)
    options = Options(plate="plate.%04d.png", frames="0-5", look="hero.onnx", work="work", out="out.%04d.exr")
    step = plan_from(options).step("render")
    assert step is not None and "--expect-prepared" not in step.command
