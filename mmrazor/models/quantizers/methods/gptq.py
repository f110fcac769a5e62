# The columns are quantized in a fixed order, so the inverse Hessians of all that remain
# are in one Cholesky factor, as in SparseGPT; all groups of a convolution go at once.
# Written from the paper.
"""GPTQ: round weight by weight and let the remaining ones make good for it.

GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers
(Frantar et al., 2023, arXiv:2210.17323), algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, final

import torch
from torch import Tensor, nn

from ....core.forward import call_model
from ....registry import MODELS
from ..quantizer import Quantizer
from ..settings import QuantSettings
from .base import LayerError, PostTrainingMethod
from .hearing import heard
from .layers import WeightLayer, baked_, weight_layers
from .products import picked

_ELEMENTS = 1 << 24  # of the rows that are made at a time
_BLOCK = 128


@final
@MODELS.register_module()
class GPTQ(PostTrainingMethod):
    """Round each layer so that its outputs on the data change little.

    A layer is given what the quantized layers before it return. The error in the
    returned records is the squared change of its outputs in relation to the outputs
    (without bias), first of rounding to nearest. Where that is better, it stays.

    Args:
        damping: Added to the diagonal of the Hessian, as a fraction of its mean.
        actorder: Begin with the inputs of most power, not with the first.
        positions: Positions of an image that are used, drawn at random; None is all.
        seed: Of that.

    Raises:
        ValueError: If damping is below 0.

    Example:
        >>> import torch
        >>> from mmrazor.models.quantizers import Quantizer, calibrate_
        >>> model, data = nn.Sequential(nn.Linear(8, 4)), [torch.randn(64, 8)]
        >>> quantizer = Quantizer('generic', weight=dict(bits=3))
        >>> quantizer.prepare_(model, data[0])
        >>> calibrate_(model, quantizer, data)
        >>> [error] = GPTQ()(model, quantizer, data)
        >>> error.after <= error.before
        True
    """

    def __init__(
        self,
        damping: float = 0.01,
        actorder: bool = True,
        positions: int | None = None,
        seed: int = 0,
    ) -> None:
        if damping < 0:
            raise ValueError(f"damping is at least 0, not {damping}: try 0.01.")
        self.damping, self.actorder = damping, actorder
        self.positions, self.seed = positions, seed

    def __call__(
        self,
        model: nn.Module,
        quantizer: Quantizer,
        batches: Iterable[Any],
        run: Callable[[nn.Module, Any], Any] = call_model,
        advance: Callable[[], None] = lambda: None,
    ) -> list[LayerError]:
        """Change the model in place; see :class:`~.base.PostTrainingMethod`."""
        batches = self._checked(quantizer, batches)
        errors = []
        for layer in weight_layers(model, quantizer, batches[0], run):
            hessian = self._hessian(model, quantizer, layer, batches, run)
            product = next(iter(layer.products.values()))
            weight = layer.weight(model)
            scale, zero = (product.matrix(part) for part in layer.grid(weight))
            matrix, settings = product.matrix(weight), layer.quantizer.settings_now
            grid = scale.to(hessian), zero.to(hessian), settings
            try:
                found = gptq(matrix, hessian, *grid, self.damping, self.actorder)
            except torch.linalg.LinAlgError as err:
                raise ValueError(
                    f"At '{layer.text}': the Hessian with damping={self.damping} has "
                    "no inverse. Raise damping, or give more data."
                ) from err
            nearest = product.matrix(layer.quantizer.quantized_(weight)).to(hessian)
            before, after = (
                output_error(matrix, (q - grid[1]) * grid[0], hessian)
                for q in (nearest, found)
            )
            best = found if after < before else nearest
            baked_(model, quantizer, layer, product.weight(best, weight))
            errors.append(LayerError(layer.text, before, min(before, after)))
            for _ in layer.calls:
                advance()
        return errors

    def _hessian(
        self,
        model: nn.Module,
        quantizer: Quantizer,
        layer: WeightLayer,
        batches: list[Any],
        run: Callable[[nn.Module, Any], Any],
    ) -> Tensor:
        """Return ``X^T X`` of a layer's inputs, in float64, shape ``(G, K, K)``."""
        generator = torch.Generator().manual_seed(self.seed)
        weight = layer.weight(model)
        matrix = next(iter(layer.products.values())).matrix(weight)
        groups, _, width = matrix.shape
        total = matrix.new_zeros(groups, width, width, dtype=torch.float64)
        for batch in batches:
            for one in heard(model, quantizer, layer, batch, run):
                product, shape = layer.products[one.site], one.result.shape
                size = product.num_positions(one.result)
                picks = picked(*size, self.positions, generator)
                for part in picks.split(max(_ELEMENTS // (groups * width), 1)):
                    rows = product.rows(one.given[0], part, weight.shape[2:], shape)
                    rows = rows.float()
                    total += rows.mT @ rows
        return total


@torch.no_grad()
def gptq(
    weight_GOK: Tensor,
    hessian_GKK: Tensor,
    scale_GOK: Tensor,
    zero_GOK: Tensor,
    settings: QuantSettings,
    damping: float = 0.01,
    actorder: bool = False,
    block: int = _BLOCK,
) -> Tensor:
    """Return the integers of weights, each rounded in view of the earlier ones.

    Column by column, the error of rounding is spread over the columns to come, in
    proportion to what makes good for it on the data. Inputs that were always zero are
    rounded to nearest.

    Args:
        weight_GOK: Weights of each group, shape ``(G, O, K)``.
        hessian_GKK: ``X^T X`` of the inputs, shape ``(G, K, K)``, in the dtype to
            reckon in.
        scale_GOK: Step of each weight.
        zero_GOK: Zero point of each weight.
        settings: What the integers are.
        damping: Added to the diagonal, as a fraction of its mean over the inputs that
            are not zero.
        actorder: Begin with the columns of the largest diagonal.
        block: Columns after which the rest is brought up to date.

    Returns:
        Integers, shape ``(G, O, K)``, in the dtype of the Hessian.

    Raises:
        LinAlgError: If the damped Hessian has no inverse.

    Example:
        >>> weight = torch.tensor([[[0.4, 0.4]]])
        >>> hessian = torch.tensor([[[1.0, 0.9], [0.9, 1.0]]])
        >>> one, zero = torch.ones(1, 1, 2), torch.zeros(1, 1, 2)
        >>> gptq(weight, hessian, one, zero, QuantSettings(bits=4), 0.0)
        tensor([[[0., 1.]]])
    """
    diagonal = hessian_GKK.diagonal(dim1=1, dim2=2)
    order_GK = torch.arange(diagonal.shape[1]).to(diagonal.device).expand_as(diagonal)
    if actorder:
        order_GK = diagonal.argsort(dim=1, descending=True, stable=True)
    columns = order_GK[:, None, :].expand_as(weight_GOK)
    weight, scale, zero = (
        part.to(hessian_GKK).gather(2, columns)
        for part in (weight_GOK, scale_GOK, zero_GOK)
    )
    factor = inverse_factor(hessian_GKK, order_GK, damping)
    found = torch.empty_like(weight)
    for start in range(0, weight.shape[2], block):
        stop = min(start + block, weight.shape[2])
        errors = torch.empty_like(weight[:, :, start:stop])
        for j in range(start, stop):
            now = weight[:, :, j]
            steps = (now / scale[:, :, j]).round() + zero[:, :, j]
            found[:, :, j] = steps.clamp(settings.quant_min, settings.quant_max)
            rounded = (found[:, :, j] - zero[:, :, j]) * scale[:, :, j]
            error = (now - rounded) / factor[:, j, j, None]
            rest = factor[:, j, None, j + 1 : stop]
            weight[:, :, j + 1 : stop] -= error[:, :, None] * rest
            errors[:, :, j - start] = error
        weight[:, :, stop:] -= errors @ factor[:, start:stop, stop:]
    return torch.empty_like(found).scatter_(2, columns, found)


def inverse_factor(
    hessian_GKK: Tensor, order_GK: Tensor, damping: float = 0.0
) -> Tensor:
    """Return ``U``, upper triangular, with ``U^T U`` the inverse of damped Hessians.

    Row ``j`` of ``U`` times ``U[j, j]`` is the first row of the inverse of what is left
    of the Hessian from its row and column ``j`` on.

    Args:
        hessian_GKK: Hessians; rows of inputs that were always zero are left out.
        order_GK: Order of their rows and columns.
        damping: As for :func:`gptq`.
    """
    columns = order_GK[:, None, :].expand_as(hessian_GKK)
    damped = hessian_GKK.gather(2, columns).gather(1, columns.mT).clone()
    diagonal = damped.diagonal(dim1=1, dim2=2)
    live = diagonal > 0
    mean = diagonal.sum(1, keepdim=True) / live.sum(1, keepdim=True).clamp(min=1)
    diagonal += damping * mean
    diagonal[~live] = 1.0
    # Factored from the last row up: H = R R^T with R upper triangular.
    upper = torch.linalg.cholesky(damped.flip(1, 2)).flip(1, 2)
    identity = torch.eye(upper.shape[1], dtype=upper.dtype, device=upper.device)
    return torch.linalg.solve_triangular(upper, identity.expand_as(upper), upper=True)


def output_error(weight_GOK: Tensor, other_GOK: Tensor, hessian_GKK: Tensor) -> float:
    """Return the squared change of outputs in relation to the outputs.

    Args:
        weight_GOK: Weights.
        other_GOK: Those in their place.
        hessian_GKK: ``X^T X`` of the inputs.
    """

    def power(part: Tensor) -> float:
        part = part.to(hessian_GKK)
        return max(float((part @ hessian_GKK * part).sum()), 0.0)

    size = power(weight_GOK)
    return power(weight_GOK - other_GOK) / size if size else 0.0
