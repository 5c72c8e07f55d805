"""A server that lies: it holds the coordinator's key and says to each real client whatever it likes, well signed."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from mpc.keys import AgreementSecret, SigningKey
from protocols.errors import SERVER, PartyId
from protocols.messages import (
    AdvertiseKeys,
    DeliverShares,
    FallbackRequest,
    Invitation,
    MaskedInput,
    Roster,
    ShareKeys,
    Survivors,
    UnmaskRequest,
    Voucher,
)
from protocols.secagg import Client, bindings
from protocols.secagg.states import AwaitingShares
from protocols.secagg.vouching import Dealing
from simulations.attacks.cast import Cast

Parties = frozenset[PartyId]


def parties(bits: int) -> Parties:
    """The set whose members are the ones of `bits`."""
    return frozenset(PartyId(index) for index in range(bits.bit_length()) if bits >> index & 1)


def bits(members: Iterable[PartyId]) -> int:
    return sum(1 << member for member in members)


def answer(client: Client, message: Any) -> Any:
    """What the client answers its server; None where it says nothing."""
    envelopes = client.receive(SERVER, message)
    return envelopes[0].message if envelopes else None


class Voice:
    """What a coordinator can say in one session, each thing well signed: it holds its own key and its colluders'.

    session: D, once the roster is known.
    """

    room: Cast
    session: bytes

    @property
    def _identity(self) -> SigningKey:
        return self.room.identities[SERVER]

    def shared(self, u2: Parties) -> bytes:
        return bindings.shared_digest(self.session, u2)

    def roster(self, entries: Iterable[AdvertiseKeys]) -> Roster:
        """From here on D is that of these entries, in this order."""
        listed = tuple(entries)
        self.session = bindings.session_digest(self.room.params, listed)
        return Roster(listed, bindings.sign_roster(self._identity, self.session))

    def delivery(
        self, u2: Parties, bundles: Mapping[PartyId, bytes], vouchers: Mapping[PartyId, Voucher] | None = None
    ) -> DeliverShares:
        return DeliverShares(u2, bundles, bindings.sign_u2(self._identity, self.shared(u2)), vouchers or {})

    def survivors(self, u2: Parties, u3: Parties) -> Survivors:
        """This U3, for clients that were shown this U2."""
        return Survivors(u3, bindings.sign_survivors(self._identity, self.shared(u2), u3))

    def confirmed(self, signer: PartyId, u2: Parties, u3: Parties) -> bytes:
        """What the signer would say to these sets: a colluder to any, an honest client to those that it was shown."""
        return bindings.sign_confirmation(self.room.identities[signer], self.shared(u2), u3)

    def fallback(self, dropped: Parties) -> FallbackRequest:
        return FallbackRequest(dropped)


class LyingServer(Voice):
    """The room's clients, all in one U1, stand where their shares have left them; from here on it lies.

    Another U1 for some of them would be another session: D differs, and no bundle of one opens in the other.
    """

    def __init__(self, room: Cast) -> None:
        self.room = room
        self.clients = {me: room.client(me) for me in room.parties}
        self.entries: tuple[AdvertiseKeys, ...] = tuple(
            answer(client, Invitation(room.params)) for client in self.clients.values()
        )
        self.listed = self.roster(self.entries)
        self.shares: dict[PartyId, ShareKeys] = {me: answer(client, self.listed) for me, client in self.clients.items()}
        self.confirmation = cache(self.confirmed)

    def masked(self, me: PartyId, u2: Parties) -> tuple[Client, MaskedInput]:
        """A copy of the client whose input has left for this U2, and what it sent. Raises PeerMisbehaved."""
        return self.shown(self.clients[me], u2)

    def shown(self, client: Client, u2: Parties) -> tuple[Client, MaskedInput]:
        """The same of any client of this session, at the same point of it."""
        after = copy.copy(client)
        said: MaskedInput = answer(after, self.deliver(client._me, u2))
        return after, said

    def self_secret(self, me: PartyId) -> bytes:
        """b of this client."""
        return self._shared_state(me).self_secret

    def mask_secret(self, me: PartyId) -> AgreementSecret:
        """s of this client."""
        return self._shared_state(me).mask_secret

    def _shared_state(self, me: PartyId) -> AwaitingShares:
        state = self.clients[me]._state
        assert isinstance(state, AwaitingShares)
        return state

    def deliver(self, me: PartyId, u2: Parties) -> DeliverShares:
        bundles = {dealer: self.shares[dealer].bundles[me] for dealer in u2 - {me}}
        delivery = self.delivery(u2, bundles)
        if not self.room.params.accountable:
            return delivery
        return replace(delivery, vouchers={dealer: self._vouchers(dealer)[me] for dealer in bundles})

    def _vouchers(self, dealer: PartyId) -> Mapping[PartyId, Voucher]:
        return Dealing.of(self.shares[dealer], self.clients).vouchers(dealer)

    def request(self, signers: Iterable[PartyId], u2: Parties, u3: Parties) -> UnmaskRequest:
        return UnmaskRequest({signer: self.confirmation(signer, u2, u3) for signer in signers})
