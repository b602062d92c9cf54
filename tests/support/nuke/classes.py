"""Classes of Nuke's nodes with the knobs that Paintover touches, and their values in a new node.

Of the published type stubs and scripts; what a class has besides is not here, so that a misspelt knob is a KeyError.
"""

from __future__ import annotations

from typing import Any

__all__ = ["CLASS_KNOBS", "EVERY", "FILES"]

CLASS_KNOBS: dict[str, dict[str, Any]] = {
    "Group": {"help": ""},
    "Input": {},
    "Output": {},
    "Dot": {},
    "Grade": {},
    "TimeWarp": {},
    "TimeOffset": {"time_offset": 0, "reverse_input": False},
    "FrameHold": {"first_frame": 0, "increment": 0},
    "Multiply": {"channels": "rgb", "value": 1},
    "Text2": {"message": "", "box": "", "xjustify": "left", "yjustify": "baseline"},
    "Switch": {"which": 0},
    "Write": {"file": "", "views": ""},
    "OCIOColorSpace": {"in_colorspace": "", "out_colorspace": ""},
    "Copy": {f"{way}{index}": "" for way in ("from", "to") for index in range(4)},
    "CatFileCreator": {
        "torchScriptFile": "", "catFile": "", "channelsIn": "", "channelsOut": "", "modelId": "", "outputScale": 1,
        "createCatFile": None,
    },
    "Inference": {"modelFile": "", "useGPUIfAvailable": True},
    "Viewer": {"viewerProcess": "sRGB (default)"},
    "Root": {
        "name": "", "OCIO_config": "nuke-default", "customOCIOConfigPath": "", "workingSpaceLUT": "linear",
        "monitorLut": "", "first_frame": 1, "last_frame": 100, "proxy": False,
    },
    "Read": {
        "file": "", "proxy": "", "file_type": "exr", "first": 1, "last": 1, "origfirst": 1, "origlast": 1,
        "origset": False, "colorspace": "default", "raw": False, "frame": "", "frame_mode": "expression",
        "on_error": "error", "localizationPolicy": "fromAutoLocalizePath", "reload": None,
    },
}  # fmt: skip
EVERY: dict[str, Any] = {"name": "", "label": "", "xpos": 0, "ypos": 0, "tile_color": 0, "disable": False, "inputs": 1}
FILES = {"Read": ("file", "proxy"), "Write": ("file",), "Root": ("customOCIOConfigPath",)}
