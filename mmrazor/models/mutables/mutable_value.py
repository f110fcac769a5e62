"""A value that other modules read: a width, a kernel size, a number of heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from torch import nn

from ...registry import MODELS
from .mutable import Mutable


@final
@MODELS.register_module()
class MutableValue(Mutable):
    """A value that the module around it reads by calling it; its Choice is ``value``.

    Args:
        values: Values to choose from; the first is selected to begin with.
        name: Name of the Choice; without it the place gives the name.
        init_cfg: As in mmengine.

    Example:
        >>> kernel = MutableValue([3, 5, 7], name='kernel')
        >>> kernel.choices()[0].selected = 5
        >>> kernel(), kernel.fix()()
        (5, 5)
    """

    def __init__(
        self,
        values: Sequence[Any],
        name: str | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self._add_choice("value", values, name)

    def forward(self) -> Any:
        """Return the value now selected."""
        return self._roles["value"].selected

    def fix(self) -> nn.Module:
        """Return a module that always returns the value now selected."""
        return FixedValue(self._roles["value"].selected)


@final
class FixedValue(nn.Module):
    """A value that the module around it reads by calling it.

    Args:
        value: The value.
    """

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value

    def forward(self) -> Any:
        """Return the value."""
        return self.value

    def extra_repr(self) -> str:
        """Show the value."""
        return repr(self.value)
