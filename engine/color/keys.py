"""Keys: plate frames out through a display view for painting, and the paintings back as scene-linear.

Three things make the way back exact. The view's inverse is OCIO's own. The export remembers its plate, so a pixel that
the artist left alone returns the plate's value, highlights above the view's peak included. And what the view cannot
reproduce is measured on the actual frame and said.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from engine import images
from engine.base.arrays import Floats, Mask
from engine.base.errors import ImageError, InputError
from engine.base.foreign_json import parse_json
from engine.base.frames import MOVIE_SUFFIXES
from engine.base.signatures import is_movie
from engine.base.temporaries import replacing
from engine.base.whole_file import read_text
from engine.color.assignment import assign, is_display_referred
from engine.color.config import ColorConfig
from engine.images import movies
from engine.images.files import Image
from engine.images.header import Header
from engine.images.provenance import file_sha256

__all__ = [
    "KeyTransform",
    "check_exposure",
    "check_key_output",
    "export_key",
    "find_key_transform",
    "fit_to_data_window",
    "is_untouched_export",
    "key_transform",
    "write_key",
]

log = logging.getLogger(__name__)


FORMAT_VERSION = 1
SUFFIX = ".paintover.json"
_KEY = "key"
"""The fact of an image that holds the same as its sidecar, but for the image's own hash."""
ROUND_TRIP_TOLERANCE = 1e-3
"""In display values, 0..1: a quarter of an 8-bit code."""

EXPOSURE_LIMIT_STOPS = 20.0
"""Beyond this a plate is black or white whatever it shows."""
_EIGHT_BIT = (".jpg", ".jpeg")
_SIXTEEN_BIT = (".png", ".tif", ".tiff")
_LIGHT = (".exr",)
_SAME_LIGHT = 1e-3
"""Relative: half floats of another program's rounding."""

_CODES = {"uint8": 255, "uint16": 65535}
_UNTOUCHED_CODES = 1.5
"""One code value and rounding: painting programs with 15-bit channels move 16-bit codes by one."""


