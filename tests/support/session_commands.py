"""Commands of a training session that a test gives, one after the other."""

from __future__ import annotations

from engine.base.errors import InputError
from engine.training.job.session import SessionCommand
from engine.training.session.commands import CommandQueue


class GivenCommands(CommandQueue):
    """What is in ``next`` comes with the next look; nothing is ever waited for."""

    def __init__(self) -> None:
        self.next: list[SessionCommand | InputError] = []

    def take(self, wait_s: float) -> list[SessionCommand | InputError]:
        found, self.next = self.next, []
        return found

    def has_any(self) -> bool:
        return bool(self.next)
