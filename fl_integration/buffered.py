"""Training without waiting for the slowest: updates are averaged as soon as enough of them are there.

FedBuff (Nguyen et al., "Federated Learning with Buffered Asynchronous Aggregation", AISTATS 2022): clients train on the
model that they found, at their own pace; a buffer that holds `buffer` contributions closes, and is one secure session
over just these clients. So an update that comes late enters a later sum, with a weight that falls with its staleness.

Unlike the paper, which divides by the size of the buffer, the mean is divided by the weights that are in it: the sum
says nothing else. A buffer of stale updates alone therefore moves the model as far as one of fresh ones.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fl_integration.layout import Tensors
from fl_integration.rounds import Aggregate, Client, Contribution, History, Server, Trained, contribution
from fl_integration.server_optimisers import ServerOptimiser
from fl_integration.training import TrainingError


def stale_weight(weight: int, staleness: int) -> int:
    """weight / sqrt(1 + staleness), a whole number, and not 0 unless the weight was.

    With small weights little of this is left after rounding: let a fresh contribution weigh about 16.
    """
    return min(weight, max(1, round(weight / math.sqrt(1 + staleness))))


def train_buffered(
    clients: Sequence[Client],
    tensors: Tensors,
    *,
    rounds: int,
    buffer: int,
    at_work: int,
    duration: Callable[[int, int], float],
    optimiser: ServerOptimiser[Any] | None = None,
    aggregate: Aggregate | None = None,
    seed: int = 0,
) -> History:
    """Until `rounds` buffers were averaged. at_work: how many clients train at any time, drawn with `seed`.

    duration: (client, how often it has trained before) -> how long it trains, in any unit: the time is virtual. Whoever
    has a contribution in the open buffer does not begin anew before it closes. The rest is as in `rounds.train`.
    """
    if not 1 <= buffer <= len(clients) or not 1 <= at_work <= len(clients):
        raise TrainingError(f"a buffer of {buffer} and {at_work} at work: there are 1..{len(clients)} clients")
    server = Server(tensors, len(clients), optimiser, aggregate)
    floor = _Floor(clients, duration, np.random.default_rng(seed))
    for version in range(rounds):
        pieces = floor.collected(version, server.tensors, buffer, at_work)
        trained = {piece.who: piece.trained for piece in pieces}
        stale = {piece.who: version - piece.version for piece in pieces}
        server.average(version + 1, trained, {piece.who: piece.contribution(version) for piece in pieces}, stale=stale)
    return server.history()


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """What one client makes of the model that it found. version: how often that model had moved."""

    who: int
    version: int
    start: Tensors
    trained: Trained

    def contribution(self, version: int) -> Contribution:
        """With the weight that it has when the buffer of this version closes."""
        fresh = contribution(self.who, self.version + 1, self.trained, self.start)
        return replace(fresh, weight=stale_weight(fresh.weight, version - self.version))


class _Floor:
    """Who is at work until when, in virtual time."""

    def __init__(
        self, clients: Sequence[Client], duration: Callable[[int, int], float], rng: np.random.Generator
    ) -> None:
        self._clients = clients
        self._duration = duration
        self._rng = rng
        self._now = 0.0
        self._begun: Counter[int] = Counter()
        self._under_way: dict[int, tuple[float, _Piece]] = {}

    def collected(self, version: int, tensors: Tensors, buffer: int, at_work: int) -> list[_Piece]:
        """Lets the clients work until `buffer` of them have finished."""
        finished: dict[int, _Piece] = {}
        while len(finished) < buffer:
            self._fill(version, tensors, at_work, finished)
            who = min(self._under_way, key=lambda one: (self._under_way[one][0], one))
            self._now, finished[who] = self._under_way.pop(who)
        return [finished[who] for who in sorted(finished)]

    def _fill(self, version: int, tensors: Tensors, at_work: int, finished: Mapping[int, _Piece]) -> None:
        idle = [who for who in range(len(self._clients)) if who not in self._under_way and who not in finished]
        free = min(at_work - len(self._under_way), len(idle))
        for who in sorted(self._rng.choice(idle, free, replace=False).tolist() if free else []):
            until = self._now + self._duration(who, self._begun[who])
            trained = self._clients[who].train(tensors, version + 1)
            self._under_way[who] = until, _Piece(who, version, tensors, trained)
            self._begun[who] += 1
