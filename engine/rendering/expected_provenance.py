"""Expected provenance: what a rendered frame says of its making, if it is the one that a job would write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.base.errors import ImageError
from engine.color.config import ColorConfig
from engine.look.card import LookFile
from engine.look.session import Look
from engine.rendering.frame_inputs import FrameInputs
from engine.rendering.settings import RenderSettings
from engine.shot.plate import plate_sha256
from engine.shot.plate_color import PlateColor
from engine.shot.shot import Plate

__all__ = ["ExpectedProvenance"]


@dataclass(frozen=True, eq=False)
class ExpectedProvenance:
    """The facts by which :mod:`engine.rendering.verify` tells a whole frame from a foreign one; see :meth:`of`."""

    common: dict[str, str]
    """Of every frame: the look, and the settings where they are compared."""
    plate: Plate | None
    """The source frames; None where they are not compared."""
    inputs: FrameInputs | None
    """What a frame takes beside its plate; None where there is no plate."""
    config: ColorConfig | None
    """By which the plate's color is told; None where the settings are not compared."""

    @classmethod
    def of(
        cls,
        look: LookFile | Look,
        settings: RenderSettings | None,
        plate: Plate | None,
        work: Path | None,
        prepared: Path | None,
        config: ColorConfig,
    ) -> ExpectedProvenance:
        """The facts of frames that a look made.

        Args:
            settings: compared where given; the plate's colorspace is part of them.
            plate: compared where given, and with it STMaps in ``work`` and what lies in ``prepared``.

        Raises:
            InputError: the look needs a work folder.
        """
        common = {"look": look.sha256}
        denoise = None if settings is None else settings.denoise
        matte = None if settings is None else settings.matte
        inputs = None if plate is None else FrameInputs.of(look.card, plate.path, work, prepared, denoise, matte=matte)
        if settings is not None:
            colorspace = None if plate is None else plate.colorspace
            settings = settings.without_own_denoise(look.card.denoise)
            common["settings"] = settings.hash(plate_colorspace=colorspace, config=config.name)
        return cls(common, plate, inputs, None if settings is None else config)

    def __call__(self, frame: int, *, plate_needed: bool = True) -> dict[str, str]:
        """The facts of a frame.

        Args:
            plate_needed: whether a plate frame that is gone is an error, rather than not compared.

        Raises:
            ImageError: the plate's frame is missing; or a guide image or a denoised frame, or is another's.
        """
        if self.plate is None or self.inputs is None:
            return dict(self.common)
        try:
            source = plate_sha256(self.plate.path, frame)
            return self.common | {"plate": source} | self.inputs.facts(frame, source)
        except ImageError:
            if plate_needed:
                raise
            return self.common | self.inputs.facts(frame, None)

    def color(self, frame: int) -> PlateColor | None:
        """What a frame's plate is taken as; None where settings or plate are not compared, or the plate is gone."""
        if self.plate is None or self.config is None:
            return None
        try:
            return PlateColor.of(self.plate.path, self.plate.colorspace, frame, self.config)
        except ImageError:
            return None
