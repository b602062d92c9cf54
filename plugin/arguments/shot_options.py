"""The options of a whole shot, from keyframes to frames: what ``run`` and ``submit`` have in common."""

from __future__ import annotations

from plugin.arguments.options import (
    Parser,
    add_frames_out,
    add_keyframes,
    add_look,
    add_plate,
    add_training,
    add_work,
)
from plugin.arguments.prepare_options import add_denoise, add_guides, add_vectors

__all__ = ["add_whole_shot"]


def add_whole_shot(parser: Parser) -> None:
    """Plate, paintings, result, folders, look, motion, grain, guide images and training."""
    add_plate(parser)
    add_keyframes(parser)
    add_frames_out(parser, "rendered frames: out.%%04d.exr, .png, .tif, .jpg or .dpx")
    add_work(parser)
    add_look(parser, "look.onnx in the work folder")
    add_vectors(parser)
    add_denoise(parser, "train on and render a plate with its grain averaged away, which is made first")
    add_guides(parser, "train and render with guide images, which are made first")
    add_training(parser, fresh=True)
