"""Registration: a flow between two frames brought to about a tenth of a pixel, by local models of motion and light.

Estimated flow is a pixel aside wherever a surface turns, grows or lacks texture. Around the points of a grid six affine
numbers and a gain and bias of the light are fitted to large windows of the picture itself (Lucas and Kanade 1981, with
affine motion and light; Gauss-Newton, robust weights). A window counts what looks like its center and moves like it, so
the other side of a motion edge does not pull. Then each pixel takes, of the models around it, the one under which its
own neighborhood matches best; so a surface's edge is as sharp as the picture's.

Everything here is plain loops over pixels, compiled by numba; one thread, the same bytes every time.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit

from engine.base.arrays import Floats, Mask
from engine.motion.affine_fits import FIT_STEP, ImageGradients, decayed, fitted_models, lattice_planes
from engine.motion.model_choice import ModelGrid, chosen

__all__ = ["ImageGradients", "image_gradients", "refined"]

Ints = npt.NDArray[np.int64]

_PITCH, _COARSE_PITCH = 8, 16
"""Pixels between the points of the grid."""
_SOFTENED_PX = 0.7
"""Deviation of the blur before anything is compared: grain is finer."""
_LUMA = np.array([0.3, 0.55, 0.15], np.float32)
_DERIVATIVE = np.array([[1, -8, 0, 8, -1]], np.float32) / 12

# Rounds of the registration: reach and deviation of the window, iterations; and the step of its pixels.
_ROUNDS, _STEP = ((20, 9.0, 3), (14, 6.0, 2)), 2
_ALIKE = 0.15
"""Deviation of color, working encoding, at which a pixel of the window counts for less."""
_TOGETHER_PX = 1.5
"""Deviation of the flow that was there from the window's model, likewise."""
_COUNTS = math.exp(-6.0)
"""What a pixel of the window counts at least, of its center's."""
_ROBUST = 0.03
"""Difference, working encoding, that counts a quarter as much as none."""
_STEP_PX, _FARTHEST_PX, _STEEPEST = 1.5, 8.0, 0.6
"""Largest step of an iteration; how far a model may move, and how much it may bend the picture."""
_GAIN = 2.0
"""Largest change of the light, on the encoding, either way."""
_NOWHERE_PX = 1e6
_SMALLEST = 16
"""Side of a picture in which nothing can be told."""


def image_gradients(color: Floats) -> ImageGradients:
    """Prepare a frame (H, W, 3), working encoding, 0..1."""
    soft = np.asarray(cv2.GaussianBlur(color, (0, 0), _SOFTENED_PX, borderType=cv2.BORDER_REFLECT_101), np.float32)
    luma = np.asarray(soft @ _LUMA, np.float32)
    dx, dy = (
        cv2.filter2D(luma, -1, kernel, borderType=cv2.BORDER_REFLECT_101) for kernel in (_DERIVATIVE, _DERIVATIVE.T)
    )
    return ImageGradients(soft, luma, np.asarray(dx, np.float32), np.asarray(dy, np.float32))


