"""A torch module with rows of its own as a client of the training loop: plain, FedProx, SCAFFOLD, fine-tuning."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from fl_integration.layout import Array, Floats, Tensors
from fl_integration.rounds import Trained
from fl_integration.torch_models import Descent, Loss, alone, descend, load_arrays, to_arrays
from fl_integration.training import TrainingError

Labels = npt.NDArray[np.integer]


class TorchClient:
    """One client. Its rows stay here; the module is copied, so that all clients may be given the same one.

    rows: (inputs float32[n, ..], labels int[n]), what it trains on; held_out: the same, what it judges a model by.
    loss: (outputs, labels) -> scalar, cross entropy over one output a class when not given. weight: of its updates.
    It reports the metric `loss`: that of the model that it was given, on its own rows, before it trains.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        rows: tuple[Floats, Labels],
        descent: Descent,
        *,
        held_out: tuple[Floats, Labels] | None = None,
        loss: Loss = torch.nn.functional.cross_entropy,
        weight: int = 1,
        seed: int = 0,
    ) -> None:
        self._module = deepcopy(module)
        self._rows = _as_torch(rows)
        self._held_out = _as_torch(held_out or rows)
        self._descent = descent
        self._loss = loss
        self._weight = weight
        self._seeds = np.random.SeedSequence(seed)

    def train(self, tensors: Tensors, fl_round: int, correction: Tensors | None = None) -> Trained:
        """From `tensors` on; each call takes the rows in another order. correction: see `control_variates.Steered`."""
        if correction is not None and self._descent.momentum:
            raise TrainingError("SCAFFOLD corrects plain gradient descent: set momentum=0 in the Descent")
        load_arrays(self._module, tensors)
        before = self._own_loss()
        walked = self._descend(self._descent, correction)
        trained = to_arrays(self._module.state_dict())
        return Trained(trained, weight=self._weight, metrics={"loss": before}, step_sum=walked)

    def fine_tuned(self, tensors: Tensors, epochs: int) -> dict[str, Array]:
        """After `epochs` passes over the own rows, without a pull back to `tensors`."""
        load_arrays(self._module, tensors)
        self._descend(replace(self._descent, epochs=epochs, proximal=0.0), None)
        return to_arrays(self._module.state_dict())

    def accuracy(self, tensors: Tensors) -> float:
        """The share of held-out rows whose label has the highest output."""
        load_arrays(self._module, tensors)
        inputs, labels = self._held_out
        return float((self._outputs(inputs).argmax(dim=1) == labels).double().mean())

    def _descend(self, descent: Descent, correction: Tensors | None) -> float:
        seed = int(self._seeds.spawn(1)[0].generate_state(1)[0])
        return descend(self._module, *self._rows, self._loss, descent, seed=seed, correction=correction)

    def _own_loss(self) -> float:
        inputs, labels = self._rows
        return float(self._loss(self._outputs(inputs), labels))

    def _outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        with alone(0), torch.no_grad():
            outputs: torch.Tensor = self._module.eval()(inputs)
        return outputs


def _as_torch(rows: tuple[Floats, Labels]) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, labels = rows
    return torch.tensor(inputs), torch.tensor(labels.astype(np.int64))
