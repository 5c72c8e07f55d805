"""After federated training each client fine-tunes the model on its own rows. Nothing of this is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fl_integration.layout import Tensors


class Personal(Protocol):
    """A client that can make the model its own, and judge one."""

    def fine_tuned(self, tensors: Tensors, epochs: int) -> Tensors:
        """After `epochs` passes over its own rows; `tensors` stay as they are."""

    def accuracy(self, tensors: Tensors) -> float:
        """The share of its own held-out rows that a model gets right, 0..1."""


@dataclass(frozen=True, slots=True)
class Personalised:
    """One client's accuracy with the model of all, and with that model after its own fine-tuning."""

    client: int
    before: float
    after: float


def personalise(clients: Sequence[Personal], tensors: Tensors, *, epochs: int) -> list[Personalised]:
    """One row a client, in their order. The models themselves are what `fine_tuned` returns to each client."""
    return [
        Personalised(place, client.accuracy(tensors), client.accuracy(client.fine_tuned(tensors, epochs)))
        for place, client in enumerate(clients)
    ]
