"""The facade: open a session, contribute, get the mean. Here with all parties in one process.

The parties are the protocol's own machines, joined in memory, so what a notebook shows is what runs between banks. It
protects nobody, since one process holds every input: it is there to try things out and to test against.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from fl_integration.layout import Layout, Tensors
from mpc.encoding import Encoding, Metric
from mpc.field import FieldVector
from mpc.hashing import digest
from mpc.keys import SigningKey
from mpc.randomness import Randomness, SystemRandomness
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange
from protocols.machine import Aborted, Finished, Machine
from protocols.messages import CODEC, Round
from protocols.secagg import Client, Server
from protocols.session import NO_RECORD, SessionParams, Subject, Terms, VectorSpec, most_colluders

Update = npt.NDArray[Any] | Tensors

_ALONE = "update"  # the name of a single array's one tensor


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
) -> "LocalAggregation":
    """A session of `parties` in this process, for `with`.

    colluding: how many may side with the server (None: the most that the rules allow beside `losses`). clip: each value
    is clipped to -clip..clip and sent with `bits` bits. metrics: name -> (lowest, highest). Raises AggregationError for
    parties, colluding and losses that no threshold fits.
    """
    most = most_colluders(parties, losses)
    if most is None or (colluding or 0) > most or (colluding or 0) < 0:
        stands = "no such session" if most is None else f"at most {most} colluding"
        raise AggregationError(f"{parties} parties that may lose {losses} stand {stands}: change one of the three")
    plan = _Plan(parties, most if colluding is None else colluding, clip, bits, max_weight, dict(metrics or {}))
    return LocalAggregation(plan, SystemRandomness())


@dataclass(frozen=True, slots=True)
class _Plan:
    parties: int
    colluding: int
    clip: float
    bits: int
    max_weight: int
    metrics: dict[str, tuple[float, float]]

    def encoding(self, length: int) -> Encoding:
        return Encoding.fitting(
            length=length,
            clip=self.clip,
            clients=self.parties,
            bits=self.bits,
            max_weight=self.max_weight,
            metrics=tuple(Metric(name, low, high) for name, (low, high) in self.metrics.items()),
        )


@dataclass(slots=True)
class LocalAggregation:
    """One session: each party contributes once, then the mean is taken. Who did not contribute counts as lost."""

    _plan: _Plan
    _rand: Randomness
    _layout: Layout | None = None
    _array: bool = False
    _inputs: dict[PartyId, FieldVector] = field(default_factory=dict, repr=False)
    _result: Mean | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._inputs.clear()

    def contribute(
        self, party: int, update: Update, *, weight: int = 1, metrics: Mapping[str, float] | None = None
    ) -> None:
        """The update of `party` (0, 1, ..): an array, a dict of arrays, or a torch state_dict, alike at all parties.

        Raises AggregationError for a party that is not there or has contributed, LayoutError for another layout than
        the first one's, EncodingError for values, weights and metrics that cannot be encoded.
        """
        if not 0 <= party < self._plan.parties or PartyId(party) in self._inputs or self._result:
            raise AggregationError(f"party {party} is not one of {self._plan.parties} that may still contribute, once")
        tensors = {_ALONE: update} if isinstance(update, np.ndarray) else _arrays(update)
        if self._layout is None:
            self._layout, self._array = Layout.of(tensors), isinstance(update, np.ndarray)
        flat = self._layout.flatten(tensors)
        encoding = self._plan.encoding(self._layout.length)
        self._inputs[PartyId(party)] = encoding.encode(flat, weight=weight, metrics=metrics or {}, rand=self._rand)

    def mean(self) -> Any:
        """The weighted mean, in the form of the updates. Raises AggregationError when too few contributed."""
        return self.result().update

    def result(self) -> Mean:
        """The mean with what travelled beside it. Raises AggregationError when too few contributed."""
        if self._result is None:
            self._result = self._aggregate()
            self._inputs.clear()
        return self._result

    def _aggregate(self) -> Mean:
        if self._layout is None:
            raise AggregationError("nobody has contributed: call contribute() for each party first")
        encoding = self._plan.encoding(self._layout.length)
        machines = self._machines(VectorSpec(encoding.vector_length, encoding.field))
        absent = dict.fromkeys(machines.keys() - self._inputs.keys() - {SERVER}, Round.MASKED_INPUT)
        outcome = Exchange(machines, CODEC, vanish=absent).run()
        if not isinstance(outcome, Finished):
            why = outcome.reason.value if isinstance(outcome, Aborted) else "it did not end"
            raise AggregationError(f"no sum ({why}): {len(self._inputs)} of {self._plan.parties} parties contributed")
        decoded = encoding.decode_sum(outcome.aggregate.vector)
        tensors = self._layout.unflatten(decoded.mean)
        return Mean(
            update=tensors[_ALONE] if self._array else tensors,
            included=frozenset(outcome.aggregate.included),
            total_weight=decoded.total_weight,
            clipped=decoded.clipped,
            metrics=decoded.metrics,
        )

    def _machines(self, spec: VectorSpec) -> dict[PartyId, Machine]:
        seats = [SERVER, *(PartyId(place) for place in range(self._plan.parties))]
        identities = {seat: SigningKey.generate(self._rand) for seat in seats}
        nothing = digest("local")
        subject = Subject(nothing, 1, identities[SERVER].verify_key.raw, nothing, nothing, NO_RECORD)
        members = {seat: identities[seat].verify_key for seat in seats if seat != SERVER}
        terms = Terms(subject, members, spec, self._plan.colluding)
        params = SessionParams(subject, spec, self._rand.bytes(32), self._plan.colluding)
        machines: dict[PartyId, Machine] = {SERVER: Server(params, identity=identities[SERVER], members=members)}
        for seat in members:
            client = Client(seat, identity=identities[seat], terms=terms, rand=self._rand)
            client.set_input(self._inputs.get(seat, spec.field.zeros(spec.length)))
            machines[seat] = client
        return machines


def _arrays(tensors: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """numpy arrays of a mapping whose values are arrays or torch tensors (which this module does not import)."""
    return {
        name: tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else np.asarray(tensor)
        for name, tensor in tensors.items()
    }
