"""Parties that cheat in an accountable session, each in one way, and the consortium before which they are judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import Any
from unittest.mock import patch

import numpy as np
from conversation import Room, Talk
from plus_room import PlusRoom

from mpc.field import M31
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange
from protocols.machine import Envelope, Finished, Machine
from protocols.messages import (
    CODEC,
    DroppedReveal,
    FallbackShares,
    MaskKeyReveal,
    Reveal,
    SurvivorReveal,
    UnmaskShares,
)
from protocols.roster import Card, Consortium
from protocols.secagg import Client, bindings, dealing, vouching
from protocols.secagg import client as client_module
from protocols.secagg.shares import SHARE_BYTES
from protocols.secagg.vouching import reveal_tree, reveals_in
from protocols.session import Variant

Answer = UnmaskShares | FallbackShares


class Cheat(Enum):
    """What a party does to its target: deal it, or reveal of it, something wrong."""

    DEALS_BAD_SELF_SHARE = "vouches for a share of b that is off the polynomial"
    DEALS_BAD_MASK_SHARE = "vouches for a share of s that is off the polynomial"
    COMMITS_TO_ANOTHER = "commits to another b than it shares"
    SEALS_ANOTHER = "seals another share than it vouches for"
    REVEALS_WRONG_SHARE = "signs a wrong share beside the digest that it accepted"
    SIGNS_ITS_OWN_DIGEST = "signs a wrong share beside the digest of that share"
    DOES_NOT_SIGN = "reveals without a signature"
    REVEALS_WRONG_SEED = "signs a wrong leaf seed"
    REVEALS_WRONG_MASK_SHARE = "signs a wrong share of s in the fallback"


DEALERS = frozenset(
    {Cheat.DEALS_BAD_SELF_SHARE, Cheat.DEALS_BAD_MASK_SHARE, Cheat.COMMITS_TO_ANOTHER, Cheat.SEALS_ANOTHER}
)


@dataclass(frozen=True)
class Plan:
    """Who does what to whom."""

    cheat: Cheat
    target: PartyId


@dataclass
class AccountableRoom(Room):
    """The cast of one accountable session, all of them members of a consortium with a file."""

    accountable: bool = True
    consortium: Consortium = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.consortium = agree(self)


@dataclass
class AccountablePlusRoom(PlusRoom):
    """The same over a sparse graph; of so few as here, everybody holds of everybody else."""

    accountable: bool = True
    consortium: Consortium = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.consortium = agree(self)


def agree(room: Room) -> Consortium:
    """The file of a consortium of these parties, which their session is one of from now on."""
    consortium = consortium_of(room)
    subject = consortium.subject(room.params.subject.model)
    room.params = replace(room.params, subject=subject)
    room.terms = replace(room.terms, subject=subject)
    return consortium


def consortium_of(room: Room) -> Consortium:
    def card(name: str, party: PartyId) -> Card:
        return Card.issue(name, room.identities[party], b"root of " + name.encode())

    members = tuple(card(f"bank-{party}", party) for party in room.parties)
    return Consortium(
        "banks", 1, members, card("hub", SERVER), room.params.protocol, Variant.ACTIVE, room.colluding, 0, 16, {},
        accountable=True,
    )  # fmt: skip


def other_share(share: bytes) -> bytes:
    """Another share, in the field."""
    limbs = M31.unpack(share, 9)
    return M31.pack(M31.add(limbs, M31.vector([1] * 9)))


def cheating(room: Room, me: PartyId, plan: Plan, make: Callable[[PartyId], Any]) -> Any:
    """The party's machine, as `make` builds an honest one."""
    client = make(me)
    return (DealsWrong if plan.cheat in DEALERS else RevealsWrong)(client, room, plan)


def held(
    room: Room, plans: Mapping[PartyId, Plan], lost: Mapping[int, StrEnum] | None = None, codec: Any = CODEC
) -> "Held":
    """A session with these cheaters in it."""
    machines: dict[PartyId, Machine] = room.machines()
    for me, plan in plans.items():
        machines[me] = cheating(room, me, plan, room.client)
    exchange = Exchange(machines, codec, vanish={PartyId(party): at for party, at in (lost or {}).items()})
    return Held(exchange.run(), machines, exchange)


class Held(Talk):
    """Its server is that of either protocol."""

    @property
    def server(self) -> Any:
        return self.machines[SERVER]


