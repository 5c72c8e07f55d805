"""Federated training as a loop for researchers: clients train, the secure sum averages, the server moves the model.

Everything that a client gives goes through one sum a round: what the server and the other clients see of it is the
mean. The clients live in this process, as they do in `aggregation.local`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from fl_integration.aggregation import AggregationError, Mean, local
from fl_integration.layout import Array, LayoutError, Tensors
from fl_integration.server_optimisers import FedAvg, ServerOptimiser
from fl_integration.training import TrainingError
from mpc.randomness import Randomness
from protocols.messages import Round


def _nothing() -> None:
    """What most clients do when they hear that the sum holds their part."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What a client made of the model.

    tensors: by the names of those it was given. weight: 0 or more, a whole number. metrics: those that the aggregate
    asks for travel in the same sum, any others stay here. step_sum: the learning rates of all local steps added up,
    which SCAFFOLD divides by. keep: called once, when the sum holds this; what the client remembers of its part (a
    control variate, what a compression lost) it remembers only then.
    """

    tensors: Tensors = field(repr=False)
    weight: int = field(default=1, repr=False)
    metrics: Mapping[str, float] = field(default_factory=dict, repr=False)
    step_sum: float = field(default=0.0, repr=False)
    keep: Callable[[], None] = _nothing


class Client(Protocol):
    """Whoever trains on rows of its own."""

    def train(self, tensors: Tensors, fl_round: int) -> Trained:
        """From `tensors` on, which stay as they are. fl_round: 1, 2, ..; asked twice for one, it trains anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """What a client puts into a sum: the difference that its training made."""

    update: Tensors = field(repr=False)
    weight: int = field(repr=False)
    metrics: Mapping[str, float] = field(repr=False)


class Aggregate(Protocol):
    """How contributions become their mean: securely, or plainly where a test compares."""

    def __call__(self, contributions: Mapping[int, Contribution], lose: Mapping[int, Round]) -> Mean:
        """The mean over those whose input left. lose: who is lost, and at which stage. Raises AggregationError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureMean:
    """The secure sum, a new session each time; the fields are those of `aggregation.local`.

    A session is for exactly the clients of the round, so `colluding` and `losses` speak of them. rand: where keys and
    rounding come from; a seeded one makes a simulation repeatable and would protect nobody elsewhere.
    """

    clip: float = 1.0
    bits: int = 16
    max_weight: int = 16
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    colluding: int | None = None
    losses: int = 0
    compress: Mapping[str, Any] | None = None
    rand: Randomness | None = None

    def __call__(self, contributions: Mapping[int, Contribution], lose: Mapping[int, Round]) -> Mean:
        seats = sorted(contributions)
        with local(
            parties=len(seats),
            colluding=self.colluding,
            losses=self.losses,
            clip=self.clip,
            bits=self.bits,
            max_weight=self.max_weight,
            metrics=self.metrics,
            compress=self.compress,
            lose={seat: lose[who] for seat, who in enumerate(seats) if who in lose},
            rand=self.rand,
        ) as session:
            for seat, who in enumerate(seats):
                given = contributions[who]
                session.contribute(seat, given.update, weight=given.weight, metrics=self._agreed(who, given))
            mean = session.result()
        return replace(mean, included=frozenset(seats[seat] for seat in mean.included))

    def _agreed(self, who: int, given: Contribution) -> dict[str, float]:
        if missing := sorted(self.metrics.keys() - given.metrics.keys()):
            raise TrainingError(f"client {who} does not report {missing[0]!r}: add it to its Trained.metrics")
        return {name: given.metrics[name] for name in self.metrics}


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What a round's sum said. failure: why there was none; the model then stayed as it was.

    included: the clients in it. staleness: client -> how many times the model had moved since it began to train.
    """

    fl_round: int
    included: frozenset[int] = frozenset()
    total_weight: int = 0
    clipped: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    staleness: Mapping[int, int] = field(default_factory=dict)
    failure: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """tensors: the model after the last round. rounds: what each said, in order."""

    tensors: dict[str, Array] = field(repr=False)
    rounds: tuple[RoundReport, ...]


