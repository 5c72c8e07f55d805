"""A coordinator of the real secagg that lies by script: what it says is well signed, and what it hears it keeps."""

from collections.abc import Iterable, Mapping, Sequence

from mpc.field import FieldVector
from mpc.keys import AgreementSecret
from protocols.errors import SERVER, PartyId
from protocols.machine import Envelope
from protocols.messages import (
    AdvertiseKeys,
    Confirm,
    DeliverShares,
    FallbackShares,
    Invitation,
    MaskedInput,
    ShareKeys,
    UnmaskRequest,
    UnmaskShares,
)
from protocols.secagg import Client, Server, snapshots
from protocols.secagg.states import AwaitingSurvivors
from protocols.wire import PartySet
from simulations.attacks.cast import Cast
from simulations.attacks.holdings import Holdings
from simulations.attacks.lying import Voice
from simulations.attacks.scripted import NOBODY, Script, said


class Coordinator(Voice):
    """A round a method, each a part of a script; an attack strings them together and departs from them where it lies.

    colluders: clients that follow the protocol and show the coordinator their memory. u2: those who shared their keys.
    """

    def __init__(self, room: Cast, colluders: Mapping[PartyId, Client]) -> None:
        self.room, self._colluders = room, colluders
        self.u2: PartySet = NOBODY
        self.entries: dict[PartyId, AdvertiseKeys] = {}
        self.shares: dict[PartyId, ShareKeys] = {}
        self.masked: dict[PartyId, FieldVector] = {}
        self.confirmations: dict[tuple[PartyId, PartySet], bytes] = {}

    @property
    def parties(self) -> tuple[PartyId, ...]:
        return self.room.parties

    @property
    def honest(self) -> tuple[PartyId, ...]:
        return tuple(party for party in self.parties if party not in self._colluders)

    def until_masked(self) -> Script[None]:
        """As it should be, up to the masked inputs of everybody."""
        yield from self.invite()
        yield from self.show_roster()
        yield from self.deliver()

    def invite(self) -> Script[None]:
        heard = yield [Envelope(self.parties, Invitation(self.room.params))]
        self.entries |= said(heard, AdvertiseKeys)

    def show_roster(self, to: Sequence[PartyId] = (), entries: Iterable[AdvertiseKeys] = ()) -> Script[None]:
        """Else the true one, to all."""
        listed = list(entries) or list(self.entries.values())
        roster = self.roster(listed)
        self.held = Holdings.of(listed, self.room.params.threshold_for(len(listed)))
        heard = yield [Envelope(tuple(to) or self.parties, roster)]
        self.shares |= said(heard, ShareKeys)
        self.u2 = frozenset(self.shares)

    def bundles_for(self, client: PartyId) -> dict[PartyId, bytes]:
        return {dealer: self.shares[dealer].bundles[client] for dealer in sorted(self.u2 - {client})}

    def deliver(self) -> Script[None]:
        yield from self.deliver_these({me: self.delivery(self.u2, self.bundles_for(me)) for me in sorted(self.u2)})

    def deliver_these(self, deliveries: Mapping[PartyId, DeliverShares]) -> Script[None]:
        heard = yield [Envelope((client,), message) for client, message in deliveries.items()]
        spec = self.room.params.spec
        for client, message in said(heard, MaskedInput).items():
            self.masked[client] = spec.field.unpack(message.masked, spec.masked_length)
        for colluder, client_ in self._colluders.items():
            self._look_into(colluder, client_)

    def _look_into(self, colluder: PartyId, client: Client) -> None:
        state = snapshots.CLIENT.load(client.snapshot()).state
        if not isinstance(state, AwaitingSurvivors):
            return
        for kept, shown in (
            (self.held.self_shares, state.self_shares),
            (self.held.mask_shares, state.mask_shares),
        ):
            for owner, share in shown.items():
                kept.setdefault(owner, {})[colluder] = share
        for peer, seed in state.leaf_seeds.items():
            self.held.leaves[frozenset({colluder, peer}), state.shared] = seed

    def confirm(self, views: Mapping[PartyId, PartySet]) -> Script[None]:
        """To each client its U3."""
        heard = yield [Envelope((client,), self.survivors(self.u2, u3)) for client, u3 in views.items()]
        for client, one in said(heard, Confirm).items():
            self.confirmations[client, views[client]] = one.signature

    def request(self, views: Mapping[PartyId, PartySet]) -> Script[None]:
        """To each client all signatures that there are on its U3; its colluders sign any."""
        heard = yield [Envelope((client,), self._request(u3)) for client, u3 in views.items()]
        for holder, answer in said(heard, UnmaskShares).items():
            self.held.hear(holder, answer.reveals, self.shared(self.u2))

    def _request(self, u3: PartySet) -> UnmaskRequest:
        confirmed = {one: signature for (one, of), signature in self.confirmations.items() if of == u3 and one in u3}
        by_colluders = {one: self.confirmed(one, self.u2, u3) for one in self._colluders if one in u3}
        return UnmaskRequest({**confirmed, **by_colluders})

    def unmask(self, u3: PartySet) -> Script[None]:
        """As it should be: one U3 for all."""
        views = {client: u3 for client in self.honest if client in u3}
        yield from self.confirm(views)
        yield from self.request(views)

    def fall_back(self, to: Iterable[PartyId], dropped: PartySet) -> Script[None]:
        heard = yield [Envelope(tuple(sorted(to)), self.fallback(dropped))]
        for holder, answer in said(heard, FallbackShares).items():
            self.held.hear(holder, answer.shares, self.shared(self.u2))

    def stripped(self, client: PartyId) -> FieldVector | None:
        """The client's masked input without every mask that the coordinator can compute; None where none came."""
        if client not in self.masked:
            return None
        vector, _ = self.held.unmasked(
            client, self.masked[client], self.room.params.spec.field, peers=self.u2, shared=self.shared(self.u2)
        )
        return vector

    def rebuilt(self, client: PartyId) -> AgreementSecret:
        """The client's mask secret, which must be there."""
        secret = self.held.mask_secret(client)
        if secret is None:
            raise LookupError(f"no t shares of the mask secret of party {client}")
        return secret


def honest_server(room: Cast) -> Server:
    """The real one, for attacks in which it is a party that lies."""
    return Server(room.params, identity=room.identities[SERVER], members=room.terms.members)
