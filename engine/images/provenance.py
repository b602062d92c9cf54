"""Provenance: what a rendered frame says of its making, the hashes of look, settings and plate, inside its file.

Where it is kept, chosen by what was measured to survive a write and a read:

- EXR, PNG: one attribute per key, ``paintover/<key>``
- TIFF, JPEG: a line ``[paintover key=value&key=value]`` after the plate's own ImageDescription
- DPX: the same line in the user-defined header, which no application interprets
- other formats have no field that survives; nothing is stored, and nothing is read back
"""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import OpenImageIO as oiio

from engine.base.errors import ImageError
from engine.base.whole_file import check_regular
from engine.images.foreign_text import error_of
from engine.images.opening import open_picture

__all__ = ["FORMATS", "attach", "detach", "facts_of", "file_sha256", "read_provenance", "stamp_dpx"]

log = logging.getLogger(__name__)

_PREFIX = "paintover/"
_PIXELS = "paintover/pixels"
"""The encoding's checksum, no fact about the making."""
_OPEN, _CLOSE = "[paintover ", "]"
_DESCRIPTION = "ImageDescription"
_BY_ATTRIBUTE = {"openexr", "png"}
_BY_DESCRIPTION = {"tiff", "jpeg"}

FORMATS = frozenset(_BY_ATTRIBUTE | _BY_DESCRIPTION | {"dpx"})
"""OIIO's names of the formats that keep what :func:`attach` puts there."""

# SMPTE 268M-2003 file information header: byte offsets of fixed-size fields.
_DPX_IMAGE_OFFSET, _DPX_USER_SIZE, _DPX_FILE_NAME, _DPX_CREATED, _DPX_USER = 4, 32, 36, 136, 2048
_DPX_FILE_NAME_SIZE, _DPX_CREATED_SIZE, _DPX_USER_ID_SIZE = 100, 24, 32
_DPX_USER_ID = b"paintover"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal; read in blocks, so that a movie does not have to fit into memory."""
    check_regular(path)
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def attach(spec: oiio.ImageSpec, file_format: str, facts: Mapping[str, str]) -> None:
    """Puts ``facts`` into ``spec`` for a write as ``file_format`` (OIIO's name); DPX is stamped after the write."""
    if not facts:
        return
    if file_format in _BY_ATTRIBUTE:
        for key in sorted(facts):
            spec.attribute(_PREFIX + key, str(facts[key]))
    elif file_format in _BY_DESCRIPTION:
        own = spec.get_string_attribute(_DESCRIPTION)
        spec.attribute(_DESCRIPTION, f"{own}\n{_line(facts)}" if own else _line(facts))
    elif file_format != "dpx":
        log.warning("%s files have no field for the hashes of look and settings; they are not stored", file_format)


def detach(spec: oiio.ImageSpec) -> None:
    """Removes from ``spec`` what an earlier render stored: a plate may itself be a rendered frame."""
    spec.erase_attribute(_PREFIX + ".*")
    own, _ = _split(spec.get_string_attribute(_DESCRIPTION))
    if own:
        spec.attribute(_DESCRIPTION, own)
    else:
        spec.erase_attribute(_DESCRIPTION)


def read_provenance(path: Path | str) -> dict[str, str]:
    """What ``images.write`` stored in ``path``; empty where there is nothing, or no readable image."""
    try:
        handle = open_picture(path) if Path(path).is_file() else None
    except ImageError:
        return {}
    if handle is None:
        error_of(oiio)
        return {}
    try:
        if handle.format_name() == "dpx":
            return _read_dpx(Path(path))
        facts: dict[str, str] = {}
        index = 0
        while handle.seek_subimage(index, 0):
            facts.update(facts_of(handle.spec()))
            index += 1
        error_of(handle)
        return facts
    finally:
        handle.close()


def facts_of(spec: oiio.ImageSpec) -> dict[str, str]:
    """What :func:`attach` put into ``spec``, read back from a file of any format but DPX."""
    facts = _split(spec.get_string_attribute(_DESCRIPTION))[1]
    for attribute in spec.extra_attribs:
        if attribute.name.startswith(_PREFIX) and attribute.name != _PIXELS:
            facts[attribute.name.removeprefix(_PREFIX)] = str(attribute.value)
    return facts


def stamp_dpx(path: Path, facts: Mapping[str, str], created: str) -> None:
    """Makes the header of a written DPX depend on its content only, and stores ``facts`` in it.

    OIIO puts the (temporary) path and the time of the day there; they become empty and the plate's own time.
    """
    with path.open("r+b") as handle:
        head = handle.read(_DPX_USER)
        order = ">" if head[:4] == b"SDPX" else "<"
        handle.seek(_DPX_FILE_NAME)
        handle.write(bytes(_DPX_FILE_NAME_SIZE))
        handle.write(created.encode("ascii", "replace")[: _DPX_CREATED_SIZE - 1].ljust(_DPX_CREATED_SIZE, b"\0"))
        if not facts:
            return
        block = _DPX_USER_ID.ljust(_DPX_USER_ID_SIZE, b"\0") + _line(facts).encode("ascii") + b"\0"
        (image_offset,) = struct.unpack_from(order + "I", head, _DPX_IMAGE_OFFSET)
        if image_offset < _DPX_USER + len(block):
            log.warning("no room in the DPX header for the hashes of look and settings (%s)", path)
            return
        handle.seek(_DPX_USER_SIZE)
        handle.write(struct.pack(order + "I", image_offset - _DPX_USER))
        handle.seek(_DPX_USER)
        handle.write(block)


def _read_dpx(path: Path) -> dict[str, str]:
    with path.open("rb") as handle:
        handle.seek(_DPX_USER)
        block = handle.read(1 << 16)
    if not block.startswith(_DPX_USER_ID):
        return {}
    return _split(block[_DPX_USER_ID_SIZE:].split(b"\0", 1)[0].decode("ascii", "replace"))[1]


def _line(facts: Mapping[str, str]) -> str:
    return _OPEN + urlencode(sorted((key, str(value)) for key, value in facts.items())) + _CLOSE


def _split(description: str) -> tuple[str, dict[str, str]]:
    """A description's own text and the facts of our line in it."""
    own, found, rest = description.rpartition(_OPEN)
    if not found or not rest.rstrip().endswith(_CLOSE):
        return description, {}
    return own.rstrip("\n"), dict(parse_qsl(rest.rstrip().removesuffix(_CLOSE), keep_blank_values=True))
