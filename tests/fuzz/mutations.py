"""Changes to bytes and texts: flipped bits, cut ends, repeated and missing pieces, numbers that overflow somewhere."""

from __future__ import annotations

import copy
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Field", "change_value", "changed", "changed_text", "odd_number"]

Field = tuple[int, int]
"""Where a number of a header lies in a file, and its size in bytes."""

_EDGES = (0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 63, 64, 100, 127, 128, 255, 256, 511, 512, 1000, 1023, 1024, 4096, 8192)
_POWERS = tuple(
    2**power + step for power in (15, 16, 20, 24, 28, 30, 31, 32, 40, 48, 62, 63, 64) for step in (-1, 0, 1)
)

_HEADER_BYTES = 400
"""Where most formats keep their sizes."""


def odd_number(rng: random.Random) -> int:
    """A whole number that somebody forgot to think of."""
    number = rng.choice(_EDGES) if rng.random() < 0.5 else rng.choice(_POWERS)
    return -number if rng.random() < 0.25 else number


def changed(data: bytes, rng: random.Random, others: Sequence[bytes], fields: Sequence[Field] = ()) -> bytes:
    """A file with one to four changes.

    Args:
        others: files to take pieces of.
        fields: numbers of its header, which are changed more often than the rest.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        if fields and rng.random() < 0.55:
            data = _change_field(data, rng, rng.choice(fields))
        else:
            data = rng.choice(_WAYS)(data, rng, others)
    return data


def _change_field(data: bytes, rng: random.Random, field: Field) -> bytes:
    start, size = field
    if start + size > len(data):
        return data
    old = data[start : start + size]
    if size not in (1, 2, 4, 8) or rng.random() < 0.1:
        new = rng.randbytes(size)
    else:
        order = rng.choice(("little", "big"))
        value = int.from_bytes(old, order)
        near = (value + 1, value - 1, value * 2, value // 2, value ^ (1 << rng.randrange(8 * size)))
        number = rng.choice(near) if rng.random() < 0.4 else odd_number(rng)
        new = (number % 2 ** (8 * size)).to_bytes(size, order)
    return data[:start] + new + data[start + size :]


def _flip_bits(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    edited = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if edited:
            edited[_place(rng, len(edited))] ^= 1 << rng.randrange(8)
    return bytes(edited)


def _write_bytes(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    start = _place(rng, len(data))
    piece = rng.randbytes(rng.randint(1, 8))
    return data[:start] + piece + data[start + len(piece) :]


def _write_number(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    size = rng.choice((1, 2, 4, 4, 8))
    start = _place(rng, len(data))
    if rng.random() < 0.7:
        start -= start % size
    if rng.random() < 0.1:
        piece = struct.pack(rng.choice("<>") + "f", rng.choice((float("nan"), float("inf"), -1e38, 1e-45)))
    else:
        piece = (odd_number(rng) % 2 ** (8 * size)).to_bytes(size, rng.choice(("little", "big")))
    return data[:start] + piece + data[start + len(piece) :]


def _cut_end(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _drop(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    start, end = _span(rng, len(data))
    return data[:start] + data[end:]


def _repeat(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    start, end = _span(rng, len(data))
    return data[:end] + data[start:end] * rng.choice((1, 1, 2, 50)) + data[end:]


def _fill(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    start, end = _span(rng, len(data))
    return data[:start] + bytes([rng.choice((0, 255, 127, 32))]) * (end - start) + data[end:]


def _move(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    start, end = _span(rng, len(data))
    rest = data[:start] + data[end:]
    place = _place(rng, len(rest))
    return rest[:place] + data[start:end] + rest[place:]


def _splice(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others) if others else data
    start, end = _span(rng, len(other))
    place = _place(rng, len(data))
    if rng.random() < 0.3:
        return data[:place] + other[start:]
    return data[:place] + other[start:end] + data[place + rng.choice((0, end - start)) :]


def _insert(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    place = _place(rng, len(data))
    return data[:place] + rng.randbytes(rng.choice((1, 2, 4, 64, 1000))) + data[place:]


_WAYS: Sequence[Callable[[bytes, random.Random, Sequence[bytes]], bytes]] = (
    _flip_bits,
    _flip_bits,
    _write_bytes,
    _write_number,
    _write_number,
    _write_number,
    _cut_end,
    _drop,
    _repeat,
    _fill,
    _move,
    _splice,
    _insert,
)


def _place(rng: random.Random, length: int) -> int:
    if rng.random() < 0.6:
        length = min(length, _HEADER_BYTES)
    return rng.randrange(length) if length else 0


def _span(rng: random.Random, length: int) -> tuple[int, int]:
    start = _place(rng, length)
    return start, min(length, start + rng.choice((1, 2, 4, 8, 16, 64, 256, 4096)))


_WORDS = (
    '0 -0 1 -1 1e400 1e-400 NaN Infinity -Infinity null true false [] {} "" \' " \\ / .. . ~ % %d %04d %s %n # ####'
    " $F4 $HOME ${HOME} @@@ : , ; - -- --- = == [[ ]] [ ] { } ( ) <a> &amp; * ? | ! !!python/object &a *a << >> e E"
    " 0x1 0o7 0b1 1_000 9999999999999999999999 1001-1100 1-10x0 1-10x-1 1-1000000000 1-10y3 10-1 -5--2 1.5 1-2-3"
).split(" ")
_PIECES = [
    *_WORDS,
    "\0",
    "\n",
    "\r\n",
    "\t",
    "\x1b[2J",
    "\x7f",
    "\x85",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\ufffd",
    "\u00e9",
    "\u753b",
    "\U0001f3a8",
    "\udcff",
    "\ud800",
    "\\ud800",
    "\\u0000",
    "\\x1b",
    " ",
    "1" * 5000,
    "[" * 3000,
    '{"a":' * 3000,
    "a" * 5000,
    "../" * 100,
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/mem",
    "file:///etc/passwd",
    "ocio://default",
    "1,2," * 2000,
]
"""What texts have broken on, somewhere."""


def changed_text(text: str, rng: random.Random, others: Sequence[str]) -> str:
    """A text with one to four changes; it may hold what no file can."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        place = rng.randrange(len(text) + 1)
        end = min(len(text), place + rng.choice((1, 1, 2, 4, 8, 30)))
        way = rng.randrange(9)
        if way <= 2:
            text = text[:place] + rng.choice(_PIECES) + text[rng.choice((place, end)) :]
        elif way == 3:
            text = _with_other_number(text, rng)
        elif way == 4:
            text = text[:place] + text[end:]
        elif way == 5:
            text = text[:end] + text[place:end] * rng.choice((1, 2, 200)) + text[end:]
        elif way == 6:
            other = rng.choice(others) if others else text
            start = rng.randrange(len(other) + 1)
            text = text[:place] + other[start : start + rng.choice((4, 30, 200))] + text[end:]
        elif way == 7:
            lines = text.splitlines(keepends=True)
            rng.shuffle(lines)
            text = "".join(lines)
        else:
            text = text[:place] + chr(rng.choice((0, 9, 10, 34, 39, 91, 92, 123, 127, 160, 8232, 55357))) + text[end:]
    return text


