"""Command lines written from values, and read back by the verb's own parser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.base.errors import InputError
from engine.shot.keyframes import Keyframe
from plugin.arguments.command_line import command_line
from plugin.arguments.commands import COMMANDS
from plugin.arguments.option import Option
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.arguments.shard import Shard
from plugin.arguments.values import BUDGET, parse_budget

_NAMES = st.text("abcXYZ012 =_./:%#$é'\"-", min_size=1, max_size=12).filter(lambda text: text != "--")
"""Of paths, patterns and colorspaces; those that begin with a minus sign too. Two alone are lost by argparse."""
_PLACES = st.text("abc01 =_.%-", min_size=1, max_size=8).filter(str.strip).map(lambda text: Path("/", text.strip()))
_SPACES = st.one_of(st.none(), st.sampled_from(["sRGB", "ACES - ACEScg", "a=b"]))
_SECONDS = st.floats(min_value=5.0, max_value=1e9, allow_nan=False)

_BY_FIELD: dict[str, st.SearchStrategy[Any]] = {
    "frames": st.sampled_from(["7", "1001-1100x2", "-5--2", "-5", "1-5,9", "-3,1-9"]),
    "keyframes": st.lists(
        st.builds(Keyframe, st.integers(-20, 2000), _PLACES, st.one_of(st.none(), _PLACES), _SPACES), max_size=3
    ),
    "keyframe_numbers": st.lists(st.integers(-20, 2000), max_size=3),
    "budget": _SECONDS,
    "timeout": _SECONDS,
    "frame_time": st.floats(min_value=1e-6, max_value=1e5, allow_nan=False),
    "idle": _SECONDS,
    "memory": _SECONDS,
    "max_image_gib": _SECONDS,
    "exposure": st.floats(-20, 20, allow_nan=False),
    "style": st.lists(_NAMES, max_size=3),
    "exemplars": st.lists(_NAMES, max_size=3),
    "style_scale": _SECONDS,
    "style_strength": _SECONDS,
    "steadiness": st.floats(0, 20, allow_nan=False),
    "iterations": st.integers(1, 9999),
    "passes": st.integers(1, 99),
    "stroke_count": st.integers(10, 9999),
    "device": st.sampled_from(["auto", "cpu", "cuda:0", "cuda:3"]),
    "softness": st.floats(0, 1, allow_nan=False),
    "compression": st.sampled_from(["zip", "zip:6", "zips", "piz", "dwaa:45", "none"]),
    "shard": st.integers(1, 9).flatmap(lambda count: st.builds(Shard, st.integers(1, count), st.just(count))),
    "steps": st.integers(1, 9999),
    "seconds": st.integers(5, 999),
    "chunk": st.integers(1, 99),
    "threads": st.integers(1, 99),
    "count": st.integers(1, 99),
    "pictures": st.integers(1, 99),
    "keyframe_at": st.integers(0, 99),
    "duration": _SECONDS,
    "rate": _SECONDS,
    "shot": st.just("shots/a b.toml"),
    "path": st.sampled_from(["hero.onnx", "nuke"]),
    "to": st.tuples(st.sampled_from(["nuke", "flame"]), st.just("out folder")).map(list),
}


def values_of(option: Option) -> st.SearchStrategy[Any]:
    """Values that an option may have."""
    if option.field in _BY_FIELD:
        return _BY_FIELD[option.field]
    if option.kind.takes == "nothing":
        return st.booleans()
    if option.kind.choices:
        return st.sampled_from(option.kind.choices)
    return st.integers(0, 99) if option.metavar == "N" else _NAMES


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_is_written_is_read_as_the_same_values(data: st.DataObject) -> None:
    command = COMMANDS[data.draw(st.sampled_from(sorted(COMMANDS)))]
    values: dict[str, Any] = {}
    for option in command.options:
        needed = not option.flags and not option.may_be_missing
        if needed or (data.draw(st.booleans()) and not (option.field == "steps" and "budget" in values)):
            values[option.field] = data.draw(values_of(option))
    words = command_line(command.verb, values)
    assert words[0] == command.verb
    read = Parser(command).read(words[1:])
    for option in command.options:
        wanted = values.get(option.field)
        default = getattr(Options, option.field)
        assert getattr(read, option.field) == (wanted if wanted is not None and wanted != [] else default), words


@given(st.floats(min_value=5.0, max_value=1e12, allow_nan=False))
def test_a_budget_is_written_to_the_last_bit(seconds: float) -> None:
    assert parse_budget(BUDGET.write(seconds)) == seconds


def test_words_are_in_the_order_of_the_help_and_as_people_write_them() -> None:
    values = {
        "progress": "lines",
        "frames": "-5--2",
        "plate": "/a/plate.%04d.exr",
        "keyframes": [Keyframe(1, Path("/p/1.png"), Path("/m/1.png"), "sRGB"), Keyframe(-2, Path("/p/2.png"))],
        "budget": 90.0,
        "crisp": True,
        "resume": False,
        "ocio": None,
    }
    assert command_line("train", values) == [
        "train", "--plate", "/a/plate.%04d.exr", "--frames=-5--2",
        "--keyframe", "1=/p/1.png,matte=/m/1.png,colorspace=sRGB", "--keyframe=-2=/p/2.png",
        "--budget", "90s", "--crisp", "--progress", "lines",
    ]  # fmt: skip
    assert command_line("render", {"shot": "a.toml", "workers": 0}) == ["render", "a.toml", "--workers", "auto"]


def test_what_a_verb_does_not_take_is_refused() -> None:
    with pytest.raises(InputError, match="key takes no budget, look"):
        command_line("key", {"look": "a", "budget": 5.0})
    with pytest.raises(InputError, match="no verb 'rendr'"):
        command_line("rendr", {})
