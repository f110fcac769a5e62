# DMCP: Differentiable Markov Channel Pruning for Neural Networks (Guo et al., 2020,
# arXiv:2005.03354), section 3.2. The chains of all groups are one matrix, so small that
# its arithmetic is done on the CPU, in float64.
"""Markov chains over the widths of channel groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.adam import adam


class MarkovChains(nn.Module):
    """For every group of channels, the probability of each of its widths.

    Level ``k`` of a group is kept, given that the one before is, with the probability
    ``sigmoid(alpha_k)``; the first one always. Everything here is a buffer: the run's
    optimizer, weight decay and distributed wrapper leave it alone, checkpoints and
    averages have it.

    Args:
        widths: By group, its widths in ascending order: units up to each level.
        init_alpha: First value of every alpha.

    Legend: ``G`` groups, ``K`` levels of the longest chain; shorter ones are filled up
    with levels of no units.

    Example:
        >>> chains = MarkovChains({'conv.out': [2, 4, 8]}, init_alpha=0.0)
        >>> chains.marginals().tolist()
        [[1.0, 0.5, 0.25]]
        >>> chains.expected()
        {'conv.out': 4.0}
    """

    alphas: Tensor
    steps: Tensor
    searching: Tensor
    adam_mean: Tensor
    adam_square: Tensor
    adam_steps: Tensor

    def __init__(
        self, widths: Mapping[str, Sequence[int]], init_alpha: float = 3.0
    ) -> None:
        super().__init__()
        self.names = list(widths)
        longest = max(len(line) for line in widths.values())
        self.widths = torch.tensor(
            [[*line, *[line[-1]] * (longest - len(line))] for line in widths.values()]
        )
        alphas = torch.full((len(self.names), longest - 1), float(init_alpha))
        self.register_buffer("alphas", alphas)
        self.register_buffer("adam_mean", torch.zeros_like(alphas))
        self.register_buffer("adam_square", torch.zeros_like(alphas))
        self.register_buffer("adam_steps", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))
        self.register_buffer("searching", torch.zeros((), dtype=torch.bool))

    def marginals(self, alphas: Tensor | None = None) -> Tensor:
        """Return the probability that each level is kept, shape ``(G, K)``.

        It is the product of the transitions up to the level, equation 4 of the paper.

        Args:
            alphas: In place of the chains' own, to take gradients with.
        """
        alphas = self.alphas if alphas is None else alphas
        transitions = alphas.cpu().double().sigmoid()
        first = torch.ones(len(self.names), 1, dtype=torch.float64)
        return torch.cat([first, transitions.cumprod(1)], 1)

    def moments(self, degree: int, alphas: Tensor | None = None) -> Tensor:
        """Return the expected powers of every width, shape ``(degree, G)``.

        Args:
            degree: Highest power.
            alphas: As for :meth:`marginals`.
        """
        kept = self.marginals(alphas)
        rows = []
        for power in range(1, degree + 1):
            # E[n^p] = sum over levels of P(kept) * (n_k^p - n_(k-1)^p)
            powers = self.widths.double() ** power
            rows.append((kept * _steps(powers)).sum(1))
        return torch.stack(rows)

    def expected(self) -> dict[str, float]:
        """Return the expected width of every group."""
        return dict(zip(self.names, self.moments(1)[0].tolist(), strict=True))

    def narrowest(self) -> dict[str, int]:
        """Return the first width of every group."""
        return dict(zip(self.names, self.widths[:, 0].tolist(), strict=True))

    def sample(self, generator: torch.Generator) -> dict[str, int]:
        """Draw a width of every group by its chain.

        Args:
            generator: On the CPU; the same in all processes gives the same widths.
        """
        transitions = self.alphas.cpu().double().sigmoid()
        draws = torch.rand(transitions.shape, dtype=torch.float64, generator=generator)
        return self._at((draws < transitions).long().cumprod(1).sum(1))

    def uniform(self, generator: torch.Generator) -> dict[str, int]:
        """Draw a width of every group, all levels alike; see :meth:`sample`."""
        sizes = (_steps(self.widths) > 0).sum(1)
        draws = torch.rand(len(sizes), dtype=torch.float64, generator=generator)
        return self._at((draws * sizes).long())

    def adam_(
        self,
        gradient: Tensor,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
    ) -> None:
        """Take one step of Adam; its moments are buffers, so that a run resumes."""
        adam(
            [self.alphas],
            [gradient],
            [self.adam_mean],
            [self.adam_square],
            [],
            [self.adam_steps],
            foreach=False,
            amsgrad=False,
            beta1=betas[0],
            beta2=betas[1],
            lr=lr,
            weight_decay=weight_decay,
            eps=1e-8,
            maximize=False,
        )

    def _at(self, levels: Tensor) -> dict[str, int]:
        picked = self.widths.gather(1, levels[:, None])[:, 0]
        return dict(zip(self.names, picked.tolist(), strict=True))


def level_widths(ladder: range, size: int, levels: int) -> list[int]:
    """Split a group into levels of equally many units.

    Args:
        ladder: Widths that it may have; the first one is the first level.
        size: Its units; the last level ends there.
        levels: Wanted; a small group has fewer.

    Example:
        >>> level_widths(range(10, 101), 100, 10)
        [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
        >>> level_widths(range(1, 4), 3, 10)
        [1, 2, 3]
    """
    low = ladder.start
    ends = [low + (size - low) * k // (levels - 1) for k in range(levels - 1)]
    allowed = {end - (end - low) % ladder.step for end in ends}
    return sorted({*allowed, size})


def _steps(widths: Tensor) -> Tensor:
    """Return what each level adds to the one before."""
    return torch.cat([widths[:, :1], widths.diff(dim=1)], 1)
