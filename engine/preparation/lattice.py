"""Lattice of a guide, as rigid as it can be: what a single flow vector gets wrong, its neighbors put right.

A lattice of squares over the keyframe's matte is pushed to where optical flow takes each of its points, and then every
square is given back its shape by the best rigid motion. Points that are hidden, or whose push no rigid motion explains,
ride on their neighbors.

Arrays over the lattice are (R, C, ...): rows and columns of points, of which those outside every square mean nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from engine.base.arrays import Floats
from engine.base.errors import InputError
from engine.motion.flow import reliability
from engine.preparation.guides import Points, distinct_colors, sample

__all__ = ["Grid", "GridSettings", "advance_by_flow", "as_points", "lattice", "regularize"]

Ints = npt.NDArray[np.int32]

_SURE = 0.25
"""A point with less confidence is not drawn."""


@dataclass(frozen=True)
class GridSettings:
    """How the lattice is laid and how stiff it is.

    Raises:
        InputError: a spacing under 2 pixels, a stiffness or tolerance that is not above 0, fewer than one round.
    """

    spacing_px: float = 12.0
    """Side of a square."""
    stiffness: float = 4.0
    """What keeping a square's shape weighs against following a push."""
    tolerance_px: float = 1.5
    """A push this far from what its neighbors agree on counts for a quarter."""
    rounds: int = 3
    """How often the outliers among the pushes are judged anew."""
    fits: int = 12
    """Rigid fits of every square in a round."""
    seed: int = 0
    """Of the colors."""

    def __post_init__(self) -> None:
        numbers = (self.spacing_px, self.stiffness, self.tolerance_px)
        if not all(math.isfinite(number) and number > 0 for number in numbers) or self.spacing_px < 2:
            raise InputError("a guide's grid needs a spacing of 2 pixels or more, and stiffness and tolerance above 0")
        if min(self.rounds, self.fits) < 1 or self.seed < 0:
            raise InputError("a guide's grid needs at least one round and one fit, and no negative seed")


@dataclass(frozen=True, eq=False)
class Grid:
    """The lattice of one keyframe, as it lies in one frame. ``lattice`` builds the first."""

    keyframe: int
    """Where it was laid."""
    frame: int
    """Where it is."""
    home: Floats
    """(R, C, 2), pixels of the keyframe: the lattice before it moved."""
    xy: Floats
    """(R, C, 2), pixels of ``frame``, x right, y down, centers at integers; may lie outside."""
    color: Floats
    """(R, C, 3), 0..1; a label."""
    piece: Ints
    """(R - 1, C - 1), 0 where there is no square, else the number of the connected piece that it is in."""
    sure: Floats
    """(R, C), 0..1: how far the last step is known for the point itself; 0 where hidden, or where no square is."""


def lattice(matte: Floats, frame: int, settings: GridSettings | None = None) -> Grid:
    """Lays a lattice over a keyframe: all squares that hold some of the matte (above 0.5). An empty matte has none.

    Args:
        matte: (H, W), 0..1; ones for the whole frame.

    Source: Sykora, Dingliana, Collins 2009, section 3.1; the colors are as in ``engine.preparation.guides``.
    """
    settings = settings or GridSettings()
    height, width = matte.shape
    rows, columns = (max(1, math.ceil((side - 1) / settings.spacing_px)) for side in (height, width))
    across, down = np.meshgrid(np.arange(columns + 1), np.arange(rows + 1))
    home = (np.stack([across, down], axis=2) * settings.spacing_px).astype(np.float32)
    holds = np.zeros((rows, columns), np.uint8)
    y, x = np.nonzero(matte > 0.5)
    square = (np.minimum((item / settings.spacing_px).astype(int), n - 1) for item, n in ((y, rows), (x, columns)))
    holds[tuple(square)] = 1
    _, piece = cv2.connectedComponents(holds, connectivity=4, ltype=cv2.CV_32S)
    random = np.random.default_rng([settings.seed, frame + (1 << 31)])
    flat, nothing = home.reshape(-1, 2), (np.zeros((0, 2), np.float32), np.zeros((0, 3), np.float32))
    color = distinct_colors(flat, *nothing, 1.5 * settings.spacing_px, random).reshape(*home.shape[:2], 3)
    piece = np.asarray(piece, np.int32)
    return Grid(frame, frame, home, home.copy(), color, piece, (_shares(piece) > 0).astype(np.float32))


def advance_by_flow(grid: Grid, flow: Floats, back: Floats, frame: int, *, settings: GridSettings) -> Grid:
    """The grid in a neighboring frame, pushed by optical flow where that is reliable.

    Args:
        flow: (H, W, 2), pixels, from ``grid.frame`` to ``frame``.
        back: the way back.
    """
    flat = grid.xy.reshape(-1, 2)
    targets = (flat + sample(flow, flat)).reshape(grid.xy.shape)
    trust = sample(reliability(flow, back), flat) * _inside(flat, *flow.shape[:2])
    return regularize(grid, targets, trust.reshape(grid.sure.shape), frame, settings=settings)


