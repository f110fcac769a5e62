# Layers are followed by the function calls they make, not by forward hooks on modules:
# a convolution that pads its input itself, an attention layer that uses only the weight
# of its projection and a weight that two modules share are seen as they really run, and
# a layer that first changes its weight (weight standardisation) is not mistaken for one
# that uses it as it is.
"""Collect what calibration data shows of the inputs of linear layers and convolutions.

Shapes: ``G`` groups of a convolution (1 for a linear layer), ``N`` rows: samples times
positions, ``K`` inputs of an output, in the order of ``weight.flatten(1)``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ....core.forward import call_model, evaluating
from .layers import PrunableLayer

_ROWS_BY_INPUTS = 1 << 24  # elements of an unfolded input that are made at a time


class CalibrationError(ValueError):
    """Calibration data that cannot be used."""


def input_hessians(
    model: nn.Module,
    layers: Sequence[PrunableLayer],
    batches: Iterable[Any],
    run: Callable[[nn.Module, Any], Any] = call_model,
) -> dict[str, Tensor]:
    """Run a model on calibration data and return ``X^T X`` of each layer's inputs.

    The diagonal holds the squared norms of the inputs. The model runs in eval mode
    without gradients; its modes come back afterwards.

    Args:
        model: The model.
        layers: Layers of it.
        batches: Inputs of one forward pass each: a tensor, a tuple or a dict.
        run: Runs the model on one batch.

    Returns:
        By the layer's name, shape ``(G, K, K)``, in float32 or the weight's type if
        that is wider. Layers that no batch reached are not in it.

    Raises:
        CalibrationError: If there is no batch, or a layer gets NaN or infinity.

    Example:
        >>> from .layers import PrunableLayer
        >>> layer = nn.Linear(2, 3)
        >>> found = input_hessians(
        ...     layer, [PrunableLayer('weight', layer)], [torch.tensor([[1., 2.]])])
        >>> found['weight'].tolist()
        [[[1.0, 2.0], [2.0, 4.0]]]
    """
    watch = _WatchInputs(layers)
    num_batches = 0
    with evaluating(model), watch:
        for batch in batches:
            watch.batch = num_batches
            run(model, batch)
            num_batches += 1
    if not num_batches:
        raise CalibrationError(
            "There are no calibration batches: the iterable is empty. Give some inputs "
            "of the model; a generator can be used once only."
        )
    return watch.hessians


def unfolded_inputs(
    input_BCS: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int] | str,
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """Return the inputs of a convolution as rows that its weights are multiplied with.

    Args:
        input_BCS: Input of a convolution over any number of axes.
        kernel_size: Size of the kernel on each axis; also for those below, one number
            each.
        stride: Step between positions.
        padding: Zeros on either side, or ``same`` or ``valid``.
        dilation: Step between the kernel's elements.
        groups: Groups ``G`` of the convolution.

    Returns:
        Shape ``(G, N, K)``.

    Example:
        >>> unfolded_inputs(
        ...     torch.arange(4.).view(1, 1, 4), [2], [1], [0], [1], 1).tolist()
        [[[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]]
    """
    spans = [d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True)]
    if padding == "valid":
        pads = [(0, 0) for _ in spans]
    elif padding == "same":
        pads = [(span // 2, span - span // 2) for span in spans]
    else:
        pads = [(int(pad), int(pad)) for pad in padding]
    patches = F.pad(input_BCS, [edge for pair in reversed(pads) for edge in pair])
    for axis, span in enumerate(spans, start=2):
        patches = patches.unfold(axis, span + 1, stride[axis - 2])
        patches = patches[..., :: dilation[axis - 2]]
    # (B, C, *positions, *kernel) -> (G, B, *positions, C / G, *kernel)
    patches = patches.unflatten(1, (groups, -1)).movedim(1, 0)
    patches = patches.movedim(2, 2 + len(spans))
    return patches.flatten(1, 1 + len(spans)).flatten(2)


class _WatchInputs(TorchFunctionMode):
    """Add up ``X^T X`` wherever a watched weight is multiplied with an input."""

    def __init__(self, layers: Sequence[PrunableLayer]) -> None:
        super().__init__()
        self.layers = {id(layer.weight): layer for layer in layers}
        self.hessians: dict[str, Tensor] = {}
        self.batch = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.linear:
            self._linear(*args, **kwargs)
        elif func in (F.conv1d, F.conv2d, F.conv3d):
            self._convolution(*args, **kwargs)
        elif func is F.multi_head_attention_forward:
            self._attention(args, kwargs)
        return func(*args, **kwargs)

    def _linear(
        self, input: Tensor, weight: Tensor, bias: Tensor | None = None
    ) -> None:
        layer = self.layers.get(id(weight))
        if layer is not None:
            self._add(layer, input.reshape(1, -1, input.shape[-1]))

    def _convolution(
        self,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> None:
        layer = self.layers.get(id(weight))
        if layer is None:
            return
        axes = weight.dim() - 2
        kernel, batch = weight.shape[2:], input
        if input.dim() == weight.dim() - 1:
            batch = input[None]
        elements = weight[0].numel() * groups * batch[0, 0].numel()
        for part in batch.split(max(_ROWS_BY_INPUTS // max(elements, 1), 1)):
            settings = (
                _each(stride, axes),
                _each(padding, axes),
                _each(dilation, axes),
            )
            self._add(layer, unfolded_inputs(part, kernel, *settings, groups))

    def _attention(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """See the input of torch's attention output projection, a function inside."""
        signature = inspect.signature(F.multi_head_attention_forward)
        call = signature.bind(*args, **kwargs)
        weight = call.arguments["out_proj_weight"]
        layer = self.layers.get(id(weight))
        if layer is None:
            return
        # With the identity in place of the projection its input comes out.
        call.arguments["out_proj_weight"] = torch.eye(len(weight)).to(weight)
        call.arguments["out_proj_bias"] = None
        heads = F.multi_head_attention_forward(*call.args, **call.kwargs)[0]
        self._add(layer, heads.reshape(1, -1, heads.shape[-1]))

    def _add(self, layer: PrunableLayer, rows_GNK: Tensor) -> None:
        if not torch.isfinite(rows_GNK).all():
            raise CalibrationError(
                f"The input of '{layer.name.removesuffix('.weight')}' is NaN or "
                f"infinite in calibration batch {self.batch} (from 0). Check that "
                "batch and the layers before it, or run the model in float32."
            )
        wide = torch.promote_types(layer.weight.dtype, torch.float32)
        rows_GNK = rows_GNK.to(wide)
        product = rows_GNK.mT @ rows_GNK
        if layer.name in self.hessians:
            self.hessians[layer.name] += product
        else:
            self.hessians[layer.name] = product


def _each(value: Any, axes: int) -> Any:
    """Return one number for each axis; the words ``same`` and ``valid`` stay."""
    if isinstance(value, str):
        return value
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * axes if len(values) == 1 else values
