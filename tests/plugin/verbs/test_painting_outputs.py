"""``paintover key`` and ``paintover paint``: what they refuse, and that no painting is ever lost to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import images
from tests.support.command_line import PLATE, Cli
from tests.support.pictures import picture


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.delenv("OCIO", raising=False)
    return Cli(tmp_path, capsys, monkeypatch)


EXPORT = ("key", *PLATE, "--out", "k.%04d.png")


def test_a_painted_key_is_kept_and_an_untouched_one_replaced(cli: Cli) -> None:
    assert cli(*EXPORT, "--frames", "1-2").code == 0
    first = Path("k.0001.png").read_bytes()
    assert cli(*EXPORT, "--frames", "1-2", "--exposure", "1").code == 0
    assert Path("k.0001.png").read_bytes() != first
    exported = Path("k.0001.png").read_bytes()
    picture(Path("k.0002.png"), seed=9)
    painted = Path("k.0002.png").read_bytes()
    line = cli.refused(*EXPORT, "--frames", "1-2")
    assert "may have been painted on" in line and "(k.0002.png)" in line and "--overwrite" in line
    # Frame 1 could be replaced, but nothing is written before every frame was looked at.
    assert Path("k.0001.png").read_bytes() == exported and Path("k.0002.png").read_bytes() == painted
    assert cli(*EXPORT, "--frames", "1-2", "--overwrite").code == 0
    assert Path("k.0002.png").read_bytes() != painted
    assert cli(*EXPORT, "--frames", "1-2").code == 0


@pytest.mark.parametrize("sidecar", [None, "{", "[]", "old"])
def test_an_image_whose_export_is_unknown_is_kept(cli: Cli, sidecar: str | None) -> None:
    assert cli(*EXPORT, "--frame", "1").code == 0
    path = Path("k.0001.png.paintover.json")
    if sidecar is None:
        path.unlink()
    elif sidecar == "old":
        document = json.loads(path.read_text(encoding="utf-8"))
        del document["image_sha256"]
        path.write_text(json.dumps(document), encoding="utf-8")
    else:
        path.write_text(sidecar, encoding="utf-8")
    before = Path("k.0001.png").read_bytes()
    assert "(k.0001.png)" in cli.refused(*EXPORT, "--frame", "1")
    assert Path("k.0001.png").read_bytes() == before


def test_paint_keeps_every_image_that_is_there(cli: Cli) -> None:
    picture(Path("b.0002.png"), seed=9)
    before = Path("b.0002.png").read_bytes()
    words = ("paint", *PLATE, "--frames", "1-2", "--out", "b.%04d.png")
    line = cli.refused(*words)
    assert "(b.0002.png)" in line and "--overwrite" in line
    assert Path("b.0002.png").read_bytes() == before and not Path("b.0001.png").exists()
    assert cli("paint", *PLATE, "--frame", "2", "--out", "b.%04d.png", "--overwrite").code == 0
    assert Path("b.0002.png").read_bytes() != before
    assert images.read("b.0002.png").rgb.shape == images.read("plate.0002.png").rgb.shape


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("--exposure", "nan"), ["an exposure of nan stops is out of range", "give -20 to 20 stops"]),
        (("--exposure", "inf"), ["an exposure of inf stops is out of range"]),
        (("--exposure", "1e9"), ["an exposure of 1e+09 stops is out of range"]),
        (("--exposure", "-20.5"), ["an exposure of -20.5 stops is out of range"]),
        (
            ("--out", "k.%04d.dpx"),
            ["a key is exported as .png, .tif, .jpg or .exr", "k.%04d.dpx", "choose another --out"],
        ),
        (("--display", "Nope"), ["unknown display 'Nope'", "choose one of"]),
        (("--view", "Nope"), ["unknown view 'Nope'", "choose one of"]),
    ],
)
def test_wrong_options_of_key_are_found_before_it_begins(cli: Cli, words: tuple[str, ...], parts: list[str]) -> None:
    said = cli(*EXPORT, "--frames", "0-1", *words)
    assert (said.code, said.out) == (2, "") and len(said.err.splitlines()) == 1
    for part in parts:
        assert part in said.err
    assert not list(cli.folder.glob("k.*"))


def test_one_frame_is_one_frame(cli: Cli) -> None:
    assert "Exporting 1 frame for painting" in cli(*EXPORT, "--frame", "0").out
    assert "Painting 1 frame, style oil" in cli("paint", *PLATE, "--frame", "0", "--out", "b.%04d.png").out