def regularize(grid: Grid, targets: Floats, weight: Floats, frame: int, *, settings: GridSettings) -> Grid:
    """The grid that follows the pushes as far as its squares can stay rigid.

    Every connected piece may grow or shrink as a whole, so that a camera that moves in does not tear at it; its
    squares have the shape that they had in the keyframe.

    Args:
        targets: (R, C, 2), pixels of ``frame``: where each point was pushed.
        weight: (R, C), 0..1: how far a push is trusted; 0 leaves the point to its neighbors.

    Source: Sykora, Dingliana, Collins 2009, section 3.3 (after Schaefer et al. 2006); the weights are ours.
    """
    shares = _shares(grid.piece)
    weight = np.where(shares > 0, weight, 0).astype(np.float32)
    known = weight
    xy = grid.xy
    for _ in range(settings.rounds):
        whole = _whole(grid.xy, targets, known, grid.piece)
        xy = whole + _spread(targets - whole, known)
        for _ in range(settings.fits):
            rigid = _rigid(grid.home, xy, grid.piece, shares)
            pull = settings.stiffness * shares
            total = np.maximum(known + pull, np.float32(1e-6))
            xy = np.asarray((known[..., None] * targets + pull[..., None] * rigid) / total[..., None], np.float32)
        off = np.square(targets - xy).sum(axis=2) / settings.tolerance_px**2
        known = np.asarray(weight / np.square(1 + off), np.float32)
    xy = np.where(shares[..., None] > 0, xy, grid.home)
    return replace(grid, frame=frame, xy=np.asarray(xy, np.float32), sure=np.asarray(known, np.float32))


def as_points(grid: Grid, size: tuple[int, int]) -> Points:
    """The lattice as points for ``engine.preparation.guides.draw``; unsure ones and those out of the frame are hidden.

    Args:
        size: height and width of the frame.
    """
    used = (_shares(grid.piece) > 0).reshape(-1)
    xy = grid.xy.reshape(-1, 2)[used]
    hidden = (grid.sure.reshape(-1)[used] < _SURE) | ~_inside(xy, *size)
    home, color = grid.home.reshape(-1, 2)[used], grid.color.reshape(-1, 3)[used]
    return Points(grid.keyframe, grid.frame, xy, home, color, hidden.astype(np.int32))


def _inside(xy: Floats, height: int, width: int) -> npt.NDArray[np.bool_]:
    return np.asarray(((xy >= -0.5) & (xy < np.array([width, height]) - 0.5)).all(axis=1))


def _shares(piece: Ints) -> Floats:
    """(R, C): how many squares each point of the lattice belongs to."""
    squares = np.pad((piece > 0).astype(np.float32), 1)
    return np.asarray(squares[:-1, :-1] + squares[:-1, 1:] + squares[1:, :-1] + squares[1:, 1:], np.float32)


def _corners(lattice_values: npt.NDArray[np.complex64]) -> npt.NDArray[np.complex64]:
    """(4, R - 1, C - 1): the corners of every square."""
    return np.stack(
        [lattice_values[:-1, :-1], lattice_values[:-1, 1:], lattice_values[1:, :-1], lattice_values[1:, 1:]]
    )


def _complex(xy: Floats) -> npt.NDArray[np.complex64]:
    return np.ascontiguousarray(xy, np.float32).view(np.complex64)[..., 0]


def _rigid(home: Floats, xy: Floats, piece: Ints, shares: Floats) -> Floats:
    """(R, C, 2): where the rigid motions of its squares, taken together, put each point."""
    rest, now = _corners(_complex(home)), _corners(_complex(xy))
    rest = rest - rest.mean(axis=0)
    center = now.mean(axis=0)
    cross = (np.conj(rest) * (now - center)).sum(axis=0)
    length = np.maximum(np.abs(cross), 1e-6)
    grown = length / np.square(np.abs(rest)).sum(axis=0)
    scale = np.ones(int(piece.max(initial=0)) + 1, np.float32)
    for label in range(1, len(scale)):
        scale[label] = np.median(grown[piece == label])
    goal = (center + rest * (cross / length * scale[piece])) * (piece > 0)
    total = np.zeros(xy.shape[:2], np.complex64)
    total[:-1, :-1] += goal[0]
    total[:-1, 1:] += goal[1]
    total[1:, :-1] += goal[2]
    total[1:, 1:] += goal[3]
    total /= np.maximum(shares, 1)
    return np.stack([total.real, total.imag], axis=2)


def _whole(xy: Floats, targets: Floats, weight: Floats, piece: Ints) -> Floats:
    """(R, C, 2): the lattice with each connected piece moved, turned and scaled as one, to fit its pushes best."""
    padded = np.pad(piece, 1)
    label = np.maximum.reduce([padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]])
    before, after = _complex(xy), _complex(targets)
    result = before.copy()
    for number in range(1, int(piece.max(initial=0)) + 1):
        mine = label == number
        share, a, b = weight[mine], before[mine], after[mine]
        total = max(float(share.sum()), 1e-6)
        middle_a, middle_b = (share * a).sum() / total, (share * b).sum() / total
        size = float((share * np.square(np.abs(a - middle_a))).sum())
        turn = (share * np.conj(a - middle_a) * (b - middle_b)).sum() / size if size > 1e-3 else 1
        if share.any():
            result[mine] = middle_b + turn * (a - middle_a)
    return np.stack([result.real, result.imag], axis=2)


def _spread(push: Floats, weight: Floats) -> Floats:
    """(R, C, 2): the pushes, replaced by those of the neighborhood as far as they are not known themselves."""
    result = push * weight[..., None]
    total = weight.copy()
    spread_push, spread_weight = result, weight
    for sigma in (1.0, 2.0, 4.0, 8.0, 16.0):
        spread_push, spread_weight = (
            cv2.GaussianBlur(item, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
            for item in (spread_push, spread_weight)
        )
        lacking = np.clip(1 - total, 0, 1)
        share = lacking * np.minimum(spread_weight * 1e3, 1) / np.maximum(spread_weight, 1e-12)
        result = result + spread_push.reshape(push.shape) * share[..., None]
        total = total + spread_weight * share
    return np.asarray(result / np.maximum(total, 1e-6)[..., None], np.float32)
