"""Means that programs ask for, one a training round: what was agreed on, what a payload says, and net's workload.

The payload carries the last mean, so that a party which was away learns it with its next task. What is summed is what a
program contributes: nothing is trained here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final, Self

import numpy as np

from fl_integration.layout import Array, Entry, Layout, PayloadError, dump_payload, load_payload
from fl_integration.plan import Plan, PlanError
from mpc.encoding import Codec, EncodingError
from mpc.field import FieldVector
from mpc.hashing import digest
from protocols.machine import Aggregate
from protocols.session import VectorSpec

KIND: Final = "mean"
"""The `kind` of such a `[training]` table."""

FORMAT: Final = "veilsum-mean/1"

_TENSOR: Final = "mean."
_DTYPES: Final = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")


@dataclass(frozen=True, slots=True)
class Means:
    """The agreed table: how many rounds, which tensors, and how they become vectors."""

    rounds: int
    layout: Layout
    plan: Plan

    @classmethod
    def from_mapping(cls, training: Mapping[str, Any], *, max_weight: int) -> Self:
        """From `[training]`. `run` is not kept: it is there to make another agreement of the same tensors.

        Raises PlanError naming the key.
        """
        table = dict(training)
        if (kind := table.pop("kind", None)) != KIND:
            raise PlanError(f"'kind' is {kind!r}: a program contributes only where it is {KIND!r}")
        rounds, tensors = table.pop("rounds", None), table.pop("tensors", None)
        if type(rounds) is not int or rounds < 1:
            raise PlanError(f"'rounds' is a number of 1 or more, not {rounds!r}")
        if type(run := table.pop("run", 1)) is not int:
            raise PlanError(f"'run' is a whole number, not {run!r}")
        if not isinstance(tensors, dict) or not tensors:
            raise PlanError("'tensors' is a table of name = {shape = [..], dtype = \"f4\"}: write it with mean_table")
        entries = (_entry(name, tensors[name]) for name in sorted(tensors))  # a table's order is not agreed on
        means = cls(rounds, Layout(tuple(entries)), Plan.from_mapping(table, max_weight=max_weight))
        try:
            means.codec(1, b"")
        except EncodingError as exc:
            raise PlanError(str(exc)) from exc
        return means

    def codec(self, clients: int, payload: bytes) -> Codec:
        """How this step's contributions are encoded. Raises EncodingError for numbers that no field holds."""
        return self.plan.codec(self.layout, clients, digest("codec", sha256(payload).digest()))

    def initial(self) -> bytes:
        """The payload of the first step: no mean yet, and zeros in its place."""
        zeros = {entry.name: np.zeros(entry.shape, entry.dtype) for entry in self.layout.entries}
        return State(1, zeros, None).dump()

    def load(self, payload: bytes) -> "State":
        """Raises PayloadError for what `State.dump` did not make, or not for this table."""
        state = State.load(payload)
        if Layout.of(state.tensors) != self.layout or not 1 <= state.fl_round <= self.rounds + 1:
            raise PayloadError("the payload belongs to other tensors or another number of rounds")
        if (state.facts is None) is not (state.fl_round == 1):
            raise PayloadError("the payload's last mean and its step do not fit each other")
        return state


