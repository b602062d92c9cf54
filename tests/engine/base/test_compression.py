"""Compressions of EXR by name and level."""

from __future__ import annotations

import pytest

from engine.base.compression import is_lossless, read_compression
from engine.base.errors import InputError


def test_names_and_levels() -> None:
    words = ["none", "zip", "ZIPS", " piz ", "zip:6", "zips:09", "dwaa", "dwaa:45", "dwab:200", "pxr24", "b44a"]
    read = ["none", "zip", "zips", "piz", "zip:6", "zips:9", "dwaa", "dwaa:45", "dwab:200", "pxr24", "b44a"]
    assert [read_compression(word) for word in words] == read
    assert [is_lossless(word) for word in read] == [True] * 6 + [False] * 5


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("lzw", "EXR has no compression 'lzw'; use zip, zips, piz, dwaa:45 or none"),
        ("", "EXR has no compression ''; use zip, "),
        ("zip:0", "'zip:0' is no level of the compression zip; give 1 to 9, such as zip:4"),
        ("zip:", "'zip:' is no level of the compression zip; give 1 to 9"),
        ("dwaa:loose", "'dwaa:loose' is no level of the compression dwaa; give 1 to 100000, such as dwaa:45"),
        ("dwaa:-3", "'dwaa:-3' is no level of the compression dwaa"),
        ("piz:3", "the compression piz has no level, as in 'piz:3'; write piz alone"),
    ],
)
def test_what_is_none(word: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_compression(word)
    assert str(caught.value).startswith(said)
