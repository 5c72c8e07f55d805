"""A session over a framework that knows only requests and their answers: the server asks, each node answers.

A node may be a new process for each request: what it knows between two of them is a snapshot, which the framework
keeps, and its ledger, which it keeps itself. Both halves carry packets: the wire messages for one recipient, in order.
"""

import logging
from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Generic, Protocol, TypeVar

from fl_integration.step import Step
from mpc.field import FieldVector
from mpc.hashing import kdf
from mpc.keys import ChannelKey, SigningKey
from mpc.randomness import Randomness, SystemRandomness
from mpc.sealing import SealBroken, open_sealed, seal
from protocols.errors import SERVER, AbortReason, LocalProtocolError, PartyId, PeerMisbehaved, WireError
from protocols.ledger import Keeper, Ledger
from protocols.machine import Aborted, Envelope, Outcome
from protocols.messages import CODEC, Abort, AdvertiseKeys, Invitation, Message, Result, Round
from protocols.roster import Consortium
from protocols.secagg import Client, Server
from protocols.session import Subject, Terms, Variant, VectorSpec

log = logging.getLogger("veilsum.asking")

A = TypeVar("A", bound=Hashable)
"""How the framework names a node."""

_SALT_BYTES: Final = 32
_NO_KEY: Final = "the key of this session's state is gone: the session is over here, join the next one"

Packet = list[bytes]

Ask = Callable[[Round, Mapping[A, Packet]], Iterable[tuple[A, Packet]]]
"""Sends each node its packet and yields the answers as they come, each once. It ends when nobody is left to wait for
or its patience is over: who has not answered by then is lost to this session."""


class AskingError(ValueError):
    """A session that cannot be held over a framework. One line: why, and the remedy."""


# --- the server's half ---


class Questioner(Generic[A]):
    """The server's half: one object for as many sessions as the training has sums.

    identity: the coordinator's. Raises AskingError for a consortium whose parties do not sign what they say.
    """

    def __init__(self, consortium: Consortium, identity: SigningKey, rand: Randomness | None = None) -> None:
        if consortium.variant is not Variant.ACTIVE:
            raise AskingError(f"{consortium.name} uses the {consortium.variant.value} variant: take the active one")
        if consortium.protocol != "secagg" or consortium.rounds_per_epoch != 1:
            raise AskingError(
                f"{consortium.name} agreed on {consortium.protocol}: over a framework take secagg, one round"
            )
        if consortium.head.verify_key != identity.verify_key:
            raise AskingError(f"this identity is not the coordinator of {consortium.name}: name the right key file")
        self._consortium = consortium
        self._identity = identity
        self._rand = rand or SystemRandomness()
        self.undelivered: dict[A, Packet] = {}
        """What is for a node and waits for no answer: it travels with the node's next packet."""

    def hold_session(self, step: Step, nodes: Sequence[A], ask: Ask[A]) -> "Held[A]":
        """One sum over `nodes`, from the invitation to its outcome."""
        params = self._consortium.params(self._consortium.subject(step.digest), step.spec, self._rand.bytes(32))
        server = Server(params, identity=self._identity, members=self._consortium.members_by_id)
        return _Asking(server, self._consortium.members_by_id, nodes, ask, self.undelivered).run()


@dataclass(frozen=True, slots=True)
class Held(Generic[A]):
    """A session that is over. included: the nodes in the sum. lost: node -> the round whose answer never came."""

    outcome: Outcome
    included: frozenset[A]
    lost: Mapping[A, Round]


