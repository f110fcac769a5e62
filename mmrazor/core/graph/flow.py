# Rules speak of fields only; what a field holds depends on the flow. While the graph is
# built it holds ids, and meetings of ids are noted; while a pruned model is checked it
# holds booleans, true where the original is silenced. So both read the same rules.
"""What the rules of operations ask of the flow of channels through a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from .fields import broadcast_to, line_field, reshaped, varying
from .trace import OpCall

Fields = list[Tensor]


class Flow(ABC):
    """Fields of all tensors of a forward pass.

    A tensor has one field for each set of dimensions that channels lie along: an
    activation usually one, a weight one for its outputs and one for its inputs.

    Args:
        model: Its parameters and buffers are where channels come from.
    """

    def __init__(self, model: nn.Module) -> None:
        self._fields: dict[int, Fields] = {}
        self._alive: dict[int, Tensor] = {}
        self._names: dict[int, str] = {}
        for name, tensor in [
            *model.named_parameters(remove_duplicate=True),
            *model.named_buffers(remove_duplicate=True),
        ]:
            self._names.setdefault(id(tensor), name)
            self._alive[id(tensor)] = tensor
        self.call: OpCall | None = None

    def name_of(self, tensor: Tensor) -> str | None:
        """Return the name of a parameter or buffer, None for other tensors."""
        return self._names.get(id(tensor))

    def of(self, tensor: Tensor) -> Fields:
        """Return the fields of a tensor; none if no channels lie in it."""
        fields = self._fields.get(id(tensor))
        if fields is not None:
            return fields
        name = self._names.get(id(tensor))
        if name is None or not tensor.is_floating_point():
            return []
        lines = [
            line_field(self.parameter_line(name, dim, size), tensor.shape, dim)
            for dim, size in enumerate(tensor.shape)
            if size > 1
        ]
        fields = [field for field in lines if varying(field)]
        self._fields[id(tensor)] = fields
        return fields

    def set(self, tensor: Tensor, fields: Iterable[Tensor]) -> None:
        """Say which fields a result has."""
        if tensor.numel() == 0:  # no element tells what would meet
            fields = ()
        self._fields[id(tensor)] = [field for field in fields if varying(field)]
        self.hold(tensor)

    def hold(self, tensor: Tensor) -> None:
        """Keep a tensor, so that its ``id`` stays its own."""
        self._alive[id(tensor)] = tensor

    def set_new(self, tensor: Tensor) -> None:
        """Say that a tensor was made from nothing but a shape."""
        lines = [
            line_field(self.fresh(size), tensor.shape, dim)
            for dim, size in enumerate(tensor.shape)
            if size > 1
        ]
        self.set(tensor, lines)

    def merge(
        self,
        operands: Sequence[tuple[Sequence[int], Fields]],
        shape: Sequence[int],
        prefer: Sequence[int] = (),
    ) -> Fields:
        """Let the channels of tensors meet that are broadcast and combined.

        Args:
            operands: Shape of each tensor, with as many dimensions as ``shape``, and
                its fields.
            shape: Shape of the result.
            prefer: Dims along which a grid should lose slices if another operand lies
                along them (the heads of attention, the groups of a convolution).

        Returns:
            The fields of the result.
        """
        merged: dict[tuple[int, ...], Tensor] = {}
        untracked = [_untracked(size, fields) for size, fields in operands]
        for index, (_, fields) in enumerate(operands):
            others = set().union(*untracked[:index], *untracked[index + 1 :])
            for field in fields:
                wide = broadcast_to(field, shape)
                dims = varying(wide)
                if not dims:
                    continue
                fixed = False
                for dim in dims:
                    if dim in others:
                        fixed |= self.forbid(wide, dim, "meets a tensor of fixed size")
                if fixed:
                    continue
                if dims in merged:
                    merged[dims] = self.tie(merged[dims], wide)
                else:
                    merged[dims] = wide
        return self._reconciled(merged, prefer)

    def _reconciled(
        self, merged: dict[tuple[int, ...], Tensor], prefer: Sequence[int]
    ) -> Fields:
        """Couple fields of one tensor that share some of their dimensions."""
        order = sorted(merged, key=len)
        covered: set[tuple[int, ...]] = set()
        for i, small in enumerate(order):
            for large in order[i + 1 :]:
                common = set(small) & set(large)
                if common == set(small):
                    self.couple(merged[large], small, merged[small])
                    covered.add(small)
                    if len(small) == 1 and small[0] in prefer:
                        self.grid(merged[large], small[0])
                elif common:
                    dims = tuple(sorted(common))
                    line = self.project(merged[small], dims)
                    self.couple(merged[large], dims, line)
        return [merged[dims] for dims in order if dims not in covered]

    def reduce(
        self, fields: Fields, dims: Sequence[int], keepdim: bool = False
    ) -> Fields:
        """Return the fields that are left when dimensions are summed away."""
        result = []
        for field in fields:
            rest = tuple(d for d in varying(field) if d not in dims)
            if not rest:
                continue
            if len(rest) < len(varying(field)):
                if len(rest) == 1:
                    self.grid(field, rest[0])
                field = self.project(field, rest)
            for dim in sorted(dims, reverse=True):
                field = field.narrow(dim, 0, 1) if keepdim else field.select(dim, 0)
            result.append(field)
        return result

    def split_grid(
        self, field: Tensor, shape: Sequence[int], prefer: int | None = None
    ) -> Tensor:
        """View a field in a shape with more dimensions.

        Args:
            field: A field.
            shape: The new shape, with as many elements.
            prefer: Dimension of the new shape along which channels should be dropped
                if there is a choice.
        """
        result = reshaped(field, shape)
        if len(varying(result)) > 1:
            self.grid(result, prefer)
        return result

    @abstractmethod
    def parameter_line(self, name: str, dim: int, size: int) -> Tensor:
        """Return what lies along one axis of a parameter or buffer."""

    @abstractmethod
    def fresh(self, size: int) -> Tensor:
        """Return a line of channels that nothing is known about, shape ``(size,)``."""

    @abstractmethod
    def tie(self, a: Tensor, b: Tensor) -> Tensor:
        """Let two fields with the same varying dimensions be kept or dropped alike."""

    @abstractmethod
    def grid(self, field: Tensor, prefer: int | None = None) -> None:
        """Say that dropped elements of a field must form whole slices of one dim."""

    @abstractmethod
    def project(self, field: Tensor, dims: Sequence[int]) -> Tensor:
        """Return a field over some of the varying dims: dropped with whole slices."""

    @abstractmethod
    def joined(self, fields: Sequence[Tensor]) -> Tensor:
        """Return one field over all dims of several, dropped with their slices."""

    @abstractmethod
    def couple(self, field: Tensor, dims: Sequence[int], part: Tensor) -> None:
        """Let a field over some of a field's dims be dropped with whole slices."""

    @abstractmethod
    def forbid(self, field: Tensor, dim: int, reason: str) -> bool:
        """Say that no slices along a dim may be dropped.

        Returns:
            Whether nothing of the field may be dropped any more: no need to follow it.
        """

    @abstractmethod
    def size_argument(self, value: int, field: Tensor, dim: int) -> None:
        """Note that code passed a number that counts the elements along a dim."""

    def freeze(self, fields: Fields, reason: str) -> None:
        """Say that nothing of some fields may be dropped."""
        for field in fields:
            for dim in varying(field):
                self.forbid(field, dim, reason)


def _untracked(shape: Sequence[int], fields: Fields) -> set[int]:
    """Return the dims along which a tensor has elements, but no channels."""
    dims = {dim for dim, size in enumerate(shape) if size > 1}
    return dims.difference(*map(varying, fields))


def aligned(tensor: Tensor, fields: Fields, ndim: int) -> tuple[list[int], Fields]:
    """Give a tensor's shape and fields leading dimensions, as broadcasting does.

    A dim that the tensor itself was expanded along counts as 1: nothing lies there.
    """
    lead = max(ndim - tensor.dim(), 0)
    own = zip(tensor.shape, tensor.stride(), strict=True)
    shape = [1] * lead + [size if stride else 1 for size, stride in own]
    if not lead:
        return shape, fields
    return shape, [field[(None,) * lead] for field in fields]
