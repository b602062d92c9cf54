"""A stand-in for Nuke; relative imports and Python 3.9, because it runs under every host's Python."""
