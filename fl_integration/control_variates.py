"""SCAFFOLD: control variates keep the clients' local steps from drifting apart where their rows differ.

Karimireddy et al., "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning" (ICML 2020), option II. The
server's control variate c travels with the model as further tensors, and a client's change of its own c_i with its
update: one masked vector holds both. Each c_i stays where it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from fl_integration.layout import Array, Tensors
from fl_integration.rounds import Trained
from fl_integration.server_optimisers import FedAvg, Reals, ServerOptimiser, is_real, moved
from fl_integration.training import TrainingError

_MODEL, _CONTROL = "model.", "control."


def with_control(tensors: Tensors) -> dict[str, Array]:
    """The model with the server's control variate, all zero, beside it: one more tensor for each of floating point."""
    model = {_MODEL + name: np.asarray(tensor) for name, tensor in tensors.items()}
    control = {_CONTROL + n: np.zeros(np.shape(t), np.float32) for n, t in tensors.items() if is_real(t)}
    return model | control


def without_control(tensors: Tensors) -> dict[str, Array]:
    """The model alone, by its own names."""
    return _named(tensors, _MODEL)


class Steered(Protocol):
    """A client whose local steps can be corrected."""

    def train(self, tensors: Tensors, fl_round: int, correction: Tensors) -> Trained:
        """As `rounds.Client.train`, by plain gradient descent, with `correction` added to every gradient.

        `Trained.step_sum` is the learning rates of all its steps added up (K * eta_l in the paper).
        """


class ScaffoldClient:
    """A steered client as one that the loop can take. It holds c_i, which starts at zero and is never sent.

    unit: the changes of c_i are sent in multiples of it, so that the clip suits them as it suits the model's; the same
    at all clients. A control variate is a gradient, so this is about the largest one divided by the clip.
    """

    def __init__(self, client: Steered, *, unit: float = 1.0) -> None:
        self._client = client
        self._unit = unit
        self._control: Mapping[str, Reals] = {}

    def train(self, tensors: Tensors, fl_round: int) -> Trained:
        model, shared = without_control(tensors), _scaled(_named(tensors, _CONTROL), self._unit)
        own = self._control or {name: np.zeros_like(control) for name, control in shared.items()}
        trained = self._client.train(model, fl_round, {name: shared[name] - own[name] for name in shared})
        new = self._next(model, trained, own, shared)
        sent = {n: np.asarray(tensors[_CONTROL + n]) + (new[n] - own[n]) / self._unit for n in new}
        both = {_MODEL + n: t for n, t in trained.tensors.items()} | {_CONTROL + n: t for n, t in sent.items()}
        return replace(trained, tensors=both, keep=partial(self._keep, new, trained))

    def _next(
        self, model: Tensors, trained: Trained, own: Mapping[str, Reals], shared: Mapping[str, Reals]
    ) -> dict[str, Reals]:
        """c_i+ = c_i - c + (x - y_i) / (K eta_l)."""
        if not trained.step_sum > 0:
            raise TrainingError("SCAFFOLD divides by the learning rates of all steps: set Trained.step_sum above 0")
        walked = {n: model[n].astype(np.float64) - np.asarray(trained.tensors[n], dtype=np.float64) for n in own}
        return {n: own[n] - shared[n] + walked[n] / trained.step_sum for n in own}

    def _keep(self, new: Mapping[str, Reals], trained: Trained) -> None:
        """Only what the sum holds counts: else c would no longer be the mean of all c_i."""
        self._control = new
        trained.keep()


@dataclass(frozen=True, slots=True)
class ScaffoldServer:
    """Moves c by the mean change, as far as the part of all clients that it is of, and the model by `optimiser`."""

    optimiser: ServerOptimiser[Any] = field(default_factory=FedAvg)

    def start(self, tensors: Tensors) -> Any:
        """That of the model's own optimiser."""
        return self.optimiser.start(without_control(tensors))

    def step(self, tensors: Tensors, mean: Tensors, part: float, state: Any) -> tuple[dict[str, Array], Any]:
        """c + |S|/N * mean change; weights count in the mean as they do for the model."""
        model, state = self.optimiser.step(without_control(tensors), _named(mean, _MODEL), part, state)
        control = moved(_named(tensors, _CONTROL), _scaled(_named(mean, _CONTROL), part))
        return {_MODEL + n: t for n, t in model.items()} | {_CONTROL + n: t for n, t in control.items()}, state


def _named(tensors: Tensors, prefix: str) -> dict[str, Array]:
    return {n.removeprefix(prefix): np.asarray(t) for n, t in tensors.items() if n.startswith(prefix)}


def _scaled(tensors: Tensors, factor: float) -> dict[str, Reals]:
    return {name: np.asarray(tensor).astype(np.float64) * factor for name, tensor in tensors.items()}
