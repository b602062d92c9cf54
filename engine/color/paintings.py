"""Paintings: what the colors of a painted frame mean, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine import images
from engine.base.arrays import Floats
from engine.color.assignment import Assignment, assign, claimed_by, is_display_referred
from engine.color.config import ColorConfig
from engine.color.keys import KeyTransform, find_key_transform
from engine.color.showing import Showing
from engine.images.files import Image
from engine.images.header import Header

__all__ = ["PaintingColor", "check_painting_space", "painting_color"]

_FLOAT_DEPTHS = {"half", "float"}
_ALIKE = 0.01
"""Of a pixel that was left alone, after two programs' rounding to 8 bits; a stroke is further away."""


@dataclass(frozen=True)
class PaintingColor:
    """How a painting is taken."""

    taken: Assignment
    """Its colorspace; for a painting that was shown through a view, the text of that :class:`Showing`."""
    transform: KeyTransform | None = None
    """How the frame was exported, where that is known."""
    saved_as: str = ""
    """The colorspace that a program converted an exported key to; empty where it kept the key's own."""
    showing: Showing | None = None
    """The view that was asked for, where there is no transform."""
    question: str = ""
    """What to ask the artist; empty where nothing is in doubt."""

    def to_working(self, painting: Image, config: ColorConfig, *, plate: Image | None = None) -> Floats:
        """The painting, (h, w, 3), as scene-linear of the working colorspace.

        Args:
            plate: its frame; see :meth:`KeyTransform.to_working`.

        Raises:
            ColorError: this OCIO config lacks the display, view or colorspace.
        """
        if self.transform is not None and self.saved_as:
            return self._converted_back(self.transform, painting, config, plate)
        if self.transform is not None:
            return self.transform.to_working(painting.rgb, config, plate=plate)
        if self.showing is not None:
            scene = config.view_inverse(painting.rgb, self.showing.display, self.showing.view)
            return np.nan_to_num(scene, nan=0.0, posinf=65504.0, neginf=-65504.0)
        return config.to_working(painting.rgb, self.taken.colorspace)

    def _converted_back(
        self, transform: KeyTransform, painting: Image, config: ColorConfig, plate: Image | None
    ) -> Floats:
        """Color by color to what was exported, and from there as any painting on it.

        Float that claims nothing may also be the plate itself, painted on in a compositor and saved under the key's
        name, or codes as they were: the pixels that were left alone tell.
        """
        scene = config.to_working(painting.rgb, _by_curve(config, self.saved_as))
        codes = config.from_working(scene, _by_curve(config, transform.exported_space(config)))
        if plate is not None and codes.shape == plate.header.to_display(plate.rgb).shape:
            own = plate.header.to_display(config.to_working(plate.rgb, transform.colorspace))
            shown = transform.shown(plate, config)
            left = {"plate": _share_alike(scene, own), "key": _share_alike(codes, shown)}
            if not painting.header.claims:
                left["codes"] = _share_alike(painting.rgb, shown)
            kept = max(left, key=lambda kind: (left[kind], kind == "key"))
            if kept == "plate":
                return np.nan_to_num(scene, nan=0.0, posinf=65504.0, neginf=-65504.0)
            codes = painting.rgb if kept == "codes" else codes
        return transform.to_working(np.clip(np.nan_to_num(codes, nan=0.0), 0.0, 1.0), config, plate=plate)


def check_painting_space(config: ColorConfig, name: str) -> None:
    """A painting can be taken as this: a colorspace, or "DISPLAY / VIEW".

    Raises:
        ColorError: neither.
    """
    if Showing.parse(name, config) is None:
        config.resolve(name)


