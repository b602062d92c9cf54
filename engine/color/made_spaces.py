"""Colorspaces made here: a gamut and a curve, an ICC profile, or film log, for configs that have no such space.

Each is an OCIO transform to the config's scene_linear role. Gamuts go there by way of ACES2065-1, which a config ties
to its own spaces by its role aces_interchange or by spaces that OCIO recognizes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import PyOpenColorIO as ocio

from engine.base.errors import ColorError
from engine.images.gamuts import GAMUTS, Encoding, Gamut

__all__ = ["FILM_LOG", "film_log", "from_encoding", "from_icc", "gamut_to_aces", "to_aces", "to_xy"]

FILM_LOG = "Cineon film log"
"""Its name here: 10-bit code 95 is black, 685 is 1.0, 0.002 density a code, 0.6 gamma of the negative."""

_BLACK, _WHITE, _DENSITY, _GAMMA = 95, 685, 0.002, 0.6
_ACES = "ACES2065-1"
_XYZ_TO_CONE = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""Bradford's, as in ICC.1 and in the ACES documents."""
_MOST_SKEWED = 1e5
"""Condition of a gamut's matrix, in which red, green and blue still differ; those of known gamuts are 1 to 3.4."""
_HLG = "DISPLAY - CIE-XYZ-D65_to_REC.2100-HLG-1000nit"
_PQ = "CURVE - ST-2084_to_LINEAR"


def film_log() -> ocio.Transform:
    """Cineon's curve (Kodak, "Conversion of 10-bit log film data to 8-bit linear", 1995), primaries left alone."""
    offset = 10.0 ** ((_BLACK - _WHITE) * _DENSITY / _GAMMA)
    transform = ocio.LogAffineTransform(
        logSideSlope=[_GAMMA / (_DENSITY * 1023)] * 3,
        logSideOffset=[_WHITE / 1023] * 3,
        linSideSlope=[1.0 - offset] * 3,
        linSideOffset=[offset] * 3,
        direction=ocio.TRANSFORM_DIR_INVERSE,
    )
    transform.setBase(10.0)
    return transform


def from_encoding(config: ocio.Config, encoding: Encoding, working: str) -> ocio.Transform:
    """A gamut and a curve to ``working``.

    Raises:
        ColorError: primaries that span no colors, or the config cannot tell what its own spaces are.
    """
    if encoding.transfer == "hlg":
        display = ocio.BuiltinTransform(_HLG, ocio.TRANSFORM_DIR_INVERSE)
        return ocio.GroupTransform([display, _matrix(_xyz_to_aces()), *_from_aces(config, working, str(encoding))])
    matrix = _matrix(gamut_to_aces(encoding.gamut))
    return ocio.GroupTransform([*_curve(encoding.transfer), matrix, *_from_aces(config, working, str(encoding))])


def from_icc(config: ocio.Config, profile: bytes, name: str, working: str) -> ocio.Transform:
    """An ICC profile of primaries and curves to ``working``, read by OCIO.

    Raises:
        ColorError: another kind of profile (tables, gray, CMYK), a damaged one, or as :func:`from_encoding`.
    """
    with tempfile.TemporaryDirectory(prefix="paintover-") as folder:
        path = Path(folder) / "profile.icc"
        path.write_bytes(profile)
        try:
            device = ocio.FileTransform(src=str(path), direction=ocio.TRANSFORM_DIR_INVERSE)
            group = ocio.Config.CreateRaw().getProcessor(device).createGroupTransform()
        except (ocio.Exception, ocio.ExceptionMissingFile) as error:
            raise ColorError(
                f"the ICC profile {name} cannot be read: {_reason(error, path)}",
                remedy="convert the picture to sRGB, or say what it is in with --colorspace or --paint-colorspace",
            ) from error
    return ocio.GroupTransform([group, _matrix(_xyz_to_aces()), *_from_aces(config, working, f"ICC profile {name}")])


def _reason(error: Exception, path: Path) -> str:
    """OCIO's own words, without the place where the profile was laid for it."""
    return str(error).splitlines()[-1].rpartition(f"({path}). ")[2][:200]


