"""The verbs of one machine as data: what keeps running on it, what is installed in its hosts, and its check."""

from __future__ import annotations

from plugin.arguments import table
from plugin.arguments import verb_options as own
from plugin.arguments.command import Command

__all__ = ["MACHINE_COMMANDS"]

MACHINE_COMMANDS = (
    Command(
        "worker",
        "Keeps looks loaded and renders frames on request, for hosts: one JSON object a line on its standard\n"
        "streams, or on a socket of this machine. It ends when its host does, or when nobody asks for anything.",
        (own.SOCKET, own.ASK, own.IDLE, own.MEMORY, table.THREADS, table.MAX_IMAGE_GIB, table.DEBUG),
        (
            "paintover worker",
            "paintover worker --socket ~/.paintover/worker.json --idle 3600",
            "paintover worker --socket ~/.paintover/worker.json --ask request.json",
        ),
    ),
    Command(
        "install",
        "Puts Paintover's part of a host where the host looks for it, and remembers where this paintover is, for\n"
        "hosts that do not see the PATH. Doing it again updates it.",
        (own.HOST, own.INSTALL_TO, table.PROGRESS, table.DEBUG),
        ("paintover install nuke", "paintover install nuke --to /studio/nuke", "paintover install resolve"),
        usage="paintover install nuke|resolve [--to DIR] [options]",
    ),
    Command(
        "uninstall",
        "Takes away what `paintover install` put there, and nothing else: your own files and lines stay.",
        (own.HOST, own.INSTALL_TO.but(help="where from"), table.PROGRESS, table.DEBUG),
        ("paintover uninstall nuke", "paintover uninstall nuke --to /studio/nuke"),
        usage="paintover uninstall nuke|resolve [--to DIR] [options]",
    ),
    Command(
        "doctor",
        "Checks this machine: versions, CPU, memory, GPU, color configuration, codecs and paths.\n"
        "Send its output with every bug report. Exit code 1 if something needed is broken.",
        (table.OCIO, table.JSON, table.DEBUG),
        ("paintover doctor", "paintover doctor --json > doctor.json"),
    ),
)
"""In the order in which they are listed."""
