"""Signatures: what a file is by its first bytes, whatever it is called."""

from __future__ import annotations

from pathlib import Path

__all__ = ["is_movie", "not_a_picture", "playlist"]

_LOOKED_AT = 4096

_MOVIE_STARTS = (
    (0, b"\x1a\x45\xdf\xa3"),  # Matroska, WebM
    (0, b"\x00\x00\x01\xba"),  # MPEG program stream
    (0, b"\x00\x00\x01\xb3"),  # MPEG video without a container
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # ASF, WMV
    (0, b"FLV\x01"),
    (0, b"OggS"),
    (0, b"GIF8"),
    (0, b"YUV4MPEG2 "),
    (0, b"\x00\x00\x00\x01\x67"),  # H.264 without a container
    (0, b"\x00\x00\x00\x01\x09"),
)
_BOX_KINDS = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
"""First boxes of a QuickTime or MP4 file (ISO/IEC 14496-12, section 4)."""
_STILL_BRANDS = {b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"crx ", b"jxl ", b"jp2 "}
"""Brands of such files that are pictures."""
_PHONE_BRANDS = _STILL_BRANDS - {b"crx ", b"jxl ", b"jp2 "}
_MXF_KEY = b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02"
"""Of a header partition (SMPTE ST 377-1), which up to 64 KiB of anything may stand before."""
_PACKETS = ((0, 188), (4, 192))
"""First sync byte and packet length of MPEG transport streams, plain and with time codes (.m2ts)."""

_FOREIGN = (
    (b"version https://git-lfs", "a Git LFS pointer, the file itself was not fetched", "fetch it (git lfs pull)"),
    (b"\x00\x05\x16\x07", "what macOS keeps beside a file on foreign disks, not the file", "take the one without ._"),
    (b"%PDF-", "a PDF document", "export it as EXR, PNG or TIFF"),
    (b"PK\x03\x04", "a ZIP archive or a document in one (Krita, OpenRaster)", "export the picture as EXR, PNG or TIFF"),
    (b"gimp xcf", "a GIMP document", "export it as EXR, PNG or TIFF"),
    (b"\x1f\x8b", "a gzip archive", "unpack it"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
)
_PLAYLISTS = (
    (b"#extm3u", "an M3U playlist"),
    (b"ffconcat version", "a list of files (ffconcat)"),
    (b"v=0", "a description of a stream (SDP)"),
    (b"[playlist]", "a PLS playlist"),
    (b"[reference]", "an ASX playlist"),
    (b"<asx", "an ASX playlist"),
    (b"rtsptext", "an address of a stream"),
    (b"file '", "a list of files (ffconcat)"),
)
"""Texts that name movies and addresses, by how they begin, in lower case."""
_PICTURE_STARTS = tuple(b"#?R P1 P2 P3 P4 P5 P6 PF Pf SIMPLE BM v/1 II MM \x89PNG \xff\xd8\xff SDPX XPDS 8BPS".split())
"""Of pictures that begin like text, or that nothing below must take for another thing."""


def is_movie(path: Path | str) -> bool:
    """Whether a file that exists begins like a movie; False where it cannot be read."""
    return _begins_a_movie(_head(Path(path)))


def _begins_a_movie(head: bytes) -> bool:
    if head[4:8] in _BOX_KINDS:
        return not (head[4:8] == b"ftyp" and head[8:12] in _STILL_BRANDS)
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        return True
    if any(head[at : at + len(start)] == start for at, start in _MOVIE_STARTS):
        return True
    if any(len(head) > at + 2 * step and {head[at + step * n] for n in range(3)} == {0x47} for at, step in _PACKETS):
        return True
    return _MXF_KEY in head


def not_a_picture(path: Path | str) -> tuple[str, str] | None:
    """What a file is that is no picture, in words, and what to do about it; None where its first bytes do not say."""
    head = _head(Path(path))
    if head[4:8] == b"ftyp" and head[8:12] in _PHONE_BRANDS:
        return "an AVIF or HEIF picture, a format that is not read here", "export it as EXR, PNG or TIFF"
    for start, what, remedy in _FOREIGN:
        if head.startswith(start):
            return what, remedy
    if _begins_a_movie(head) and not head.startswith(b"GIF8"):
        return "a movie, not a picture", "give the movie itself as --plate, without a frame number in its name"
    if head.startswith(_PICTURE_STARTS) or not head:
        return None
    if not head.strip(b"\0"):
        return "nothing but zeros, a file that was never written", "render or copy it again"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:512].lower()
    if start.startswith((b"<!doctype html", b"<html")) or b"<html" in start:
        return "an HTML page, such as a download that failed", "download it again"
    if start.startswith((b"<?xml", b"<svg")):
        return "an XML or SVG document", "export it as EXR, PNG or TIFF"
    try:
        text = head[: head.rfind(b"\n") + 1] or head
        readable = all(letter.isprintable() or letter in "\r\n\t" for letter in text.decode("utf-8"))
    except UnicodeDecodeError:
        return None
    return ("a text file", "give the picture itself") if readable else None


def playlist(path: Path | str) -> str | None:
    """What kind of list of movies or addresses a file is, in words; None where it does not begin like one."""
    head = _head(Path(path)).removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith(b"<?xml") and (b"<mpd" in head or b"<playlist" in head or b"<smil" in head):
        return "a playlist in XML"
    return next((what for start, what in _PLAYLISTS if head.startswith(start)), None)


def _head(path: Path) -> bytes:
    try:
        # A pipe or a device would wait, or never end.
        if not path.is_file():
            return b""
        with path.open("rb") as handle:
            return handle.read(_LOOKED_AT)
    except (OSError, ValueError):
        return b""
