# Training Compact CNNs for Image Classification using Dynamic-coded Filter Fusion (Lin
# et al., 2021, arXiv:2107.06916): every filter is coded as a distribution over all of
# them. Written from the formulas; a filter here is any row, so that depthwise and
# grouped convolutions need no case of their own.
"""Filters as distributions over one another: pure functions of tensors.

``C`` filters, ``N`` weights in each, ``K`` filters that are left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def fusion_log_probabilities(
    filters_CN: Tensor, inverse_temperature: float, chosen: Tensor | None = None
) -> Tensor:
    """Return the logarithm of how much of each filter goes into each fused one.

    ``p_ij = exp(-T D_ij) / sum_g exp(-T D_ig)``, where ``D_ij`` is the Euclidean
    distance of filters ``i`` and ``j`` and ``T = 1 / t`` the inverse temperature. As
    ``T`` grows, ``p_i`` becomes one-hot: the filter itself.

    Args:
        filters_CN: The filters, one a row.
        inverse_temperature: ``T``, at least 0.
        chosen: Rows that are wanted, shape ``(K,)``; all if missing.

    Returns:
        Shape ``(K, C)``.

    Example:
        >>> filters = torch.tensor([[0., 0.], [3., 4.]])  # 5 apart
        >>> fusion_log_probabilities(filters, 0.2).exp()[0]  # 1 to exp(-1)
        tensor([0.7311, 0.2689])
    """
    if chosen is None:
        chosen = torch.arange(len(filters_CN), device=filters_CN.device)
    distances_KC = torch.cdist(filters_CN[chosen], filters_CN)
    # Computed by products, a filter is not exactly where it is itself.
    distances_KC = distances_KC.scatter(1, chosen[:, None], 0.0)
    return (-inverse_temperature * distances_KC).log_softmax(1)


def inter_filter_divergence(filters_CN: Tensor, inverse_temperature: float) -> Tensor:
    """Return how different each filter's distribution is from those of the others.

    ``I_i = 1 / C sum_j KL(p_i || p_j)``: the more a filter differs, the less the others
    can stand for it.

    Args:
        filters_CN: The filters, one a row.
        inverse_temperature: See :func:`fusion_log_probabilities`.

    Returns:
        Shape ``(C,)``, at least 0, in float64.

    Example:
        >>> filters = torch.tensor([[0.], [0.], [3.]])
        >>> inter_filter_divergence(filters, 1.0).argmax()
        tensor(2)
    """
    log_p_CC = fusion_log_probabilities(filters_CN.double(), inverse_temperature)
    p_CC = log_p_CC.exp()
    own_C = (p_CC * log_p_CC).sum(1)
    cross_C = p_CC @ log_p_CC.mean(0)
    return (own_C - cross_C).clamp(min=0.0)  # never below it but for rounding


def annealed_inverse_temperature(
    time: float, end: float, first: float = 1.0, last: float = 1e4, rate: float = 1.0
) -> float:
    """Return the inverse temperature ``T`` at a time of the training.

    ``T(e) = A / (1 + exp(-k e)) + T_s - A / 2`` with
    ``A = 2 (T_e - T_s) (1 + exp(-k E)) / (1 - exp(-k E))``: it rises from
    ``T(0) = T_s`` to ``T(E) = T_e``, fast at first. The paper's constants, as far as
    known here, are ``T_s = 1``, ``T_e = 10^4`` and ``k = 1`` for epochs ``e``; with
    them half the rise is over after about one epoch.

    Args:
        time: ``e``, from 0 to ``end``.
        end: ``E``; with 0 there is no time to anneal, and ``T = T_e``.
        first: ``T_s``.
        last: ``T_e``.
        rate: ``k``; a smaller one makes the rise slower, close to 0 linear.

    Example:
        >>> [round(annealed_inverse_temperature(e, 4, last=101.0)) for e in range(5)]
        [1, 49, 80, 95, 101]
    """
    if end <= 0:
        return last
    # A / (1 + exp(-k e)) - A / 2 = A / 2 tanh(k e / 2), and A likewise.
    share = math.tanh(rate * time / 2) / math.tanh(rate * end / 2)
    return first + (last - first) * share


def kept_slots(before: Sequence[int], chosen: Iterable[int]) -> list[int]:
    """Return which filter each place has after a new choice.

    A filter that is chosen again keeps its place, and with it its norm and its readers;
    the new ones take the free places in order.

    Args:
        before: The filter of every place until now.
        chosen: As many filters, in any order.

    Example:
        >>> kept_slots([4, 0, 7], [7, 1, 4])
        [4, 1, 7]
    """
    wanted = set(chosen)
    new = iter(sorted(wanted - set(before)))
    return [one if one in wanted else next(new) for one in before]
