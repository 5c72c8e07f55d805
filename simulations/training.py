"""Federated training in virtual time: real updates through simulated sessions, and what losses do to whom.

A `SimulatedMean` is an `Aggregate` of `fl_integration.rounds`, so any client and any server optimiser that trains there
trains here; each of its sums is a session of the scenario, with its losses, its links and its seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fl_integration.aggregation import AggregationError, Mean
from fl_integration.layout import Array, Layout, Tensors
from fl_integration.linear import LinearLearner
from fl_integration.plan import Plan
from fl_integration.rounds import Client, Contribution, History, Trained, train
from fl_integration.server_optimisers import ServerOptimiser
from mpc.encoding import Codec
from mpc.field import FieldVector
from mpc.randomness import SeededRandomness
from protocols.errors import PartyId
from protocols.family import Family
from protocols.session import VectorSpec
from protocols.wire import PartySet
from simulations.scenario import Scenario
from simulations.seats import Consortium
from simulations.session import VirtualSession
from simulations.simulate import RoundResult, known_family, result_of

Labels = npt.NDArray[Any]
Part = npt.NDArray[np.int64]
"""The rows of one client, by their numbers."""


# Who has which rows


def by_dirichlet(labels: Labels, clients: int, alpha: float, seed: int) -> list[Part]:
    """Each class is spread over the clients by a draw of Dirichlet(alpha): small alpha, few classes a client."""
    rng = np.random.default_rng([seed, 1])
    parts: list[list[Part]] = [[] for _ in range(clients)]
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        cuts = np.cumsum(rng.dirichlet(np.full(clients, alpha)))[:-1]
        for part, own in zip(parts, np.split(rows, np.rint(cuts * len(rows)).astype(int)), strict=True):
            part.append(own)
    return [np.sort(np.concatenate(part)) for part in parts]


def by_quantity(labels: Labels, clients: int, alpha: float, seed: int) -> list[Part]:
    """All classes alike, and numbers of rows by a draw of Dirichlet(alpha); nobody has none."""
    rng = np.random.default_rng([seed, 2])
    share = rng.dirichlet(np.full(clients, alpha))
    sizes = 1 + np.floor(share * (len(labels) - clients)).astype(int)
    rows = rng.permutation(len(labels))[: sizes.sum()]
    return [np.sort(part) for part in np.split(rows, np.cumsum(sizes)[:-1])]


def by_label(labels: Labels, clients: int, classes: int, seed: int) -> list[Part]:
    """Each client has rows of so many classes: all rows in order of class, cut in clients * classes pieces."""
    rng = np.random.default_rng([seed, 3])
    rows = rng.permutation(len(labels))
    pieces = np.array_split(rows[np.argsort(labels[rows], kind="stable")], clients * classes)
    dealt = np.array_split(rng.permutation(len(pieces)), clients)
    return [np.sort(np.concatenate([pieces[piece] for piece in own])) for own in dealt]


# A sum in virtual time


@dataclass(frozen=True, slots=True)
class Cost:
    """One client's, over the whole training. included: in how many sums it was."""

    bytes_up: int
    bytes_down: int
    included: int


@dataclass(slots=True, kw_only=True)
class SimulatedMean:
    """Means of sessions of `scenario`, one a round; `results` are what came of each, those without a sum too.

    Its parties are the clients, in order; its dimension and bits follow from the updates. clip, bits, max_weight,
    metrics: as `fl_integration.aggregation.local` takes them.
    """

    scenario: Scenario
    clip: float = 1.0
    bits: int = 16
    max_weight: int = 16
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    family: Family | None = None
    results: list[RoundResult] = field(default_factory=list)
    _consortium: Consortium | None = None

    def __call__(self, contributions: Mapping[int, Contribution], lose: Mapping[int, Any]) -> Mean:
        """lose: is for the scenario to say, and empty. Raises AggregationError where there is no sum."""
        if lose or len(contributions) != self.scenario.parties:
            raise AggregationError("the scenario says who is lost, and every one of its parties contributes")
        layout = Layout.of(next(iter(contributions.values())).update)
        plan = Plan.from_mapping(
            {"clip": self.clip, "bits": self.bits, "metrics": dict(self.metrics)}, max_weight=self.max_weight
        )
        fl_round = len(self.results) + 1
        rand = SeededRandomness(f"training {self.scenario.seed} {fl_round}".encode())
        codec = plan.codec(layout, self.scenario.parties, rand.child("codec").bytes(32))
        inputs = {
            PartyId(who): codec.encode(
                layout.flatten(given.update), weight=given.weight,
                metrics={name: given.metrics[name] for name in self.metrics}, rand=rand.child(f"rounding {who}"),
            )
            for who, given in contributions.items()
        }  # fmt: skip
        return self._mean(layout, codec, self._hold(fl_round, inputs, codec))

    def _hold(self, fl_round: int, inputs: Mapping[PartyId, FieldVector], codec: Codec) -> FieldVector:
        spec = VectorSpec(codec.vector_length, codec.field)
        if self._consortium is None:
            self._consortium = Consortium(self.scenario, self.family or known_family(self.scenario))

        def judge(total: FieldVector, included: PartySet) -> bool:
            plain = sum((inputs[party].astype(object) for party in included), np.zeros(spec.length, dtype=object))
            return bool(np.array_equal(total, codec.field.vector(plain % codec.field.modulus)))

        session = VirtualSession(
            self._consortium.session(fl_round, spec), self.scenario, self.scenario.plan(fl_round), fl_round,
            inputs=inputs.__getitem__, judge=judge,
        )  # fmt: skip
        session.run()
        self.results.append(result_of(session, fl_round))
        if session.total is None:
            raise AggregationError(f"no sum ({self.results[-1].aborted})")
        return session.total

    def _mean(self, layout: Layout, codec: Codec, total: FieldVector) -> Mean:
        decoded = codec.decode_sum(total)
        included = frozenset(int(party) for party in self.results[-1].included)
        beside = (decoded.total_weight, decoded.clipped, decoded.metrics)
        return Mean(layout.unflatten(decoded.mean), included, *beside)

    @property
    def costs(self) -> list[Cost]:
        """Of each client, in order."""
        return [
            Cost(
                sum(one.bytes_up.get(party, 0) for one in self.results),
                sum(one.bytes_down.get(party, 0) for one in self.results),
                sum(party in one.included for one in self.results),
            )
            for party in map(PartyId, range(self.scenario.parties))
        ]


