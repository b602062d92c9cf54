"""The parser of a verb, made from its declaration: one-line errors that name the closest option, and its help page."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from engine.base.errors import InputError
from plugin.arguments.command import Command
from plugin.arguments.option import Option
from plugin.arguments.options import Options

__all__ = ["Parser"]


class Parser(argparse.ArgumentParser):
    """Reads what follows a verb; its help has the options in groups, and examples under them."""

    def __init__(self, command: Command) -> None:
        verb = command.verb
        place = "[SHOT.toml] " if command.takes_shot else ""
        super().__init__(
            prog=f"paintover {verb}",
            usage=command.usage or f"paintover {verb} {place}[options]",
            description=command.summary,
            epilog="\n".join(["examples:", *(f"  {line}" for line in command.examples)]),
            formatter_class=_Formatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.command = command
        titled: dict[str, argparse._ArgumentGroup] = {}
        exclusive: dict[str, list[argparse.Action]] = {}
        for option in command.options:
            if option.field == "shot":
                continue
            group = titled.get(option.group) or self.add_argument_group(option.group)
            titled[option.group] = group
            action = group.add_argument(*(option.flags or (option.field,)), **_arguments(option))
            if option.excludes:
                exclusive.setdefault(option.excludes, []).append(action)
        for actions in exclusive.values():
            # Made by argparse itself, they would have to stand in one group of the help.
            self.add_mutually_exclusive_group()._group_actions += actions
        titled["reporting"].add_argument("-h", "--help", action="help", help="show this page")

    def read(self, arguments: Sequence[str]) -> Options:
        """The options, with the shot file for verbs that take one.

        Raises:
            InputError: wrong usage, in one line.
        """
        options, rest = self.parse_known_args(self._joined(arguments), Options())
        # A positional that may be left out is lost by argparse after an option before Python 3.12; hence by hand.
        if self.command.takes_shot:
            places = [word for word in rest if not word.startswith("-")]
            unknown = [word for word in rest if word.startswith("-")]
            if not unknown and len(places) <= 1:
                options.shot = places[0] if places else None
                return options
        if rest:
            self._refuse(rest)
        return options

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing a usage block."""
        wrong = re.fullmatch(r"argument (\S+): invalid (\S+) value: (.*)", message)
        if wrong is not None:
            # argparse names the function that reads the value.
            kind = {"int": "a whole number", "float": "a number"}.get(wrong[2], "a value that it takes")
            message = f"{wrong[1]} {wrong[3]} is not {kind}"
        raise InputError(f"{self.command.verb}: {message}", remedy=f"see {self.prog} --help")

    def _refuse(self, rest: Sequence[str]) -> NoReturn:
        flag = next((word for word in rest if word.startswith("-")), None)
        if flag is None:
            what = rest[1] if self.command.takes_shot and len(rest) > 1 else rest[0]
            self.error(f"unexpected argument {what!r}")
        name = flag.split("=", 1)[0]
        verb = self.command.verb
        for option in self.command.options:
            if name in option.former:
                raise InputError(f"{verb}: {name} is no longer an option", remedy=f"use {option.flag}")
        destroys = {flag: option.destroys for option in self.command.options for flag in option.flags}
        close = difflib.get_close_matches(name, sorted([*destroys, "-h", "--help"]), n=1, cutoff=0.5)
        # What replaces files is never proposed: a proposal is easily taken.
        if close and not destroys.get(close[0]):
            raise InputError(f"{verb}: unknown option {name}", remedy=f"did you mean {close[0]}?")
        self.error(f"unknown option {name}")

    def _joined(self, arguments: Sequence[str]) -> list[str]:
        """Flags and values as one word where argparse would take them for something else."""
        by_flag = {flag: option for option in self.command.options for flag in option.flags}
        joined: list[str] = []
        for word in arguments:
            option = by_flag.get(joined[-1]) if joined else None
            if option is not None and option.signed and re.fullmatch(option.signed, word):
                joined[-1] = f"{joined[-1]}={word}"
            elif option is not None and option.kind.takes == "maybe":
                # A following word that is none of its choices may be the shot file.
                chosen = word if word in option.kind.choices else option.kind.choices[0]
                joined[-1] = f"{joined[-1]}={chosen}"
                if chosen != word:
                    joined.append(word)
            else:
                joined.append(word)
        return joined


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


def _arguments(option: Option) -> dict[str, Any]:
    """What argparse is told of an option."""
    kind = option.kind
    told: dict[str, Any] = {"help": option.help_text.replace("%", "%%")}
    if option.flags:
        told["dest"] = option.field
    if kind.takes == "nothing":
        return {**told, "action": "store_true"}
    told["metavar"] = option.metavar
    if kind.takes == "pair":
        return {**told, "nargs": 2}
    if kind.choices:
        told["choices"] = kind.choices
    elif kind.read is not str:
        told["type"] = kind.read
    if kind.takes == "many":
        told["action"] = "append"
    if kind.takes == "maybe":
        told |= {"nargs": "?", "const": kind.choices[0]}
    if not option.flags and option.may_be_missing:
        told["nargs"] = "?"
    return told
