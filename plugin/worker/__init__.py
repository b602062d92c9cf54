"""Worker: the resident process behind a host."""
