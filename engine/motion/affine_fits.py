"""Affine fits: models of how a flow changes around points, to begin a registration from.

And what the windows around points are looked at by, here and in registration: one plane of numbers after the other, so
that compiled loops take several pixels at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from engine.base.arrays import Floats

__all__ = ["FIT_STEP", "ImageGradients", "decayed", "fitted_models", "lattice_planes"]

Ints = npt.NDArray[np.int64]

# Reach and step of a fit's window, and deviations of what counts.
_FIT_REACH, FIT_STEP, _FIT_PX, _FIT_ROUNDS = 20, 4, 10.0, 4
_FIT_COLOR = 0.2
_FIT_FLOW_PX = 0.8


@dataclass(frozen=True)
class ImageGradients:
    """A frame as it is registered."""

    color: Floats
    """(H, W, 3) working encoding, softened."""
    luma: Floats
    """(H, W)."""
    dx: Floats
    """(H, W): derivative of ``luma`` along x, per pixel; so is ``dy`` along y."""
    dy: Floats


def lattice_planes(here: ImageGradients, flow: Floats, confidence: Floats, step: int) -> Floats:
    """(9, n): color, flow, luma, its slopes and confidence, row by row, of one in ``step`` pixels along both axes."""
    channels = (here.color[..., 0], here.color[..., 1], here.color[..., 2], flow[..., 0], flow[..., 1])
    planes = (*channels, here.luma, here.dx, here.dy, confidence)
    found = np.empty((len(planes), *here.luma[::step, ::step].shape), np.float32)
    for number, plane in enumerate(planes):
        found[number] = plane[::step, ::step]
    return found.reshape(len(planes), -1)


@njit(nogil=True, cache=True, fastmath=True)
def decayed(e: float) -> float:
    """exp(-e) to 0.05 % for 0..8, of float32 and without a branch, so that loops over it run on several at once."""
    z = e * np.float32(-1 / 16)
    p = np.float32(1 / 24) + z * np.float32(1 / 120)
    p = np.float32(1) + z * (np.float32(1) + z * (np.float32(1 / 2) + z * (np.float32(1 / 6) + z * p)))
    p *= p
    p *= p
    p *= p
    return p * p


@njit(nogil=True, cache=True, fastmath=True)
def fitted_models(planes: Floats, color: Floats, flow: Floats, ys: Ints, xs: Ints, wide: int) -> Floats:
    """(n, 6): u, its change along x and y, v, its change along x and y: affine fits of a flow around points.

    Each round weighs by how far a neighbor's flow is from the fit so far, so that it settles on the center's surface.

    Args:
        planes: (9, m), as of :func:`lattice_planes`, of pictures so many pixels ``wide``.
    """
    high = planes.shape[1] // wide
    side = 2 * _FIT_REACH // FIT_STEP + 1
    place_x, place_y = np.empty(side * side, np.float32), np.empty(side * side, np.float32)
    us, vs = np.empty(side * side, np.float32), np.empty(side * side, np.float32)
    unlike, trusted = np.empty(side * side, np.float32), np.empty(side * side, np.float32)
    models = np.zeros((len(ys), 6), np.float32)
    by_color, by_distance = np.float32(0.5 / _FIT_COLOR**2), np.float32(0.5 / _FIT_PX**2)
    for k in range(len(ys)):
        y, x = ys[k], xs[k]
        left, right = max(0, -((_FIT_REACH - x) // FIT_STEP)), min(wide - 1, (x + _FIT_REACH) // FIT_STEP)
        red, green, blue = color[y, x, 0], color[y, x, 1], color[y, x, 2]
        count = 0
        for row in range(max(0, -((_FIT_REACH - y) // FIT_STEP)), min(high - 1, (y + _FIT_REACH) // FIT_STEP) + 1):
            dy = np.float32(row * FIT_STEP - y)
            for column in range(left, right + 1):
                at = np.uintp(row * wide + column)
                dx = np.float32(column * FIT_STEP - x)
                a, b, c = planes[0, at] - red, planes[1, at] - green, planes[2, at] - blue
                place_x[count], place_y[count] = dx, dy
                us[count], vs[count] = planes[3, at], planes[4, at]
                unlike[count] = (a * a + b * b + c * c) * by_color + (dx * dx + dy * dy) * by_distance
                trusted[count] = planes[8, at] + np.float32(0.05)
                count += 1
        u, v = float(flow[y, x, 0]), float(flow[y, x, 1])
        ux = uy = vx = vy = 0.0
        for turn in range(_FIT_ROUNDS):
            tolerance = _FIT_FLOW_PX * (2.0 if turn == 0 else 1.0)
            by_flow = np.float32(0.5 / (tolerance * tolerance))
            u0, u1, u2 = np.float32(u), np.float32(ux), np.float32(uy)
            v0, v1, v2 = np.float32(v), np.float32(vx), np.float32(vy)
            s = sx = sy = sxx = sxy = syy = a = ax = ay = b = bx = by = np.float32(0)
            for n in range(count):
                dx, dy = place_x[n], place_y[n]
                fu, fv = us[n] - u0, vs[n] - v0
                ru, rv = fu - u1 * dx - u2 * dy, fv - v1 * dx - v2 * dy
                e = (ru * ru + rv * rv) * by_flow + unlike[n]
                weight = trusted[n] * decayed(min(e, np.float32(8))) if e <= 8 else np.float32(0)
                along, across = weight * dx, weight * dy
                s += weight
                sx += along
                sy += across
                sxx += along * dx
                sxy += along * dy
                syy += across * dy
                # From the fit so far, since a flow far from zero leaves no digits for its changes.
                a += weight * fu
                ax += along * fu
                ay += across * fu
                b += weight * fv
                bx += along * fv
                by += across * fv
            if s < 1e-3:
                break
            u, ux, uy, v, vx, vy, solved = _affine(
                float(s), float(sx), float(sy), float(sxx), float(sxy), float(syy),
                (float(a), float(ax), float(ay)), (float(b), float(bx), float(by)), (u, ux, uy, v, vx, vy),
            )  # fmt: skip
            if not solved:
                break
        models[k, 0], models[k, 1], models[k, 2] = u, ux, uy
        models[k, 3], models[k, 4], models[k, 5] = v, vx, vy
    return models


@njit(nogil=True, cache=True, fastmath=True)
def _affine(
    s: float, sx: float, sy: float, sxx: float, sxy: float, syy: float,
    us: tuple[float, float, float], vs: tuple[float, float, float],
    so_far: tuple[float, float, float, float, float, float],
) -> tuple[float, float, float, float, float, float, bool]:  # fmt: skip
    """An affine model from its moments, with the constants ``so_far`` taken off; and whether there is one."""
    # Towards no change of shape, where there is little to tell it by.
    sxx += s * _FIT_PX * _FIT_PX * 0.01
    syy += s * _FIT_PX * _FIT_PX * 0.01
    c00, c01, c02 = sxx * syy - sxy * sxy, sy * sxy - sx * syy, sx * sxy - sy * sxx
    determinant = s * c00 + sx * c01 + sy * c02
    u, ux, uy, v, vx, vy = so_far
    if abs(determinant) < 1e-9:
        return u, ux, uy, v, vx, vy, False
    c11, c12, c22 = s * syy - sy * sy, sy * sx - s * sxy, s * sxx - sx * sx
    (a, ax, ay), (b, bx, by) = us, vs
    u, v = u + (c00 * a + c01 * ax + c02 * ay) / determinant, v + (c00 * b + c01 * bx + c02 * by) / determinant
    ux, vx = (c01 * a + c11 * ax + c12 * ay) / determinant, (c01 * b + c11 * bx + c12 * by) / determinant
    uy, vy = (c02 * a + c12 * ax + c22 * ay) / determinant, (c02 * b + c12 * bx + c22 * by) / determinant
    return u, ux, uy, v, vx, vy, True
