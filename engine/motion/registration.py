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
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from numba import njit

from engine.base.arrays import Floats, Mask

__all__ = ["ImageGradients", "image_gradients", "refined"]

Ints = npt.NDArray[np.int64]

_PITCH = 8
"""Pixels between the points of the grid."""
_SOFTENED_PX = 0.7
"""Deviation of the blur before anything is compared: grain is finer."""
_LUMA = np.array([0.3, 0.55, 0.15], np.float32)
_DERIVATIVE = np.array([[1, -8, 0, 8, -1]], np.float32) / 12

# The fit of the flow that is there: reach and step of its window, and deviations of what counts.
_FIT_REACH, _FIT_STEP, _FIT_PX, _FIT_ROUNDS = 20, 4, 10.0, 4
_FIT_COLOR = 0.2
_FIT_FLOW_PX = 0.8
# Rounds of the registration: reach, step, deviation of the window, iterations.
_ROUNDS = ((20, 2, 9.0, 3), (14, 2, 6.0, 2))
_ALIKE = 0.15
"""Deviation of color, working encoding, at which a pixel of the window counts for less."""
_TOGETHER_PX = 1.5
"""Deviation of the flow that was there from the window's model, likewise."""
_ROBUST = 0.03
"""Difference, working encoding, that counts a quarter as much as none."""
_STEP_PX, _FARTHEST_PX, _STEEPEST = 1.5, 8.0, 0.6
"""Largest step of an iteration; how far a model may move, and how much it may bend the picture."""
_GAIN = 2.0
"""Largest change of the light, on the encoding, either way."""

_NEAR = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
_FAR = [(3 * row, 3 * column) for row, column in _NEAR if (row, column) != (0, 0)]
_OFFSETS = np.array([*sorted(_NEAR, key=lambda at: at != (0, 0)), *_FAR], np.int64)
"""Of the grid's points whose models a pixel may take, in points."""
_JUDGED_PX = 2.0
"""Deviation of the neighborhood in which a model is judged."""
_MOST = 0.35
"""Difference beyond which it is all the same."""
_LOYAL = 0.0005
"""What a model costs for each point that it is away."""
_EVEN = 0.004
"""Difference up to which models that say about the same are averaged."""
_STRIP = 128
"""Rows that are judged at once: memory stays small at any size."""
_NOWHERE_PX = 1e6
_SMALLEST = 16
"""Side of a picture in which nothing can be told."""


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


def image_gradients(color: Floats) -> ImageGradients:
    """Prepare a frame (H, W, 3), working encoding, 0..1."""
    soft = np.asarray(cv2.GaussianBlur(color, (0, 0), _SOFTENED_PX, borderType=cv2.BORDER_REFLECT_101), np.float32)
    luma = np.asarray(soft @ _LUMA, np.float32)
    dx, dy = (
        cv2.filter2D(luma, -1, kernel, borderType=cv2.BORDER_REFLECT_101) for kernel in (_DERIVATIVE, _DERIVATIVE.T)
    )
    return ImageGradients(soft, luma, np.asarray(dx, np.float32), np.asarray(dy, np.float32))


