"""The recipe's settings that a file may change: as ``paintover tune`` finds them and training takes them.

::

    batch = 3
    patch = 192
    blocks = 9
    learning_rate = 0.001
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.base.errors import InputError
from engine.base.foreign_toml import read_toml

__all__ = ["PARAMETERS", "REVISION", "checked_setting", "checked_settings", "read_parameters", "read_settings"]

PARAMETERS = ("batch", "patch", "blocks", "learning_rate")
"""What a file may name: crops a step, side of a crop in pixels, residual blocks, Adam's first learning rate."""

REVISION = 5
"""Of what training makes of its inputs: a look, a search or a training of another revision is not gone on with."""

_LEAST = {"batch": 1, "patch": 32, "blocks": 1}


def checked_setting(name: str, value: object) -> float:
    """The value of a parameter, whole numbers as int.

    Raises:
        InputError: not a number that can be trained with.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise InputError(f"{name} is {value!r}, one number is needed")
    if name not in _LEAST:
        if not 0 < value < 1:
            raise InputError(f"{name} is {value:g}, a number between 0 and 1 is needed")
        return value
    if not math.isfinite(value) or value != int(value) or value < _LEAST[name]:
        raise InputError(f"{name} is {value:g}, a whole number of at least {_LEAST[name]} is needed")
    return int(value)


def checked_settings(values: Mapping[str, object]) -> dict[str, float]:
    """The values of some parameters, see :func:`checked_setting`.

    Raises:
        InputError: an unknown parameter, or a value that cannot be trained with.
    """
    _refuse_unknown(values)
    return {name: checked_setting(name, value) for name, value in values.items()}


def read_parameters(path: Path) -> dict[str, Any]:
    """A TOML file that names at least one of ``PARAMETERS`` and nothing else; its values are not looked at.

    Raises:
        InputError: it cannot be read, is not TOML, is empty, or names something unknown.
    """
    try:
        data = read_toml(path)
    except OSError as error:
        raise InputError(f"cannot read the settings: {error.strerror or error}", path=path) from error
    except ValueError as error:
        raise InputError(f"the settings file is not TOML: {error}", path=path) from error
    try:
        _refuse_unknown(data)
    except InputError as error:
        error.path = path
        raise
    if not data:
        raise InputError("the settings file has no parameter", path=path, remedy=f"known are {', '.join(PARAMETERS)}")
    return data


def read_settings(path: Path) -> dict[str, float]:
    """The settings file of a training, such as ``work/tune/best.toml``: one value for some of ``PARAMETERS``.

    Raises:
        InputError: see :func:`read_parameters` and :func:`checked_setting`; a list is a grid to search.
    """
    data = read_parameters(path)
    for name, value in data.items():
        if isinstance(value, list):
            remedy = "give it one value, or search the grid with paintover tune"
            raise InputError(f"{name} is a list of values", path=path, remedy=remedy)
    try:
        return checked_settings(data)
    except InputError as error:
        error.path = path
        raise


def _refuse_unknown(values: Mapping[str, object]) -> None:
    unknown = sorted(set(values) - set(PARAMETERS))
    if unknown:
        raise InputError(f"unknown parameter {unknown[0]}", remedy=f"known are {', '.join(PARAMETERS)}")
