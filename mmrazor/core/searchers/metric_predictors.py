# Predictors of accuracy from the choices of a Subnet, as in "Neural Predictor for
# Neural Architecture Search" (Wen et al., 2020, arXiv:1912.00848) and its kin.
# scikit-learn is loaded on use.
"""Metric predictors: what a Subnet will score, from its choices."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from ...registry import TASK_UTILS
from ..space import KeepChannels, OneOf, SearchSpace

Array = NDArray[np.float64]


class MetricPredictor(ABC):
    """Learn a score from features of Subnets, and predict it for others."""

    @abstractmethod
    def fit_(self, features: Array, scores: Array) -> None:
        """Learn.

        Args:
            features: Shape ``(N, F)``, see :func:`features`.
            scores: Shape ``(N,)``.
        """

    @abstractmethod
    def predict(self, features: Array) -> Array:
        """Return predicted scores, shape ``(N,)``."""


@final
@TASK_UTILS.register_module()
class GaussianProcessPredictor(MetricPredictor):
    """Gaussian process of scikit-learn; its length scale and noise are fitted."""

    def fit_(self, features: Array, scores: Array) -> None:
        """Learn; see :meth:`MetricPredictor.fit_`."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, WhiteKernel

        kernel = RBF(np.sqrt(features.shape[1])) + WhiteKernel(0.1)
        self._model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
        with warnings.catch_warnings():
            # A bound of the length scale is reached on every easy or hopeless fit.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model.fit(features, scores)

    def predict(self, features: Array) -> Array:
        """Return predicted scores, shape ``(N,)``."""
        return np.asarray(self._model.predict(features), dtype=float)


@final
@TASK_UTILS.register_module()
class MLPPredictor(MetricPredictor):
    """Multilayer perceptron of scikit-learn on standardised scores.

    Args:
        hidden: Widths of the hidden layers.
        weight_decay: L2 penalty of the weights.
        seed: Of the weights to begin with.
    """

    def __init__(
        self, hidden: Sequence[int] = (64, 64), weight_decay: float = 1.0, seed: int = 0
    ) -> None:
        self.hidden, self.weight_decay, self.seed = tuple(hidden), weight_decay, seed

    def fit_(self, features: Array, scores: Array) -> None:
        """Learn; see :meth:`MetricPredictor.fit_`."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPRegressor

        self._mean, self._scale = scores.mean(), scores.std() or 1.0
        self._model = MLPRegressor(
            hidden_layer_sizes=self.hidden,
            solver="lbfgs",
            alpha=self.weight_decay,
            max_iter=500,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early is fine
            self._model.fit(features, (scores - self._mean) / self._scale)

    def predict(self, features: Array) -> Array:
        """Return predicted scores, shape ``(N,)``."""
        return np.asarray(self._model.predict(features) * self._scale + self._mean)


@final
@TASK_UTILS.register_module()
class RBFPredictor(MetricPredictor):
    """Interpolation by radial basis functions: minus the distance, and a constant.

    Args:
        smoothing: 0 goes through every score; more lets go of noise.
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        self.smoothing = smoothing

    def fit_(self, features: Array, scores: Array) -> None:
        """Learn; see :meth:`MetricPredictor.fit_`."""
        count = len(features)
        system = np.ones((count + 1, count + 1))
        system[:count, :count] = -_distances(features, features)
        system[:count, :count] += self.smoothing * np.eye(count)
        system[count, count] = 0
        self._known = features
        self._weights = np.linalg.solve(system, np.append(scores, 0.0))

    def predict(self, features: Array) -> Array:
        """Return predicted scores, shape ``(N,)``."""
        near = -_distances(features, self._known) @ self._weights[:-1]
        return np.asarray(near + self._weights[-1])


def features(space: SearchSpace, many: Sequence[Mapping[str, Any]]) -> Array:
    """Return what predictors read: a column for each value of a Choice, 1 if selected.

    A :class:`~mmrazor.core.space.KeepChannels` gives one column, the share it keeps.

    Returns:
        Shape ``(len(many), columns)``.

    Raises:
        TypeError: If a Choice is of another kind.

    Example:
        >>> space = SearchSpace([OneOf('k', [3, 5]), KeepChannels('out', 4)])
        >>> features(space, [{'k': 5, 'out': [0]}]).tolist()
        [[0.0, 1.0, 0.25]]
    """
    columns: list[list[float]] = []
    for name, choice in space.items():
        if isinstance(choice, OneOf):
            columns += [[float(v[name] == one) for v in many] for one in choice.values]
        elif isinstance(choice, KeepChannels):
            columns.append([len(v[name]) / choice.num_channels for v in many])
        else:
            raise TypeError(
                f"Choice {name!r} is a {type(choice).__name__}, which has "
                "no features. Search without a predictor."
            )
    return np.array(columns, dtype=float).T


def _distances(first: Array, second: Array) -> Array:
    squared = ((first[:, None] - second[None]) ** 2).sum(-1)
    return np.asarray(np.sqrt(squared))
