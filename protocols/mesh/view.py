"""What every step of a peer may look at beside its state: itself, the session, and who is out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from mpc.keys import BadSignature, SigningKey
from protocols.errors import DropReason, PartyId, PeerMisbehaved
from protocols.machine import Envelope
from protocols.mesh import bindings
from protocols.mesh.messages import Equivocation, Message, Round, Signed
from protocols.session import SessionParams, Terms
from protocols.wire import PartySet

M = TypeVar("M", bound=Message)
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Loss:
    """A party is out for us: `round` is where we stood then."""

    round: Round
    reason: DropReason


class Equivocated(Exception):
    """A party signed two different vectors where one belongs. No fault of the message that showed it."""

    def __init__(self, proof: Equivocation) -> None:
        super().__init__(f"party {proof.party} signed two vectors of one session")
        self.proof = proof


@dataclass(frozen=True, slots=True)
class View:
    """lost: who is out here. named: who was convicted by two of its own signatures."""

    me: PartyId
    identity: SigningKey
    terms: Terms
    params: SessionParams
    invite: bytes  # I
    lost: Mapping[PartyId, Loss]
    named: Mapping[PartyId, Equivocation]

    @property
    def floor(self) -> int:
        return max(self.terms.floor, self.params.floor)

    def left(self, parties: Iterable[PartyId]) -> PartySet:
        return frozenset(parties) - self.lost.keys()

    def leader(self, parties: Iterable[PartyId]) -> PartyId:
        """Who proposes: the lowest that is left. We ourselves are always left."""
        return min(self.left(parties))

    def to_all(self, parties: Iterable[PartyId], message: Message) -> list[Envelope]:
        others = tuple(sorted(self.left(parties) - {self.me}))
        return [Envelope(others, message)] if others else []

    def to_leader(self, parties: Iterable[PartyId], message: Message) -> list[Envelope]:
        leader = self.leader(parties)
        return [] if leader == self.me else [Envelope((leader,), message)]

    def sign(self, message: M) -> M:
        return bindings.sign(self.identity, self.invite, message)

    def require_signed(self, by: PartyId, message: Message, *, sender: PartyId) -> None:
        try:
            bindings.verify(self.terms.members[by], self.invite, message)
        except BadSignature as exc:
            name = type(message).__name__
            raise PeerMisbehaved(sender, DropReason.BAD_SIGNATURE, f"{name} not signed by party {by}") from exc

    def require_hash(self, of: Round, under: bytes, party: PartyId, signed: Signed, *, sender: PartyId) -> None:
        try:
            bindings.verify_hash(self.terms.members[party], self.invite, of, under, party, signed)
        except BadSignature as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_SIGNATURE, f"a hash that party {party} did not sign") from exc


def require_under(message_under: bytes, own: bytes, sender: PartyId) -> None:
    """Raises PeerMisbehaved when the sender stands in another session, roster or certificate than we do."""
    if message_under != own:
        raise PeerMisbehaved(sender, DropReason.SPLIT_VIEW, "bound to another roster, set or list than ours")


def require_members(named: Iterable[PartyId], of: Iterable[PartyId], sender: PartyId) -> None:
    if not set(named) <= set(of):
        raise PeerMisbehaved(sender, DropReason.WRONG_SET, "it names parties that are not among us")


def once(state: S, same: bool, sender: PartyId, what: str) -> S:
    """A re-send is the same bytes and changes nothing."""
    if not same:
        raise PeerMisbehaved(sender, DropReason.SECOND_ANSWER, what)
    return state
