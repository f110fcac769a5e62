# DARTS (arXiv:1806.09055) weighs all candidates; SNAS and FBNet (arXiv:1812.09926,
# 1812.03443) draw the weights from a concrete distribution (Gumbel softmax,
# arXiv:1611.01144); DSNAS (arXiv:2002.09128) runs one candidate alone and takes the
# gradient of its architecture parameters from that one path.
"""Operations with architecture parameters that are trained by gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional

from ...registry import MODELS
from .mutable_op import AlphaOP, Candidate


@final
@MODELS.register_module()
class DiffMutableOP(AlphaOP):
    """All candidates, weighted by the softmax over ``alpha``: the relaxation of DARTS.

    Args:
        candidates, name, never, init_cfg: As for :class:`AlphaOP`.

    Example:
        >>> from torch import nn
        >>> op = DiffMutableOP(dict(same=nn.Identity(), act=nn.ReLU()), name='op')
        >>> op.alpha.data = torch.tensor([0.0, 0.0])
        >>> op(torch.tensor([-1.0, 2.0])).detach()
        tensor([-0.5000,  2.0000])
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the weighted sum of what all candidates return."""
        return _weighted(self, self.probabilities(), args, kwargs)


@final
@MODELS.register_module()
class GumbelMutableOP(AlphaOP):
    """All candidates, weighted by a draw of the concrete distribution.

    In training the weights are ``softmax((alpha + gumbel noise) / tau)``, drawn anew in
    each forward; in eval mode the noise is left out.

    Args:
        candidates, name, never, init_cfg: As for :class:`AlphaOP`.
        tau: Temperature, or that of the begin and of the end of training, see
            :meth:`anneal_`.
        hard: Round the weights to one-hot; the gradient is that of the soft ones
            (straight through).

    Raises:
        ValueError: If a temperature is not above 0.

    Example:
        >>> from torch import nn
        >>> op = GumbelMutableOP(dict(same=nn.Identity()), name='op', tau=(5.0, 0.05))
        >>> op.anneal_(0.5)
        >>> round(op.tau, 6)
        0.5
    """

    def __init__(
        self,
        candidates: Mapping[str, Candidate],
        name: str | None = None,
        never: tuple[str, ...] | list[str] = (),
        tau: float | tuple[float, float] | list[float] = 1.0,
        hard: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(candidates, name, never, init_cfg)
        ends = [float(tau)] * 2 if isinstance(tau, int | float) else [*map(float, tau)]
        if len(ends) != 2 or min(ends) <= 0:
            raise ValueError(
                f"tau={tau!r} must be a temperature above 0, or two: of the begin and "
                "of the end of training."
            )
        self._ends = ends
        self._hard = hard
        self.tau = ends[0]

    def anneal_(self, share: float) -> None:
        """Set ``tau`` between begin and end, in equal ratios.

        Args:
            share: Part of the training that is done, in [0, 1].
        """
        first, last = self._ends
        self.tau = first * (last / first) ** share

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the weighted sum of what all candidates return."""
        return _weighted(self, self.weights(), args, kwargs)

    def weights(self) -> Tensor:
        """Return the weights of the candidates, drawn anew if in training."""
        if self.training:
            return functional.gumbel_softmax(self.alpha, self.tau, self._hard)
        soft = torch.softmax(self.alpha / self.tau, 0)
        if not self._hard:
            return soft
        return functional.one_hot(soft.argmax(), len(soft)).to(soft.dtype)


@final
@MODELS.register_module()
class OneHotMutableOP(AlphaOP):
    """The selected candidate alone, with the search gradient of DSNAS for ``alpha``.

    The candidate is selected by a draw from the softmax over ``alpha``, which is what
    the concrete distribution becomes as its temperature goes to 0: see :meth:`drawn`.
    With output ``y`` of the loss ``L``, the gradient of ``alpha`` is
    ``sum(y * dL/dy) * d log p(selected) / d alpha`` (section 3 of the paper): the
    output is multiplied by ``1 + log p - stop_gradient(log p)``, whose value is 1.

    Args:
        candidates, name, never, init_cfg: As for :class:`AlphaOP`.
    """

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the selected candidate."""
        selected = self._roles["op"].selected
        output = self.candidates[selected](*args, **kwargs)
        if not torch.is_grad_enabled():
            return output
        place = list(self.candidates).index(selected)
        log_p = torch.log_softmax(self.alpha, 0)[place]
        return output * (1 + log_p - log_p.detach())


def _weighted(op: AlphaOP, weights: Tensor, args: Any, kwargs: Any) -> Any:
    pairs = zip(weights, op.candidates.values(), strict=True)
    return sum(weight * candidate(*args, **kwargs) for weight, candidate in pairs)
