"""Images: picture files and movies, their pixels, headers and provenance.

``images.read(path)`` and ``images.write(path, ...)`` are this package's door; :mod:`engine.images.movies` is another.
"""

from engine.images.files import Image, check, clean_temporaries, read, read_header, read_matte, write
from engine.images.provenance import read_provenance

__all__ = ["Image", "check", "clean_temporaries", "read", "read_header", "read_matte", "read_provenance", "write"]
