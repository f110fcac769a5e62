# Training Compact CNNs for Image Classification using Dynamic-coded Filter Fusion (Lin
# et al., 2021, arXiv:2107.06916).
"""A convolution that runs with few filters, each fused from all that it trains."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ...registry import MODELS
from .filter_fusion import fusion_log_probabilities, inter_filter_divergence

_BUFFERS = ("units", "order", "representatives")


@MODELS.register_module()
class FuseConv2d(nn.Conv2d):
    """Fuse all filters into those of the compact network at every forward pass.

    The filter in place ``i`` is ``sum_j p_ij f_j`` over all filters ``f_j``, where
    ``p_i`` belongs to the representative in that place, see
    :func:`~mmrazor.models.ops.fusion_log_probabilities`; biases likewise. As in the
    paper the weighting is no path for gradients: filter ``j`` gets
    ``sum_i p_ij dL/df'_i``. ``weight`` and ``bias`` are the source's own parameters,
    with all filters; every other attribute is that of the compact layer.

    A filter is a row of ``units``: one channel of an ordinary or depthwise convolution,
    or several that go together in a grouped one, which are then fused as one vector.

    Args:
        source: The layer, with all filters, and with ``out_channels`` (in a depthwise
            one ``groups`` too) already those of the compact network.
        group: Name of the ChannelGroup that the filters belong to.
        units: Rows of the weight by filter, shape ``(C, n)``, each row of it once.
        representatives: Filters that the compact network keeps, shape ``(K,)``,
            ascending.
        inverse_temperature: Of the weighting.

    Raises:
        ValueError: If the units are not the rows of the weight.

    Example:
        >>> layer = nn.Conv2d(3, 4, 1)
        >>> layer.out_channels = 2
        >>> units, chosen = torch.arange(4)[:, None], torch.tensor([0, 3])
        >>> fused = FuseConv2d(layer, 'layer.out', units, chosen)
        >>> fused(torch.zeros(1, 3, 5, 5)).shape, fused.weight.shape
        (torch.Size([1, 2, 5, 5]), torch.Size([4, 3, 1, 1]))
        >>> fused.plain().weight.shape
        torch.Size([2, 3, 1, 1])
    """

    units: Tensor
    order: Tensor
    representatives: Tensor

    def __init__(
        self,
        source: nn.Conv2d,
        group: str,
        units: Tensor,
        representatives: Tensor,
        inverse_temperature: float = 1.0,
    ) -> None:
        if units.flatten().sort().values.tolist() != list(range(len(source.weight))):
            raise ValueError(
                f"The {units.numel()} rows of the filters of '{group}' are not the "
                f"{len(source.weight)} of the weight. Give every row once."
            )
        nn.Module.__init__(self)  # not Conv2d's: it would make another weight
        _take_over_(self, source)
        self.group = group
        self.inverse_temperature = inverse_temperature
        # Rows of the compact weight are in the order that plain slicing leaves.
        order = units[representatives].flatten().argsort()
        for name, value in zip(_BUFFERS, (units, order, representatives), strict=True):
            buffer = value.clone().to(source.weight.device)
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve with the fused filters."""
        weight, bias = self.fused()
        return self._conv_forward(input, weight, bias)

    def fused(self) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias of the compact layer; all filters get gradients."""
        with torch.autocast(self.weight.device.type, enabled=False):
            return self.fuse(self.weight, self.bias)

    def fuse(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Fuse other values of the parameters, such as a checkpoint's.

        Args:
            weight: In the shape of the layer's.
            bias: Likewise, or None.
        """
        p_KC = self.probabilities(weight)
        fused_bias = None if bias is None else self._mixed(p_KC, bias)
        return self._mixed(p_KC, weight), fused_bias

    def probabilities(self, weight: Tensor) -> Tensor:
        """Return the share of every filter in each fused one, shape ``(K, C)``."""
        filters = self._filters(weight.detach())
        chosen = self.representatives.to(weight.device)
        log_p = fusion_log_probabilities(filters, self.inverse_temperature, chosen)
        return log_p.exp().to(weight.dtype)

    def divergence(self, inverse_temperature: float) -> Tensor:
        """Return the importance of every filter, shape ``(C,)``."""
        filters = self._filters(self.weight.detach())
        return inter_filter_divergence(filters, inverse_temperature)

    def represent_(self, representatives: Tensor, inverse_temperature: float) -> None:
        """Choose other filters, one for each place, and another temperature."""
        self.representatives.copy_(representatives)
        self.inverse_temperature = inverse_temperature

    def rows(self) -> list[int]:
        """Return for each row of the compact weight the row that it represents."""
        return self.units[self.representatives].flatten()[self.order].tolist()

    def plain(self) -> nn.Conv2d:
        """Return the compact layer as a convolution with parameters of its own."""
        with torch.no_grad():
            weight, bias = self.fused()
        layer = self.unfused()
        trains = self.weight.requires_grad
        layer.weight = nn.Parameter(weight, requires_grad=trains)
        if bias is not None:
            layer.bias = nn.Parameter(bias, requires_grad=trains)
        return layer

    def unfused(self) -> nn.Conv2d:
        """Return a convolution with these parameters, all filters of them, as is."""
        layer = nn.Conv2d.__new__(nn.Conv2d)
        nn.Module.__init__(layer)
        _take_over_(layer, self)
        for name in ("group", "inverse_temperature", *_BUFFERS):
            delattr(layer, name)
        return layer

    def _filters(self, weight: Tensor) -> Tensor:
        values = weight.to(torch.promote_types(weight.dtype, torch.float32))
        return values[self.units.to(weight.device)].flatten(1)

    def _mixed(self, p_KC: Tensor, values: Tensor) -> Tensor:
        rows = values[self.units.to(values.device)]
        mixed = (p_KC @ rows.flatten(1)).reshape(-1, *values.shape[1:])
        return mixed[self.order.to(values.device)]


def _take_over_(layer: nn.Module, source: nn.Module) -> None:
    """Give a new layer another's parameters, hooks, flags and settings.

    Tables of hooks are shared, so that a hook's handle still removes it.
    """
    own = ("_parameters", "_buffers", "_non_persistent_buffers_set", "_modules")
    for name, value in vars(source).items():
        vars(layer)[name] = copy.copy(value) if name in own else value
