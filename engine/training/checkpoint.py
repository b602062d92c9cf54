"""A training checkpoint: two files of plain data, safetensors and JSON, never a pickle.

``checkpoint.safetensors`` holds every tensor, and in its own header the JSON of everything else, so that one atomic
rename replaces both at once. ``checkpoint.json`` beside it is the same JSON for people; nothing reads it back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engine.base.errors import InputError
from engine.base.foreign_json import parse_json
from engine.base.temporaries import output_error, replacing
from engine.training.job.job import CHECKPOINT
from engine.training.recipes import Recipe

__all__ = ["FORMAT", "damaged", "load_checkpoint", "save_checkpoint"]

FORMAT = 1
NAME = CHECKPOINT.name
MAX_HEADER_BYTES = 2**27
REMEDY = "run again without --resume to start afresh"


KEPT = "kept/"


def save_checkpoint(
    folder: Path, recipe: Recipe, state: Mapping[str, Any], kept: Mapping[str, Tensor] | None = None
) -> Path:
    """Write ``recipe`` and the JSON values ``state`` to ``folder`` atomically; a synchronization point on a GPU.

    Args:
        kept: the best weights so far, where they are not the current ones.

    Raises:
        OutputError: the folder cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in recipe.modules.items():
        for key, value in module.state_dict().items():
            tensors[f"{name}/{key}"] = value.detach().cpu().contiguous()
    for name, optimizer in recipe.optimizers.items():
        for index, slots in optimizer.state_dict()["state"].items():
            for slot, value in slots.items():
                tensors[f"adam:{name}/{index}/{slot}"] = torch.as_tensor(value).detach().cpu().contiguous()
    for key, value in (kept or {}).items():
        tensors[KEPT + key] = value.detach().cpu().contiguous()
    document = {"format": FORMAT, **state, "sampler": recipe.sampler_state(), "tensors_sha256": _digest(tensors)}
    text = json.dumps(document, sort_keys=True)
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    with replacing(path) as temporary:
        temporary.write_bytes(save(tensors, metadata={"paintover": text}))
    readable = {key: value for key, value in document.items() if key not in ("sampler", "random")}
    with replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(readable, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return path


def load_checkpoint(folder: Path, recipe: Recipe, inputs_sha256: str | None) -> dict[str, Any] | None:
    """Restore ``recipe`` from ``folder`` and return the saved state; None where there is no checkpoint.

    The state's ``kept`` holds the best weights so far, or None.

    Args:
        folder: or the file itself.
        inputs_sha256: of what is trained from; None to go on from other paintings, with networks and optimizers alone.

    Raises:
        InputError: the checkpoint is damaged, of a newer format, or of other inputs or another network.
    """
    path = _file(folder)
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            state: dict[str, Any] = parse_json((file.metadata() or {})["paintover"], MAX_HEADER_BYTES)
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        if not isinstance(state, dict):
            raise ValueError("its header is no object")
    except (SafetensorError, OSError, ValueError, KeyError, MemoryError, OverflowError, TypeError) as error:
        raise damaged(folder, str(error)) from error
    if state.get("format") != FORMAT:
        raise InputError(f"the checkpoint has format {state.get('format')}", path=path, remedy=REMEDY)
    if inputs_sha256 is not None and state.get("inputs_sha256") != inputs_sha256:
        why = "the checkpoint was made from other keyframes, recipe or seed, or by another version"
        raise InputError(why, path=path, remedy=REMEDY)
    if state.get("tensors_sha256") != _digest(tensors):
        raise damaged(folder, "its tensors have changed")
    try:
        for name, module in recipe.modules.items():
            module.load_state_dict({k: tensors[f"{name}/{k}"] for k in module.state_dict()})
        for name, optimizer in recipe.optimizers.items():
            document = optimizer.state_dict()
            slots: dict[int, dict[str, Tensor]] = {}
            prefix = f"adam:{name}/"
            for key, value in tensors.items():
                if key.startswith(prefix):
                    index, slot = key[len(prefix) :].split("/")
                    slots.setdefault(int(index), {})[slot] = value
            optimizer.load_state_dict({**document, "state": slots})
        if inputs_sha256 is not None:
            recipe.restore_sampler(state["sampler"])
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise InputError(f"the checkpoint does not fit this recipe: {error}", path=path, remedy=REMEDY) from error
    kept = {key[len(KEPT) :]: value for key, value in tensors.items() if key.startswith(KEPT)}
    return {**state, "kept": kept or None}


def damaged(folder: Path, reason: str) -> InputError:
    """The error for a checkpoint that cannot be used."""
    return InputError(f"the checkpoint is damaged: {reason[:300]}", path=_file(folder), remedy=REMEDY)


def _file(place: Path) -> Path:
    return place if place.suffix == NAME[NAME.index(".") :] else place / NAME


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and bytes: a half-copied file can be whole in its header and length."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + b"\0" + tensors[name].numpy().tobytes())
    return digest.hexdigest()