def painting_color(
    config: ColorConfig, header: Header, path: Path, asked: str | None, plate: Assignment, plate_header: Header
) -> PaintingColor:
    """How a painting is taken: as asked, as the frame was exported, else as any image is.

    Args:
        header: the painting's.
        asked: a colorspace, or "DISPLAY / VIEW" for one that was painted through a view.
        plate: what the plate was taken as.
        plate_header: the header of its frame.

    Raises:
        ColorError: ``asked`` is unknown, or the painting's own claim cannot be read.
        ImageError: the sidecar is damaged.
    """
    if asked:
        showing = Showing.parse(asked, config)
        if showing is not None:
            return PaintingColor(Assignment(str(showing), "as asked", "asked"), showing=showing)
        return PaintingColor(assign(config, header, path, asked))
    transform = find_key_transform(path)
    if transform is not None:
        found = _on_a_key(config, header, path, transform)
        asks = transform.is_light and found.transform is None
        question = _question(config, found.taken, header, plate, plate_header) if asks else ""
        return replace(found, question=question) if question else found
    own = assign(config, header, path)
    showing = _shown_result(config, path, own)
    if showing is not None:
        return PaintingColor(Assignment(str(showing), "rendered by Paintover through it", "file"), showing=showing)
    return PaintingColor(own, question=_question(config, own, header, plate, plate_header))


def _on_a_key(config: ColorConfig, header: Header, path: Path, transform: KeyTransform) -> PaintingColor:
    """A painting program that converts its document says so in the file, and keeps the other metadata.

    Whoever saves codes as float or light as codes converted it too, said or not.
    """
    own = claimed_by(config, header)
    if own is None and transform.is_light != (header.bit_depth in _FLOAT_DEPTHS):
        own = assign(config, header, path)
    exported = transform.exported_space(config)
    if own is None or not _differs(config, own.colorspace, exported):
        return PaintingColor(Assignment(transform.taken, "exported by Paintover", "file"), transform)
    if not transform.view:
        return PaintingColor(own)
    if config.claim_for(exported).encoding is None:
        question = (
            f"exported through {transform.view} in {exported}, and saved as {own.colorspace}: taken as that, without "
            f'the view; save it in the colors of the export, or give --paint-colorspace "{transform.taken}"'
        )
        return PaintingColor(own, question=question)
    why = f"exported by Paintover, and saved as {own.colorspace} ({own.why})"
    return PaintingColor(Assignment(transform.taken, why, "file"), transform, own.colorspace)


def _shown_result(config: ColorConfig, path: Path, own: Assignment) -> Showing | None:
    """The view of a rendered frame that was painted on; None for another image, or one that was rendered without."""
    facts = images.read_provenance(path)
    showing = Showing.parse(facts.get("shown", ""), config)
    if showing is None or facts.get("colorspace") != showing.colorspace(config):
        return None
    return None if _differs(config, own.colorspace, showing.colorspace(config)) else showing


def _share_alike(one: Floats, other: Floats) -> float:
    """Of the pixels of two pictures, (h, w, 3)."""
    return float((np.abs(one - other) <= _ALIKE * (1.0 + np.abs(other))).all(axis=2).mean())


def _by_curve(config: ColorConfig, space: str) -> str:
    """The same by gamut and curve alone: a config may put a tone scale between its displays and the scene."""
    encoding = config.claim_for(space).encoding
    return space if encoding is None else config.make_from_encoding(encoding)


def _differs(config: ColorConfig, one: str, other: str) -> bool:
    first, second = config.claim_for(one).encoding, config.claim_for(other).encoding
    return first is not None and second is not None and str(first) != str(second)


def _question(config: ColorConfig, own: Assignment, header: Header, plate: Assignment, plate_header: Header) -> str:
    if not is_display_referred(config, own.colorspace, header):
        return ""
    lost = "nothing in or beside it says that it is an exported key"
    if is_display_referred(config, plate.colorspace, plate_header):
        if own.source == "file" or own.colorspace == plate.colorspace:
            return ""
        return (
            f"{lost}, and the plate is {plate.colorspace}; if it was painted on a key, "
            f'give --paint-colorspace "{plate.colorspace}"'
        )
    view = Showing.default(config)
    return (
        f"without a view: {lost}; is that right? If it was painted on one, put its .paintover.json beside it, or give "
        f'--paint-colorspace "{view}"'
    )
