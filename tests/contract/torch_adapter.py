"""The training loop with torch modules. Its machines meet in one process."""

import numpy as np
import torch
from adapters import InProcess, Plainly
from scenes import BITS, CLIP, LOSS, LOSSES, MAX_WEIGHT, PARTIES, Outcome

from fl_integration.aggregation import AggregationError
from fl_integration.rounds import SecureMean, train
from fl_integration.torch_client import TorchClient
from fl_integration.torch_models import Descent, to_arrays


class Told(torch.nn.Module):
    """A module that one step of descent, of length 1, moves by a given step.

    Parameters go where their gradient leads, the other tensors change when a batch passes, as batch norm's do. Two
    names of one tensor are one parameter.
    """

    def __init__(self, model, step, loss):
        super().__init__()
        self._step = {name: torch.tensor(tensor) for name, tensor in step.items()}
        self._loss = loss
        made = {}
        for name, tensor in model.items():
            value = torch.tensor(tensor)
            if not value.is_floating_point():
                self.register_buffer(name, value)
                continue
            if id(tensor) not in made:
                made[id(tensor)] = torch.nn.Parameter(value)
            self.register_parameter(name, made[id(tensor)])

    def forward(self, rows):
        if not self.training:
            return torch.tensor(self._loss, dtype=torch.float64)
        for name, buffer in self.named_buffers():
            moved = buffer ^ self._step[name] if buffer.dtype == torch.bool else buffer + self._step[name]
            buffer.copy_(moved)
        ways = [parameter - (parameter.detach() + self._step[name]) for name, parameter in self.named_parameters()]
        return sum((way.double() ** 2).sum() for way in ways) / 2


class TorchLoop(InProcess):
    """`veilsum.rounds.train` with `veilsum.pytorch.TorchClient`."""

    def run(self, rounds=1, lose=()):
        secure = SecureMean(clip=CLIP, bits=BITS, max_weight=MAX_WEIGHT, metrics={"loss": LOSS}, losses=LOSSES)
        before = {name: tensor.copy() for name, tensor in self.scene.model.items()}
        try:
            with self.tapped():
                history = self._train(rounds, secure, lambda now: lose[now - 1] if now <= len(lose) else {})
        except AggregationError as exc:
            return Outcome(before, failures=(f"{type(exc).__name__}: {exc}",))
        failures = tuple(report.failure for report in history.rounds if report.failure)
        given = (self.scene,) * (rounds - len(failures))
        return Outcome(history.tensors, dict(history.rounds[-1].metrics), given, failures)

    def plain(self):
        aggregate = Plainly()
        self._train(1, aggregate, lambda now: {})
        return aggregate.carried

    def _train(self, rounds, aggregate, lose):
        start = to_arrays(self._module(0).state_dict())
        return train(self._clients(), start, rounds=rounds, aggregate=aggregate, lose=lose)

    def _module(self, place):
        return Told(self.scene.model, self.scene.steps[place], self.scene.losses[place])

    def _clients(self):
        one_row = np.zeros((1, 1), dtype=np.float32), np.zeros(1, dtype=np.int64)
        descent = Descent(epochs=1, learning_rate=1.0, batch=1)
        weights = self.scene.weights()
        return [
            TorchClient(self._module(place), one_row, descent, loss=lambda out, _: out, weight=weights[place])
            for place in range(PARTIES)
        ]
