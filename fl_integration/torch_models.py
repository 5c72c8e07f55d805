"""Any torch module as named tensors, and a small network for tables: everything that needs torch."""

import threading
from collections.abc import Iterator, Mapping
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


def train_module(
    module: torch.nn.Module,
    inputs: Floats,
    labels: npt.NDArray[np.uint8],
    *,
    epochs: int,
    learning_rate: float,
    seed: int,
) -> None:
    """Train in place for two classes: inputs float32[n, d], one logit a row, both classes weighing the same.

    On the CPU in one thread with a generator of its own, so that equal arguments give equal weights.
    """
    with _alone(seed):
        rows, answers = torch.tensor(inputs), torch.tensor(labels.astype(np.float32))
        share = answers.mean()
        weights = torch.where(answers > 0, 0.5 / share, 0.5 / (1 - share))
        optimiser = torch.optim.SGD(module.parameters(), lr=learning_rate, momentum=_MOMENTUM, weight_decay=_PENALTY)
        module.train()
        for _ in range(epochs):
            for batch in torch.randperm(len(rows)).split(_BATCH):  # type: ignore[no-untyped-call]
                optimiser.zero_grad()
                logits = module(rows[batch]).reshape(-1)
                loss = torch.nn.functional.binary_cross_entropy_with_logits(
                    logits, answers[batch], weight=weights[batch]
                )
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()


@dataclass(frozen=True, slots=True)
class MlpLearner:
    """One hidden layer of 16 units."""

    width: int
    epochs: int
    learning_rate: float

    def initial(self, seed: int) -> dict[str, Array]:
        """Torch's usual random start, the same one for a seed."""
        with _alone(seed):
            return to_arrays(self._module().state_dict())

    def train(self, tensors: Tensors, inputs: Floats, labels: npt.NDArray[np.uint8], seed: int) -> dict[str, Array]:
        """Tensors after `epochs` passes over the rows from `tensors` on."""
        module = self._loaded(tensors)
        train_module(module, inputs, labels, epochs=self.epochs, learning_rate=self.learning_rate, seed=seed)
        return to_arrays(module.state_dict())

    def logits(self, tensors: Tensors, inputs: Floats) -> npt.NDArray[np.float64]:
        """float64[n]: the log odds of the positive class."""
        module = self._loaded(tensors).eval()
        with _alone(0), torch.no_grad():
            return np.asarray(module(torch.tensor(inputs)).reshape(-1).numpy(), dtype=np.float64)

    def _module(self) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(self.width, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 1))

    def _loaded(self, tensors: Tensors) -> torch.nn.Module:
        with _alone(0):
            module = self._module()
        load_arrays(module, tensors)
        return module


def _to_array(tensor: torch.Tensor) -> Array:
    plain = tensor.detach().cpu()
    return np.array((plain.float() if plain.dtype == torch.bfloat16 else plain).numpy())


@contextmanager
def _alone(seed: int) -> Iterator[None]:
    """One thread, a generator that starts at `seed`; both are put back."""
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
