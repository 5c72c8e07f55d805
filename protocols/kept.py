"""A contributor's whole state as bytes, and an outcome in types that travel. Secret: whoever reads one can go on.

The same strict codec as on the wire. No generator's state is ever in one (PROTOCOLS rule 16).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeVar

from mpc.field import FieldError, FieldVector
from protocols.errors import AbortReason, DropReason, PartyId, WireError
from protocols.machine import Aborted, Aggregate, Finished
from protocols.session import Terms, VectorSpec
from protocols.standing import Standing
from protocols.wire import Codec, PartySet


@dataclass(frozen=True, slots=True)
class AbortedRecord:
    reason: AbortReason
    cause: DropReason | None
    accused: PartyId | None


@dataclass(frozen=True, slots=True)
class FinishedRecord:
    spec: VectorSpec
    included: PartySet
    vector: bytes = field(repr=False)


T = TypeVar("T")


Ending = AbortedRecord | FinishedRecord


@dataclass(frozen=True, slots=True)
class KeptClient:
    """What a `restore` is made of. state: of the protocol's own classes."""

    me: PartyId
    terms: Terms
    standing: Standing
    state: Any
    input: FieldVector | None = field(repr=False)


class ClientFormat:
    """record: a frozen class with the fields of `KeptClient`, the input packed, whose state may be an `Ending`.
    ended: the state of a session that has ended.
    """

    def __init__(self, record: Any, ended: Callable[[Finished | Aborted], Any]) -> None:
        self._record, self._ended, self._codec = record, ended, Codec(record, own=True)

    def dump(self, me: PartyId, terms: Terms, standing: Standing, state: Any, vector: FieldVector | None) -> bytes:
        spec = terms.spec
        kept = end_record(state.outcome, spec) if hasattr(state, "outcome") else state
        packed = None if vector is None else spec.field.pack(vector)
        return self._codec.encode(self._record(me, terms, standing, kept, packed))

    def load(self, snapshot: bytes) -> KeptClient:
        """Raises WireError unless `snapshot` is one that `dump` wrote."""
        record = self._codec.decode(snapshot)
        kept, spec = record.state, record.terms.spec
        state = self._ended(end_outcome(kept)) if isinstance(kept, Ending) else kept
        vector = None if record.input is None else unpack(record.input, spec, spec.length)
        return KeptClient(record.me, record.terms, record.standing, state, vector)


def end_record(outcome: Finished | Aborted, spec: VectorSpec) -> Ending:
    if isinstance(outcome, Aborted):
        return AbortedRecord(outcome.reason, outcome.cause, outcome.accused)
    return FinishedRecord(spec, outcome.aggregate.included, spec.field.pack(outcome.aggregate.vector))


def end_outcome(record: Ending) -> Finished | Aborted:
    if isinstance(record, AbortedRecord):
        return Aborted(record.reason, record.cause, record.accused)
    return Finished(Aggregate(unpack(record.vector, record.spec, record.spec.length), record.included))


def unpack(packed: bytes, spec: VectorSpec, length: int) -> FieldVector:
    """Raises WireError."""
    try:
        return spec.field.unpack(packed, length)
    except FieldError as exc:
        raise WireError("a snapshot with a damaged vector") from exc


def ascending(members: tuple[T, ...]) -> tuple[T, ...]:
    """A set as a snapshot has it. Raises WireError unless it is in order, each member once: it has one encoding."""
    if any(low >= high for low, high in pairwise(members)):  # type: ignore[operator]  # of a class with an order
        raise WireError("a snapshot with a set that is not in order")
    return members
