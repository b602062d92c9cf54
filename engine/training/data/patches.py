"""Training patches: crops of the keyframes with real context around the pixels that are judged.

A crop that does not touch the frame's border has artificial borders, where the network sees zero padding that
inference would never show it. Pixels within ``halo`` of such a border are context only: their weight is zero. At the
frame's own border the padding is the same in training and inference, so those pixels count. A halo of the network's
whole reach would keep all of that padding out of sight; a shorter one judges more of the pixels that are computed
(docs/decisions/021-plain-translation.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.training.model.carry import Exemplar, Spoiler, brightened
from engine.training.model.pieces import Pieces, find_pieces

__all__ = ["Batch", "Pair", "PatchSampler"]

SOLID = 0.98
"""Coverage under which a painting that was sampled anew is too thin to be judged."""

CELL = 16
"""Side of the cells, in pixels, that are visited without replacement, so that every painted part gets its turn."""


@dataclass(frozen=True)
class Pair:
    """A keyframe on the training device, padded by ``MARGIN`` edge pixels all around and to the size multiple."""

    frame: int
    """The keyframe's number."""
    plate: Tensor
    """(3, H, W) float32, working encoding."""
    painting: Tensor
    """(3, H, W) float32, working encoding; zero where nothing is painted."""
    weight: Tensor
    """(1, H, W) float32 in 0..1: how much each pixel counts; zero in the padding and outside the matte."""
    coverage: Tensor
    """(1, H, W) float32 in 0..1: ``weight`` with its edge repeated in the padding, as a look sees its exemplar."""
    height: int
    """Rows before padding."""
    width: int
    """Columns before padding."""
    guide: Tensor | None = None
    """(G, H, W) float32 in 0..1, its edge repeated in the padding; None without guide images."""

    @property
    def exemplar(self) -> Exemplar:
        """What a look carries of it."""
        return Exemplar.of(self.painting, self.coverage, self.plate)


@dataclass(frozen=True)
class Batch:
    """B crops of one keyframe."""

    plate: Tensor
    """(B, 3, h, w)."""
    painting: Tensor
    """(B, 3, h, w): what the plain translation is asked for."""
    weight: Tensor
    """(B, 1, h, w) in 0..1; zero where the crop's border would be seen."""
    carried: Tensor
    """(B, 9, h, w): the exemplar as it might arrive, :attr:`engine.training.model.carry.Carried.stacked`."""
    displaced: Tensor
    """(B, 3, h, w): what the result with the carried exemplar is asked for, the painting displaced as much as is
    tolerated."""
    displaced_weight: Tensor
    """(B, 1, h, w) in 0..1, of ``displaced``."""
    corners: tuple[tuple[int, int], ...]
    """Per crop, top and left of the part without artificial borders; at the frame's border it reaches the border."""
    size: tuple[int, int]
    """Rows and columns of those parts."""
    guide: Tensor | None = None
    """(B, G, h, w) in 0..1; None without guide images."""

    @property
    def of_carried(self) -> Batch:
        """The same crops, asked for what the result with the carried exemplar is asked for."""
        return replace(self, painting=self.displaced, weight=self.displaced_weight)

    def judged(self, x: Tensor) -> Tensor:
        """The parts of (B, C, h, w) without artificial borders, (B, C, *size)."""
        rows, columns = self.size
        parts = [x[i, :, y : y + rows, z : z + columns] for i, (y, z) in enumerate(self.corners)]
        return torch.stack(parts)


def _pieces(pair: Pair) -> Pieces:
    """Those of a keyframe."""
    plate, painting = (x.cpu().numpy().transpose(1, 2, 0) for x in (pair.plate, pair.painting))
    return find_pieces(np.ascontiguousarray(plate), np.ascontiguousarray(painting))


