"""What a process trains, as far as this package sees it."""

from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from mpc.field import FieldVector
from protocols.machine import Aggregate
from protocols.session import VectorSpec, model_digest

PAYLOAD_GROWTH: Final = 2**20  # bytes that a payload may be larger than the one that we hold


class Workload(Protocol):
    """Turns a payload (opaque bytes: the model and where its training stands) into a contribution, and a sum into the
    next payload. Calls may take seconds: they run in a thread, one at a time."""

    def spec(self, payload: bytes) -> VectorSpec:
        """The vector that this step sums."""

    def contribute(self, payload: bytes) -> FieldVector:
        """Trains on what this process holds and encodes the result. A coordinator's never gets this call."""

    def advance(self, payload: bytes, aggregate: Aggregate) -> bytes:
        """The next payload. Deterministic: every party and the coordinator compute the same bytes.

        Raises ValueError when none follows from this sum: the session then counts as aborted, and the payload stays.
        """

    def fl_round(self, payload: bytes) -> int:
        """The training step, counted from 1, that this payload is the input of. Raises ValueError on other bytes."""

    def finished(self, payload: bytes) -> bool:
        """Whether no step is left."""


@runtime_checkable
class KnowsItsInput(Protocol):
    """What a workload may say besides, so that a party's ledger knows which inputs are the same.

    One that does not is taken for one that trains in another way each time, from rows that never change.
    """

    @property
    def local_version(self) -> bytes:
        """32 bytes: equal for equal rows."""

    def retrains(self, payload: bytes) -> bool:
        """Whether this step can contribute another input from the same rows. Statistics cannot."""

    def contribute_again(self, payload: bytes) -> FieldVector:
        """`contribute`, otherwise than any process of this party did before."""


class WorkloadRefused(Exception):
    """The workload cannot go on from this sum, or read this payload; the text says why."""


@dataclass(frozen=True, slots=True)
class Held:
    """A payload that this process holds, and what is asked of it again and again."""

    payload: bytes = field(repr=False)
    digest: bytes
    fl_round: int
    finished: bool

    @classmethod
    def of(cls, workload: Workload, payload: bytes) -> "Held":
        """Reads the whole payload: for a thread."""
        return cls(payload, model_digest(payload), workload.fl_round(payload), workload.finished(payload))

    @classmethod
    def received(cls, workload: Workload, payload: bytes) -> "Held":
        """`of` bytes that another process sent. Raises WorkloadRefused."""
        try:
            return cls.of(workload, payload)
        except ValueError as exc:
            raise WorkloadRefused(str(exc)) from exc

    def advanced(self, workload: Workload, aggregate: Aggregate) -> "Held":
        """What follows from the sum: for a thread. Raises WorkloadRefused."""
        try:
            return Held.of(workload, workload.advance(self.payload, aggregate))
        except ValueError as exc:
            raise WorkloadRefused(str(exc)) from exc