def gamut_to_aces(gamut: Gamut) -> np.ndarray:
    """(3, 3) float64: linear RGB of a gamut to ACES2065-1, the whites matched by Bradford's transform.

    Raises:
        ColorError: primaries on one line, a white without light, or what is no number.
    """
    aces = GAMUTS["ap0"]
    try:
        with np.errstate(all="ignore"):
            adapted = _adaptation(_white(gamut), _white(aces))
            matrix = np.asarray(np.linalg.inv(_to_xyz(aces)) @ adapted @ _to_xyz(gamut))
            is_sound = bool(np.isfinite(matrix).all()) and np.linalg.cond(matrix) < _MOST_SKEWED
    except (np.linalg.LinAlgError, ZeroDivisionError, OverflowError):
        is_sound = False
    if not is_sound:
        values = " ".join(f"{value:.4g}" for value in gamut)
        raise ColorError(
            f"the chromaticities {values} span no colors",
            remedy="name the file's colorspace with --colorspace or --paint-colorspace",
        )
    return matrix


def to_aces(config: ocio.Config, working: str) -> ocio.Processor:
    """From ``working`` to ACES2065-1.

    Raises:
        ocio.Exception: the config cannot tell.
    """
    return ocio.Config.GetProcessorToBuiltinColorSpace(config, working, _ACES)


def to_xy(matrix: np.ndarray) -> Gamut:
    """The chromaticities of a matrix to ACES2065-1, relative to the white of ACES."""
    columns = _to_xyz(GAMUTS["ap0"]) @ np.column_stack([matrix, matrix.sum(axis=1)])
    total = columns.sum(axis=0)
    points = [(float(column[0] / t), float(column[1] / t)) for column, t in zip(columns.T, total, strict=True)]
    (rx, ry), (gx, gy), (bx, by), (wx, wy) = points
    return (rx, ry, gx, gy, bx, by, wx, wy)


def _curve(transfer: str) -> list[ocio.Transform]:
    mirror = ocio.NEGATIVE_MIRROR
    if transfer == "linear":
        return []
    if transfer == "srgb":
        return [ocio.ExponentWithLinearTransform(gamma=[2.4] * 3 + [1], offset=[0.055] * 3 + [0], negativeStyle=mirror)]
    if transfer == "pq":
        return [ocio.BuiltinTransform(_PQ)]
    gamma = 2.4 if transfer == "bt1886" else float(transfer.removeprefix("gamma "))
    return [ocio.ExponentTransform([gamma] * 3 + [1], negativeStyle=mirror)]


def _from_aces(config: ocio.Config, working: str, what: str) -> list[ocio.Transform]:
    try:
        return list(ocio.Config.GetProcessorFromBuiltinColorSpace(_ACES, config, working).createGroupTransform())
    except (ocio.Exception, ocio.ExceptionMissingFile) as error:
        raise ColorError(
            f"the OCIO config cannot tell how {what} relates to its spaces: it has no role aces_interchange",
            remedy="name the file's colorspace of that config with --colorspace or --paint-colorspace",
        ) from error


def _matrix(values: np.ndarray) -> ocio.MatrixTransform:
    full = np.eye(4)
    full[:3, :3] = values
    return ocio.MatrixTransform([float(value) for value in full.ravel()])


def _xyz_to_aces() -> np.ndarray:
    """From XYZ relative to D65."""
    aces = GAMUTS["ap0"]
    return np.asarray(
        np.linalg.inv(_to_xyz(aces)) @ _adaptation(_white(GAMUTS["rec709"]), _white(aces)), dtype=np.float64
    )


def _white(gamut: Gamut) -> np.ndarray:
    x, y = gamut[6:]
    return np.array([x / y, 1.0, (1.0 - x - y) / y])


def _to_xyz(gamut: Gamut) -> np.ndarray:
    points = np.array(gamut[:6], np.float64).reshape(3, 2)
    columns = np.column_stack([points, 1.0 - points.sum(axis=1)]).T
    return np.asarray(columns * np.linalg.solve(columns, _white(gamut)))


def _adaptation(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    gain = (_XYZ_TO_CONE @ target) / (_XYZ_TO_CONE @ source)
    return np.asarray(np.linalg.inv(_XYZ_TO_CONE) @ np.diag(gain) @ _XYZ_TO_CONE)
