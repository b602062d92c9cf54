"""``--depth`` and ``--compression`` the whole way: command line, shot file, hashes, verify, report, farm, hosts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import OpenImageIO as oiio
import pytest

from engine.base.errors import InputError
from engine.base.frames import FrameRange, SequencePath
from engine.color.config import ColorConfig
from engine.images.provenance import read_provenance
from engine.rendering.settings import RenderSettings
from engine.shot.shot import Plate, Shot
from plugin.arguments.options import Options
from plugin.client.job import Job
from plugin.farm.plan import plan_from
from plugin.worker.tasks import out_of, settings_of
from tests.support.command_line import PLATE, RENDER, Cli

EXR = ("--look", "hero.onnx", *PLATE, "--frames", "0-1", "--work", "work", "--out", "out.%04d.exr")
ASKED = ("--depth", "float", "--compression", "zip:6")


def stored(path: Path) -> tuple[str, str, int]:
    """The format of a frame's first channel, its compression, its size in bytes."""
    source = oiio.ImageInput.open(str(path))
    spec = source.spec()
    found = (str(spec.format), spec.get_string_attribute("compression"), path.stat().st_size)
    source.close()
    return found


def test_frames_are_as_asked_and_verified_as_such(cli: Cli) -> None:
    assert cli("render", *EXR, *ASKED, "--device", "cpu").code == 0
    assert stored(cli.folder / "out.0001.exr")[:2] == ("float", "zip")
    assert cli("verify", *EXR, *ASKED).code == 0
    assert "foreign 0-1" in cli.refused("verify", *EXR, code=3)
    assert "foreign 0-1" in cli.refused("verify", *EXR, "--depth", "float", "--compression", "zip", code=3)
    again = cli("render", *EXR, *ASKED, "--device", "cpu")
    assert "0 rendered" in again.out and "2 were already right" in again.out
    assert "2 rendered" in cli("render", *EXR, "--depth", "half", "--device", "cpu").out
    assert stored(cli.folder / "out.0001.exr")[:2] == ("half", "zip")


@pytest.mark.parametrize("asked", ["zips", "piz", "none", "dwaa:45", "dwab:200"])
def test_every_compression(cli: Cli, asked: str) -> None:
    assert cli("render", *EXR, "--compression", asked, "--device", "cpu").code == 0
    assert stored(cli.folder / "out.0000.exr")[1] == asked.partition(":")[0]
    assert cli("verify", *EXR, "--compression", asked).code == 0


def test_frames_of_those_who_ask_for_nothing_keep_their_hash(cli: Cli) -> None:
    assert cli("render", *EXR, "--device", "cpu").code == 0
    path = cli.folder / "out.0000.exr"
    assert stored(path)[:2] == ("half", "zip")
    known = RenderSettings().hash(plate_colorspace=None, config=ColorConfig.active().name)
    assert read_provenance(path)["settings"] == known
    facts = {"generation": 1, "tile": None, "out_colorspace": None, "bit_depth": None, "compression": None,
             "carried_layer": False, "tensorrt": False, "plate_colorspace": None, "config": "c"}  # fmt: skip
    frozen = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    assert RenderSettings().hash(plate_colorspace=None, config="c") == frozen


def test_a_shot_file_says_it_too_and_the_report_compares_it(cli: Cli) -> None:
    shot = Shot(
        Plate(SequencePath.parse("plate.%04d.png"), FrameRange((0, 1))),
        out=SequencePath.parse("out.%04d.exr"),
        look=Path("hero.onnx"),
        work=Path("work"),
        device="cpu",
        depth="float",
        compression="PIZ",
    )
    shot.save("shot.toml")
    text = Path("shot.toml").read_text(encoding="utf-8")
    assert 'depth = "float"' in text and 'compression = "piz"' in text
    assert Shot.load("shot.toml").compression == "piz"
    assert cli("render", "shot.toml").code == 0
    assert stored(cli.folder / "out.0001.exr")[:2] == ("float", "piz")
    assert cli("verify", "shot.toml").code == 0
    assert cli.refused("verify", "shot.toml", "--depth", "half", code=3)
    assert json.loads(cli("report", "shot.toml", "--json").out)["states"] == {"whole": 2}
    assert json.loads(cli("report", "shot.toml", "--depth", "half", "--json").out)["states"] == {"foreign": 2}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--depth", "half"), '"out.%04d.png" cannot hold numbers of depth half; write .exr or .tif frames'),
        (("--compression", "zip"), '"out.%04d.png" has no compression zip; write .exr frames'),
        (("--compression", "lzw"), "EXR has no compression 'lzw'; use zip, zips, piz, dwaa:45 or none"),
        (("--compression", "zip:12"), "'zip:12' is no level of the compression zip; give 1 to 9, such as zip:4"),
        (("--depth", "uint8"), "render: argument --depth: invalid choice: 'uint8'"),
    ],
)
def test_what_cannot_be_is_one_line_before_any_work(cli: Cli, words: tuple[str, ...], said: str) -> None:
    assert cli.refused(*RENDER, *words).startswith(said)
    assert not list(cli.folder.glob("out.*"))
    if said.startswith('"out'):
        given = ("--look", "hero.onnx", *PLATE, "--frames", "0-1", "--out", "out.%04d.png")
        assert cli.refused("submit", "--engine", "openjd", *given, *words) == said
        for verb in ("verify", "report"):
            assert cli.refused(verb, *given, *words) == said


def test_a_wrong_value_in_a_shot_file_is_named(cli: Cli) -> None:
    plate = Plate(SequencePath.parse("plate.%04d.png"), FrameRange((0,)))
    with pytest.raises(InputError, match="depth is 'uint8'; use half, float"):
        Shot(plate, depth="uint8")
    with pytest.raises(InputError, match="EXR has no compression 'lzw'"):
        Shot(plate, compression="lzw")


def test_a_float_tiff(cli: Cli) -> None:
    words = ("--look", "hero.onnx", *PLATE, "--frames", "0", "--work", "work", "--out", "out.%04d.tif")
    assert cli("render", *words, "--depth", "float", "--device", "cpu").code == 0
    assert stored(cli.folder / "out.0000.tif")[0] == "float"
    assert cli("verify", *words, "--depth", "float").code == 0


def test_a_farm_is_told(cli: Cli) -> None:
    given = {"plate": "plate.%04d.png", "frames": "0-1", "look": "hero.onnx", "out": "out.%04d.exr", "work": "work"}
    plan = plan_from(Options(**given, depth="float", compression="dwaa:45"))
    assert [step.name for step in plan.steps] == ["render", "verify"]
    for step in plan.steps:
        assert step.command[step.command.index("--depth") + 1] == "float"
        assert step.command[step.command.index("--compression") + 1] == "dwaa:45"


def test_a_host_is_heard() -> None:
    job = Job("/a/plate.%04d.exr", "1-3", "/a/work", out="/a/out.%04d.exr", depth="float", compression="ZIP:6")
    settings = settings_of(job, out_of(job), None)
    assert (settings.bit_depth, settings.compression) == ("float", "zip:6")
    wrong = replace(job, out="/a/out.%04d.png")
    with pytest.raises(InputError, match="cannot hold numbers of depth float"):
        settings_of(wrong, out_of(wrong), None)
    with pytest.raises(InputError, match="EXR has no compression 'lzw'"):
        settings_of(replace(job, compression="lzw"), out_of(job), None)
