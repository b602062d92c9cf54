"""Check of an ONNX file's bytes before they are parsed: an empty entry takes two bytes there and a hundred in memory.

Only the lengths of protocol buffers are followed (https://protobuf.dev/programming-guides/encoding), and only down to
the graph's own entries: what a look stores is nearly all numbers of its constants, which take no more once parsed.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["check_wire"]

_GRAPH, _INITIALIZER = 7, 5
_NUMBERS = {4, 9}
"""float_data and raw_data of a tensor."""
_MAX_ENTRIES = 16_384
"""Of a graph, of a model and of a tensor."""
_MAX_OTHER_BYTES = 2**22
"""Of everything but a tensor's numbers: nodes, names, the card."""

Span = tuple[int, int]


def check_wire(data: bytes) -> None:
    """Refuse a file whose structure would take far more memory than its bytes.

    Raises:
        ValueError: too many entries, too much that is no number, or damaged.
    """
    other = len(data)
    entries = 0
    for field, span in _fields(data, (0, len(data))):
        entries += 1
        if field == _GRAPH:
            for inner, inner_span in _fields(data, span):
                entries += 1
                if entries > _MAX_ENTRIES:
                    raise ValueError(f"it has over {_MAX_ENTRIES:,} entries")
                if inner == _INITIALIZER:
                    other -= _numbers(data, inner_span)
        if entries > _MAX_ENTRIES:
            raise ValueError(f"it has over {_MAX_ENTRIES:,} entries")
    if other > _MAX_OTHER_BYTES:
        raise ValueError(f"{other:,} bytes of it are no weights, over {_MAX_OTHER_BYTES:,}")


def _numbers(data: bytes, span: Span) -> int:
    """Bytes of a tensor's numbers."""
    found = 0
    for count, (field, inner) in enumerate(_fields(data, span)):
        if count > _MAX_ENTRIES:
            raise ValueError(f"a constant has over {_MAX_ENTRIES:,} entries")
        if field in _NUMBERS:
            found += inner[1] - inner[0]
    return found


def _fields(data: bytes, span: Span) -> Iterator[tuple[int, Span]]:
    """Number and place of each field of a message."""
    place, end = span
    while place < end:
        tag, place = _number(data, place, end)
        kind, start = tag & 7, place
        if kind == 0:
            _, place = _number(data, place, end)
        elif kind == 1:
            place += 8
        elif kind == 2:
            length, start = _number(data, place, end)
            place = start + length
        elif kind == 5:
            place += 4
        else:
            raise ValueError("it is damaged")
        if place > end:
            raise ValueError("it is truncated")
        yield tag >> 3, (start, place)


def _number(data: bytes, place: int, end: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place after it."""
    value = shift = 0
    while place < end and shift < 70:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
        shift += 7
    raise ValueError("it is damaged")