def _with_other_number(text: str, rng: random.Random) -> str:
    digits = [place for place, letter in enumerate(text) if letter.isdigit()]
    if not digits:
        return text
    start = end = rng.choice(digits)
    while end < len(text) and text[end].isdigit():
        end += 1
    while start and text[start - 1].isdigit():
        start -= 1
    return text[:start] + rng.choice((str(odd_number(rng)), "1e9", "-1", "0.5", "", '"1"', "true")) + text[end:]


def change_value(holder: Any, rng: random.Random, odd: Sequence[Any]) -> None:
    """Change one value of what JSON can hold, however deep: to one of ``odd``, to a changed text, or to nothing."""
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return
        key = rng.choice(keys)
        if not isinstance(holder[key], dict | list) or rng.random() < 0.3:
            break
        holder = holder[key]
    old, way = holder[key], rng.random()
    if isinstance(old, str) and way < 0.4:
        holder[key] = changed_text(old, rng, [])
    elif way < 0.55:
        del holder[key]
    elif way < 0.65 and isinstance(holder, dict):
        holder[rng.choice(("x", "", "__class__", "a\nb", "\ud800", str(odd_number(rng))))] = copy.deepcopy(
            rng.choice(odd)
        )
    else:
        # A copy: what is changed next may lie within it.
        holder[key] = copy.deepcopy(rng.choice([odd_number(rng), *odd]))
