# Group Fisher Pruning (Liu et al., 2021, arXiv:2108.00708): the gradient of
# the loss to a mask of ones on a channel, for each sample, is the input times its own
# gradient, summed over places. So nothing is multiplied: the forward pass is the same
# to the last bit, and a channel's mask in half precision is added up in single.
"""Squared gradients of the loss to unit masks on channels, sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ...core.graph.channel_group import ChannelGroup
from .mask_gradients import mask_gradients, num_samples
from .readers import Reader, UnreadableError, readers_of

Take = Callable[[Tensor, Tensor], None]


class _Pass:
    """Gradients to the masks of one forward pass, ``(N, C)`` by group."""

    def __init__(self, samples: int | None) -> None:
        self.samples = samples
        self.sums: dict[str, Tensor] = {}


class UnitMasks:
    """Put masks of ones, shape ``(N, C)``, on all inputs that read channel groups.

    Used as a context. A layer that runs several times has its mask in every call, and
    a sample's gradients are added up over layers and calls before they are squared. A
    sample is a row of what the model is called with; a layer that sees ``k`` times as
    many rows sees ``k`` in a row of each, as ``reshape`` makes them. Copies of the
    model, passes without gradients and other models are left alone. Layers whose calls
    run twice (gradient checkpointing) count once.

    Args:
        model: Any module.
        groups: Its groups of channels.

    Attributes:
        refused: Groups that cannot be measured, and why, the name as subject.
    """

    def __init__(self, model: nn.Module, groups: Sequence[ChannelGroup]) -> None:
        self.model = model
        self.refused: dict[str, str] = {}
        self._sizes = {group.name: group.size for group in groups}
        self._readers: dict[str, list[tuple[str, Reader]]] = {}
        for group in groups:
            try:
                found = readers_of(group)
            except UnreadableError as err:
                self.refused[group.name] = str(err)
                continue
            for reader in found:
                self._readers.setdefault(reader.module, []).append((group.name, reader))
        self._handles: list[RemovableHandle] = []
        self._passes: list[_Pass] = []
        self._current: _Pass | None = None
        self._called: set[str] = set()

    def __enter__(self) -> UnitMasks:
        self._handles = [
            self.model.register_forward_pre_hook(self._begin(), with_kwargs=True)
        ]
        for name, readers in self._readers.items():
            module = self.model.get_submodule(name)
            hook = self._mask(name, module, readers)
            self._handles.append(module.register_forward_pre_hook(hook))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self.forget_()

    def forget_(self) -> None:
        """Drop the gradients of the passes so far."""
        self._passes, self._current, self._called = [], None, set()

    def squares(self) -> dict[str, Tensor]:
        """Return the squares of the backward passes since the last call, and forget.

        Returns:
            By group, float64 on the CPU, shape ``(C,)``: over all samples, the squared
            gradient of the loss to the mask, zeros where no gradient came by. Groups in
            ``refused`` are left out.
        """
        self._refuse_unseen()
        result = {}
        for name, size in self._sizes.items():
            found = [one.sums[name] for one in self._passes if name in one.sums]
            rows = [sums.cpu().double().square().sum(0) for sums in found]
            result[name] = sum(rows, torch.zeros(size, dtype=torch.float64))
        self.forget_()
        return {n: sums for n, sums in result.items() if n not in self.refused}

    def _begin(self) -> Callable[..., None]:
        def begin(module: nn.Module, args: tuple, kwargs: dict) -> None:
            if module is not self.model:
                return  # a copy, which took the hook along
            self._current = None
            if torch.is_grad_enabled():
                self._current = _Pass(num_samples([*args, *kwargs.values()]))
                self._passes.append(self._current)

        return begin

    def _mask(
        self, name: str, own: nn.Module, readers: list[tuple[str, Reader]]
    ) -> Callable[..., tuple | None]:
        def mask(module: nn.Module, args: tuple) -> tuple | None:
            now = self._current
            if module is not own or now is None or not torch.is_grad_enabled():
                return None
            if not args or not isinstance(args[0], Tensor):
                self._refuse(readers, f"is read by '{name}', called by keyword")
                return None
            one = torch.ones((), device=args[0].device, requires_grad=True)

            def take(values: Tensor, gradient: Tensor) -> None:
                self._add_(now, name, own, readers, values, gradient)

            return (_UnitMask.apply(args[0], one, take), *args[1:])

        return mask

    def _add_(
        self,
        now: _Pass,
        name: str,
        module: Any,
        readers: list[tuple[str, Reader]],
        values: Tensor,
        gradient: Tensor,
    ) -> None:
        self._called.add(name)
        axis = readers[0][1].axis
        width = module.in_features if axis == -1 else module.in_channels
        plain = axis == -1 or values.dim() == module.weight.dim()
        try:
            if not plain or values.dim() < 2 or values.shape[axis] != width:
                raise UnreadableError(f"of shape {tuple(values.shape)}")
            rows = mask_gradients(values, gradient, axis, now.samples)
        except UnreadableError as err:
            self._refuse(readers, f"is read by '{name}' from an input {err}")
            return
        for group, reader in readers:
            index = reader.positions.to(rows.device)
            found = rows[:, index.flatten()].unflatten(1, index.shape).sum(2)
            now.sums[group] = now.sums[group] + found if group in now.sums else found

    def _refuse(self, readers: list[tuple[str, Reader]], reason: str) -> None:
        for group, _ in readers:
            self.refused.setdefault(group, reason)

    def _refuse_unseen(self) -> None:
        """Refuse groups with a weight that was used, but not by its layer's call."""
        unseen = self._readers.keys() - self._called if self._called else ()
        for name in unseen:
            for group, reader in self._readers[name]:
                gradient = self.model.get_parameter(reader.weight).grad
                if gradient is not None and bool(gradient.any()):
                    self.refused.setdefault(
                        group, f"is read by '{reader.weight}', not by its layer's call"
                    )


class _UnitMask(torch.autograd.Function):
    """Hand a tensor on; in the backward pass show it with its gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, one: Tensor, take: Take) -> Tensor:
        ctx.save_for_backward(values)
        ctx.take = take
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        ctx.take(ctx.saved_tensors[0].detach(), gradient.detach())
        return gradient, None, None