def _entry(name: str, described: Any) -> Entry:
    if not isinstance(described, dict) or described.keys() != {"shape", "dtype"}:
        raise PlanError(f'tensors: {name!r} is {{shape = [..], dtype = "f4"}}, not {described!r}')
    shape, dtype = described["shape"], described["dtype"]
    if not isinstance(shape, list) or any(type(size) is not int or size < 0 for size in shape):
        raise PlanError(f"tensors: the shape of {name!r} is a list of sizes, not {shape!r}")
    if dtype not in _DTYPES:
        raise PlanError(f"tensors: the dtype of {name!r} is one of {', '.join(_DTYPES)}, not {dtype!r}")
    return Entry(name, tuple(shape), dtype)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a sum said beside its tensors."""

    included: tuple[int, ...]
    total_weight: int
    clipped: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a payload says: the input of step `fl_round`. tensors: the mean of the step before, by name.

    facts: None before the first mean; the tensors are zeros then.
    """

    fl_round: int
    tensors: dict[str, Array] = field(repr=False)
    facts: Facts | None

    @classmethod
    def load(cls, payload: bytes) -> "State":
        """Raises PayloadError for anything that `dump` did not make."""
        tensors, meta = load_payload(payload)
        try:
            named = {name.removeprefix(_TENSOR): tensor for name, tensor in tensors.items()}
            state = cls(_whole(meta["fl_round"]), named, None if meta["last"] is None else _facts(meta["last"]))
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise PayloadError(f"not a payload of {FORMAT}: {exc}") from exc
        if meta != state._meta() or any(not name.startswith(_TENSOR) for name in tensors):
            raise PayloadError(f"not a payload of {FORMAT}")
        return state

    def dump(self) -> bytes:
        """Canonical: equal states, equal bytes."""
        return dump_payload({_TENSOR + name: tensor for name, tensor in self.tensors.items()}, self._meta())

    def _meta(self) -> dict[str, Any]:
        facts = self.facts
        last = facts and {
            "included": list(facts.included),
            "total_weight": facts.total_weight,
            "clipped": facts.clipped,
            "metrics": dict(facts.metrics),
        }
        return {"format": FORMAT, "fl_round": self.fl_round, "last": last}


def _facts(last: Mapping[str, Any]) -> Facts:
    return Facts(
        included=tuple(_whole(party) for party in last["included"]),
        total_weight=_whole(last["total_weight"]),
        clipped=_whole(last["clipped"]),
        metrics={str(name): float(value) for name, value in last["metrics"].items()},
    )


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A step that waits for this party's contribution. state: what the others start from, too."""

    state: State
    codec: Codec


class MeanWorkload:
    """One party's part, or the coordinator's when `ask` is None.

    ask: waits for the program's contribution and gives its vector. on_mean: told each state that a sum leads to,
    before it is on disk. Raises EncodingError for more parties than any field holds.
    """

    def __init__(
        self,
        means: Means,
        clients: int,
        ask: Callable[[Asked], FieldVector] | None = None,
        on_mean: Callable[[State], None] = lambda _state: None,
    ) -> None:
        means.codec(clients, b"")
        self._means = means
        self._clients = clients
        self._ask = ask
        self._on_mean = on_mean

    def spec(self, payload: bytes) -> VectorSpec:
        """What this step's vectors look like."""
        codec = self._means.codec(self._clients, payload)
        return VectorSpec(codec.vector_length, codec.field)

    def contribute(self, payload: bytes) -> FieldVector:
        """What the program gives for this step."""
        if self._ask is None:
            raise PlanError("the coordinator contributes nothing")
        return self._ask(Asked(self._means.load(payload), self._means.codec(self._clients, payload)))

    def advance(self, payload: bytes, aggregate: Aggregate) -> bytes:
        """The next payload, the same bytes at every party. Raises mpc's EncodingError for what is no sum."""
        state = self._means.load(payload)
        decoded = self._means.codec(self._clients, payload).decode_sum(aggregate.vector)
        facts = Facts(
            included=tuple(sorted(aggregate.included)),
            total_weight=decoded.total_weight,
            clipped=decoded.clipped,
            metrics=decoded.metrics,
        )
        tensors = self._means.layout.unflatten(decoded.mean)
        following = replace(state, fl_round=state.fl_round + 1, tensors=tensors, facts=facts)
        self._on_mean(following)
        return following.dump()

    def fl_round(self, payload: bytes) -> int:
        """The step that this payload is the input of."""
        return self._means.load(payload).fl_round

    def finished(self, payload: bytes) -> bool:
        """Whether no step is left."""
        return self._means.load(payload).fl_round > self._means.rounds
