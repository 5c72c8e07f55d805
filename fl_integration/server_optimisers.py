"""What the server does with a mean update: averaging as it is, or the adaptive methods. Pure; the loop keeps the state.

The formulas of the adaptive ones are algorithm 2 of Reddi et al., "Adaptive Federated Optimization" (ICLR 2021), which
has no bias correction.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from fl_integration.layout import Array, Layout, Tensors

Reals = npt.NDArray[np.float64]
S = TypeVar("S")


class ServerOptimiser(Protocol[S]):
    """Turns the tensors of a round into those of the next."""

    def start(self, tensors: Tensors) -> S:
        """The state before the first round."""

    def step(self, tensors: Tensors, mean: Tensors, part: float, state: S) -> tuple[dict[str, Array], S]:
        """The next tensors and the next state; what is given stays as it is.

        mean: the mean update, by the names of `tensors`. part: which part of all clients it is the mean of, 0..1.
        Raises LayoutError where the tensors and the mean do not fit, and for a step to what no tensor holds.
        """


@dataclass(frozen=True, slots=True)
class FedAvg:
    """The mean update is added. [McMahan et al. 2017; with another learning rate than 1, FedOpt's plain server SGD]"""

    learning_rate: float = 1.0

    def start(self, tensors: Tensors) -> None:
        """Nothing is remembered."""

    def step(self, tensors: Tensors, mean: Tensors, part: float, state: None) -> tuple[dict[str, Array], None]:
        """x + eta * mean; whole numbers move by the mean itself."""
        rates = {name: self.learning_rate if is_real(tensor) else 1.0 for name, tensor in tensors.items()}
        return moved(tensors, {name: rate * _wide(mean[name]) for name, rate in rates.items()}), None


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """What an adaptive server remembers, float64 by the names of the floating-point tensors."""

    first: Mapping[str, Reals] = field(repr=False)
    second: Mapping[str, Reals] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Adaptive(ABC):
    """learning_rate: eta. beta1, beta2: how long the two moments remember. tau: the degree of adaptivity, above 0.

    Whole numbers, which have no gradient, move by the mean itself.
    """

    learning_rate: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.99
    tau: float = 1e-3

    def start(self, tensors: Tensors) -> Moments:
        """The first moment is 0, the second tau^2, the least that the paper allows."""
        shapes = {name: np.shape(tensor) for name, tensor in tensors.items() if is_real(tensor)}
        return Moments(
            {name: np.zeros(shape) for name, shape in shapes.items()},
            {name: np.full(shape, self.tau**2) for name, shape in shapes.items()},
        )

    def step(self, tensors: Tensors, mean: Tensors, part: float, state: Moments) -> tuple[dict[str, Array], Moments]:
        """x + eta * first / (sqrt(second) + tau)."""
        first = {n: self.beta1 * old + (1 - self.beta1) * _wide(mean[n]) for n, old in state.first.items()}
        second = {n: self._second(old, first[n] ** 2) for n, old in state.second.items()}
        steps = {n: self.learning_rate * first[n] / (np.sqrt(second[n]) + self.tau) for n in first}
        return moved(tensors, {n: steps[n] if n in steps else _wide(mean[n]) for n in tensors}), Moments(first, second)

    @abstractmethod
    def _second(self, old: Reals, square: Reals) -> Reals:
        """The second moment after a first moment of this square."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FedAdam(_Adaptive):
    """Adam at the server: the second moment is a running mean of squares."""

    def _second(self, old: Reals, square: Reals) -> Reals:
        return self.beta2 * old + (1 - self.beta2) * square


@dataclass(frozen=True, slots=True, kw_only=True)
class FedYogi(_Adaptive):
    """Yogi at the server: the second moment moves by the square, however far it is from it."""

    def _second(self, old: Reals, square: Reals) -> Reals:
        return old - (1 - self.beta2) * square * np.sign(old - square)


def is_real(tensor: Array) -> bool:
    """Whether it holds floating-point numbers, which have a gradient."""
    return np.asarray(tensor).dtype.kind == "f"


def moved(tensors: Tensors, steps: Tensors) -> dict[str, Array]:
    """Each tensor with its step added, in the tensor's own type. Raises LayoutError."""
    flat = [_wide(steps[name]).reshape(-1) for name in tensors]
    return Layout.of(tensors).moved(tensors, np.concatenate(flat))


def _wide(tensor: Array) -> Reals:
    return np.asarray(tensor).astype(np.float64)