# What came of it


@dataclass(frozen=True, slots=True)
class Point:
    """After a round: virtual seconds since the first began, and the score of the model then."""

    seconds: float
    score: float
    included: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """curve: after each round. fairness: the last model's score on each client's own rows. costs: by client."""

    history: History
    curve: tuple[Point, ...]
    fairness: tuple[float, ...]
    costs: tuple[Cost, ...]


Score = Callable[[Tensors, int | None], float]
"""Of a model, on a client's own rows, or (None) on the rows that nobody has."""


def federate(
    clients: Sequence[Client],
    tensors: Tensors,
    score: Score,
    mean: SimulatedMean,
    *,
    rounds: int,
    optimiser: ServerOptimiser[Any] | None = None,
) -> Outcome:
    """Trains for `rounds` and scores each round's model. Raises AggregationError where no round has a sum."""
    watched = [_Watched(client) for client in clients]
    history = train(watched, tensors, rounds=rounds, optimiser=optimiser, aggregate=mean)
    models = [*watched[0].models[1:], history.tensors]
    seconds = np.cumsum([one.virtual_seconds for one in mean.results])
    curve = tuple(
        Point(float(at), score(model, None), len(one.included))
        for at, model, one in zip(seconds, models, mean.results, strict=True)
    )
    fairness = tuple(score(history.tensors, who) for who in range(len(clients)))
    return Outcome(history, curve, fairness, tuple(mean.costs))


@dataclass(slots=True)
class _Watched:
    """A client that notes the models that it is given."""

    client: Client
    models: list[dict[str, Array]] = field(default_factory=list)

    def train(self, tensors: Tensors, fl_round: int) -> Trained:
        self.models.append({name: np.array(tensor) for name, tensor in tensors.items()})
        return self.client.train(tensors, fl_round)


# A task to start from: no torch, no download


@dataclass(frozen=True, slots=True)
class LinearClient:
    """Logistic regression on rows of its own. max_weight: what a weight is cut to."""

    learner: LinearLearner
    inputs: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]
    seed: int
    max_weight: int = 16
    rows_per_unit: int = 100

    def train(self, tensors: Tensors, fl_round: int) -> Trained:
        """A client with rows of one class alone has nothing to learn and says so with weight 0."""
        if len(np.unique(self.labels)) < 2:
            return Trained(tensors, weight=0)
        trained = self.learner.train(tensors, self.inputs, self.labels, self.seed + fl_round)
        weight = min(max(1, len(self.labels) // self.rows_per_unit), self.max_weight)
        return Trained(trained, weight=weight)


def linear_task(
    inputs: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8], parts: Sequence[Part], *, held_out: Part, seed: int,
    epochs: int = 1, learning_rate: float = 0.05,
) -> tuple[list[LinearClient], dict[str, Array], Score]:  # fmt: skip
    """Clients, the first model and a score (accuracy) for `federate`."""
    learner = LinearLearner(inputs.shape[1], epochs, learning_rate)
    clients = [LinearClient(learner, inputs[part], labels[part], seed) for part in parts]

    def score(tensors: Tensors, who: int | None) -> float:
        rows = held_out if who is None else parts[who]
        return float(((learner.logits(tensors, inputs[rows]) > 0) == labels[rows].astype(bool)).mean())

    return clients, learner.initial(seed), score


def without_losses(scenario: Scenario) -> Scenario:
    """The control beside a scenario: the same links and deadlines, and nobody vanishes."""
    return replace(scenario, dropout=Scenario().dropout, faults=())
