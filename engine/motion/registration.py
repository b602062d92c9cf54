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

_PITCH, _COARSE_PITCH = 8, 16
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

_AROUND = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0)]
_NEAR = np.array([(0, 0), *_AROUND], np.int64)
_OFFSETS = np.array([(0, 0), *_AROUND, *((3 * row, 3 * column) for row, column in _AROUND)], np.int64)
"""Of the grid's points whose models a pixel may take, in points; without the farther ones, where it is coarse."""
_JUDGED_PX = 2.0
"""Deviation of the neighborhood in which a model is judged."""
_MOST = 0.35
"""Difference beyond which it is all the same."""
_LOYAL = 0.0005
"""What a model costs for each point that it is away."""
_EVEN = 0.004
"""Difference that counts less than half as much, where models that say about the same are averaged."""
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
    pitch, offsets = (_COARSE_PITCH, _NEAR) if coarse else (_PITCH, _OFFSETS)
    rows, columns = -(-height // pitch), -(-width // pitch)
    down = np.minimum(np.arange(rows) * pitch + pitch // 2, height - 1)
    right = np.minimum(np.arange(columns) * pitch + pitch // 2, width - 1)
    y, x = (np.ascontiguousarray(each.ravel(), np.int64) for each in np.meshgrid(down, right, indexing="ij"))
    at = np.ones(len(y), bool) if known is None else known[y, x]
    y, x = y[at], x[at]
    fits = _fitted(flow, np.ascontiguousarray(confidence, np.float32), here.color, y, x)
    lights = np.zeros((len(y), 2), np.float32)
    lights[:, 0] = 1
    for number, (reach, step, sigma, iterations) in enumerate(_ROUNDS):
        _register(
            here.luma, here.dx, here.dy, there.luma, here.color, flow, y, x,
            fits, lights, reach, step, sigma, iterations, number == 0,
        )  # fmt: skip
    if known is None:
        return _chosen(here.color, there.color, fits, lights, rows, columns, pitch, offsets)
    # A model that leads out of the picture is never chosen where there is another.
    models, light = np.zeros((len(at), 6), np.float32), np.ones((len(at), 2), np.float32)
    models[:, 0] = _NOWHERE_PX
    models[at], light[at] = fits, lights
    found = _chosen(here.color, there.color, models, light, rows, columns, pitch, offsets)
    return np.where(np.abs(found) < _NOWHERE_PX / 2, found, flow)


def _chosen(
    here: Floats, there: Floats, models: Floats, light: Floats, rows: int, columns: int, pitch: int, offsets: Ints
) -> Floats:
    """(H, W, 2): the flow of the models that match best."""
    height, width = here.shape[:2]
    margin = math.ceil(3 * _JUDGED_PX)
    away = np.abs(offsets).sum(axis=1).astype(np.float32) * np.float32(_LOYAL)
    flow = np.empty((height, width, 2), np.float32)
    for top in range(0, height, _STRIP):
        first, last = max(0, top - margin), min(height, top + _STRIP + margin)
        costs = np.empty((len(offsets), last - first, width), np.float32)
        for number, (down, right) in enumerate(offsets):
            _difference(here, there, models, light, rows, columns, pitch, down, right, first, costs[number])
            costs[number] = cv2.GaussianBlur(costs[number], (0, 0), _JUDGED_PX, borderType=cv2.BORDER_REFLECT_101)
        bottom = min(height, top + _STRIP)
        inner = np.ascontiguousarray(costs[:, top - first : bottom - first])
        _choose(inner, models, rows, columns, pitch, offsets, away, top, height, flow)
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
    here: Floats, dx_here: Floats, dy_here: Floats, there: Floats, color: Floats, flow: Floats, ys: Ints, xs: Ints,
    models: Floats, light: Floats, reach: int, step: int, sigma: float, iterations: int, first: bool,
) -> None:  # fmt: skip
    """Fit models (n, 6) and light (n, 2: gain, bias) to the pictures' windows around points, in place.

    Unknowns are those of a model, with its changes scaled by the window's deviation, then gain and bias. The slopes are
    those of ``here``, which its window keeps from iteration to iteration.
    """
    height, width = here.shape
    side = 2 * reach // step + 1
    matrix, right = np.zeros((8, 8), np.float32), np.zeros(8, np.float32)
    solved, unknown = np.zeros((8, 8)), np.zeros(8)
    # Of each pixel that counts: place, brightness, weight, and the slopes by the eight unknowns.
    place_x, place_y = np.zeros(side * side, np.float32), np.zeros(side * side, np.float32)
    value, counts = np.zeros(side * side, np.float32), np.zeros(side * side, np.float32)
    slopes = np.zeros((8, side * side), np.float32)
    weights, rests = np.zeros(side * side, np.float32), np.zeros(side * side, np.float32)
    for k in range(len(ys)):
        y, x = ys[k], xs[k]
        u, ux, uy, v, vx, vy = models[k]
        gain, bias = light[k]
        if first:
            gain, bias = _first_light(here, there, color, models[k], y, x, reach, 2 * step, sigma)
        count = 0
        for row in range(y - reach, y + reach + 1, step):
            if row < 0 or row >= height:
                continue
            for column in range(x - reach, x + reach + 1, step):
                dx, dy = column - x, row - y
                if column < 0 or column >= width or dx * dx + dy * dy > 9 * sigma * sigma:
                    continue
                ru = flow[row, column, 0] - (u + ux * dx + uy * dy)
                rv = flow[row, column, 1] - (v + vx * dx + vy * dy)
                e = _alike(color, row, column, y, x, sigma)
                e += min((ru * ru + rv * rv) / (2 * _TOGETHER_PX * _TOGETHER_PX), 4.0)
                if e > 6:
                    continue
                place_x[count], place_y[count], value[count] = dx, dy, here[row, column]
                counts[count] = math.exp(-e)
                along, across = dx_here[row, column], dy_here[row, column]
                slopes[0, count], slopes[1, count], slopes[2, count] = along, along * dx / sigma, along * dy / sigma
                slopes[3, count], slopes[4, count], slopes[5, count] = across, across * dx / sigma, across * dy / sigma
                slopes[7, count] = 1.0
                count += 1
        for turn in range(iterations):
            total = np.float32(0)
            for n in range(count):
                to_x = x + place_x[n] + u + ux * place_x[n] + uy * place_y[n]
                to_y = y + place_y[n] + v + vx * place_x[n] + vy * place_y[n]
                if to_x < 0 or to_y < 0 or to_x >= width - 1 or to_y >= height - 1:
                    weights[n] = rests[n] = slopes[6, n] = 0.0
                    continue
                left, top = int(to_x), int(to_y)
                a, b = to_x - left, to_y - top
                seen = (1 - b) * ((1 - a) * there[top, left] + a * there[top, left + 1])
                seen += b * ((1 - a) * there[top + 1, left] + a * there[top + 1, left + 1])
                rest = value[n] - (gain * seen + bias)
                odd = 1 + rest * rest / (_ROBUST * _ROBUST)
                weights[n] = counts[n] / (odd * odd)
                rests[n] = rest
                slopes[6, n] = seen - 0.5
                total += weights[n]
            if total < 1:
                break
            for i in range(8):
                against = np.float32(0)
                for n in range(count):
                    against += weights[n] * slopes[i, n] * rests[n]
                right[i] = against
                for j in range(i + 1):
                    product = np.float32(0)
                    for n in range(count):
                        product += weights[n] * slopes[i, n] * slopes[j, n]
                    matrix[i, j] = product
            solved[:, :] = matrix
            unknown[:] = right
            # Towards no move, no change of shape and the light as it was, where there is little to tell them by.
            stiff = 0.002 * (solved[0, 0] + solved[3, 3]) + 2e-5 * total
            solved[0, 0] += 1e-5 * total
            solved[3, 3] += 1e-5 * total
            for i in (1, 2, 4, 5):
                solved[i, i] += stiff
            solved[6, 6] += 1e-3 * total
            solved[7, 7] += 1e-4 * total
            if not _solve(solved, unknown):
                break
            move = max(abs(unknown[0]), abs(unknown[3]))
            share = _STEP_PX / move if move > _STEP_PX else 1.0
            u, v = u + share * unknown[0], v + share * unknown[3]
            ux, uy = ux + share * unknown[1] / sigma, uy + share * unknown[2] / sigma
            vx, vy = vx + share * unknown[4] / sigma, vy + share * unknown[5] / sigma
            gain = min(max(gain + share * unknown[6], 1 / _GAIN), _GAIN)
            bias += share * (unknown[7] - 0.5 * unknown[6])
            if move < 0.01 and turn > 0:
                break
        moved = max(abs(u - models[k, 0]), abs(v - models[k, 3]))
        if moved < _FARTHEST_PX and max(max(abs(ux), abs(uy)), max(abs(vx), abs(vy))) < _STEEPEST:
            models[k, 0], models[k, 1], models[k, 2] = u, ux, uy
            models[k, 3], models[k, 4], models[k, 5] = v, vx, vy
            light[k, 0], light[k, 1] = gain, bias


@njit(nogil=True, cache=True, fastmath=True)
def _difference(
    here: Floats, there: Floats, models: Floats, light: Floats, rows: int, columns: int, pitch: int,
    down: int, right: int, first: int, out: Floats,
) -> None:  # fmt: skip
    """Mean difference of color under the model of the grid's point at an offset, for the rows from ``first`` on."""
    height, width = here.shape[:2]
    for line in range(out.shape[0]):
        y = first + line
        row = min(max(y // pitch + down, 0), rows - 1)
        dy = y - min(row * pitch + pitch // 2, height - 1)
        for block in range(columns):
            column = min(max(block + right, 0), columns - 1)
            center = min(column * pitch + pitch // 2, width - 1)
            k = row * columns + column
            gain, bias = light[k, 0], light[k, 1]
            from_x, along_x = models[k, 0] + models[k, 2] * dy, models[k, 1]
            from_y, along_y = y + models[k, 3] + models[k, 5] * dy, models[k, 4]
            for x in range(block * pitch, min((block + 1) * pitch, width)):
                dx = x - center
                to_x, to_y = x + from_x + along_x * dx, from_y + along_y * dx
                if to_x < 0 or to_y < 0 or to_x >= width - 1 or to_y >= height - 1:
                    out[line, x] = _MOST
                    continue
                left, top = int(to_x), int(to_y)
                a, b = to_x - left, to_y - top
                total = np.float32(0)
                for c in range(3):
                    seen = (1 - b) * ((1 - a) * there[top, left, c] + a * there[top, left + 1, c])
                    seen += b * ((1 - a) * there[top + 1, left, c] + a * there[top + 1, left + 1, c])
                    total += abs(here[y, x, c] - (gain * seen + bias))
                out[line, x] = min(total / 3, _MOST)


@njit(nogil=True, cache=True, fastmath=True)
def _choose(
    costs: Floats, models: Floats, rows: int, columns: int, pitch: int, offsets: Ints, away: Floats,
    top: int, height: int, flow: Floats,
) -> None:  # fmt: skip
    """Write rows of a flow from ``top`` on: the best model's, averaged with those that say about the same."""
    count, lines, width = costs.shape
    model, center = np.zeros(count, np.int64), np.zeros((count, 2), np.int64)
    for line in range(lines):
        y = top + line
        for block in range(columns):
            for j in range(count):
                row = min(max(y // pitch + offsets[j, 0], 0), rows - 1)
                column = min(max(block + offsets[j, 1], 0), columns - 1)
                model[j] = row * columns + column
                center[j, 0] = min(row * pitch + pitch // 2, height - 1)
                center[j, 1] = min(column * pitch + pitch // 2, width - 1)
            for x in range(block * pitch, min((block + 1) * pitch, width)):
                best, least = 0, np.float32(1e9)
                for j in range(count):
                    cost = costs[j, line, x] + away[j]
                    if cost < least:
                        best, least = j, cost
                best_u, best_v = _said(models[model[best]], y - center[best, 0], x - center[best, 1])
                total = sum_u = sum_v = np.float32(0)
                for j in range(count):
                    like = 1 - (costs[j, line, x] + away[j] - least) / (3 * _EVEN)
                    if like <= 0:
                        continue
                    dy, dx = y - center[j, 0], x - center[j, 1]
                    u, v = _said(models[model[j]], dy, dx)
                    together = 1 - (u - best_u) ** 2 - (v - best_v) ** 2
                    if together <= 0:
                        continue
                    near = 1 + np.float32(dx * dx + dy * dy) / (pitch * pitch)
                    weight = like * like * together * together * together / (near * near)
                    total += weight
                    sum_u += weight * u
                    sum_v += weight * v
                flow[y, x, 0], flow[y, x, 1] = sum_u / total, sum_v / total


@njit(nogil=True, cache=True, fastmath=True)
def _said(model: Floats, dy: int, dx: int) -> tuple[float, float]:
    """The flow that a model says of a pixel so far from its center."""
    return model[0] + model[1] * dx + model[2] * dy, model[3] + model[4] * dx + model[5] * dy
