"""Requests of pages over their socket: one JSON object each, held against this before anything is done."""

from __future__ import annotations

import json
from typing import Any, Literal, TypeAlias

import msgspec

from engine.base.errors import InputError
from plugin.desk.desk import ShotDesk

__all__ = ["handle"]


class _Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do"):
    pass


class _LookAt(_Request, frozen=True, tag="look_at"):
    frame: int


class _Attend(_Request, frozen=True, tag="attend"):
    pass


class _Add(_Request, frozen=True, tag="add"):
    frame: int


class _Remove(_Request, frozen=True, tag="remove"):
    id: int


class _Switch(_Request, frozen=True, tag="switch"):
    id: int
    on: bool


class _Open(_Request, frozen=True, tag="open"):
    id: int


class _Train(_Request, frozen=True, tag="train"):
    what: Literal["pause", "go_on", "again"]


class _Commit(_Request, frozen=True, tag="commit"):
    render: bool


class _Cancel(_Request, frozen=True, tag="cancel"):
    task: Literal["commit", "prepare"]


class _Follow(_Request, frozen=True, tag="follow"):
    pass


class _Restore(_Request, frozen=True, tag="restore"):
    id: int


class _Report(_Request, frozen=True, tag="report"):
    pass


_AnyRequest: TypeAlias = (
    _LookAt | _Attend | _Add | _Remove | _Restore | _Switch | _Open | _Train | _Commit | _Cancel | _Follow | _Report
)


def handle(desk: ShotDesk, text: str) -> None:
    """Do what a page asks for.

    Raises:
        InputError: it is no request, or asks for what is not there.
        PaintoverError: it failed.
    """
    request = _parsed(text)
    if isinstance(request, _LookAt):
        desk.look_at(request.frame)
    elif isinstance(request, _Attend):
        desk.attend()
    elif isinstance(request, _Add):
        desk.add(request.frame)
    elif isinstance(request, _Remove):
        desk.remove(request.id)
    elif isinstance(request, _Restore):
        desk.restore(request.id)
    elif isinstance(request, _Follow):
        desk.follow_again()
    elif isinstance(request, _Report):
        desk.open_report()
    elif isinstance(request, _Switch):
        desk.switch(request.id, on=request.on)
    elif isinstance(request, _Open):
        desk.open_program(request.id)
    elif isinstance(request, _Train):
        {"pause": desk.pause, "go_on": desk.go_on, "again": desk.again}[request.what]()
    elif isinstance(request, _Commit):
        desk.commit(render=request.render)
    else:
        desk.cancel(request.task)


def _parsed(text: str) -> _AnyRequest:
    try:
        found: Any = msgspec.convert(json.loads(text), _AnyRequest)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a request: {str(error)[:200]}") from error
    request: _AnyRequest = found
    return request
