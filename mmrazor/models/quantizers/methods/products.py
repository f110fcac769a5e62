# Every layer as what it is on paper: rows of inputs times a matrix of weights.
# Positions of a convolution are picked before they are unfolded, so that only the
# picked ones take memory. A transposed convolution is a plain one with zeros between
# its inputs and its kernel turned around.
"""Convolutions and linear layers as products of matrices.

Shapes: ``B`` images, ``G`` groups of a convolution (1 for a linear layer), ``N`` rows:
positions of images, ``K`` inputs of an output, ``O`` outputs of a group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Product:
    """How a call of a layer is a product.

    Args:
        kind: ``linear``, ``conv`` or ``conv_transpose``.
        stride: Of the convolution, on each axis; so are those below.
        padding: Zeros on either side, or ``same`` or ``valid``.
        dilation: Step between the kernel's elements.
        output_padding: Of a transposed convolution.
        groups: Of the convolution.
    """

    kind: str
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] | str = ()
    dilation: tuple[int, ...] = ()
    output_padding: tuple[int, ...] = ()
    groups: int = 1

    @classmethod
    def of(cls, kind: str, args: tuple, kwargs: dict, axes: int) -> Product:
        """Return it from the arguments of a call.

        Args:
            kind: Of the function.
            args: Positional arguments.
            kwargs: Keyword arguments.
            axes: Number of the axes that a kernel moves along.
        """
        if kind == "linear":
            return cls(kind)
        names = ["stride", "padding", "dilation", "groups"]
        if kind == "conv_transpose":
            names = ["stride", "padding", "output_padding", "groups", "dilation"]
        given = {**dict(zip(names, args[3:], strict=False)), **kwargs}
        defaults = {"stride": 1, "padding": 0, "dilation": 1, "output_padding": 0}
        found = {
            name: _each(given.get(name, value), axes)
            for name, value in defaults.items()
        }
        return cls(kind, groups=given.get("groups", 1), **found)

    def matrix(self, weight: Tensor) -> Tensor:
        """Return a weight as the matrix that rows are multiplied with.

        Args:
            weight: In the layout of the layer.

        Returns:
            Shape ``(G, O, K)``.
        """
        if self.kind == "conv_transpose":
            split = weight.unflatten(0, (self.groups, -1)).transpose(1, 2)
            return split.flip(tuple(range(3, split.dim()))).flatten(3).flatten(2)
        return weight.unflatten(0, (self.groups, -1)).flatten(2)

    def weight(self, matrix_GOK: Tensor, like: Tensor) -> Tensor:
        """Return a matrix in the layout of the layer.

        Args:
            matrix_GOK: The matrix.
            like: A tensor of the shape to return.
        """
        if self.kind == "conv_transpose":
            kernel = tuple(like.shape[2:])
            split = matrix_GOK.unflatten(2, (-1, *kernel))
            split = split.flip(tuple(range(3, split.dim()))).transpose(1, 2)
            return split.reshape(like.shape)
        return matrix_GOK.reshape(like.shape)

    def num_positions(self, output: Tensor) -> tuple[int, int]:
        """Return how many images, and positions of each, an output has."""
        if self.kind == "linear":
            rows = prod(output.shape[:-1])
            first = output.shape[0] if output.dim() > 1 else 1
        else:
            rows = output.shape[0] * prod(output.shape[2:])
            first = output.shape[0]
        return first, rows // max(first, 1)

    def outputs(self, output: Tensor, picks: Tensor) -> Tensor:
        """Return what is returned at some positions.

        Args:
            output: Of the layer.
            picks: Numbers of the rows, images first, shape ``(N,)``.

        Returns:
            Shape ``(G, N, O)``.
        """
        if self.kind != "linear":
            output = output.movedim(1, -1)
        rows = output.reshape(-1, output.shape[-1])[picks.to(output.device)]
        return rows.unflatten(1, (self.groups, -1)).movedim(1, 0)

    def rows(
        self, given: Tensor, picks: Tensor, kernel: Sequence[int], shape: Sequence[int]
    ) -> Tensor:
        """Return the inputs that are multiplied with the weights at some positions.

        Args:
            given: Input of the layer.
            picks: As for :meth:`outputs`.
            kernel: Size of the kernel.
            shape: Of the output.

        Returns:
            Shape ``(G, N, K)``.

        Example:
            >>> conv = Product.of('conv', (), {}, 1)
            >>> signal = torch.arange(4.0).view(1, 1, 4)
            >>> conv.rows(signal, torch.tensor([0, 2]), [2], [1, 1, 3])
            tensor([[[0., 1.],
                     [2., 3.]]])
        """
        picks = picks.to(given.device)
        if self.kind == "linear":
            return given.reshape(-1, given.shape[-1])[picks][None]
        patches = self._patches(given, kernel)  # B, C, *positions, *kernel
        places = torch.unravel_index(picks, (shape[0], *shape[2:]))
        patches = patches.unflatten(1, (self.groups, -1)).movedim((1, 2), (-2, -1))
        found = patches[places]  # N, *kernel, G, C / G
        return found.movedim((-2, -1), (0, 2)).flatten(2)

    def _patches(self, given: Tensor, kernel: Sequence[int]) -> Tensor:
        spans = [d * (k - 1) for k, d in zip(kernel, self.dilation, strict=True)]
        stride = self.stride
        if self.kind == "conv_transpose":
            given, stride = _spaced(given, self.stride), (1,) * len(kernel)
            pads = [
                (span - pad, span - pad + extra)
                for span, pad, extra in zip(
                    spans, map(int, self.padding), self.output_padding, strict=True
                )
            ]
        elif self.padding == "valid":
            pads = [(0, 0) for _ in spans]
        elif self.padding == "same":
            pads = [(span // 2, span - span // 2) for span in spans]
        else:
            pads = [(int(pad), int(pad)) for pad in self.padding]
        patches = functional.pad(given, [e for pair in reversed(pads) for e in pair])
        for axis, span in enumerate(spans, start=2):
            patches = patches.unfold(axis, span + 1, stride[axis - 2])
            patches = patches[..., :: self.dilation[axis - 2]]
        return patches


def picked(
    images: int, positions: int, number: int | None, generator: torch.Generator
) -> Tensor:
    """Return positions of images drawn at random, the same number of each.

    Args:
        images: Number of images.
        positions: Number of positions of each.
        number: How many of them to draw; None, or more than there are, takes all.
        generator: Draws them.

    Returns:
        Numbers of rows, images first.

    Example:
        >>> picked(2, 3, None, torch.Generator())
        tensor([0, 1, 2, 3, 4, 5])
    """
    if number is None or number >= positions:
        return torch.arange(images * positions)
    order = torch.rand(images, positions, generator=generator).argsort(1)
    starts = positions * torch.arange(images)[:, None]
    return (order[:, :number] + starts).flatten()


def _spaced(given: Tensor, stride: Sequence[int]) -> Tensor:
    """Return an input with zeros between its elements."""
    sizes = [(n - 1) * s + 1 for n, s in zip(given.shape[2:], stride, strict=True)]
    result = given.new_zeros(*given.shape[:2], *sizes)
    places = (slice(None), slice(None), *[slice(None, None, step) for step in stride])
    result[places] = given
    return result


def _each(value: Any, axes: int) -> Any:
    """Return one number for each axis; the words ``same`` and ``valid`` stay."""
    if isinstance(value, str):
        return value
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * axes if len(values) == 1 else values