class _Asking(Generic[A]):
    """One session: each round one packet to each node that is still in it."""

    def __init__(
        self, server: Server, members: Container[PartyId], nodes: Sequence[A], ask: Ask[A], ready: dict[A, Packet]
    ) -> None:
        self._server = server
        self._members = members
        self._nodes = tuple(nodes)
        self._ask = ask
        self._ready = ready
        self._node_of: dict[PartyId, A] = {}
        self._party_of: dict[A, PartyId] = {}
        self._lost: dict[A, Round] = {}

    def run(self) -> Held[A]:
        self._post(self._server.start())
        while self._server.outcome is None:
            self._hold_round()
            server = self._server
            self._post(server.close_round() if server.can_close else server.abort(AbortReason.TOO_FEW))
        included = frozenset(self._node_of[party] for party in self._server.u3)
        return Held(self._server.outcome, included, self._lost)

    def _hold_round(self) -> None:
        """Asks, and takes what comes. An answer is forgotten before the next one is looked at."""
        round_ = self._server.round
        asked = self._waited_for()
        missing = set(asked)
        for node, packet in self._ask(round_, {node: self._ready.pop(node) for node in asked}):
            if node in missing and self._take(node, packet):
                missing.remove(node)
        self._lost |= dict.fromkeys(missing, round_)

    def _waited_for(self) -> list[A]:
        if self._server.round is Round.ADVERTISE:
            return list(self._nodes)
        return [self._node_of[party] for party in sorted(self._server.waiting_for)]

    def _take(self, node: A, packet: Packet) -> bool:
        """Whether the node stays in the session. A message is decoded when all before it were taken: the first that is
        not ends the packet, however many follow."""
        for data in packet:
            try:
                message = CODEC.decode(data)
            except WireError as exc:
                log.warning("node %s is out of this session: %s", node, exc)
                return False
            if isinstance(message, Abort):
                log.warning("node %s left this session: %s", node, message.reason.value)
            party = self._party(node, message)
            if party is None or not self._receive(node, party, message):
                return False
        return bool(packet)

    def _party(self, node: A, message: Message) -> PartyId | None:
        """Who the node is in this session: in its first message it says so, and signs it. None: nobody, or taken."""
        if (known := self._party_of.get(node)) is not None:
            return known
        if not isinstance(message, AdvertiseKeys) or message.client in self._node_of:
            return None
        return message.client if message.client in self._members else None

    def _receive(self, node: A, party: PartyId, message: Message) -> bool:
        try:
            self._post(self._server.receive(party, message))
        except PeerMisbehaved as exc:
            log.warning("node %s is out of this session: %s", node, exc)
            if party in self._node_of:  # one that only claimed to be this party cannot put it out
                self._post(self._server.drop(party, exc.reason))
            return False
        self._node_of[party], self._party_of[node] = node, party
        return party not in self._server.dropped

    def _post(self, envelopes: list[Envelope]) -> None:
        for envelope in envelopes:
            message = envelope.message
            # the sum itself goes out once, as the framework's next model: here a node only learns that it may forget
            data = CODEC.encode(Abort(AbortReason.STOPPED, None) if isinstance(message, Result) else message)
            everybody = isinstance(message, Invitation)
            nodes = self._nodes if everybody else [self._node_of[p] for p in envelope.recipients if p in self._node_of]
            for node in nodes:
                self._ready.setdefault(node, []).append(data)


# --- a node's half ---


