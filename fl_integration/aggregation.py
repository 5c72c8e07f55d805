"""The facade: open a session, contribute, get the mean. Here with all parties in one process.

The parties are the protocol's own machines, joined in memory, so what a notebook shows is what runs between banks. It
protects nobody, since one process holds every input: it is there to try things out and to test against.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any, Self

from fl_integration.forms import Form, Update, tensors_of
from fl_integration.layout import Layout
from fl_integration.plan import Plan
from fl_integration.waiting import in_thread
from mpc.encoding import Codec, EncodingError
from mpc.field import FieldVector
from mpc.hashing import digest
from mpc.keys import SigningKey
from mpc.randomness import Randomness, SystemRandomness
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange
from protocols.machine import Aborted, Aggregate, Finished, Machine
from protocols.messages import CODEC, Round
from protocols.secagg import Client, Server
from protocols.session import NO_RECORD, SessionParams, Subject, Terms, VectorSpec, domain, most_colluders

_STAGES = tuple(Round)[: tuple(Round).index(Round.FALLBACK)]
_SEED_BYTES = 32


class AggregationError(Exception):
    """There is no mean. One line says why and what would help; nothing of any input was learnt."""


@dataclass(frozen=True, slots=True)
class Mean:
    """What the sum says, and nothing of any one party.

    update: the weighted mean, in the form of the updates. included: the parties in it. clipped: values that the
    encoding cut to its range, over all of them.
    """

    update: Any
    included: frozenset[int]
    total_weight: int
    clipped: int
    metrics: Mapping[str, float]


def local(
    *,
    parties: int,
    colluding: int | None = None,
    losses: int = 0,
    clip: float = 1.0,
    bits: int = 16,
    max_weight: int = 16,
    metrics: Mapping[str, tuple[float, float]] | None = None,
    compress: Mapping[str, Any] | None = None,
    lose: Mapping[int, str] | None = None,
    rand: Randomness | None = None,
) -> "LocalAggregation":
    """A session of `parties` in this process, for `with` or `async with`.

    colluding: how many may side with the server (None: the most that the rules allow beside `losses`). clip: each
    value is clipped to -clip..clip and sent with `bits` bits; whole numbers keep their units. metrics: name ->
    (lowest, highest). compress: rotate, keep, sketch, norm, wrap, correlation, see docs/compression.md. lose: party ->
    the stage (advertise, share, masked-input, confirm, unmask) before whose message it is lost. rand: a seeded one
    makes a simulation repeatable. Raises AggregationError for parties, colluding and losses that no threshold fits, or
    an unknown stage, and PlanError for an unknown compression.
    """
    most = most_colluders(parties, losses)
    if most is None or (colluding or 0) > most or (colluding or 0) < 0:
        stands = "no such session" if most is None else f"at most {most} colluding"
        raise AggregationError(f"{parties} parties that may lose {losses} stand {stands}: change one of the three")
    numbers = {"clip": clip, "bits": bits, "metrics": dict(metrics or {}), **(compress or {})}
    plan = Plan.from_mapping(numbers, max_weight=max_weight)
    lost = _lost_at(lose or {}, parties)
    return LocalAggregation(plan, parties, most if colluding is None else colluding, lost, rand or SystemRandomness())


def _lost_at(lose: Mapping[int, str], parties: int) -> dict[PartyId, Round]:
    for party, stage in lose.items():
        if stage not in _STAGES:
            raise AggregationError(f"{stage!r} is no stage: parties are lost at {', '.join(_STAGES)}")
        if not 0 <= party < parties:
            raise AggregationError(f"party {party} cannot be lost: there are 0 to {parties - 1}")
    return {PartyId(party): Round(stage) for party, stage in lose.items()}


@dataclass(slots=True)
class LocalAggregation:
    """One session: each party contributes once, then the mean is taken. Who did not contribute counts as lost.

    Calls may come from several threads. `async with` gives the same calls to be awaited.
    """

    _plan: Plan
    _parties: int
    _colluding: int
    _lose: Mapping[PartyId, Round]
    _rand: Randomness
    _contributed: set[PartyId] = field(default_factory=set)
    _sum: "_Sum | None" = None
    _result: Mean | str | None = None  # text: why there is none
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._sum = None
            self._result = self._result or "the session is closed: open another one"

    async def __aenter__(self) -> "AwaitableLocal":
        return AwaitableLocal(self)

    async def __aexit__(self, *_: object) -> None:
        await in_thread(self.__exit__)

    def contribute(
        self, party: int, update: Update, *, weight: int = 1, metrics: Mapping[str, float] | None = None
    ) -> None:
        """The update of `party` (0, 1, ..): an array, a list or a mapping of arrays, or a torch state_dict.

        Alike at all parties. It is encoded before this returns, and not kept.

        Raises AggregationError for a party that is not there or has contributed, LayoutError for another layout than
        the first one's, EncodingError for values, weights and metrics that cannot be encoded.
        """
        with self._lock:
            if not 0 <= party < self._parties or party in self._contributed or self._result:
                raise AggregationError(f"party {party} is not one of {self._parties} that may still contribute, once")
            tensors = tensors_of(update)
            opened = self._sum or self._open(update, Layout.of(tensors))
            flat = opened.layout.flatten(tensors)
            vector = opened.codec.encode(flat, weight=weight, metrics=metrics or {}, rand=self._rand)
            opened.inputs[PartyId(party)] = vector
            self._sum = opened
            self._contributed.add(PartyId(party))

    def mean(self) -> Any:
        """The weighted mean, in the form of the updates. Raises AggregationError when too few contributed."""
        return self.result().update

    def result(self) -> Mean:
        """The mean with what travelled beside it. Raises AggregationError when too few contributed, or too many were
        lost: the session is over then, and nobody contributes to it again."""
        with self._lock:
            if self._result is None:
                self._result = self._outcome()
                self._sum = None
        if isinstance(self._result, str):
            raise AggregationError(self._result)
        return self._result

    def _open(self, update: Update, layout: Layout) -> "_Sum":
        codec = self._plan.codec(layout, self._parties, self._rand.bytes(_SEED_BYTES))
        return _Sum(Form.of(update), layout, codec)

    def _outcome(self) -> Mean | str:
        opened = self._sum
        if opened is None:
            raise AggregationError("nobody has contributed: call contribute() for each party first")
        machines = self._machines(opened)
        # who gave no input cannot be lost after its input left
        absent = dict.fromkeys(machines.keys() - self._contributed - {SERVER}, Round.MASKED_INPUT)
        early = {seat: stage for seat, stage in self._lose.items() if stage in (Round.ADVERTISE, Round.SHARE)}
        outcome = Exchange(machines, CODEC, vanish={**self._lose, **absent, **early}).run()
        if not isinstance(outcome, Finished):
            why = outcome.reason.value if isinstance(outcome, Aborted) else "it did not end"
            return f"no sum ({why}): {len(self._contributed)} of {self._parties} parties contributed"
        try:
            return opened.mean(outcome.aggregate)
        except EncodingError as exc:
            return f"no mean: {exc}"

    def _machines(self, opened: "_Sum") -> dict[PartyId, Machine]:
        """All of them. The inputs are handed over one by one, so that each lies in memory once."""
        spec = VectorSpec(opened.codec.vector_length, opened.codec.field)
        seats = [SERVER, *(PartyId(place) for place in range(self._parties))]
        identities = {seat: SigningKey.generate(self._rand) for seat in seats}
        nothing = digest("local")
        subject = Subject(nothing, 1, identities[SERVER].verify_key.raw, nothing, nothing, NO_RECORD)
        members = {seat: identities[seat].verify_key for seat in seats if seat != SERVER}
        terms = Terms(subject, members, spec, self._colluding)
        params = SessionParams(subject, spec, self._rand.bytes(_SEED_BYTES), self._colluding, wire=domain(self._rand))
        machines: dict[PartyId, Machine] = {SERVER: Server(params, identity=identities[SERVER], members=members)}
        for seat in members:
            client = Client(seat, identity=identities[seat], terms=terms, rand=self._rand)
            client.set_input(opened.inputs.pop(seat) if seat in opened.inputs else spec.field.zeros(spec.length))
            machines[seat] = client
        return machines


@dataclass(frozen=True, slots=True)
class _Sum:
    """What the first contribution settles, and the inputs until the mean is taken."""

    form: Form
    layout: Layout
    codec: Codec
    inputs: dict[PartyId, FieldVector] = field(default_factory=dict, repr=False)

    def mean(self, aggregate: Aggregate) -> Mean:
        decoded = self.codec.decode_sum(aggregate.vector)
        return Mean(
            update=self.form.restored(self.layout.unflatten(decoded.mean)),
            included=frozenset(aggregate.included),
            total_weight=decoded.total_weight,
            clipped=decoded.clipped,
            metrics=decoded.metrics,
        )


@dataclass(frozen=True, slots=True)
class AwaitableLocal:
    """A `LocalAggregation` whose calls are awaited, under asyncio as under trio. They raise the same errors."""

    _session: LocalAggregation

    async def contribute(
        self, party: int, update: Update, *, weight: int = 1, metrics: Mapping[str, float] | None = None
    ) -> None:
        """As in `LocalAggregation`."""
        await in_thread(partial(self._session.contribute, party, update, weight=weight, metrics=metrics))

    async def mean(self) -> Any:
        """As in `LocalAggregation`."""
        return await in_thread(self._session.mean)

    async def result(self) -> Mean:
        """As in `LocalAggregation`."""
        return await in_thread(self._session.result)
