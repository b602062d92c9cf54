"""A look for Flame's Inference node: the .onnx with one input a socket, and its .json.

Flame's sockets carry three channels, so the map of each keyframe becomes an input of its own. Nothing else of the graph
changes. An empty socket is black: confidence 0, the plain translator.
"""

from __future__ import annotations

import json

import onnx
from onnx import TensorProto, helper

from engine.base.errors import InputError
from engine.look.card import LookFile

__all__ = ["flame_json", "flame_model"]

_MINIMUM_VERSION = "2025.2"
"""The first whose sidecar says channels."""


def flame_model(look: LookFile) -> bytes:
    """The .onnx: inputs ``plate`` and ``stmap_FRAME`` for each keyframe, outputs ``styled`` and ``carried``.

    A look without keyframes is that already.

    Raises:
        InputError: the look needs guide images, for which Flame has no socket.
    """
    if look.card.guide_channels:
        raise InputError("the look needs guide images, which Flame cannot feed", path=look.path, remedy="train without")
    model = onnx.load_model_from_string(look.data)
    graph = model.graph
    names = _map_names(look)
    if not names:
        return look.data
    kept = [value for value in graph.input if value.name != "stmap"]
    maps = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, "h", "w"]) for name in names]
    del graph.input[:]
    graph.input.extend([*kept, *maps])
    joined = helper.make_node("Concat", names, ["stmap"], name="join_stmaps", axis=1)
    nodes = [joined, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def flame_json(look: LookFile, name: str) -> str:
    """The text of the sidecar."""
    card = look.card
    inputs = [
        {
            "Name": "plate",
            "Description": f"Plate, scene-linear {card.working_colorspace}",
            "Type": "Front",
            "Channels": "RGB",
            "Gain": 1.0,
        }
    ]
    for keyframe, socket in zip(card.keyframes, _map_names(look), strict=True):
        inputs.append(
            {
                "Name": socket,
                "Description": f"STMap of keyframe {keyframe.frame}: u, v, and confidence in blue",
                "Type": "Back",
                "Channels": "RGB",
                "Gain": 1.0,
            }
        )
    facts = {
        "MinimumVersion": _MINIMUM_VERSION,
        "Name": name,
        "Description": f"Paintover look {card.name}",
        "SupportsSceneLinear": True,
        "KeepAspectRatio": False,
        # The look pads itself, whatever the size.
        "Padding": 1,
        "Inputs": inputs,
        "Outputs": [
            {"Name": "styled", "Description": "Stylized", "Type": "Result", "ScalingFactor": 1.0, "Channels": "RGB"},
            {
                "Name": "carried",
                "Description": "How much of each pixel rides on a painting",
                "Type": "OutMatte",
                "ScalingFactor": 1.0,
                "Channels": "A",
            },
        ],
    }
    return json.dumps({"ModelDescription": facts}, indent=2) + "\n"


def _map_names(look: LookFile) -> list[str]:
    return [f"stmap_{keyframe.frame}".replace("-", "minus") for keyframe in look.card.keyframes]
