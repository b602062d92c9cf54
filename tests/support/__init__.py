"""Support: what tests share: small looks and plates, stand-ins for hosts, clusters and training, where things lie."""

from pathlib import Path

__all__ = ["ROOT", "SHARED", "SUPPORT"]

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parents[1]
"""The checkout."""
SHARED = ROOT.parent / "shared"
"""Footage and models that a stranger's clone does not have: tests that need it skip, saying so."""
