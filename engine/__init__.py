"""Paintover's engine: the translator at run time, and its training in :mod:`engine.training`."""

__version__ = "0.1.0"
__all__ = ["__version__"]