@dataclass(frozen=True)
class KeyTransform:
    """How a frame was shown for painting; what the sidecar beside the exported image holds.

    Raises:
        InputError: an exposure or a round trip that is not finite, or an exposure over ``EXPOSURE_LIMIT_STOPS``.
    """

    display: str
    """OCIO display; empty for a display-referred plate, which is exported as it is."""
    view: str
    """OCIO view of that display; empty likewise."""
    colorspace: str
    """The plate's."""
    config: str
    """``ColorConfig.name`` of the export."""
    exposure: float
    """Stops that the frame was brightened by before the view."""
    frame: int
    """The plate frame's number."""
    plate: str
    """The plate file's name, without its folder."""
    plate_sha256: str
    """Of the plate file's bytes."""
    bit_depth: str
    """Of the exported image: "uint8" or "uint16"; "half" or "float" for scene-linear light."""
    width: int
    """Of the exported image, the plate's display window."""
    height: int
    """Of the exported image."""
    round_trip: float
    """Largest display-space error of view and inverse over the exported frame."""
    warning: str
    """What the artist should know about the way back; empty where there is nothing."""
    image_sha256: str = ""
    """Of the exported image's bytes, which tells an export from a painting; empty where nobody took it."""
    space: str = ""
    """The colorspace of exported light, where that is not the plate's own; empty otherwise."""

    def __post_init__(self) -> None:
        check_exposure(self.exposure)
        if not math.isfinite(self.round_trip):
            raise InputError(f"a round trip error of {self.round_trip} is no number")

    @property
    def taken(self) -> str:
        """What a painting on it is taken as: "DISPLAY / VIEW", or the exported image's colorspace."""
        return f"{self.display} / {self.view}" if self.view else self.space or self.colorspace

    @property
    def is_light(self) -> bool:
        """Whether the exported image is scene-linear float, and not codes of a display."""
        return self.bit_depth not in _CODES

    def exported_space(self, config: ColorConfig) -> str:
        """The colorspace of the exported image."""
        return config.view_space(self.display, self.view) if self.view else self.taken

    def shown(self, plate: Image, config: ColorConfig) -> Floats:
        """The image that was exported, from its plate: (h, w, 3) of the display window; codes quantized, in 0..1."""
        if self.is_light:
            light = plate.rgb
            if self.space:
                light = config.from_working(config.to_working(light, self.colorspace), self.space)
            return np.nan_to_num(plate.header.to_display(light), nan=0.0)
        if not self.view:
            own = np.clip(np.nan_to_num(plate.header.to_display(plate.rgb), nan=0.0), 0.0, 1.0)
            return _quantized(own, self.bit_depth)
        scene = plate.header.to_display(config.to_working(plate.rgb, self.colorspace))
        return _quantized(self._forward(scene, config), self.bit_depth)

    def to_working(self, rgb: Floats, config: ColorConfig, *, plate: Image | None = None) -> Floats:
        """A painting's display values (h, w, 3) in 0..1 as scene-linear of the working colorspace.

        Args:
            plate: the exported frame. With it, a pixel within one code value of what was exported returns the
                plate's own value, whatever the view did to it.

        Raises:
            ColorError: this OCIO config lacks the display or view.
            ImageError: ``plate`` is given and the painting is not of the exported size.
        """
        if config.name != self.config:
            log.warning("the key was exported with the OCIO config %s, and %s is in use", self.config, config.name)
        if self.view:
            scene = config.view_inverse(rgb, self.display, self.view) * np.float32(2.0**-self.exposure)
        else:
            scene = config.to_working(rgb, self.taken)
        scene = np.nan_to_num(scene, nan=0.0, posinf=65504.0, neginf=-65504.0)
        if plate is None:
            return scene
        shown = self.shown(plate, config)
        if shown.shape != rgb.shape:
            raise ImageError(
                f"the painting is {rgb.shape[1]}x{rgb.shape[0]}, the exported frame {shown.shape[1]}x{shown.shape[0]}",
                frame=self.frame,
                remedy="paint at the exported size",
            )
        if self.is_light:
            same: Mask = np.isclose(rgb, shown, rtol=_SAME_LIGHT, atol=_SAME_LIGHT / 100)
        else:
            same = np.abs(rgb - shown) * _codes_of(rgb, self.bit_depth) <= _UNTOUCHED_CODES
        original = plate.header.to_display(config.to_working(plate.rgb, self.colorspace))
        return np.where(same.all(axis=2, keepdims=True), original, scene)

    def _forward(self, scene: Floats, config: ColorConfig) -> Floats:
        if not self.view:
            return np.clip(np.nan_to_num(config.from_working(scene, self.colorspace), nan=0.0), 0.0, 1.0)
        shown = config.view_forward(scene * np.float32(2.0**self.exposure), self.display, self.view)
        return np.clip(np.nan_to_num(shown, nan=0.0), 0.0, 1.0)

    def round_trip_error(self, rgb: Floats, config: ColorConfig) -> Floats:
        """(h, w): how far the view of a painting's inverse is from the painting, in display values."""
        back = self._forward(self.to_working(rgb, config), config)
        error: Floats = np.abs(back - np.clip(rgb, 0.0, 1.0)).max(axis=2)
        return error


def export_key(
    plate_path: Path | str,
    frame: int,
    out_path: Path | str,
    config: ColorConfig,
    colorspace: str | None,
    *,
    display: str | None = None,
    view: str | None = None,
    exposure: float = 0.0,
    layer: str = "",
) -> KeyTransform:
    """Exports one plate frame for painting; how is written into the image, and beside it as ``.paintover.json``.

    The image is the plate's display window, black where the plate has no pixels, with the plate's alpha unless that is
    the same everywhere. ``round_trip`` and
    ``warning`` of the result say how well this view can be inverted on this frame.

    Args:
        plate_path: the frame's file, or the movie that holds it.
        out_path: .png or .tif for 16 bits, .jpg for 8 (whose losses hide which pixels were left alone), .exr for
            scene-linear light without a view: a float plate's as it is, of others in the working colorspace.
        colorspace: the plate's; None for what the file and the OCIO config say.
        display: OCIO display; where display, view and exposure are all left out, a display-referred plate is exported
            as it is, and any other through the config's default display.
        view: one of its views; the default one where None.
        exposure: stops to brighten by, to paint in a dark frame.
        layer: the plate's layer or view; empty for the one that is called the picture.

    Raises:
        InputError: an exposure out of range, or a display, view or exposure for light.
        ImageError: the plate cannot be read, or ``out_path`` is not an integer format.
        ColorError: unknown colorspace, display or view.
        OutputError: nothing could be written.
    """
    plate_path, out_path = Path(plate_path), Path(out_path)
    check_key_output(out_path, display, view, exposure)
    plate = _plate_frame(plate_path, frame, layer)
    transform = key_transform(
        plate, plate_path, frame, config, colorspace, out_path, display=display, view=view, exposure=exposure
    )
    shown = transform.shown(plate, config)
    if transform.view:
        error = transform.round_trip_error(shown, config)
        warning = _warning(transform, error, plate, config)
        transform = replace(transform, round_trip=float(error.max(initial=0.0)), warning=warning)
        if warning:
            log.warning("frame %d: %s", frame, warning)

    alpha = plate.alpha
    if alpha is not None:
        alpha = plate.header.to_display(alpha)
        alpha = alpha if transform.is_light else np.clip(alpha, 0.0, 1.0)
        alpha = alpha if float(np.ptp(alpha)) > 0.0 else None
    return write_key(out_path, shown, transform, config, alpha=alpha, untouched=True)


