# Single Path One-Shot NAS with Uniform Sampling (arXiv:1904.00420): one path trains at
# a time. A look-up in a dict is all that it costs over the plain network; candidates
# that do not run get no gradient at all, so optimizers that skip such parameters
# (all of torch's, with ``zero_grad(set_to_none=True)``) spend no time on them.
"""One-shot: of several operations, the selected one runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from numpy.random import Generator

from ...registry import MODELS
from .mutable_op import Candidate, MutableOP, draw


@final
@MODELS.register_module()
class OneShotMutableOP(MutableOP):
    """One of several operations: the selected one runs, and nothing else.

    Args:
        candidates, name, init_cfg: As for :class:`MutableOP`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> op = OneShotMutableOP(dict(same=nn.Identity(), act=nn.ReLU()), name='op')
        >>> op.choices()[0].selected = 'act'
        >>> op(torch.tensor([-1.0, 2.0]))
        tensor([0., 2.])
        >>> op.fix()
        ReLU()
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the selected candidate."""
        return self.candidates[self._roles["op"].selected](*args, **kwargs)


@final
@MODELS.register_module()
class OneShotProbMutableOP(MutableOP):
    """One of several operations, drawn with given probabilities.

    Args:
        candidates, name, init_cfg: As for :class:`MutableOP`.
        probabilities: Of each candidate by its name, summing to 1.

    Raises:
        ValueError: If the names differ from the candidates', or the probabilities are
            none.

    Example:
        >>> import numpy as np
        >>> from torch import nn
        >>> candidates = dict(same=nn.Identity(), act=nn.ReLU())
        >>> op = OneShotProbMutableOP(candidates, dict(same=0.0, act=1.0), name='op')
        >>> op.drawn(np.random.default_rng(0))
        {'op': 'act'}
    """

    def __init__(
        self,
        candidates: Mapping[str, Candidate],
        probabilities: Mapping[str, float],
        name: str | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(candidates, name, init_cfg)
        shares = list(probabilities.values())
        if set(probabilities) != set(candidates):
            raise ValueError(
                f"probabilities are given for {sorted(probabilities)} and candidates "
                f"are {sorted(candidates)}. Give one for each."
            )
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(
                f"probabilities={dict(probabilities)} must be from 0 to 1 and sum to "
                f"1; their sum is {sum(shares)}."
            )
        self._probabilities = {key: float(probabilities[key]) for key in candidates}

    def drawn(self, rng: Generator) -> dict[str, Any]:
        """Draw a candidate with its probability."""
        return {self._roles["op"].name: draw(self._probabilities, rng)}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the selected candidate."""
        return self.candidates[self._roles["op"].selected](*args, **kwargs)
