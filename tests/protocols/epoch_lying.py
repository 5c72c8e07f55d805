"""A server that lies in the second round of an epoch: it holds the coordinator's key and starts what it likes."""

import copy
from functools import cache
from typing import Any

from epoch_room import EpochRoom

from mpc.keys import AgreementSecret
from protocols.epoch import Client, bindings
from protocols.epoch.messages import AdvertiseKeys, RoundStart, single_keys
from protocols.errors import SERVER, PartyId
from protocols.messages import MaskedInput
from protocols.secagg.client import Client as SingleClient
from simulations.attacks.lying import LyingServer, Parties, answer

NUMBER = 2


class EpochLyingServer(LyingServer):
    """The room's clients hold an epoch whose first round is over. From here on it lies as a single session's does."""

    def __init__(self, room: EpochRoom) -> None:
        self.room = room
        room.hold().require_exact(*room.parties)
        room.next_step()
        self.holders: dict[PartyId, Client] = {me: room.epoch_client(me) for me in room.parties}
        self.clients: Any = self.holders
        self.entries = tuple(self._entry(me) for me in room.parties)
        self.session = bindings.keys_digest(self._epoch.digest, NUMBER)
        self.confirmation = cache(self.confirmed)

    @property
    def _epoch(self) -> Any:
        """All of them stand before the same round of the same epoch."""
        return self.holders[PartyId(0)].epoch

    def _entry(self, me: PartyId) -> Any:
        epoch = self.room.server_epoch
        assert epoch is not None
        keys = epoch.u1[me]
        return single_keys(AdvertiseKeys(me, keys.channel_key, keys.mask_keys, b""), 0)

    def shared(self, u2: Parties, number: int = NUMBER) -> bytes:
        return bindings.round_digest(self._epoch.digest, number, self.room.params, u2)

    def start(self, u2: Parties, number: int = NUMBER) -> RoundStart:
        signature = bindings.sign_start(self.room.identities[SERVER], self.shared(u2, number))
        return RoundStart(self._epoch.digest, number, self.room.params, u2, signature, {})

    def shown(self, client: Any, u2: Parties) -> tuple[SingleClient, MaskedInput]:
        after = copy.copy(client)
        said: MaskedInput = answer(after, self.start(u2))
        assert isinstance(after._now, SingleClient)
        return after._now, said

    def self_secret(self, me: PartyId) -> bytes:
        return bindings.self_secret(self._root(me))

    def mask_secret(self, me: PartyId) -> AgreementSecret:
        return bindings.mask_secret(self._root(me))

    def _root(self, me: PartyId) -> Any:
        epoch = self.holders[me].epoch
        assert epoch is not None
        return epoch.root
