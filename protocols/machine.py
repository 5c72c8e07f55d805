"""The one interface between a protocol and whatever drives it: a network, a simulator, a framework, a test.

A driver hands in what arrived and posts what comes out. The machine has no clock, no socket, no file:

    post(machine.start())
    while machine.outcome is None:
        sender, message = next_arrival()
        try:
            post(machine.receive(sender, message))
        except PeerMisbehaved as exc:
            post(machine.drop(exc.sender, exc.reason))

Duties of every driver:

- the sender of a message is authenticated before it gets here;
- after each call of a contributor write its `snapshot()`, where a crash must be survived, and its `ledger`; fsync; and
  only then send what the call returned. A party whose ledger says less than it has sent can be asked a second time. A
  call that returned nothing need not be written, if its message comes again;
- a ledger goes to the next session as the last one left it, and is never brought back from a copy.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol, runtime_checkable

from mpc.field import FieldVector
from protocols.errors import AbortReason, DropReason, PartyId
from protocols.evidence import Evidence, Seen
from protocols.ledger import Caution, Ledger
from protocols.session import SessionParams


class Message(Protocol):
    """A frozen class of `messages.py`. `round` names the protocol round that it belongs to."""

    round: ClassVar[StrEnum]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message and whom it is for. A broadcast is one envelope, encoded once."""

    recipients: tuple[PartyId, ...]
    message: Any  # a Message; each protocol narrows it


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The sum, in the field, of the inputs of `included`. At a client it is what its server said and signed."""

    vector: FieldVector = field(repr=False)
    included: frozenset[PartyId]


@dataclass(frozen=True, slots=True)
class Finished:
    aggregate: Aggregate


@dataclass(frozen=True, slots=True)
class Aborted:
    """No result. `cause` says what the other side did, where it was its doing.

    `accused`: whose secret or bundle did not fit. That party dealt it wrongly, or somebody on the way or among the
    holders changed it: a dispute, not a verdict (PROTOCOLS rule 6).
    """

    reason: AbortReason
    cause: DropReason | None = None
    accused: PartyId | None = None


Outcome = Finished | Aborted


class Machine(Protocol):
    """One participant in one session. Pure: no I/O, no clock, randomness handed in at construction."""

    @property
    def round(self) -> StrEnum:
        """The protocol's own name of where we stand."""

    @property
    def waiting_for(self) -> frozenset[PartyId]:
        """Who could still answer this round."""

    @property
    def can_close(self) -> bool:
        """Whether there are enough answers to go on without the others."""

    @property
    def outcome(self) -> Outcome | None:
        """None while running."""

    def start(self) -> list[Envelope]:
        """The first call, once."""

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        """One authenticated message. Raises PeerMisbehaved or LocalProtocolError; a failed call changes nothing."""

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        """The driver gave `party` up. A client that drops its server has aborted."""

    def close_round(self) -> list[Envelope]:
        """The driver's decision, while `can_close`: drops `waiting_for` and goes on."""

    def abort(self, reason: AbortReason) -> list[Envelope]:
        """Ends the session here, erases the secrets and tells the others."""

    def snapshot(self) -> bytes:
        """Everything that is needed to go on in another process. Secret. Each protocol has its `restore`."""


class Contributor(Machine, Protocol):
    """A machine that has an input, and a party that remembers what it answered."""

    @property
    def ledger(self) -> Ledger:
        """The newest; another object only after a call that changed it."""

    @property
    def warnings(self) -> tuple[Caution, ...]:
        """What its party should read about the sum that it takes part in."""

    def set_input(self, vector: FieldVector) -> None:
        """The encoded vector, once, before the message that needs it is delivered."""


@runtime_checkable
class Witness(Protocol):
    """A contributor that hears a server, so that its party can hold the server's record against what it saw itself."""

    @property
    def seen(self) -> Seen | None:
        """None before it is invited. Read while it runs: what has ended may have forgotten it."""


class Collector(Machine, Protocol):
    """A machine that gathers the others' answers and knows who was dropped, where and why."""

    @property
    def params(self) -> SessionParams:
        """The session as it was proposed."""

    @property
    def dropped(self) -> Mapping[PartyId, tuple[StrEnum, DropReason]]:
        """Party -> (round in which it was lost, why)."""


@runtime_checkable
class GivesEvidence(Protocol):
    """A machine that can show what its session was: all of ours that know who was dropped."""

    @property
    def evidence(self) -> Evidence:
        """As far as the session came; all of it when it is over."""


@runtime_checkable
class HandsOn(Protocol):
    """A machine whose session leaves something to the next one: the keys of its epoch. [PROTOCOLS 3F]"""

    @property
    def epoch(self) -> Any:
        """What the next session's machine is built with, however this one ended; None: that one sets up anew. A
        contributor's is secret, for one machine only, and has a `name` in its ledger."""


class EpochCollector(Collector, HandsOn, Protocol):
    """The server's of an epoch."""


class Peering(Contributor, Collector, Protocol):
    """A machine of a protocol without a server: it contributes, and knows whom it lost."""