def refined(
    flow: Floats,
    confidence: Floats,
    here: ImageGradients,
    there: ImageGradients,
    *,
    coarse: bool = False,
    known: Mask | None = None,
) -> Floats:
    """A flow (H, W, 2) from ``here`` to ``there``, pixels, registered.

    Args:
        flow: what to start from; right to a few pixels.
        confidence: (H, W) in 0..1, how far each pixel of it can be trusted.
        here, there: the two frames, of one size.
        coarse: a third of the work, for what needs to be right to half a pixel.
        known: (H, W), where ``here`` is to be registered; None for everywhere.
    """
    height, width = confidence.shape
    if min(height, width) < _SMALLEST:
        return flow
    flow = np.ascontiguousarray(flow, np.float32)
    pitch = _COARSE_PITCH if coarse else _PITCH
    rows, columns = -(-height // pitch), -(-width // pitch)
    down = np.minimum(np.arange(rows) * pitch + pitch // 2, height - 1)
    right = np.minimum(np.arange(columns) * pitch + pitch // 2, width - 1)
    y, x = (np.ascontiguousarray(each.ravel(), np.int64) for each in np.meshgrid(down, right, indexing="ij"))
    at = np.ones(len(y), bool) if known is None else known[y, x]
    y, x = y[at], x[at]
    planes, wide = lattice_planes(here, flow, confidence, FIT_STEP), -(-width // FIT_STEP)
    fits = fitted_models(planes, here.color, flow, y, x, wide)
    lights = np.zeros((len(y), 2), np.float32)
    lights[:, 0] = 1
    planes, wide = lattice_planes(here, flow, confidence, _STEP), -(-width // _STEP)
    for number, (reach, sigma, iterations) in enumerate(_ROUNDS):
        first = number == 0
        _register(planes, here.color, there.luma, y, x, wide, fits, lights, reach, sigma, iterations, first)
    if known is None:
        return chosen(here.color, there.color, ModelGrid(rows, columns, pitch, fits, lights), coarse=coarse)
    # A model that leads out of the picture is never chosen where there is another.
    models, light = np.zeros((len(at), 6), np.float32), np.ones((len(at), 2), np.float32)
    models[:, 0] = _NOWHERE_PX
    models[at], light[at] = fits, lights
    found = chosen(here.color, there.color, ModelGrid(rows, columns, pitch, models, light), coarse=coarse)
    return np.where(np.abs(found) < _NOWHERE_PX / 2, found, flow)


@njit(nogil=True, cache=True, fastmath=True)
def _solve(matrix: npt.NDArray[np.float64], right: npt.NDArray[np.float64]) -> bool:
    """Solve in place for a symmetric matrix, its lower half given, by Cholesky; False where it is singular."""
    n = len(right)
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i > j:
                matrix[i, j] = total / matrix[j, j]
            elif total <= 1e-12:
                return False
            else:
                matrix[i, i] = math.sqrt(total)
    for i in range(n):
        total = right[i]
        for k in range(i):
            total -= matrix[i, k] * right[k]
        right[i] = total / matrix[i, i]
    for i in range(n - 1, -1, -1):
        total = right[i]
        for k in range(i + 1, n):
            total -= matrix[k, i] * right[k]
        right[i] = total / matrix[i, i]
    return True


@njit(nogil=True, cache=True, fastmath=True)
def _register(
    planes: Floats, color: Floats, there: Floats, ys: Ints, xs: Ints, wide: int, models: Floats, light: Floats,
    reach: int, sigma: float, iterations: int, first: bool,
) -> None:  # fmt: skip
    """Fit models (n, 6) and light (n, 2: gain, bias) to the pictures' windows around points, in place.

    Unknowns are those of a model, with its changes scaled by the window's deviation, then gain and bias. The slopes are
    those of this frame, which its window keeps from iteration to iteration.

    Args:
        planes: (9, m), as of :func:`lattice_planes`, of pictures so many pixels ``wide``.
        color: (H, W, 3), of this frame.
        there: (H, W), luma of the other one.
        ys, xs: (n,), the points.
        first: whether to begin with a gain and bias that make the windows' means agree: robust weights would else drop
            all of a window.
    """
    side = 2 * reach // _STEP + 1
    matrix, right, moments = np.zeros((8, 8)), np.zeros(8), np.zeros((3, 15))
    # Of each pixel that counts: how much; place, in the window's deviation; brightness and its slopes.
    window = np.zeros((7, side * side), np.float32)
    corners, places = np.zeros((4, side * side), np.float32), np.zeros(side * side, np.int32)
    weighed, seen = np.zeros(side * side, np.float32), np.zeros(side * side, np.float32)
    weights, rests = np.zeros(side * side, np.float32), np.zeros(side * side, np.float32)
    by_light = np.float32(1 / (_ROBUST * _ROBUST))
    for k in range(len(ys)):
        y, x = ys[k], xs[k]
        u, ux, uy = float(models[k, 0]), float(models[k, 1]) * sigma, float(models[k, 2]) * sigma
        v, vx, vy = float(models[k, 3]), float(models[k, 4]) * sigma, float(models[k, 5]) * sigma
        gain, bias = float(light[k, 0]), float(light[k, 1])
        count = _counted(planes, color, y, x, wide, models[k], reach, sigma, window)
        for turn in range(iterations):
            _seen(window, count, y, x, sigma, (u, ux, uy, v, vx, vy), there, corners, places, weighed, seen)
            if first and turn == 0:
                gain, bias = _first_light(weighed, window[3], seen, count)
            factor, base = np.float32(gain), np.float32(bias)
            total = np.float32(0)
            for n in range(count):
                rest = window[3, n] - (factor * seen[n] + base)
                odd = 1 / (1 + rest * rest * by_light)
                weights[n] = weighed[n] * odd * odd
                rests[n] = rest
                seen[n] -= np.float32(0.5)
                total += weights[n]
            if total < 1:
                break
            _moments(weights, rests, seen, window, count, moments)
            _equations(moments, matrix, right)
            # Towards no move, no change of shape and the light as it was, where there is little to tell them by.
            stiff = 0.002 * (matrix[0, 0] + matrix[3, 3]) + 2e-5 * total
            matrix[0, 0] += 1e-5 * total
            matrix[3, 3] += 1e-5 * total
            for i in (1, 2, 4, 5):
                matrix[i, i] += stiff
            matrix[6, 6] += 1e-3 * total
            matrix[7, 7] += 1e-4 * total
            if not _solve(matrix, right):
                break
            move = max(abs(right[0]), abs(right[3]))
            share = _STEP_PX / move if move > _STEP_PX else 1.0
            u, v = u + share * right[0], v + share * right[3]
            ux, uy, vx, vy = ux + share * right[1], uy + share * right[2], vx + share * right[4], vy + share * right[5]
            gain = min(max(gain + share * right[6], 1 / _GAIN), _GAIN)
            bias += share * (right[7] - 0.5 * right[6])
            if move < 0.01 and turn > 0:
                break
        moved = max(abs(u - models[k, 0]), abs(v - models[k, 3]))
        if moved < _FARTHEST_PX and max(max(abs(ux), abs(uy)), max(abs(vx), abs(vy))) < _STEEPEST * sigma:
            models[k, 0], models[k, 1], models[k, 2] = u, ux / sigma, uy / sigma
            models[k, 3], models[k, 4], models[k, 5] = v, vx / sigma, vy / sigma
            light[k, 0], light[k, 1] = gain, bias


@njit(nogil=True, cache=True, fastmath=True)
def _counted(
    planes: Floats, color: Floats, y: int, x: int, wide: int, model: Floats, reach: int, sigma: float, window: Floats
) -> int:
    """Find the pixels that count in a point's window, by color, distance and how they move; returns how many."""
    high = planes.shape[1] // wide
    red, green, blue = color[y, x, 0], color[y, x, 1], color[y, x, 2]
    u, ux, uy, v, vx, vy = model[0], model[1], model[2], model[3], model[4], model[5]
    by_color, by_flow = np.float32(0.5 / (_ALIKE * _ALIKE)), np.float32(0.5 / (_TOGETHER_PX * _TOGETHER_PX))
    by_distance, scale = np.float32(0.5 / (sigma * sigma)), np.float32(1 / sigma)
    left, last = max(0, -((reach - x) // _STEP)), min(wide - 1, (x + reach) // _STEP)
    line = np.empty(2 * reach // _STEP + 1, np.float32)
    count = 0
    for row in range(max(0, -((reach - y) // _STEP)), min(high - 1, (y + reach) // _STEP) + 1):
        dy = np.float32(row * _STEP - y)
        start = np.uintp(row * wide + left)
        for i in range(last + 1 - left):
            at = start + np.uintp(i)
            dx = np.float32((left + i) * _STEP - x)
            a, b, c = planes[0, at] - red, planes[1, at] - green, planes[2, at] - blue
            ru, rv = planes[3, at] - (u + ux * dx + uy * dy), planes[4, at] - (v + vx * dx + vy * dy)
            e = (a * a + b * b + c * c) * by_color + (dx * dx + dy * dy) * by_distance
            e += min((ru * ru + rv * rv) * by_flow, np.float32(4))
            line[i] = decayed(min(e, np.float32(8)))
        for i in range(last + 1 - left):
            at = start + np.uintp(i)
            # Where none counts, the next one's place is taken.
            window[0, count] = line[i]
            window[1, count], window[2, count] = np.float32((left + i) * _STEP - x) * scale, dy * scale
            window[3, count], window[4, count], window[5, count] = planes[5, at], planes[6, at], planes[7, at]
            count += line[i] > _COUNTS
    return count


@njit(nogil=True, cache=True, fastmath=True)
def _seen(
    window: Floats, count: int, y: int, x: int, sigma: float, model: tuple[float, float, float, float, float, float],
    there: Floats, corners: Floats, places: npt.NDArray[np.int32], weighed: Floats, seen: Floats,
) -> None:  # fmt: skip
    """What the pixels of a window see in the other frame, and what they count: nothing where they leave it.

    Args:
        corners, places: (4, n) and (n,), to work in.
    """
    height, width = there.shape
    flat = there.reshape(-1)
    u, ux, uy = np.float32(x + model[0]), np.float32(sigma + model[1]), np.float32(model[2])
    v, vx, vy = np.float32(y + model[3]), np.float32(model[4]), np.float32(sigma + model[5])
    right, bottom, nothing = np.float32(width - 1), np.float32(height - 1), np.float32(0)
    most_left, most_top, line = np.int32(width - 2), np.int32(height - 2), np.int32(width)
    # In three passes, of which only the one that looks up is one pixel at a time.
    for n in range(count):
        to_x = u + ux * window[1, n] + uy * window[2, n]
        to_y = v + vx * window[1, n] + vy * window[2, n]
        inside = (to_x >= 0) & (to_y >= 0) & (to_x < right) & (to_y < bottom)
        to_x, to_y = min(max(to_x, nothing), right), min(max(to_y, nothing), bottom)
        # Of both sides: what is no number is no place either.
        left = max(min(np.int32(to_x), most_left), np.int32(0))
        top = max(min(np.int32(to_y), most_top), np.int32(0))
        weighed[n] = window[0, n] if inside else nothing
        places[n] = top * line + left
        seen[n], window[6, n] = to_x - np.float32(left), to_y - np.float32(top)
    for n in range(count):
        at = np.uintp(places[n])
        under = at + np.uintp(width)
        corners[0, n], corners[1, n] = flat[at], flat[at + np.uintp(1)]
        corners[2, n], corners[3, n] = flat[under], flat[under + np.uintp(1)]
    for n in range(count):
        one = corners[0, n] + seen[n] * (corners[1, n] - corners[0, n])
        other = corners[2, n] + seen[n] * (corners[3, n] - corners[2, n])
        seen[n] = one + window[6, n] * (other - one)


@njit(nogil=True, cache=True, fastmath=True)
def _first_light(weighed: Floats, value: Floats, seen: Floats, count: int) -> tuple[float, float]:
    """Gain and bias that make the means of a window agree."""
    total = one = other = np.float32(0)
    for n in range(count):
        total += weighed[n]
        one += weighed[n] * value[n]
        other += weighed[n] * seen[n]
    if total < 2:
        return 1.0, 0.0
    mean, seen_mean = float(one) / total, float(other) / total
    gain = min(max((mean + 0.05) / (seen_mean + 0.05), 1 / _GAIN), _GAIN)
    return gain, mean - gain * seen_mean


@njit(nogil=True, cache=True, fastmath=True)
def _moments(
    weights: Floats, rests: Floats, seen: Floats, window: Floats, count: int, moments: npt.NDArray[np.float64]
) -> None:
    """Sums over a window, (3, 15): of the slopes along x and along y, each by itself, then of both and of the light."""
    for axis in range(2):
        ss = sx = sy = xx = xy = yy = r = rx = ry = o = ox = oy = q = qx = qy = np.float32(0)
        for n in range(count):
            slope, dx, dy = window[4 + axis, n], window[1, n], window[2, n]
            once = weights[n] * slope
            twice, by_rest, by_seen = once * slope, once * rests[n], once * seen[n]
            ss += twice
            sx += twice * dx
            sy += twice * dy
            xx += twice * dx * dx
            xy += twice * dx * dy
            yy += twice * dy * dy
            r += by_rest
            rx += by_rest * dx
            ry += by_rest * dy
            o += once
            ox += once * dx
            oy += once * dy
            q += by_seen
            qx += by_seen * dx
            qy += by_seen * dy
        for i, each in enumerate((ss, sx, sy, xx, xy, yy, r, rx, ry, q, qx, qy, o, ox, oy)):
            moments[axis, i] = each
    ss = sx = sy = xx = xy = yy = r = o = q = qq = qr = np.float32(0)
    for n in range(count):
        dx, dy = window[1, n], window[2, n]
        both, by_seen = weights[n] * window[4, n] * window[5, n], weights[n] * seen[n]
        ss += both
        sx += both * dx
        sy += both * dy
        xx += both * dx * dx
        xy += both * dx * dy
        yy += both * dy * dy
        r += weights[n] * rests[n]
        o += weights[n]
        q += by_seen
        qq += by_seen * seen[n]
        qr += by_seen * rests[n]
    for i, each in enumerate((ss, sx, sy, xx, xy, yy, r, o, q, qq, qr)):
        moments[2, i] = each


@njit(nogil=True, cache=True, fastmath=True)
def _equations(
    moments: npt.NDArray[np.float64], matrix: npt.NDArray[np.float64], right: npt.NDArray[np.float64]
) -> None:
    """The lower half of the normal equations from a window's moments."""
    # By which of 1, x and y the three unknowns of an axis weigh their slope: their products.
    for i in range(3):
        for j in range(3):
            product = i + j if i == 0 or j == 0 else i + j + 1
            if j <= i:
                matrix[i, j], matrix[3 + i, 3 + j] = moments[0, product], moments[1, product]
            matrix[3 + i, j] = moments[2, product]
        for axis in range(2):
            right[3 * axis + i] = moments[axis, 6 + i]
            matrix[6, 3 * axis + i], matrix[7, 3 * axis + i] = moments[axis, 9 + i], moments[axis, 12 + i]
    right[6], right[7] = moments[2, 10], moments[2, 6]
    matrix[6, 6], matrix[7, 6], matrix[7, 7] = moments[2, 9], moments[2, 8], moments[2, 7]