def _plate_frame(path: Path, frame: int, layer: str) -> Image:
    movie = path.suffix.lower() in MOVIE_SUFFIXES or is_movie(path)
    return movies.read_frame(path, frame, frame=frame) if movie else images.read(path, frame=frame, layer=layer)


def key_transform(
    plate: Image,
    plate_path: Path,
    frame: int,
    config: ColorConfig,
    colorspace: str | None,
    out_path: Path,
    *,
    display: str | None = None,
    view: str | None = None,
    exposure: float = 0.0,
) -> KeyTransform:
    """How a frame is shown for painting, by the one rule for ``key``, ``paint`` and pictures; see :func:`export_key`.

    Raises:
        InputError: an exposure out of range.
        ColorError: unknown colorspace, display or view.
    """
    space = assign(config, plate.header, plate_path, colorspace).colorspace
    is_light = out_path.suffix.lower() in _LIGHT
    is_float = plate.header.bit_depth not in _CODES
    as_it_is = is_light or (
        display is None and view is None and not exposure and is_display_referred(config, space, plate.header)
    )
    if as_it_is:
        display = view = ""
    else:
        display, default_view = config.default_display_view(display)
        view = view or default_view
    depth = "uint8" if out_path.suffix.lower() in _EIGHT_BIT else "uint16"
    if is_light:
        depth = plate.header.bit_depth if is_float else "half"
    return KeyTransform(
        display=display,
        view=view,
        colorspace=space,
        config=config.name,
        exposure=exposure,
        frame=frame,
        plate=plate_path.name,
        plate_sha256=file_sha256(plate_path),
        bit_depth=depth,
        width=plate.header.display[2],
        height=plate.header.display[3],
        round_trip=0.0,
        warning="",
        space=config.working if is_light and not is_float else "",
    )


def write_key(
    out_path: Path,
    shown: Floats,
    transform: KeyTransform,
    config: ColorConfig,
    *,
    alpha: Floats | None = None,
    untouched: bool = False,
    compression: str | None = None,
) -> KeyTransform:
    """Writes an image to paint on, or a painting, with its transform inside and beside it.

    Args:
        shown: (h, w, 3) display values in 0..1, of the transform's size.
        alpha: (h, w).
        untouched: whether nobody painted on it yet.
        compression: of a .png, such as ``zip:1`` where somebody waits; None for small files.

    Raises:
        OutputError: nothing could be written.
    """
    facts = asdict(transform)
    text = json.dumps({"version": FORMAT_VERSION, **facts}, sort_keys=True, allow_nan=False)
    claim = config.claim_for(transform.exported_space(config))
    images.write(
        out_path,
        shown,
        alpha=alpha,
        bit_depth=transform.bit_depth,
        provenance={_KEY: text},
        color=claim,
        compression=compression,
    )
    if untouched:
        transform = replace(transform, image_sha256=file_sha256(out_path))
    document = json.dumps({"version": FORMAT_VERSION, **asdict(transform)}, indent=2, sort_keys=True, allow_nan=False)
    with replacing(_sidecar(out_path)) as temporary:
        temporary.write_text(document + "\n", encoding="utf-8")
    return transform


def check_exposure(stops: float) -> None:
    """A frame can be shown brightened by so many stops.

    Raises:
        InputError: not a finite number, or over ``EXPOSURE_LIMIT_STOPS`` either way.
    """
    if not abs(stops) <= EXPOSURE_LIMIT_STOPS:
        limit = f"{EXPOSURE_LIMIT_STOPS:g}"
        raise InputError(f"an exposure of {stops:g} stops is out of range", remedy=f"give -{limit} to {limit} stops")


