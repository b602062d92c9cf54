"""Round trips of color: a plate out as a key, painted, renamed or saved again by another program, and back.

``python -m tests.support.round_trips`` prints the table of docs/color.md.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import OpenImageIO as oiio

from engine import images
from engine.color.assignment import Assignment, assign
from engine.color.config import ColorConfig
from engine.color.keys import export_key
from engine.color.paintings import PaintingColor, painting_color
from engine.color.showing import Showing
from engine.images import movies
from engine.images.files import Image
from engine.images.gamuts import GAMUTS, Encoding

PLATES = {
    "jpeg": "JPEG",
    "png16": "PNG, 16 bits",
    "exr acescg": "EXR, ACEScg",
    "exr rec709": "EXR, linear Rec. 709",
    "dpx log": "DPX, film log",
    "prores": "ProRes 422 HQ, 10 bits",
}
WAYS = (
    "painted in a viewer",
    "renamed",
    "saved again without metadata",
    "converted to Display P3, 16 bits",
    "saved as linear EXR",
)
_CONVERTED = {
    WAYS[3]: (Encoding(GAMUTS["p3d65"], "srgb"), ".png"),
    WAYS[4]: (Encoding(GAMUTS["rec709"], "linear"), ".exr"),
}
DISPLAY_REFERRED = ("jpeg", "png16", "prores")

_PAINT = np.array([255, 220, 40], np.uint8)
_SIZE = (24, 32)


@dataclass(frozen=True, eq=False)
class RoundTrip:
    """What came back."""

    plate: Image
    painting: Image
    color: PaintingColor
    has_view: bool
    codes: float
    """Largest difference between painted and returned values, painted and untouched pixels alike, in 8-bit codes."""


def make_plate(folder: Path, kind: str) -> Path:
    """A small plate of noise, one of ``PLATES``."""
    if kind == "jpeg":
        path = folder / "plate.jpg"
        assert cv2.imwrite(str(path), np.rint(_noise(0.05, 0.95) * 255).astype(np.uint8))
        return path
    if kind == "png16":
        path = folder / "plate.png"
        assert cv2.imwrite(str(path), np.rint(_noise(0.0, 1.0) * 65535).astype(np.uint16))
        return path
    if kind == "prores":
        return _prores(folder / "plate.mov")
    if kind == "dpx log":
        path = folder / "plate.dpx"
        spec = oiio.ImageSpec(_SIZE[1], _SIZE[0], 3, "uint16")
        spec.attribute("dpx:Transfer", "Logarithmic")
        return write_spec(path, spec, _noise(0.15, 0.7))
    path = folder / "plate.exr"
    spec = oiio.ImageSpec(_SIZE[1], _SIZE[0], 3, "half")
    gamut = GAMUTS["ap1" if kind == "exr acescg" else "rec709"]
    spec.attribute("chromaticities", oiio.TypeDesc("float[8]"), gamut)
    return write_spec(path, spec, _noise(0.02, 0.9))


def read_plate(path: Path) -> Image:
    """An image, or a movie's first frame."""
    return movies.read_frame(path, 0) if path.suffix == ".mov" else images.read(path)


def round_trip(folder: Path, kind: str, how: str, config: ColorConfig) -> RoundTrip:
    """One of ``PLATES``, one of ``WAYS``."""
    plate_path = make_plate(folder, kind)
    plate = read_plate(plate_path)
    taken = assign(config, plate.header, plate_path)
    key = folder / "key.png"
    transform = export_key(plate_path, 0, key, config, None)
    path = _painted(key, how)
    wanted = images.read(path).rgb
    if how in _CONVERTED:
        encoding, suffix = _CONVERTED[how]
        own = config.claim_for(transform.exported_space(config)).encoding
        assert own is not None
        scene = config.to_working(wanted, config.make_from_encoding(own))
        space = config.make_from_encoding(encoding)
        path.unlink()
        path = path.with_suffix(suffix)
        depth = "uint16" if suffix == ".png" else "float"
        images.write(path, config.from_working(scene, space), bit_depth=depth, color=config.claim_for(space))
    painting = images.read(path)
    color = painting_color(config, painting.header, path, None, taken, plate.header)
    scene = color.to_working(painting, config, plate=plate)
    result = shown(scene, color, taken, config)
    codes = float(np.abs(result - wanted).max()) * 255
    return RoundTrip(plate, painting, color, bool(transform.view), codes)


def shown(scene: np.ndarray, color: PaintingColor, plate: Assignment, config: ColorConfig) -> np.ndarray:
    """Scene-linear light as the artist saw it: through the painting's view, else in the plate's colorspace."""
    showing = Showing.parse(color.taken.colorspace, config)
    if showing is not None:
        return showing.shown(scene, config)
    return np.clip(config.from_working(scene, plate.colorspace), 0, 1)


def write_spec(path: Path, spec: oiio.ImageSpec, pixels: np.ndarray) -> Path:
    writer = oiio.ImageOutput.create(str(path))
    assert writer.open(str(path), spec) and writer.write_image(pixels) and writer.close()
    return path


def table() -> str:
    """Every plate in every way, as Markdown."""
    config = ColorConfig.active("ocio://default")
    lines = [f"| plate | {' | '.join(WAYS)} |", "|---" * (len(WAYS) + 1) + "|"]
    for kind, name in PLATES.items():
        cells = []
        for how in WAYS:
            with tempfile.TemporaryDirectory() as folder:
                cells.append(f"{round_trip(Path(folder), kind, how, config).codes:.3f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _noise(low: float, high: float) -> np.ndarray:
    values = np.linspace(low, high, _SIZE[0] * _SIZE[1] * 3, dtype=np.float32)
    return np.random.default_rng(3).permutation(values).reshape(*_SIZE, 3)


def _prores(path: Path) -> Path:
    """BT.709 in all tags, as an editing program writes it; the noise is soft, for its colors are at half width."""
    picture = np.rint(cv2.GaussianBlur(_noise(0.05, 0.95), (0, 0), 1.5) * 65535).astype(np.uint16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("prores_ks", rate=24, options={"profile": "hq"})
        stream.width, stream.height, stream.pix_fmt = _SIZE[1], _SIZE[0], "yuv422p10le"
        context = stream.codec_context
        context.color_primaries = context.color_trc = context.colorspace = 1
        frame = av.VideoFrame.from_ndarray(picture, format="rgb48le")
        frame.color_primaries = frame.color_trc = frame.colorspace = 1
        container.mux(stream.encode(frame.reformat(format="yuv422p10le", dst_colorspace="ITU709")))
        container.mux(stream.encode(None))
    return path


def _painted(key: Path, how: str) -> Path:
    """The key with a patch of paint, saved as a program does it."""
    codes = cv2.imread(str(key), cv2.IMREAD_UNCHANGED)[..., ::-1].copy()
    scale = codes.max(initial=1) > 255
    codes[4:12, 4:12] = _PAINT.astype(codes.dtype) * (257 if scale else 1)
    if how == "saved again without metadata":
        assert cv2.imwrite(str(key), codes[..., ::-1])
        return key
    source = oiio.ImageInput.open(str(key))
    spec = source.spec()
    source.close()
    other = key.with_name("shot_v02.png") if how == "renamed" else key
    spec.set_format("uint16" if scale else "uint8")
    return write_spec(other, spec, np.ascontiguousarray(codes))


if __name__ == "__main__":
    print(table())
