"""What stands beside an exported look for Nuke: the script with CatFileCreator and Inference, and Cattery's cat.json.

Nuke's models take one tensor whose channels are named from a fixed list. So the plate lies in rgba, the STMap of the
first keyframe in forward.u, forward.v and mask.a, that of a second in backward.u, backward.v and depth.Z.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CHANNELS_OUT", "MAPS", "NukePlate", "cat_json", "channels_in", "nuke_script", "quoted"]

_PLATE = ("rgba.red", "rgba.green", "rgba.blue")
_MAPS = (("forward.u", "forward.v", "mask.a"), ("backward.u", "backward.v", "depth.Z"))
MAPS = len(_MAPS)
"""STMaps that the channels hold; keyframes beyond these are not carried in Nuke."""
CHANNELS_OUT = (*_PLATE, "mask.a")
"""Stylized RGB, and how much of each pixel rides on a painting."""

_VERSION = "13.0 v1"


@dataclass(frozen=True)
class NukePlate:
    """The plate that the script reads; empty texts are left for the artist."""

    path: str
    """Pattern with ``%04d``."""
    first: int
    last: int


def channels_in(keyframes: int) -> tuple[str, ...]:
    """The packed input's channels, in order, for a look with so many keyframes."""
    return (*_PLATE, *(name for names in _MAPS[:keyframes] for name in names))


def nuke_script(
    name: str,
    folder: str,
    working_colorspace: str,
    stmaps: Sequence[tuple[int, str]],
    plate: NukePlate | None,
) -> str:
    """The text of a ``.nk``: opened once, its CatFileCreator makes the .cat, and the rest is the comp to go on from.

    Args:
        name: of the files, without suffix.
        folder: where they lie, as the Nuke machine sees it.
        working_colorspace: of the look; the script converts from and to the project's scene_linear.
        stmaps: keyframe and sidecar pattern, the ones that fit, in the look's order.
        plate: None where it is not known.
    """
    identifier = "".join(c if c.isalnum() else "_" for c in name)
    first, last = (plate.first, plate.last) if plate else (1, 100)
    nodes = [
        _node(
            "CatFileCreator",
            inputs=0,
            torchScriptFile=f"{folder}/{name}.pt",
            catFile=f"{folder}/{name}.cat",
            channelsIn=", ".join(channels_in(len(stmaps))),
            channelsOut=", ".join(CHANNELS_OUT),
            modelId=f"paintover.{identifier}",
            name=f"CatFileCreator_{identifier}",
            label="once: Create .cat file and Inference",
            xpos=320,
            ypos=-120,
        )
    ]
    # A node takes its first input from the top of the stack, so what goes into the second is pushed before.
    plate_node = _node(
        "Read",
        inputs=0,
        file_type="exr",
        file=plate.path if plate else "",
        first=first,
        last=last,
        origfirst=first,
        origlast=last,
        name="Plate",
        xpos=0,
        ypos=-320,
    )
    to_look = _node(
        "OCIOColorSpace",
        in_colorspace="scene_linear",
        out_colorspace=working_colorspace,
        name="ToLook",
        xpos=0,
        ypos=-220,
    )
    maps = []
    for index, (frame, pattern) in enumerate(stmaps):
        names = _MAPS[index]
        read = _node(
            "Read",
            inputs=0,
            file_type="exr",
            file=pattern,
            first=first,
            last=last,
            origfirst=first,
            origlast=last,
            # A frame without its map is translated without the painting, as on the command line.
            on_error="black",
            raw="true",
            name=f"STMap_{frame}",
            xpos=-160 * (index + 1),
            ypos=-220,
        )
        copy = _node(
            "Copy",
            inputs=2,
            from0="rgba.red",
            to0=names[0],
            from1="rgba.green",
            to1=names[1],
            from2="rgba.alpha",
            to2=names[2],
            name=f"Carry_{frame}",
            xpos=0,
            ypos=-160 + 60 * index,
        )
        maps.append((read, copy))
    # The last map's read lies deepest.
    nodes += [read for read, _ in reversed(maps)] + [plate_node, to_look] + [copy for _, copy in maps]
    nodes.append(
        _node(
            "Inference",
            modelFile=f"{folder}/{name}.cat",
            useGPUIfAvailable="true",
            name=f"Look_{identifier}",
            label="mask.a: how much rides on a painting",
            xpos=0,
            ypos=20,
        )
    )
    nodes.append(
        _node(
            "OCIOColorSpace",
            in_colorspace=working_colorspace,
            out_colorspace="scene_linear",
            name="FromLook",
            xpos=0,
            ypos=100,
        )
    )
    layers = ["forward forward.u forward.v", "mask mask.a"]
    layers += ["backward backward.u backward.v", "depth depth.Z"] if len(stmaps) > 1 else []
    header = [f"version {_VERSION}", *(f"add_layer {{{layer}}}" for layer in layers)]
    return "\n".join([*header, *nodes]) + "\n"


def cat_json(name: str, description: str) -> str:
    """The text of Cattery's ``cat.json``."""
    facts = {
        "minimum_nuke_version_required": 13.0,
        "version": 1,
        "category": "Paintover",
        "description": description,
        "cats": [{"filepath": f"{name}.cat", "name": name}],
    }
    return json.dumps(facts, indent=2) + "\n"


def quoted(text: str) -> str:
    """A text as one word of Tcl that Nuke takes as it is: nothing in it is substituted."""
    escaped = "".join(f"\\{c}" if c in '\\"[]{}$' else c for c in text)
    return f'"{escaped}"'.replace("\n", "\\n")


def _node(kind: str, /, **knobs: str | int) -> str:
    lines = [f"{kind} {{"]
    for knob, value in knobs.items():
        plain = isinstance(value, int) or (value != "" and all(c.isalnum() or c in "._" for c in value))
        lines.append(f" {knob} {value if plain else quoted(str(value))}")
    return "\n".join([*lines, "}"])