def train(
    clients: Sequence[Client],
    tensors: Tensors,
    *,
    rounds: int,
    optimiser: ServerOptimiser[Any] | None = None,
    aggregate: Aggregate | None = None,
    cohort: int | None = None,
    lose: Callable[[int], Mapping[int, Round]] | None = None,
    seed: int = 0,
) -> History:
    """`rounds` times: a cohort trains, its updates are averaged, the server takes a step. `tensors` stay as they are.

    optimiser: FedAvg when not given. aggregate: `SecureMean()` when not given. cohort: how many clients a round takes,
    drawn with `seed`; all when not given. lose: round -> who is lost in it, and at which stage of the sum.
    A round without a sum leaves the model as it is and says so in the history; where no round had one, the last
    AggregationError is raised. Raises TrainingError for a client whose training gave no finite update, naming it.
    """
    cohort = len(clients) if cohort is None else cohort
    if not 1 <= cohort <= len(clients):
        raise TrainingError(f"a cohort of {cohort} out of {len(clients)} clients: take 1..{len(clients)}")
    server = Server(tensors, len(clients), optimiser, aggregate)
    for fl_round in range(1, rounds + 1):
        chosen = np.random.default_rng([seed, fl_round]).choice(len(clients), cohort, replace=False)
        trained = {who: clients[who].train(server.tensors, fl_round) for who in sorted(chosen.tolist())}
        given = {who: contribution(who, fl_round, one, server.tensors) for who, one in trained.items()}
        server.average(fl_round, trained, given, lose=lose(fl_round) if lose else {})
    return server.history()


class Server:
    """The model between the rounds, and what the rounds said."""

    def __init__(
        self,
        tensors: Tensors,
        clients: int,
        optimiser: ServerOptimiser[Any] | None,
        aggregate: Aggregate | None,
    ) -> None:
        self.tensors: dict[str, Array] = {name: np.array(tensor) for name, tensor in tensors.items()}
        self._clients = clients
        self._optimiser = optimiser or FedAvg()
        self._aggregate = aggregate or SecureMean()
        self._state = self._optimiser.start(self.tensors)
        self._reports: list[RoundReport] = []
        self._failure: AggregationError | None = None

    def average(
        self,
        fl_round: int,
        trained: Mapping[int, Trained],
        given: Mapping[int, Contribution],
        *,
        lose: Mapping[int, Round] | None = None,
        stale: Mapping[int, int] | None = None,
    ) -> None:
        """One sum, and one step of the model where there is a mean."""
        try:
            mean = self._aggregate(given, lose or {})
        except AggregationError as exc:
            self._failure = exc
            self._reports.append(RoundReport(fl_round, failure=str(exc)))
            return
        part = len(mean.included) / self._clients
        self.tensors, self._state = self._optimiser.step(self.tensors, mean.update, part, self._state)
        for who in sorted(mean.included):
            trained[who].keep()
        included, beside = mean.included, (mean.total_weight, mean.clipped, mean.metrics)
        self._reports.append(RoundReport(fl_round, included, *beside, staleness=stale or {}))

    def history(self) -> History:
        """Raises the last AggregationError where no round had a sum."""
        if self._failure and all(report.failure for report in self._reports):
            raise self._failure
        return History(self.tensors, tuple(self._reports))


def contribution(who: int, fl_round: int, trained: Trained, start: Tensors) -> Contribution:
    """The difference between what a client returned and where it started. Raises TrainingError, naming the client."""
    if trained.tensors.keys() != start.keys():
        odd = sorted(trained.tensors.keys() ^ start.keys())[0]
        raise TrainingError(f"client {who}, round {fl_round}: tensor {odd!r} is missing or not in the model")
    try:
        update = {name: _difference(name, trained.tensors[name], start[name]) for name in start}
    except LayoutError as exc:
        raise TrainingError(f"client {who}, round {fl_round}: {exc}") from exc
    return Contribution(update, trained.weight, trained.metrics)


def _difference(name: str, new: Array, old: Array) -> Array:
    """float32, or int64 for whole numbers; taken in double precision."""
    new, old = np.asarray(new), np.asarray(old)
    if new.shape != old.shape:
        raise LayoutError(f"tensor {name!r} is {list(new.shape)}, the model has {list(old.shape)}")
    if old.dtype.kind != "f":
        return new.astype(np.int64) - old.astype(np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        moved = (new.astype(np.float64) - old.astype(np.float64)).astype(np.float32)
    if not np.isfinite(moved).all():
        raise LayoutError(f"tensor {name!r} is not finite after training: lower the learning rate")
    return np.asarray(moved)