class _Cheater:
    def __init__(self, client: Client, room: Room, plan: Plan) -> None:
        self._client, self._room, self._plan = client, room, plan

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    @property
    def _identity(self) -> Any:
        return self._room.identities[self._client._me]


class DealsWrong(_Cheater):
    """Its dealing is wrong; all else is as it should be."""

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        with patch.object(client_module, "deal", self._deal), patch.object(client_module, "seal_bundles", self._seal):
            return self._client.receive(sender, message)

    def _deal(self, *given: Any, **by_name: Any) -> tuple[bytes, dict[PartyId, bytes]]:
        secret, dealt = dealing.deal(*given, **by_name)
        match self._plan.cheat:
            case Cheat.DEALS_BAD_SELF_SHARE:
                dealt[self._plan.target] = spoiled(dealt[self._plan.target], of_self=True)
            case Cheat.DEALS_BAD_MASK_SHARE:
                dealt[self._plan.target] = spoiled(dealt[self._plan.target], of_self=False)
            case Cheat.COMMITS_TO_ANOTHER:
                secret = other_share(secret)
        return secret, dealt

    def _seal(self, dealt: Mapping[PartyId, bytes], *given: Any) -> dict[PartyId, bytes]:
        if self._plan.cheat is Cheat.SEALS_ANOTHER:
            dealt = {**dealt, self._plan.target: spoiled(dealt[self._plan.target], of_self=True)}
        return dealing.seal_bundles(dealt, *given)


def spoiled(both: bytes, *, of_self: bool) -> bytes:
    of_b, of_s = both[:SHARE_BYTES], both[SHARE_BYTES:]
    return other_share(of_b) + of_s if of_self else of_b + other_share(of_s)


class RevealsWrong(_Cheater):
    """What it reveals of its target is wrong; all else is as it should be."""

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        said = self._client.receive(sender, message)
        return [replace(one, message=self._edited(one.message)) for one in said]

    def _edited(self, message: Any) -> Any:
        if not isinstance(message, UnmaskShares | FallbackShares):
            return message
        if self._plan.cheat is Cheat.DOES_NOT_SIGN:
            return replace(message, signature=b"")
        reveals = reveals_in(message)
        wrong = self._wrong(reveals.get(self._plan.target))
        if wrong is None:
            return message
        changed = _with(message, {**reveals, self._plan.target: wrong})
        if self._plan.cheat is Cheat.SIGNS_ITS_OWN_DIGEST:
            return vouching.answered_for(self._identity, self._shared, self._client._me, changed)
        return signed_beside(self._identity, self._shared, self._client._me, changed, message)

    def _wrong(self, reveal: Reveal | None) -> Reveal | None:
        match self._plan.cheat, reveal:
            case ((Cheat.REVEALS_WRONG_SHARE | Cheat.SIGNS_ITS_OWN_DIGEST), SurvivorReveal(share)):
                return SurvivorReveal(other_share(share))
            case Cheat.REVEALS_WRONG_SEED, DroppedReveal():
                return DroppedReveal(bytes(32))
            case Cheat.REVEALS_WRONG_MASK_SHARE, MaskKeyReveal(share):
                return MaskKeyReveal(other_share(share))
        return None

    @property
    def _shared(self) -> bytes:
        shared: bytes = self._client._state.shared  # type: ignore[union-attr]  # it has revealed
        return shared


def _with(message: Answer, reveals: Mapping[PartyId, Any]) -> Answer:
    return replace(message, **{"reveals" if isinstance(message, UnmaskShares) else "shares": reveals})  # type: ignore[arg-type]


def signed_beside(identity: Any, shared: bytes, me: PartyId, changed: Answer, true: Answer) -> Answer:
    """The changed reveals, signed beside the digests of the true ones: the only ones that the server takes."""
    digests = {
        owner: vouching.share_digest(owner, me, vouching.KINDS[type(reveal)], reveal.share)
        if not isinstance(reveal, DroppedReveal)
        else b""
        for owner, reveal in reveals_in(true).items()
    }
    root = reveal_tree(changed, digests).root
    signature = bindings.sign_reveals(identity, shared, changed.round, me, len(digests), root)
    return replace(changed, signature=signature)


def require_exact(talk: Talk, room: Room, included: set[int]) -> None:
    assert isinstance(talk.outcome, Finished)
    aggregate = talk.outcome.aggregate
    assert aggregate.included == included
    assert np.array_equal(aggregate.vector, room.plain_sum({PartyId(party) for party in included}))
