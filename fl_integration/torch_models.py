"""Any torch module as named tensors, and a small network for tables: everything that needs torch."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from fl_integration.layout import Array, Floats, LayoutError, Tensors

HIDDEN = 16

_BATCH = 128
_MOMENTUM = 0.9
_PENALTY = 1e-3

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_ONE_AT_A_TIME = threading.Lock()  # torch's generator and thread count belong to the process


def to_arrays(state: Mapping[str, torch.Tensor]) -> dict[str, Array]:
    """A `state_dict` as numpy arrays, copied, names and order kept; bfloat16, which numpy lacks, as float32."""
    return {name: _to_array(tensor) for name, tensor in state.items()}


def load_arrays(module: torch.nn.Module, tensors: Tensors) -> None:
    """Put named tensors in place of the module's own, each in the type that the module has.

    Raises LayoutError for names or shapes that the module does not have; the module is then unchanged.
    """
    own = module.state_dict()
    if tensors.keys() != own.keys():
        raise LayoutError(f"tensor {sorted(tensors.keys() ^ own.keys())[0]!r} is missing or not in the module")
    for name, tensor in own.items():
        if tensors[name].shape != tuple(tensor.shape):
            raise LayoutError(f"tensor {name!r} is {list(tensors[name].shape)}, the module has {list(tensor.shape)}")
    module.load_state_dict({name: torch.tensor(tensors[name]).to(own[name].dtype) for name in own})


@dataclass(frozen=True, slots=True, kw_only=True)
class Descent:
    """Stochastic gradient descent. proximal: FedProx's mu, a pull of mu/2 ||w - w_start||^2 towards the model that the
    training began with [Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020]; 0 for none."""

    epochs: int
    learning_rate: float
    batch: int = 32
    momentum: float = 0.0
    weight_decay: float = 0.0
    proximal: float = 0.0


def train_module(
    module: torch.nn.Module,
    inputs: Floats,
    labels: npt.NDArray[np.uint8],
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
    proximal: float = 0.0,
) -> None:
    """Train in place for two classes: inputs float32[n, d], one logit a row, both classes weighing the same.

    On the CPU in one thread with a generator of its own, so that equal arguments give equal weights.
    """
    answers = torch.tensor(labels.astype(np.float32))
    share = answers.mean()

    def loss(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        weights = torch.where(wanted > 0, 0.5 / share, 0.5 / (1 - share))
        return torch.nn.functional.binary_cross_entropy_with_logits(logits.reshape(-1), wanted, weight=weights)

    descent = Descent(
        epochs=epochs,
        learning_rate=learning_rate,
        batch=_BATCH,
        momentum=_MOMENTUM,
        weight_decay=_PENALTY,
        proximal=proximal,
    )
    descend(module, torch.tensor(inputs), answers, loss, descent, seed=seed)


def descend(
    module: torch.nn.Module,
    rows: torch.Tensor,
    answers: torch.Tensor,
    loss: Loss,
    descent: Descent,
    *,
    seed: int,
    correction: Tensors | None = None,
) -> float:
    """Train in place, as repeatable as `train_module`. Returns the learning rates of all steps added up.

    loss: (outputs, answers) of a batch -> scalar. correction: by a parameter's name, added to its gradient in each step
    (SCAFFOLD's c - c_i); what it does not name is not corrected.
    """
    with alone(seed):
        pull = _Pull(module, descent.proximal, correction or {})
        optimiser = torch.optim.SGD(
            module.parameters(),
            lr=descent.learning_rate,
            momentum=descent.momentum,
            weight_decay=descent.weight_decay,
        )
        steps = 0
        module.train()
        for _ in range(descent.epochs):
            for batch in torch.randperm(len(rows)).split(descent.batch):  # type: ignore[no-untyped-call]
                optimiser.zero_grad()
                loss(module(rows[batch]), answers[batch]).backward()  # type: ignore[no-untyped-call]
                pull.apply()
                optimiser.step()
                steps += 1
    return steps * descent.learning_rate


class _Pull:
    """What is added to the gradients: towards where the training began, and the agreed correction."""

    def __init__(self, module: torch.nn.Module, proximal: float, correction: Tensors) -> None:
        self._proximal = proximal
        own = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
        self._parts = [
            (
                parameter,
                parameter.detach().clone(),
                torch.tensor(correction[name], dtype=parameter.dtype) if name in correction else None,
            )
            for name, parameter in own
        ]

    def apply(self) -> None:
        for parameter, start, correction in self._parts:
            if parameter.grad is None:
                continue
            if self._proximal:
                parameter.grad += self._proximal * (parameter.detach() - start)
            if correction is not None:
                parameter.grad += correction


@dataclass(frozen=True, slots=True)
class MlpLearner:
    """One hidden layer of 16 units."""

    width: int
    epochs: int
    learning_rate: float

    def initial(self, seed: int) -> dict[str, Array]:
        """Torch's usual random start, the same one for a seed."""
        with alone(seed):
            return to_arrays(self._module().state_dict())

    def train(self, tensors: Tensors, inputs: Floats, labels: npt.NDArray[np.uint8], seed: int) -> dict[str, Array]:
        """Tensors after `epochs` passes over the rows from `tensors` on."""
        module = self._loaded(tensors)
        train_module(module, inputs, labels, epochs=self.epochs, learning_rate=self.learning_rate, seed=seed)
        return to_arrays(module.state_dict())

    def logits(self, tensors: Tensors, inputs: Floats) -> npt.NDArray[np.float64]:
        """float64[n]: the log odds of the positive class."""
        module = self._loaded(tensors).eval()
        with alone(0), torch.no_grad():
            return np.asarray(module(torch.tensor(inputs)).reshape(-1).numpy(), dtype=np.float64)

    def _module(self) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(self.width, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 1))

    def _loaded(self, tensors: Tensors) -> torch.nn.Module:
        with alone(0):
            module = self._module()
        load_arrays(module, tensors)
        return module


def _to_array(tensor: torch.Tensor) -> Array:
    plain = tensor.detach().cpu()
    return np.array((plain.float() if plain.dtype == torch.bfloat16 else plain).numpy())


@contextmanager
def alone(seed: int) -> Iterator[None]:
    """One thread, a generator that starts at `seed`; both are put back."""
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