def refined(
    flow: Floats, confidence: Floats, here: ImageGradients, there: ImageGradients, known: Mask | None = None
) -> Floats:
    """A flow (H, W, 2) from ``here`` to ``there``, pixels, registered.

    Args:
        flow: what to start from; right to a few pixels.
        confidence: (H, W) in 0..1, how far each pixel of it can be trusted.
        here, there: the two frames, of one size.
        known: (H, W), where ``here`` is to be registered; None for everywhere.
    """
    height, width = confidence.shape
    if min(height, width) < _SMALLEST:
        return flow
    flow = np.ascontiguousarray(flow, np.float32)
    rows, columns = -(-height // _PITCH), -(-width // _PITCH)
    down = np.minimum(np.arange(rows) * _PITCH + _PITCH // 2, height - 1)
    right = np.minimum(np.arange(columns) * _PITCH + _PITCH // 2, width - 1)
    y, x = (np.ascontiguousarray(each.ravel(), np.int64) for each in np.meshgrid(down, right, indexing="ij"))
    at = np.ones(len(y), bool) if known is None else known[y, x]
    y, x = y[at], x[at]
    fits = _fitted(flow, np.ascontiguousarray(confidence, np.float32), here.color, y, x)
    lights = np.zeros((len(y), 2), np.float32)
    lights[:, 0] = 1
    for number, (reach, step, sigma, iterations) in enumerate(_ROUNDS):
        _register(
            here.luma, there.luma, there.dx, there.dy, here.color, flow, y, x,
            fits, lights, reach, step, sigma, iterations, number == 0,
        )  # fmt: skip
    if known is None:
        return _chosen(here.color, there.color, fits, lights, rows, columns)
    # A model that leads out of the picture is never chosen where there is another.
    models, light = np.zeros((len(at), 6), np.float32), np.ones((len(at), 2), np.float32)
    models[:, 0] = _NOWHERE_PX
    models[at], light[at] = fits, lights
    found = _chosen(here.color, there.color, models, light, rows, columns)
    return np.where(np.abs(found) < _NOWHERE_PX / 2, found, flow)


def _chosen(here: Floats, there: Floats, models: Floats, light: Floats, rows: int, columns: int) -> Floats:
    """(H, W, 2): the flow of the models that match best."""
    height, width = here.shape[:2]
    margin = math.ceil(3 * _JUDGED_PX)
    away = np.abs(_OFFSETS).sum(axis=1).astype(np.float32) * np.float32(_LOYAL)
    flow = np.empty((height, width, 2), np.float32)
    for top in range(0, height, _STRIP):
        first, last = max(0, top - margin), min(height, top + _STRIP + margin)
        costs = np.empty((len(_OFFSETS), last - first, width), np.float32)
        for number, (down, right) in enumerate(_OFFSETS):
            _difference(here, there, models, light, rows, columns, down, right, first, costs[number])
            costs[number] = cv2.GaussianBlur(costs[number], (0, 0), _JUDGED_PX, borderType=cv2.BORDER_REFLECT_101)
        bottom = min(height, top + _STRIP)
        inner = np.ascontiguousarray(costs[:, top - first : bottom - first])
        _choose(inner, models, rows, columns, _OFFSETS, away, top, height, flow)
    return flow


@njit(nogil=True, cache=True, fastmath=True)
def _fitted(flow: Floats, confidence: Floats, color: Floats, ys: Ints, xs: Ints) -> Floats:
    """(n, 6): u, its change along x and y, v, its change along x and y: affine fits of a flow around points.

    Each round weighs by how far a neighbor's flow is from the fit so far, so that it settles on the center's surface.
    """
    height, width = confidence.shape
    models = np.zeros((len(ys), 6), np.float32)
    for k in range(len(ys)):
        y, x = ys[k], xs[k]
        u, v = flow[y, x, 0], flow[y, x, 1]
        ux = uy = vx = vy = 0.0
        for turn in range(_FIT_ROUNDS):
            tolerance = _FIT_FLOW_PX * (2.0 if turn == 0 else 1.0)
            s = sx = sy = sxx = sxy = syy = a = ax = ay = b = bx = by = 0.0
            for dy in range(-_FIT_REACH, _FIT_REACH + 1, _FIT_STEP):
                row = y + dy
                if row < 0 or row >= height:
                    continue
                for dx in range(-_FIT_REACH, _FIT_REACH + 1, _FIT_STEP):
                    column = x + dx
                    if column < 0 or column >= width:
                        continue
                    fu, fv = flow[row, column, 0], flow[row, column, 1]
                    ru, rv = fu - (u + ux * dx + uy * dy), fv - (v + vx * dx + vy * dy)
                    unlike = 0.0
                    for c in range(3):
                        difference = color[row, column, c] - color[y, x, c]
                        unlike += difference * difference
                    e = (ru * ru + rv * rv) / (2 * tolerance * tolerance) + unlike / (2 * _FIT_COLOR * _FIT_COLOR)
                    e += (dx * dx + dy * dy) / (2 * _FIT_PX * _FIT_PX)
                    if e > 8:
                        continue
                    weight = (confidence[row, column] + 0.05) * math.exp(-e)
                    s += weight
                    sx += weight * dx
                    sy += weight * dy
                    sxx += weight * dx * dx
                    sxy += weight * dx * dy
                    syy += weight * dy * dy
                    a += weight * fu
                    ax += weight * fu * dx
                    ay += weight * fu * dy
                    b += weight * fv
                    bx += weight * fv * dx
                    by += weight * fv * dy
            if s < 1e-3:
                break
            # Towards no change of shape, where there is little to tell it by.
            sxx += s * _FIT_PX * _FIT_PX * 0.01
            syy += s * _FIT_PX * _FIT_PX * 0.01
            c00, c01, c02 = sxx * syy - sxy * sxy, sy * sxy - sx * syy, sx * sxy - sy * sxx
            determinant = s * c00 + sx * c01 + sy * c02
            if abs(determinant) < 1e-9:
                break
            c11, c12, c22 = s * syy - sy * sy, sy * sx - s * sxy, s * sxx - sx * sx
            u, v = (c00 * a + c01 * ax + c02 * ay) / determinant, (c00 * b + c01 * bx + c02 * by) / determinant
            ux, vx = (c01 * a + c11 * ax + c12 * ay) / determinant, (c01 * b + c11 * bx + c12 * by) / determinant
            uy, vy = (c02 * a + c12 * ax + c22 * ay) / determinant, (c02 * b + c12 * bx + c22 * by) / determinant
        models[k, 0], models[k, 1], models[k, 2] = u, ux, uy
        models[k, 3], models[k, 4], models[k, 5] = v, vx, vy
    return models


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
def _alike(color: Floats, row: int, column: int, y: int, x: int, reach: float) -> float:
    """Minus the logarithm of how much a pixel counts in the window of another, by color and distance."""
    unlike = 0.0
    for c in range(3):
        difference = color[row, column, c] - color[y, x, c]
        unlike += difference * difference
    distance = (row - y) * (row - y) + (column - x) * (column - x)
    return unlike / (2 * _ALIKE * _ALIKE) + distance / (2 * reach * reach)


@njit(nogil=True, cache=True, fastmath=True)
def _first_light(
    here: Floats, there: Floats, color: Floats, model: Floats, y: int, x: int, reach: int, step: int, sigma: float
) -> tuple[float, float]:
    """Gain and bias that make the means of a window agree: robust weights would else drop all of it."""
    height, width = here.shape
    total = one = other = 0.0
    for row in range(max(0, y - reach), min(height, y + reach + 1), step):
        for column in range(max(0, x - reach), min(width, x + reach + 1), step):
            e = _alike(color, row, column, y, x, sigma)
            dx, dy = column - x, row - y
            to_x = column + model[0] + model[1] * dx + model[2] * dy
            to_y = row + model[3] + model[4] * dx + model[5] * dy
            if e > 5 or to_x < 0 or to_y < 0 or to_x >= width - 1 or to_y >= height - 1:
                continue
            weight = math.exp(-e)
            total += weight
            one += weight * here[row, column]
            other += weight * there[int(to_y + 0.5), int(to_x + 0.5)]
    if total < 0.5:
        return 1.0, 0.0
    one, other = one / total, other / total
    gain = min(max((one + 0.05) / (other + 0.05), 1 / _GAIN), _GAIN)
    return gain, one - gain * other


@njit(nogil=True, cache=True, fastmath=True)
def _register(
    here: Floats, there: Floats, there_dx: Floats, there_dy: Floats, color: Floats, flow: Floats, ys: Ints, xs: Ints,
    models: Floats, light: Floats, reach: int, step: int, sigma: float, iterations: int, first: bool,
) -> None:  # fmt: skip
    """Fit models (n, 6) and light (n, 2: gain, bias) to the pictures' windows around points, in place.

    Unknowns are those of a model, with its changes scaled by the window's deviation, then gain and bias.
    """
    height, width = here.shape
    matrix, right, slope = np.zeros((8, 8)), np.zeros(8), np.zeros(8)
    for k in range(len(ys)):
        y, x = ys[k], xs[k]
        u, ux, uy, v, vx, vy = models[k]
        gain, bias = light[k]
        if first:
            gain, bias = _first_light(here, there, color, models[k], y, x, reach, 2 * step, sigma)
        for turn in range(iterations):
            matrix[:, :] = 0.0
            right[:] = 0.0
            total = 0.0
            for row in range(y - reach, y + reach + 1, step):
                if row < 0 or row >= height:
                    continue
                for column in range(x - reach, x + reach + 1, step):
                    if column < 0 or column >= width:
                        continue
                    dx, dy = column - x, row - y
                    if dx * dx + dy * dy > 9 * sigma * sigma:
                        continue
                    fu, fv = u + ux * dx + uy * dy, v + vx * dx + vy * dy
                    ru, rv = flow[row, column, 0] - fu, flow[row, column, 1] - fv
                    e = _alike(color, row, column, y, x, sigma)
                    e += min((ru * ru + rv * rv) / (2 * _TOGETHER_PX * _TOGETHER_PX), 4.0)
                    to_x, to_y = column + fu, row + fv
                    if e > 7 or to_x < 0 or to_y < 0 or to_x >= width - 1 or to_y >= height - 1:
                        continue
                    left, top = int(to_x), int(to_y)
                    a, b = to_x - left, to_y - top
                    w00, w01, w10, w11 = (1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b
                    seen = w00 * there[top, left] + w01 * there[top, left + 1]
                    seen += w10 * there[top + 1, left] + w11 * there[top + 1, left + 1]
                    along = w00 * there_dx[top, left] + w01 * there_dx[top, left + 1]
                    along += w10 * there_dx[top + 1, left] + w11 * there_dx[top + 1, left + 1]
                    across = w00 * there_dy[top, left] + w01 * there_dy[top, left + 1]
                    across += w10 * there_dy[top + 1, left] + w11 * there_dy[top + 1, left + 1]
                    rest = here[row, column] - (gain * seen + bias)
                    odd = 1 + rest * rest / (_ROBUST * _ROBUST)
                    weight = math.exp(-e) / (odd * odd)
                    along, across = gain * along, gain * across
                    slope[0], slope[1], slope[2] = along, along * dx / sigma, along * dy / sigma
                    slope[3], slope[4], slope[5] = across, across * dx / sigma, across * dy / sigma
                    slope[6], slope[7] = seen - 0.5, 1.0
                    for i in range(8):
                        weighted = weight * slope[i]
                        right[i] += weighted * rest
                        for j in range(i + 1):
                            matrix[i, j] += weighted * slope[j]
                    total += weight
            if total < 1:
                break
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
            ux, uy = ux + share * right[1] / sigma, uy + share * right[2] / sigma
            vx, vy = vx + share * right[4] / sigma, vy + share * right[5] / sigma
            gain = min(max(gain + share * right[6], 1 / _GAIN), _GAIN)
            bias += share * (right[7] - 0.5 * right[6])
            if move < 0.01 and turn > 0:
                break
        moved = max(abs(u - models[k, 0]), abs(v - models[k, 3]))
        if moved < _FARTHEST_PX and max(max(abs(ux), abs(uy)), max(abs(vx), abs(vy))) < _STEEPEST:
            models[k, 0], models[k, 1], models[k, 2] = u, ux, uy
            models[k, 3], models[k, 4], models[k, 5] = v, vx, vy
            light[k, 0], light[k, 1] = gain, bias


@njit(nogil=True, cache=True, fastmath=True)
def _difference(
    here: Floats, there: Floats, models: Floats, light: Floats, rows: int, columns: int,
    down: int, right: int, first: int, out: Floats,
) -> None:  # fmt: skip
    """Mean difference of color under the model of the grid's point at an offset, for the rows from ``first`` on."""
    height, width = here.shape[:2]
    for line in range(out.shape[0]):
        y = first + line
        row = min(max(y // _PITCH + down, 0), rows - 1)
        dy = y - min(row * _PITCH + _PITCH // 2, height - 1)
        for x in range(width):
            column = min(max(x // _PITCH + right, 0), columns - 1)
            dx = x - min(column * _PITCH + _PITCH // 2, width - 1)
            k = row * columns + column
            to_x = x + models[k, 0] + models[k, 1] * dx + models[k, 2] * dy
            to_y = y + models[k, 3] + models[k, 4] * dx + models[k, 5] * dy
            if to_x < 0 or to_y < 0 or to_x >= width - 1 or to_y >= height - 1:
                out[line, x] = _MOST
                continue
            left, top = int(to_x), int(to_y)
            a, b = to_x - left, to_y - top
            total = 0.0
            for c in range(3):
                seen = (1 - b) * ((1 - a) * there[top, left, c] + a * there[top, left + 1, c])
                seen += b * ((1 - a) * there[top + 1, left, c] + a * there[top + 1, left + 1, c])
                total += abs(here[y, x, c] - (light[k, 0] * seen + light[k, 1]))
            out[line, x] = min(total / 3, _MOST)


@njit(nogil=True, cache=True, fastmath=True)
def _choose(
    costs: Floats, models: Floats, rows: int, columns: int, offsets: Ints, away: Floats, top: int, height: int,
    flow: Floats,
) -> None:  # fmt: skip
    """Write rows of a flow from ``top`` on: the best model's, averaged with those that say about the same."""
    count, lines, width = costs.shape
    u, v = np.zeros(count), np.zeros(count)
    near = np.zeros(count)
    for line in range(lines):
        y = top + line
        for x in range(width):
            best, least = 0, 1e9
            for j in range(count):
                cost = costs[j, line, x] + away[j]
                if cost < least:
                    best, least = j, cost
                row = min(max(y // _PITCH + offsets[j, 0], 0), rows - 1)
                column = min(max(x // _PITCH + offsets[j, 1], 0), columns - 1)
                k = row * columns + column
                dx = x - min(column * _PITCH + _PITCH // 2, width - 1)
                dy = y - min(row * _PITCH + _PITCH // 2, height - 1)
                u[j] = models[k, 0] + models[k, 1] * dx + models[k, 2] * dy
                v[j] = models[k, 3] + models[k, 4] * dx + models[k, 5] * dy
                near[j] = 1 / (1 + (dx * dx + dy * dy) / (_PITCH * _PITCH))
            total = sum_u = sum_v = 0.0
            for j in range(count):
                worse = (costs[j, line, x] + away[j] - least) / _EVEN
                apart = (u[j] - u[best]) ** 2 + (v[j] - v[best]) ** 2
                if worse > 4 or apart > 1:
                    continue
                weight = math.exp(-worse - 4 * apart) * near[j] * near[j]
                total += weight
                sum_u += weight * u[j]
                sum_v += weight * v[j]
            flow[y, x, 0], flow[y, x, 1] = sum_u / total, sum_v / total
