"""A matte for every frame on the command line, in shot files, on farms, in reports and for hosts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from engine import images
from engine.color.config import ColorConfig
from engine.motion.stmap import sidecar_path
from plugin.arguments.options import Options
from plugin.arguments.request import shot_from
from plugin.arguments.settle import settle
from plugin.cli import main
from plugin.client.job import Job, JobKeyframe
from plugin.farm.plan import plan_from
from plugin.phases.rendering import settings_of as settings_of_options
from plugin.worker.tasks import out_of, settings_of
from tests.support.command_line import KEY, PLATE, RENDER, RUN, Cli
from tests.support.matte_files import box
from tests.support.pictures import HEIGHT, WIDTH

MATTE = ("--matte", "matte.%04d.png")
OUTSIDE = box(HEIGHT, WIDTH, 8, 16) == 0


@pytest.fixture
def matted(cli: Cli) -> Cli:
    for frame in range(11):
        matte = np.repeat(box(HEIGHT, WIDTH, 8, 16)[..., None], 3, axis=2)
        images.write(cli.folder / f"matte.{frame:04d}.png", matte, bit_depth="uint8")
    return cli


def frame(cli: Cli, number: int, name: str = "out") -> np.ndarray:
    return images.read(cli.folder / f"{name}.{number:04d}.png").rgb


def test_run_keeps_the_plate_outside_and_says_so(matted: Cli) -> None:
    said = matted(*RUN, *MATTE)
    assert said.code == 0, said.err
    assert said.out.count("mattes taken as data: coverage has no colorspace") == 1
    for number in (0, 7):
        plate = frame(matted, number, "plate")
        assert np.array_equal(frame(matted, number)[OUTSIDE], plate[OUTSIDE])
        assert np.abs(frame(matted, number) - plate)[box(HEIGHT, WIDTH, 8, 16) == 1].mean() > 0.1
    page = (matted.folder / "work" / "report.html").read_text(encoding="utf-8")
    assert "matte.%04d.png: outside the plate stays, and the object and what lies behind it are followed apart" in page
    facts = json.loads(matted("inspect", "out.0003.png", "--json").out)["provenance"]
    assert len(facts["matte"]) == 64
    assert matted("verify", "--work", "work", *PLATE, "--frames", "0-10", "--out", "out.%04d.png", *MATTE).code == 0
    foreign = matted.refused("verify", "--work", "work", *PLATE, "--frames", "0-10", "--out", "out.%04d.png", code=3)
    assert "11 of 11 frames are not right: foreign 0-10" in foreign
    images.write(matted.folder / "matte.0004.png", np.zeros((HEIGHT, WIDTH, 3), np.float32), bit_depth="uint8")
    said = matted(*RUN, *MATTE)
    assert said.code == 0
    # The stand-in look takes no STMaps of this keyframe; those that went through the changed matte are made again.
    assert re.search(r"out\.%04d\.png: 1 rendered in .*, 10 were already right", said.out)
    assert "work/stmap: STMaps, 7 made, 4 were already right" in said.out
    assert np.array_equal(frame(matted, 4), frame(matted, 4, "plate"))


def test_each_use_by_itself(matted: Cli) -> None:
    """Tracks know the mattes only with track, frames only with stylize."""
    prepare = ("prepare", *PLATE, "--frames", "0-3", "--keyframe", "0", *MATTE)
    for use in ("both", "stylize", "track"):
        assert matted(*prepare, "--matte-use", use, "--work", use).code == 0
    assert matted("prepare", *PLATE, "--frames", "0-3", "--keyframe", "0", "--work", "none").code == 0
    maps = {use: sidecar_path(matted.folder / use, 0, 2).read_bytes() for use in ("both", "stylize", "track", "none")}
    assert maps["none"] == maps["stylize"]
    assert len({maps["none"], maps["both"], maps["track"]}) == 3
    shot = '[plate]\npath = "plate.%04d.png"\nframes = "0-1"\n[matte]\npath = "matte.%04d.png"\nuse = "track"\n'
    (matted.folder / "shot.toml").write_text('look = "hero.onnx"\nout = "toml.%04d.png"\n' + shot)
    assert matted("render", "shot.toml", "--device", "cpu").code == 0
    assert not np.array_equal(frame(matted, 1, "toml")[OUTSIDE], frame(matted, 1, "plate")[OUTSIDE])
    assert matted("render", "shot.toml", "--device", "cpu", "--matte-use", "both").code == 0
    assert np.array_equal(frame(matted, 1, "toml")[OUTSIDE], frame(matted, 1, "plate")[OUTSIDE])


def test_what_is_wrong_is_one_line_before_any_work(matted: Cli) -> None:
    assert matted.refused(*RENDER, "--matte-use", "track") == (
        "--matte-use needs --matte; name the mattes, such as --matte matte.%04d.png"
    )
    (matted.folder / "matte.0005.png").unlink()
    (matted.folder / "matte.0006.png").unlink()
    for words in (RUN, ("prepare", *PLATE, "--frames", "0-10", *KEY)):
        assert matted.refused(*words, *MATTE) == (
            "frame 5: the matte of this frame is missing, and 1 more (matte.0005.png); "
            "give a matte for every frame, or leave out --matte"
        )
    assert not (matted.folder / "work" / "stmap").exists()
    said = matted(*RENDER, *MATTE, "--progress", "none")
    assert said.code == 2
    assert "2 of 11 frames failed (5-6); frame 5: the matte of this frame is missing (" in said.err
    assert np.array_equal(frame(matted, 4)[OUTSIDE], frame(matted, 4, "plate")[OUTSIDE])
    images.write(matted.folder / "matte.0000.png", np.zeros((8, 8, 3), np.float32), bit_depth="uint8")
    said = matted.refused("prepare", *PLATE, "--frames", "0-3", *KEY, *MATTE)
    assert said == "frame 0: the matte is 8x8, and the plate 32x24 (matte.0000.png); give mattes of the plate's size"


def test_farms_get_them_under_their_own_names(matted: Cli, tmp_path: Path) -> None:
    options = Options(
        plate="plate.%04d.png", frames="0-10", look="hero.onnx", out="out.%04d.png", work="work",
        matte="matte.%04d.png", matte_use="track", device="cpu", denoise="aware",
    )  # fmt: skip
    plan = plan_from(options)
    assert str(matted.folder / "matte.%04d.png") in plan.inputs
    for step in plan.steps:
        assert step.command[step.command.index("--matte") + 1] == str(matted.folder / "matte.%04d.png")
        assert step.command[step.command.index("--matte-use") + 1] == "track"
    file = tmp_path / "rules.json"
    rule = {"source_path_format": "POSIX", "source_path": str(matted.folder), "destination_path": "/farm/shot"}
    file.write_text(json.dumps({"version": "pathmapping-1.0", "path_mapping_rules": [rule]}), encoding="utf-8")
    settled = settle(Options(matte=str(matted.folder / "matte.%04d.png"), path_mapping=str(file)))
    assert settled.matte is not None and Path(settled.matte) == Path("/farm/shot/matte.%04d.png")


@pytest.mark.parametrize("use", ["both", "stylize", "track"])
def test_a_hosts_frames_are_those_of_the_command_line(matted: Cli, use: str) -> None:
    at = matted.folder.absolute()
    job = Job(
        str(at / "plate.%04d.png"), "0-1", str(at / "work"), look=str(at / "hero.onnx"), out=str(at / "o.%04d.png"),
        matte=str(at / "matte.%04d.png"), matte_use=use, device="cpu", keyframes=(JobKeyframe(0, str(at / "p.png")),),
    )  # fmt: skip
    assert main([*job.arguments("render"), "--progress", "none"]) == 0
    facts = images.read_provenance(at / "o.0001.png")
    assert ("matte" in facts) == (use != "track")
    settings = settings_of(job, out_of(job), None)
    assert settings.hash(plate_colorspace=None, config=ColorConfig.active().name) == facts["settings"]
    for verb in ("prepare", "render", "verify"):
        words = job.arguments(verb)
        assert f"--matte={at / 'matte.%04d.png'}" in words and f"--matte-use={use}" in words
    options = Options(matte=job.matte, matte_use=use, plate=job.plate, frames="0-1", out=job.out, device="cpu")
    given = settings_of_options(shot_from(options, paintings=False), options)
    assert given == settings
