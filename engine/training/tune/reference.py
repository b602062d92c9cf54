"""Reference frames: the sequence that settings are scored against, as light beside the plate's frames."""

from __future__ import annotations

from engine import images
from engine.base.arrays import Floats
from engine.base.frames import SequencePath
from engine.color.assignment import Assignment
from engine.color.config import ColorConfig
from engine.color.keys import fit_to_data_window
from engine.color.paintings import painting_color
from engine.shot.plate import PlateReader

__all__ = ["ReferenceReader"]


class ReferenceReader:
    """Reads a reference; frames that Paintover painted on the plate come back the way that paintings do.

    Args:
        path: its files, numbered as the plate's.
        colorspace: OCIO name or "DISPLAY / VIEW" as the user stated it; None for what each file says.
        plate: the plate's reader.
        config: converts to the working colorspace.
    """

    def __init__(self, path: SequencePath, colorspace: str | None, plate: PlateReader, config: ColorConfig) -> None:
        self.path = path
        self._plate = plate
        self._config = config
        self._asked = colorspace
        self._plain = PlateReader(path, colorspace, config)

    def linear(self, frame: int) -> Floats:
        """(H, W, 3) scene-linear in the working colorspace, of the plate's window; as it is where its size differs.

        Raises:
            ImageError: the frame, or the plate's, is missing or damaged.
            ColorError: its colorspace is not in the config.
        """
        if self._asked is not None:
            return self._plain.linear(frame)
        path = self.path.path(frame)
        image, plate = images.read(path, frame=frame), self._plate.read(frame)
        taken = Assignment(plate.space, "", "file")
        color = painting_color(self._config, image.header, path, None, taken, plate.image.header)
        if color.transform is None:
            return self._plain.linear(frame)
        header, size = plate.image.header, (image.header.width, image.header.height)
        # The plate's own light comes back where nothing was painted, beyond white too.
        whole = size == (color.transform.width, color.transform.height) == header.display[2:]
        light = color.to_working(image, self._config, plate=plate.image if whole else None)
        if size not in (header.display[2:], header.data[2:]):
            return light
        return plate.placed(fit_to_data_window(light, header)[0])