def check_key_output(
    path: Path | str, display: str | None = None, view: str | None = None, exposure: float = 0.0
) -> None:
    """A key can be exported in this format, shown like this.

    Raises:
        ImageError: it cannot.
        InputError: a display, a view or an exposure is asked for, and the format holds light.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (*_EIGHT_BIT, *_SIXTEEN_BIT, *_LIGHT):
        raise ImageError("a key is exported as .png, .tif, .jpg or .exr", path=path, remedy="choose another --out")
    if suffix in _LIGHT and (display is not None or view is not None or exposure):
        raise InputError(
            f"a key in {suffix} is scene-linear, without display, view or exposure",
            remedy="leave them out, or write .png or .tif",
        )


def find_key_transform(painting_path: Path | str) -> KeyTransform | None:
    """The transform of an exported key; None where neither the painting holds it nor a sidecar beside it does.

    Where a painting and the sidecar of its name speak of different exports, the painting is right: it may have been
    saved over another one. A painting saved under another extension is found by its stem.

    Raises:
        ImageError: what is found is damaged or of a newer version.
    """
    painting = Path(painting_path)
    text = images.read_provenance(painting).get(_KEY)
    inside = _parsed(text, painting) if text else None
    own = _sidecar(painting)
    if own.is_file():
        beside = _read(own)
        same = inside is None or replace(beside, image_sha256="") == inside
        return beside if same else inside
    if inside is not None or not painting.parent.is_dir():
        return inside
    for path in sorted(painting.parent.iterdir()):
        if path.name.endswith(SUFFIX) and Path(path.name.removesuffix(SUFFIX)).stem == painting.stem:
            return _read(path)
    return None


def _read(sidecar: Path) -> KeyTransform:
    try:
        text = read_text(sidecar)
    except (OSError, ValueError) as error:
        raise _damaged(sidecar) from error
    return _parsed(text, sidecar)


def _parsed(text: str, path: Path) -> KeyTransform:
    try:
        document = parse_json(text)
        version = int(document["version"])
        for later in ("image_sha256", "space"):
            document.setdefault(later, "")
        transform = None
        if version == FORMAT_VERSION:
            transform = KeyTransform(**{field.name: document[field.name] for field in fields(KeyTransform)})
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, InputError) as error:
        raise _damaged(path) from error
    if transform is None:
        raise ImageError(f"the key's sidecar has version {version}", path=path, remedy="update Paintover")
    return transform


def _damaged(path: Path) -> ImageError:
    return ImageError("the sidecar of the exported key is damaged", path=path, remedy="export the key again")


def is_untouched_export(image: Path | str) -> bool:
    """Whether this file is, byte for byte, what :func:`export_key` wrote there; False where that cannot be told."""
    image = Path(image)
    try:
        stored = parse_json(read_text(_sidecar(image)))
        return bool(stored["image_sha256"] == file_sha256(image))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def fit_to_data_window(rgb: Floats, header: Header) -> tuple[Floats, Mask]:
    """A painting of the display window, (h, w, 3), as the plate's data window, and where it covers that.

    A painting that already has the data window's size is returned as it is.

    Raises:
        ImageError: it has neither size.
    """
    size = (rgb.shape[1], rgb.shape[0])
    if size == header.display[2:]:
        return header.from_display(rgb)
    if size == header.data[2:]:
        return rgb, np.ones(rgb.shape[:2], bool)
    display, data = header.display, header.data
    raise ImageError(
        f"the painting is {size[0]}x{size[1]}, the plate {display[2]}x{display[3]} (data window {data[2]}x{data[3]})",
        remedy="paint at the plate's size",
    )


def _warning(transform: KeyTransform, error: Floats, plate: Image, config: ColorConfig) -> str:
    """What to say where the view cannot be inverted, with the first other view of the display that can."""
    share = float((error > ROUND_TRIP_TOLERANCE).mean())
    if not share:
        return ""
    text = f"the view {transform.view!r} cannot be inverted on {share:.2%} of this frame"
    text += f" (error up to {float(error.max()):.3g}); repainted pixels there will come out differently"
    for view in config.views(transform.display):
        other = replace(transform, view=view)
        if float(other.round_trip_error(other.shown(plate, config), config).max()) <= ROUND_TRIP_TOLERANCE:
            return f"{text}; the view {view!r} can be inverted"
    return text


def _sidecar(image: Path) -> Path:
    return image.with_name(image.name + SUFFIX)


def _quantized(rgb: Floats, bit_depth: str) -> Floats:
    codes = np.float32(_CODES[bit_depth])
    return np.floor(rgb * codes + np.float32(0.5)) / codes


def _codes_of(rgb: Floats, bit_depth: str) -> int:
    """Codes of the painting: an artist may have saved a 16-bit export with 8 bits."""
    eight = rgb * np.float32(255.0)
    return 255 if bool((np.abs(eight - np.round(eight)) < 1e-3).all()) else _CODES[bit_depth]
