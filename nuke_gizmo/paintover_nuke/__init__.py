"""Paintover in Nuke: what the node's text calls. Standard library only, Python 3.9 to 3.13.

``client`` beside this file is a copy of what :data:`plugin.client.command.CLIENT_FILES` names, made at installation.
Only :mod:`.nuke_host` imports ``nuke``.
"""

from .before_frame import register
from .buttons import press
from .expressions import missing_path, reason, which

__all__ = ["missing_path", "press", "reason", "register", "which"]
