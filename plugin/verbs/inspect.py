"""``paintover inspect``: what a look, a rendered frame or any image says about itself."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from engine import images
from engine.base.errors import ColorError, ImageError, InputError, LookError
from engine.color.assignment import assign
from engine.color.config import ColorConfig
from engine.color.keys import find_key_transform
from engine.images.header import Header
from engine.images.provenance import read_provenance
from engine.look.session import Card, read_card
from plugin.arguments.commands import COMMANDS
from plugin.arguments.options import Options
from plugin.arguments.parser import Parser
from plugin.progress.protocol import Progress, duration, visible
from plugin.progress.stop import StopRequest

__all__ = ["parser", "run"]


def parser() -> Parser:
    """The options of ``paintover inspect``."""
    return Parser(COMMANDS["inspect"])


def run(options: Options, progress: Progress, stop: StopRequest) -> int:
    """Print it."""
    path = Path(options.path or "")
    if path.suffix.lower() == ".onnx":
        card = read_card(path)
        print(json.dumps(asdict(card), indent=2) if options.json else "\n".join(map(visible, _card_lines(path, card))))
        return 0
    if not path.is_file():
        raise InputError("there is no such file", path=path, remedy="name a look (.onnx) or a rendered frame")
    try:
        facts = read_provenance(path)
        image = images.read(path)
    except ImageError as error:
        raise LookError("neither a look nor an image", path=path, remedy="name an .onnx or a rendered frame") from error
    size = {"width": image.header.width, "height": image.header.height, "bit_depth": image.header.bit_depth}
    space, why = _color(path, image.header)
    if options.json:
        color = {"colorspace": space, "why": why}
        print(json.dumps({"path": str(path), **size, **color, "provenance": facts}, indent=2))
        return 0
    print(visible(f"{path}: {size['width']}x{size['height']} {size['bit_depth']}"))
    print(visible(f"  color        {'taken as ' + space if space else 'refused'}: {why}"))
    key = find_key_transform(path)
    if key is not None:
        of = f"frame {key.frame} of {key.plate}, {key.colorspace}"
        print(visible(f"  key          {of}, out {'through ' + key.taken if key.view else 'as ' + key.taken}"))
    for name, value in sorted(facts.items()):
        if name != "key":
            print(visible(f"  {name:<12} {value}"))
    if not facts and key is None:
        print("  was not rendered by Paintover, or its format keeps no such facts")
    return 0


def _color(path: Path, header: Header) -> tuple[str, str]:
    """What an image is taken as where nobody says it, and why; empty where it is refused, and why."""
    try:
        taken = assign(ColorConfig.active(), header, path)
    except ColorError as error:
        return "", f"{error.message}; {error.remedy}"
    return taken.colorspace, taken.why


def _card_lines(path: Path, card: Card) -> list[str]:
    trained = card.trained
    # A look of so many steps keeps no time, so that the same steps are the same bytes.
    length = f"in {duration(trained.seconds)}" if trained.seconds else "(seconds not recorded: trained by steps)"
    lines = [
        f"{path}: a look named {card.name}, format {card.format}",
        f"  trained      {trained.steps} step{'' if trained.steps == 1 else 's'} {length}, recipe {trained.recipe}, "
        f"seed {trained.seed}, loss {trained.loss:.4f}",
        f"  color        works in {card.working_colorspace} of {card.ocio_config}; plate {card.plate_colorspace}, "
        f"paintings {card.paint_colorspace}",
    ]
    for keyframe in card.keyframes:
        lines.append(
            f"  keyframe     {keyframe.frame}, {keyframe.width}x{keyframe.height}, "
            f"painting {keyframe.exemplar_sha256[:12]}"
        )
    for style in card.styles:
        lines.append(f"  style        {style.name}, weight {style.weight:g}, image {style.image_sha256[:12]}")
    lines.append(f"  network      reaches {card.halo} pixels, windows on multiples of {card.multiple}")
    if card.guide_kind is not None:
        lines.append(f"  guide        {card.guide_kind}, {card.guide_channels} channels: prepare --guides makes it")
    if card.denoise is not None:
        lines.append(f"  plate        denoised ({card.denoise}): prepare --denoise makes it")
    lines.append("  versions     " + ", ".join(f"{name} {number}" for name, number in card.versions.items()))
    return lines
