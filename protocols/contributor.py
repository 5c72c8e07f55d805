"""What every contributor does alike that hears one server and stands in one state at a time."""

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import Any, ClassVar, Self

from mpc.field import FieldVector
from mpc.keys import SigningKey
from mpc.randomness import Randomness
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId
from protocols.evidence import Seen, Statement
from protocols.inputs import checked_input
from protocols.kept import ClientFormat
from protocols.ledger import NOTHING_ANSWERED, ONE_VERSION, Caution, Ledger, differencing_key
from protocols.machine import Aborted, Envelope, Outcome
from protocols.session import Terms, domain
from protocols.standing import Standing
from protocols.wire import PartySet


class HearsServer(ABC):
    """One contributor in one session: where it stands, what it has, and what its party's ledger says of both.

    me: its place in the consortium. identity: its long-term key, which must be the one that `terms` names for it.
    ledger: what its party has answered before. local_version: 32 bytes, the version of the rows that the input comes
    from. Raises LocalProtocolError where the identity is another's, or no coordinator is named.

    A protocol names its first and its last class of state, those in which the input is still here, its message that
    ends a session and the form of its snapshots; and it has its table of transitions, `_step`.
    """

    _first: ClassVar[type[Any]]
    _ended: ClassVar[type[Any]]
    _abort: ClassVar[type[Any]]
    _before_masking: ClassVar[tuple[type[Any], ...]]
    _format: ClassVar[ClientFormat]

    def __init__(
        self,
        me: PartyId,
        *,
        identity: SigningKey,
        terms: Terms,
        rand: Randomness,
        ledger: Ledger = NOTHING_ANSWERED,
        local_version: bytes = ONE_VERSION,
    ) -> None:
        if terms.members.get(me) != identity.verify_key:
            raise LocalProtocolError(f"this identity is not the one that the terms name for party {me}")
        self._me = me
        self._identity = identity
        self._terms = terms
        self._server_key = terms.coordinator_key
        self._rand = rand
        self._ledger = ledger
        self._standing = Standing(differencing_key(terms.subject, local_version))
        self._warnings: tuple[Caution, ...] = ()
        self._input: FieldVector | None = None
        self._state: Any = self._first()

    @abstractmethod
    def _step(self, state: Any, message: Any) -> tuple[Any, list[Any]]:
        """The table of transitions: the next state, and what is said. What is not in it is refused."""

    @abstractmethod
    def _opened(self, state: Any) -> bytes | None:
        """The session's name in the ledger, where it is this state that opens it."""

    @abstractmethod
    def _confirmed(self, state: Any) -> Statement | None:
        """What we signed of U3, where this state still knows it."""

    @classmethod
    def restore(cls, snapshot: bytes, *, identity: SigningKey, rand: Randomness, ledger: Ledger) -> Self:
        """Goes on from `snapshot()`. Parameters and terms come from inside it; randomness is new.

        Only from the last snapshot that was taken: from an older one the client would answer a second time, for what
        its server chooses then, which may open its input. The ledger tells: raises LocalProtocolError unless it is the
        one that was written with this snapshot.
        """
        kept = cls._format.load(snapshot)
        params = getattr(kept.state, "params", None)
        if params is not None and params.wire != domain(rand):
            raise LocalProtocolError("a real session goes on with the system's randomness, a seeded one with a seed")
        kept.standing.require_last(ledger, ended=isinstance(kept.state, cls._ended))
        client = cls(kept.me, identity=identity, terms=kept.terms, rand=rand, ledger=ledger)
        client._state, client._input, client._standing = kept.state, kept.input, kept.standing
        return client

    def snapshot(self) -> bytes:
        return self._format.dump(self._me, self._terms, self._standing, self._state, self._input)

    @property
    def ledger(self) -> Ledger:
        """The newest. On disk before what a call returns is sent."""
        return self._ledger

    @property
    def warnings(self) -> tuple[Caution, ...]:
        """What the party should read about the sum that it confirmed, once U3 is fixed. Not in a snapshot."""
        return self._warnings

    @property
    def seen(self) -> Seen | None:
        """None before it is invited and after it has ended."""
        params = getattr(self._state, "params", None)
        return None if params is None else Seen(params, self._confirmed(self._state))

    @property
    def round(self) -> StrEnum:
        round_: StrEnum = self._state.round
        return round_

    @property
    def outcome(self) -> Outcome | None:
        return self._state.outcome if self._has_ended else None

    @property
    def waiting_for(self) -> PartySet:
        return frozenset() if self._has_ended else frozenset({SERVER})

    @property
    def can_close(self) -> bool:
        """A client waits for its server or gives it up; it closes nothing."""
        return False

    @property
    def _has_ended(self) -> bool:
        return isinstance(self._state, self._ended)

    def start(self) -> list[Envelope]:
        return []

    def set_input(self, vector: FieldVector) -> None:
        """The encoded vector, once. Raises LocalProtocolError on another shape, or where it comes too late."""
        if self._input is not None or not isinstance(self._state, self._before_masking):
            raise LocalProtocolError("the input is set once, before the message that needs it is delivered")
        self._input = checked_input(self._terms.spec, vector)

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        if self._has_ended:
            return []
        if sender != SERVER:
            raise LocalProtocolError("a client hears its server only")
        state, said = self._step(self._state, message)
        self._enter(state)
        return [Envelope((SERVER,), one) for one in said]

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        if party != SERVER or self._has_ended:
            return []
        why = AbortReason.SERVER_LOST if reason is DropReason.VANISHED else AbortReason.REFUSED
        return self._end(Aborted(why, reason))

    def close_round(self) -> list[Envelope]:
        raise LocalProtocolError("a client closes no round")

    def abort(self, reason: AbortReason) -> list[Envelope]:
        return [] if self._has_ended else self._end(Aborted(reason))

    def _enter(self, state: Any) -> None:
        """One step on, in the ledger as well. What the next state does not take over is gone, the input with it."""
        self._state, self._standing = state, self._standing.after(self._opened(state))
        self._ledger = self._standing.written(self._ledger, ended=self._has_ended)
        if not isinstance(state, self._before_masking):
            self._input = None

    def _end(self, outcome: Aborted) -> list[Envelope]:
        self._enter(self._ended(outcome))
        return [Envelope((SERVER,), self._abort(outcome.reason, outcome.accused))]

    def _told(self, reason: AbortReason) -> AbortReason:
        """What an unsigned abort of the server can mean here. Once our input left, only a signed U3 says who is in."""
        early = isinstance(self._state, self._before_masking)
        return AbortReason.NOT_INCLUDED if early and reason is AbortReason.NOT_INCLUDED else AbortReason.TOLD