class Vault(Protocol):
    """Where a node keeps the key of one session: fresh for each, gone at its end. [PROTOCOLS rule 12]"""

    def read(self) -> ChannelKey | None:
        """None where no session is open."""

    def write(self, key: ChannelKey) -> None:
        """In place of the last one. Returns when it is on disk."""

    def erase(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Seat:
    """A node's place, all of it from its own files. terms: what it accepts for a subject and a vector.

    keeper: where its ledger lies. vault: where the key lies that its snapshots are sealed under. Nothing of this is
    ever taken from a message.
    """

    me: PartyId
    identity: SigningKey
    consortium: Consortium
    terms: Callable[[Subject, VectorSpec], Terms]
    keeper: Keeper
    vault: Vault
    rand: Randomness = field(default_factory=SystemRandomness, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node sends back, and what the framework keeps for it until the next request.

    snapshot: sealed, so that whoever keeps it neither reads nor changes it; empty once the session is over here.
    refused: in words, why this node left the session, or None.
    """

    packet: Packet = field(repr=False)
    snapshot: bytes = field(repr=False)
    refused: str | None = None


Prepare = Callable[[], tuple[Step, FieldVector]]
"""Trains on the model that came with the invitation. Called once, before anything is signed."""


def answer(seat: Seat, packet: Sequence[bytes], snapshot: bytes | None, prepare: Prepare) -> Answer:
    """A node's answer to one request. The ledger is on disk when this returns.

    Raises WireError for what is no packet, LocalProtocolError where the snapshot is not the newest one of this node
    (an invitation starts anew and needs none), and what `prepare` raises.
    """
    messages = [CODEC.decode(data) for data in packet]
    invited = any(isinstance(message, Invitation) for message in messages)
    prepared = prepare() if invited else None
    with seat.keeper.held():
        sitting = _Sitting(seat, seat.keeper.read(), None if invited else snapshot)
        for message in messages:
            if isinstance(message, Invitation) and prepared is not None:
                sitting.begin(*prepared)
            sitting.hear(message)
        return sitting.rise()


class _Sitting:
    """From one request to its answer."""

    def __init__(self, seat: Seat, ledger: Ledger, snapshot: bytes | None) -> None:
        self._seat = seat
        self._ledger = ledger
        self._client: Client | None = None
        if snapshot:
            state = _opened(seat.vault, snapshot)
            self._client = Client.restore(state, identity=seat.identity, rand=seat.rand, ledger=ledger)
        self._packet: Packet = []
        self._refused: str | None = None

    def begin(self, step: Step, vector: FieldVector) -> None:
        """A new session. One that was still open is given up: no snapshot of it is ever taken up again."""
        seat = self._seat
        self._ledger = (self._client.ledger if self._client else self._ledger).burnt()
        terms = seat.terms(seat.consortium.subject(step.digest), step.spec)
        if step.evaluation:  # it says the same each time: there is no other input to give (PROTOCOLS rule 14)
            terms = replace(terms, retries_after_reveal=0)
        self._client = Client(seat.me, identity=seat.identity, terms=terms, rand=seat.rand, ledger=self._ledger)
        self._client.set_input(vector)
        seat.vault.write(ChannelKey.generate(seat.rand))

    def hear(self, message: Message) -> None:
        if not self._client:
            if not isinstance(message, Abort):  # what it would end is over already
                log.warning("a message of a session that this node is not in: %s", type(message).__name__)
            return
        try:
            envelopes = self._client.receive(SERVER, message)
        except PeerMisbehaved as exc:
            self._refused = str(exc)
            envelopes = self._client.drop(SERVER, exc.reason)
        self._packet += [CODEC.encode(envelope.message) for envelope in envelopes]

    def rise(self) -> Answer:
        if not self._client:
            return Answer([], b"", "this node is in no session")
        self._seat.keeper.write(self._client.ledger)
        for caution in self._client.warnings:
            log.warning("%s", caution)
        return Answer(self._packet, self._snapshot(self._client), self._refused)

    def _snapshot(self, client: Client) -> bytes:
        if client.outcome:
            self._seat.vault.erase()
            return b""
        return _sealed(self._seat, client.snapshot())


def _sealed(seat: Seat, snapshot: bytes) -> bytes:
    """Under a key of its own, that of the session and a salt."""
    if (key := seat.vault.read()) is None:
        raise LocalProtocolError(_NO_KEY)
    salt = seat.rand.bytes(_SALT_BYTES)
    return salt + seal(_snapshot_key(key, salt), snapshot)


def _opened(vault: Vault, sealed: bytes) -> bytes:
    """Raises LocalProtocolError for what this node did not seal in this session."""
    if (key := vault.read()) is None:
        raise LocalProtocolError(_NO_KEY)
    salt, body = sealed[:_SALT_BYTES], sealed[_SALT_BYTES:]
    try:
        return open_sealed(_snapshot_key(key, salt), body)
    except SealBroken as exc:
        raise LocalProtocolError(
            "the state that the framework brought is not the one of this session, or was changed: join the next session"
        ) from exc


def _snapshot_key(key: ChannelKey, salt: bytes) -> ChannelKey:
    return ChannelKey(kdf(key.raw, "snapshot", salt))


def why_aborted(outcome: Aborted) -> str:
    """For people."""
    return outcome.reason.value if outcome.cause is None else f"{outcome.reason.value}: {outcome.cause.value}"
