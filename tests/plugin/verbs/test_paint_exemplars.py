"""``paintover paint --exemplar``: what is refused before any work, and a whole run."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("scipy", reason="scipy is not installed")

from engine import images
from tests.support.command_line import Cli
from tests.support.pictures import picture

PAINT = ("paint", "--plate", "wide.%d.png", "--frame", "1", "--out", "out.%d.png")


@pytest.fixture
def shot(cli: Cli) -> Cli:
    """A plate, an exemplar of its own frame and one of another."""
    for name, seed in (("wide.1.png", 1), ("wide.2.png", 2), ("p1.png", 3), ("p2.1.png", 4)):
        picture(cli.folder / name, seed=seed, height=40, width=48)
    return cli


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--exemplar", "wide.1.png"], '"wide.1.png" is not an exemplar; write PLATE=PAINTING, such as '),
        (["--exemplar", "7=p1.png"], "the exemplar's plate is missing (wide.7.png); check --exemplar"),
        (["--exemplar", "shot.mov=p1.png"], "the exemplar's plate is a movie (shot.mov); export the frame that was"),
        (["--exemplar", "gone.png=p1.png"], "the exemplar's plate is missing (gone.png); check --exemplar"),
        (["--exemplar", "wide.1.png=gone.png"], "the exemplar's painting is missing (gone.png); check --exemplar"),
        (["--exemplar", "wide.1.png=p1.png", "--style", "oil"], "--style does not go with --exemplar"),
        (["--exemplar", "wide.1.png=p1.png", "--iterations", "3"], "--iterations does not go with --exemplar"),
        (["--exemplar", "wide.1.png=p1.png", "--out", "o.%d.exr"], "a painting is codes of a display (o.1.exr)"),
        (
            ["--exemplar", "wide.2.png=p2.1.png", "--out", "p2.%d.png", "--overwrite"],
            "output onto what it is made from (p2.1.png); choose another --out",
        ),
    ],
)
def test_wrong_words_are_refused_before_any_work(shot: Cli, words: list[str], said: str) -> None:
    assert shot.refused(*PAINT, *words).startswith(said)
    assert not (shot.folder / "work").exists()


@pytest.mark.slow
def test_a_keyframe_from_exemplars(shot: Cli) -> None:
    words = [*PAINT, "--exemplar", "1=p1.png", "--exemplar", "wide.2.png=p2.1.png", "--threads", "1"]
    said = shot(*words, "--progress", "json")
    assert said.code == 0, said
    found = images.read(shot.folder / "out.1.png").rgb
    assert np.array_equal(found, images.read(shot.folder / "p1.png").rgb)
    lines = [json.loads(line) for line in said.out.splitlines()]
    texts = [str(line.get("text")) for line in lines]
    assert "frame 1: p1.png 100%, p2.1.png 0%" in texts
    assert any("--keyframe 1=out.1.png" in text for text in texts)
    assert (shot.folder / "work" / "exemplars" / "labels.0001.png").exists()
    assert "this image may have been painted on and is not replaced" in shot.refused(*words)
