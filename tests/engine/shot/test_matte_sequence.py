"""A matte sequence: its uses, and what shot.toml says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.base.errors import InputError
from engine.base.frames import SequencePath
from engine.shot.matte_sequence import MatteSequence
from engine.shot.shot import Shot

PATH = SequencePath.parse("/m/matte.%04d.png")


def test_each_use_is_one_or_both() -> None:
    uses = {use: MatteSequence(PATH, use) for use in ("both", "stylize", "track")}
    assert {use: (m.stylized, m.tracked) for use, m in uses.items()} == {
        "both": (PATH, PATH),
        "stylize": (PATH, None),
        "track": (None, PATH),
    }
    assert MatteSequence(PATH).use == "both"
    with pytest.raises(InputError, match=r"a matte is not used to 'trak'; use both, stylize, track"):
        MatteSequence(PATH, "trak")


def test_a_shot_file_keeps_them(tmp_path: Path) -> None:
    text = 'out = "out/o.%04d.exr"\n[plate]\npath = "plate.%04d.exr"\nframes = "1-3"\n'
    file = tmp_path / "shot.toml"
    file.write_text(text + '[matte]\npath = "m/matte.%04d.png"\nuse = "track"\n')
    shot = Shot.load(file)
    assert shot.matte == MatteSequence(SequencePath.parse(tmp_path / "m" / "matte.%04d.png"), "track")
    shot.save(tmp_path / "again.toml")
    assert Shot.load(tmp_path / "again.toml") == shot
    file.write_text('matte = "m.%04d.png"\n' + text)
    assert Shot.load(file).matte == MatteSequence(SequencePath.parse(tmp_path / "m.%04d.png"))
    file.write_text(text + '[matte]\npath = "m.%04d.png"\nus = "track"\n')
    with pytest.raises(InputError, match=r'\[matte\] has no setting "us" .*; did you mean use\?'):
        Shot.load(file)
    file.write_text(text + '[matte]\npath = "out/o.%04d.exr"\n')
    with pytest.raises(InputError, match=r"output onto the mattes"):
        Shot.load(file)
