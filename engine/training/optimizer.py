"""Adam whose matrices of the hidden layers move by orthogonal steps: all directions of what is asked for, equally far.

After Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks", with the size of a step after
Liu et al. 2025, "Muon is scalable for LLM training" (arXiv 2502.16982): that of one of Adam's times a factor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["OrthogonalAdam", "orthogonal"]

_ROUNDS = 5
_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Of Newton and Schulz, steep at 0: after five rounds singular values from 0.01 of the largest on are 0.7 to 1.2."""
_LIKE_ADAM = 0.2
"""Root mean square of a step of Adam over its rate, as usual."""


class OrthogonalAdam(torch.optim.Adam):
    """Adam for most parameters, orthogonal steps along the same momentum for some.

    The state of both is kept alike, so that what one of them has begun the other goes on with.

    Args:
        parameters: all, in the order in which a checkpoint has them.
        matrices: those among them that take orthogonal steps, (O, ...), each seen as (O, all else).
        rate: learning rate, of Adam.
        factor: of the orthogonal steps, over those of Adam.
    """

    def __init__(
        self, parameters: Iterable[Tensor], matrices: Sequence[Tensor], rate: float, factor: float, **options: Any
    ) -> None:
        super().__init__(list(parameters), rate, **options)
        self._matrices = list(matrices)
        self._factor = factor

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update; there is no closure."""
        if closure is not None:
            raise ValueError("orthogonal steps know no closure")
        held = [(matrix, matrix.grad) for matrix in self._matrices if matrix.grad is not None]
        for matrix, _ in held:
            matrix.grad = None  # Adam leaves it alone
        super().step()
        group = self.param_groups[0]
        for matrix, gradient in held:
            matrix.grad = gradient
            self._move(matrix, gradient, group["lr"] * self._factor, group["betas"][0])

    def _move(self, matrix: Tensor, gradient: Tensor, rate: float, decay: float) -> None:
        state = self.state[matrix]
        if "exp_avg" not in state:
            # Adam counts its steps here, and reads no state without it.
            state.update(step=torch.zeros(()), exp_avg=torch.zeros_like(matrix))
        state["step"] += 1
        momentum = state["exp_avg"].lerp_(gradient, 1 - decay)
        step = orthogonal(gradient.lerp(momentum, decay).flatten(1))
        matrix.add_(step.reshape(matrix.shape), alpha=-rate * _LIKE_ADAM * max(step.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """A matrix (M, N) with its singular values brought to about 1, its directions kept; zero stays zero."""
    x = matrix.float()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    a, b, c = _QUINTIC
    for _ in range(_ROUNDS):
        square = x @ x.T
        x = a * x + (b * square + c * (square @ square)) @ x
    return (x.T if tall else x).to(matrix.dtype)
