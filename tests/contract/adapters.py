"""One harness for each adapter, by name, and what the harnesses share.

A harness is made with (folder, scene), where it takes a plan also with compression, and has

    run(rounds, lose)     -> Outcome. lose: for each round, place -> the stage at which it is lost
    carried               the bytes of everything that left a party
    wire                  the protocol's messages in them
    names                 what the framework's own records, arrays and headers in them were called
    plain()               the bytes of the same step without a secure sum, which shows what the scan must find
"""

from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from unittest.mock import patch

import numpy as np
from scenes import BITS, CLIP, LOSS, LOSSES, MAX_WEIGHT, PARTIES, Outcome

import veilsum
from fl_integration import aggregation
from fl_integration.aggregation import Mean
from fl_integration.layout import Layout, dump_payload
from fl_integration.means import Means, MeanWorkload
from mpc.randomness import SystemRandomness
from protocols import masking
from protocols.errors import SERVER
from protocols.exchange import Exchange
from protocols.machine import Aggregate

# name -> (what must be installed, module, class)
_HOMES = {
    "facade": ("numpy", "adapters", "Facade"),
    "flower": ("flwr", "flower_adapter", "Flower"),
    "flare": ("nvflare", "flare_adapter", "Flare"),
    "torch": ("torch", "torch_adapter", "TorchLoop"),
    "sklearn": ("sklearn", "estimator_adapter", "Estimator"),
}
NAMES = tuple(_HOMES)


def installed(name):
    return find_spec(_HOMES[name][0]) is not None


def load(name):
    """The harness's class. Its framework is imported with it, which takes seconds."""
    _, module, kind = _HOMES[name]
    return getattr(import_module(module), kind)


@contextmanager
def vectors_before_masking(*, unmasked=False):
    """The packed vector of every party that masked one, in this process. unmasked: nothing is added to them."""
    seen = []
    plain = masking.mask

    def watched(vector, spec_field, **said):
        seen.append(spec_field.pack(vector))
        if not unmasked:
            plain(vector, spec_field, **said)

    with patch.object(masking, "mask", watched):
        yield seen


class InProcess:
    """What the adapters share whose machines meet in one process: the exchange between them is what carries."""

    def __init__(self, folder, scene):
        self.scene = scene
        self.carried, self.names = [], set()
        self.wire = self.carried

    @contextmanager
    def tapped(self):
        def tap(sender, recipient, data):
            if sender != SERVER:
                self.carried.append(data)

        with patch.object(aggregation, "Exchange", partial(Exchange, tap=tap)):
            yield


class Plainly:
    """An aggregate that carries each contribution as it is, and averages it."""

    def __init__(self):
        self.carried = []

    def __call__(self, contributions, lose):
        total = sum(given.weight for given in contributions.values())
        for given in contributions.values():
            self.carried.append(dump_payload(given.update, {"weight": given.weight, **given.metrics}))
        names = next(iter(contributions.values())).update
        mean = {
            name: sum(one.weight * one.update[name].astype(np.float64) for one in contributions.values()) / total
            for name in names
        }
        return Mean(mean, frozenset(contributions), total, 0, {})


class Facade(InProcess):
    """`veilsum.local`: one session a round, as a program would use it: it gives differences and adds their mean.

    Booleans have none: they are given as they are.
    """

    def run(self, rounds=1, lose=()):
        tensors, metrics, given, failures = self.scene.model, {}, [], []
        for fl_round in range(rounds):
            try:
                mean = self._mean(tensors, lose[fl_round] if fl_round < len(lose) else {})
            except veilsum.AggregationError as exc:
                failures.append(f"{type(exc).__name__}: {exc}")
                continue
            tensors = {name: mean.update[name] if _is_bool(old) else old + mean.update[name]
                       for name, old in tensors.items()}  # fmt: skip
            metrics = dict(mean.metrics)
            given.append(self.scene)
        return Outcome(tensors, metrics, tuple(given), tuple(failures))

    def _mean(self, start, lose):
        with (
            self.tapped(),
            veilsum.local(
                parties=PARTIES,
                losses=LOSSES,
                clip=CLIP,
                bits=BITS,
                max_weight=MAX_WEIGHT,
                metrics={"loss": LOSS},
                lose={place: stage.value for place, stage in lose.items()},
            ) as session,
        ):
            for place, weight in enumerate(self.scene.weights()):
                metrics = {"loss": self.scene.losses[place]}
                new = self.scene.trained(start, place)
                update = {name: new[name] if _is_bool(old) else new[name] - old for name, old in start.items()}
                session.contribute(place, update, weight=weight, metrics=metrics)
            return session.result()

    def plain(self):
        """As a program would send it that has no facade."""
        for place in range(PARTIES):
            said = {"rows": self.scene.rows[place], "loss": self.scene.losses[place]}
            yield dump_payload(self.scene.trained(self.scene.model, place), said)


class AgreedTable:
    """What programs with `veilsum.connect` sum: the workload of their table, without the network that carries it."""

    def __init__(self, folder, scene, **compression):
        tensors = {entry.name: {"shape": [*entry.shape], "dtype": entry.dtype}
                   for entry in Layout.of(scene.model).entries}  # fmt: skip
        table = scene.training(kind="mean", rounds=1, tensors=tensors, **compression)
        self.scene, self.means = scene, Means.from_mapping(table, max_weight=MAX_WEIGHT)
        self.wire = []

    def run(self):
        payload = self.means.initial()
        workloads = [MeanWorkload(self.means, PARTIES, partial(self._encoded, place)) for place in range(PARTIES)]
        spec = workloads[0].spec(payload)
        total = spec.field.zeros(spec.length)
        for workload in workloads:
            vector = workload.contribute(payload)
            self.wire.append(spec.field.pack(vector))
            spec.field.add(total, vector, out=total)
        after = self.means.load(workloads[0].advance(payload, Aggregate(total, frozenset(range(PARTIES)))))
        moved = {name: old + after.tensors[name] for name, old in self.scene.model.items()}
        return Outcome(moved, after.facts.metrics, (self.scene,))

    def _encoded(self, place, asked):
        flat = self.means.layout.flatten(self.scene.steps[place])
        weight, metrics = self.scene.weights()[place], {"loss": self.scene.losses[place]}
        return asked.codec.encode(flat, weight=weight, metrics=metrics, rand=SystemRandomness())


def _is_bool(tensor):
    return tensor.dtype == bool