class PatchSampler:
    """Draws crops in keyframe turns, cells of painted pixels without replacement.

    Gathering slices the device's own tensors; positions and spoiled exemplars come from the CPU, so nothing waits.
    """

    def __init__(self, pairs: list[Pair], *, crop: int, halo: int, batch: int, rng: np.random.Generator) -> None:
        self.crop = crop
        self.halo = halo
        self.batch = batch
        self.rng = rng
        self._turn = 0
        self._spoiler = Spoiler(rng)
        self.pairs: list[Pair] = []
        self._exemplars: list[Exemplar] = []
        self._pieces: list[Pieces] = []
        self._take(pairs)

    def _take(self, pairs: list[Pair]) -> None:
        """Draw from these keyframes, every cell still to come."""
        # Those of a keyframe that stays as it was stay as well: to find its pieces takes longer than a step.
        before = zip(self._exemplars, self._pieces, strict=True)
        kept = {id(pair): both for pair, both in zip(self.pairs, before, strict=True)}
        # On the CPU, where they are spoiled: a copy back from the device would wait for it at every crop.
        made = [kept.get(id(pair)) or (Exemplar(pair.exemplar.stack.cpu()), _pieces(pair)) for pair in pairs]
        self.pairs = pairs
        self._exemplars, self._pieces = [exemplar for exemplar, _ in made], [pieces for _, pieces in made]
        self._cells = [self._painted_cells(pair) for pair in pairs]
        self._queues: list[list[int]] = [[] for _ in pairs]

    @staticmethod
    def _painted_cells(pair: Pair) -> np.ndarray:
        pooled = torch.nn.functional.max_pool2d(pair.weight[None].cpu(), CELL, ceil_mode=True)[0, 0]
        rows, columns = np.nonzero(pooled.numpy() > 0)
        return np.stack([rows, columns], 1) * CELL

    def state(self) -> dict[str, object]:
        """What :meth:`restore` needs, as JSON values."""
        return {"turn": self._turn, "queues": [list(q) for q in self._queues]}

    def restore(self, state: dict[str, object]) -> None:
        self._turn = int(state["turn"])  # type: ignore[call-overload]
        self._queues = [[int(i) for i in q] for q in state["queues"]]  # type: ignore[attr-defined]

    def next(self) -> Batch:
        """The next keyframe's crops; crops are smaller than asked only where the keyframe is."""
        index = self._keyframe()
        pair = self.pairs[index]
        height, width = pair.plate.shape[-2:]
        rows, columns = min(self.crop, height), min(self.crop, width)
        inner = tuple(n - 2 * self.halo if n > 2 * self.halo + CELL else n for n in (rows, columns))
        plates: list[Tensor] = []
        paintings: list[Tensor] = []
        weights, carried, corners = [], [], []
        displaced: list[Tensor] = []
        displaced_weights: list[Tensor] = []
        guides: list[Tensor] = []
        for _ in range(self.batch):
            top, left = self._origin(index, height, width, rows, columns)
            window = (slice(None), slice(top, top + rows), slice(left, left + columns))
            weight = pair.weight[window].clone()
            self._hide_borders(weight, top, left, height, width)
            light = self._spoiler.light(rows, columns)
            spoiled, wanted = self._spoiler.crop(self._exemplars[index], top, left, rows, columns, self._pieces[index])
            painting = moved = pair.painting[window]
            moved_weight = weight
            if wanted is not None:
                wanted = wanted.to(weight.device)
                moved = wanted[:3] / wanted[3:].clamp_min(1e-3)
                moved_weight = weight * (wanted[3:] > SOLID)
            for crops, image in ((plates, pair.plate[window]), (paintings, painting), (displaced, moved)):
                crops.append(image if light is None else brightened(image, light.to(image.device)))
            weights.append(weight)
            displaced_weights.append(moved_weight)
            if pair.guide is not None:
                guides.append(pair.guide[window])
            carried.append(spoiled.to(weight.device))
            corners.append((self._corner(top, rows, inner[0], height), self._corner(left, columns, inner[1], width)))
        layout = torch.channels_last
        return Batch(
            torch.stack(plates).contiguous(memory_format=layout),
            torch.stack(paintings).contiguous(memory_format=layout),
            torch.stack(weights),
            torch.stack(carried),
            torch.stack(displaced),
            torch.stack(displaced_weights),
            tuple(corners),
            (inner[0], inner[1]),
            torch.stack(guides) if guides else None,
        )

    def _corner(self, origin: int, length: int, inner: int, size: int) -> int:
        """Start of the judged part: at the frame's border where the crop touches it, else behind the halo."""
        if inner == length or origin == 0:
            return 0
        return length - inner if origin + length == size else self.halo

    def _keyframe(self) -> int:
        """Whose turn it is."""
        self._turn += 1
        return (self._turn - 1) % len(self.pairs)

    def _cell(self, index: int) -> tuple[int, int]:
        """Row and column, in pixels, of the next painted cell of a keyframe."""
        queue = self._queues[index]
        if not queue:
            queue.extend(int(i) for i in self.rng.permutation(len(self._cells[index])))
        row, column = self._cells[index][queue.pop()]
        return int(row), int(column)

    def _origin(self, index: int, height: int, width: int, rows: int, columns: int) -> tuple[int, int]:
        cell_y, cell_x = self._cell(index)

        def place(cell: int, length: int, size: int) -> int:
            # The cell lands anywhere inside the judged part; near the border the crop is held in the frame.
            room = max(length - 2 * self.halo - CELL, 0)
            shift = self.halo + int(self.rng.integers(0, room + 1))
            return int(np.clip(cell - shift, 0, size - length))

        return place(cell_y, rows, height), place(cell_x, columns, width)

    def _hide_borders(self, weight: Tensor, top: int, left: int, height: int, width: int) -> None:
        rows, columns = weight.shape[-2:]
        if top > 0:
            weight[:, : self.halo] = 0
        if top + rows < height:
            weight[:, rows - self.halo :] = 0
        if left > 0:
            weight[:, :, : self.halo] = 0
        if left + columns < width:
            weight[:, :, columns - self.halo :] = 0
