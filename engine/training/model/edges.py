"""The edge around a picture before a network, and its removal after it."""

from __future__ import annotations

from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

__all__ = ["MARGIN", "cropped", "margins"]

MARGIN = 8
"""Edge pixels around a plate before the network, in training as in a look: they keep zero padding off the picture."""


def margins(picture: Tensor, multiple: int) -> tuple[int, int, int, int]:
    """Pixels to add at the left, right, top and bottom of a picture (..., H, W), as ``torch.nn.functional.pad`` takes.

    ``MARGIN`` all around, and on the right and below so much more that H and W become multiples.
    """
    if has_torch_function_unary(picture):
        return handle_torch_function(margins, (picture,), picture, multiple)
    height, width = picture.shape[-2:]
    return MARGIN, MARGIN + -width % multiple, MARGIN, MARGIN + -height % multiple


def cropped(padded: Tensor, picture: Tensor) -> Tensor:
    """What :func:`margins` put around ``picture`` taken off: (B, C, h, w) to (B, C, H, W)."""
    if has_torch_function_unary(padded):
        return handle_torch_function(cropped, (padded,), padded, picture)
    height, width = picture.shape[-2:]
    return padded[..., MARGIN : MARGIN + height, MARGIN : MARGIN + width]
