"""The server's part of a set-up: it collects the keys of all rounds, then the bundles. [PROTOCOLS 3F, and 3A: 0, 1]"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from mpc.keys import BadSignature, KeyRefused, VerifyKey
from protocols.epoch import bindings
from protocols.epoch.client import check_keys
from protocols.epoch.epochs import MemberKeys, Scope, ServerEpoch
from protocols.epoch.messages import AdvertiseKeys, ShareKeys
from protocols.errors import DropReason, PartyId, PeerMisbehaved
from protocols.messages import Round
from protocols.secagg.collected import NOBODY, Loss
from protocols.session import SessionParams
from protocols.wire import PartySet


@dataclass(slots=True)
class SetUp:
    """What has come so far, and of whom. epoch: D_E, once U1 is fixed."""

    params: SessionParams
    members: Mapping[PartyId, VerifyKey]
    round: Round = Round.ADVERTISE
    epoch: bytes = b""
    lost: dict[PartyId, Loss] = field(default_factory=dict)
    keys: dict[PartyId, AdvertiseKeys] = field(default_factory=dict)
    u1: PartySet = NOBODY
    shares: dict[PartyId, ShareKeys] = field(default_factory=dict)

    @property
    def asked(self) -> PartySet:
        return frozenset(self.members) if self.round is Round.ADVERTISE else self.u1

    @property
    def answered(self) -> Set[PartyId]:
        return self.keys.keys() if self.round is Round.ADVERTISE else self.shares.keys()

    @property
    def waiting_for(self) -> PartySet:
        return self.asked - self.answered - self.lost.keys()

    @property
    def enough(self) -> int:
        parties = len(self.keys) if self.round is Round.ADVERTISE else len(self.u1)
        return max(self.params.floor, self.params.threshold_for(parties))

    def drop(self, party: PartyId, reason: DropReason) -> None:
        if party in self.asked and party not in self.lost:
            after = Round.SHARE if self.round is Round.ADVERTISE else Round.MASKED_INPUT
            self.lost[party] = Loss(after if party in self.answered else self.round, reason)

    def take(self, sender: PartyId, message: AdvertiseKeys | ShareKeys) -> None:
        """Raises PeerMisbehaved; then nothing has changed."""
        if sender not in self.asked or sender in self.answered or message.round is not self.round:
            raise unexpected(sender, message, self.round)
        if isinstance(message, AdvertiseKeys):
            self._check_keys(sender, message)
            self.keys[sender] = message
        else:
            self._check_shares(sender, message)
            self.shares[sender] = message

    def _check_keys(self, sender: PartyId, message: AdvertiseKeys) -> None:
        try:
            check_keys(self.members[sender], self.params, message)
        except (KeyRefused, BadSignature) as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_KEY, str(exc)) from exc
        offered = {message.channel_key, *message.mask_keys}
        taken = {key for entry in self.keys.values() for key in (entry.channel_key, *entry.mask_keys)}
        complete = len(message.mask_keys) == self.params.rounds_per_epoch == len(offered) - 1
        if message.client != sender or not complete or not offered.isdisjoint(taken):
            raise PeerMisbehaved(
                sender, DropReason.BAD_KEY, "keys in another's name, or not its own one for each round"
            )

    def _check_shares(self, sender: PartyId, message: ShareKeys) -> None:
        if message.bundles.keys() != self.u1 - {sender} or len(message.commitments) != self.params.rounds_per_epoch:
            raise PeerMisbehaved(sender, DropReason.WRONG_SET, "bundles for others than U1, or for other rounds")
        try:
            bindings.verify_shares(self.members[sender], self.epoch, sender, message)
        except BadSignature as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_SIGNATURE, str(exc)) from exc

    def fix_u1(self) -> tuple[AdvertiseKeys, ...]:
        """The roster: all who advertised, in order of id."""
        self.u1, self.round = frozenset(self.keys), Round.SHARE
        entries = tuple(self.keys[party] for party in sorted(self.u1))
        self.epoch = bindings.epoch_digest(self.params, entries)
        return entries

    def server_epoch(self) -> ServerEpoch:
        """Before its first round."""
        params = self.params
        u1 = {party: self._member(party) for party in sorted(self.u1)}
        scope = Scope.of(params.subject, params.rounds_per_epoch)
        return ServerEpoch(scope, self.epoch, params.threshold_for(len(u1)), 1, u1)

    def _member(self, party: PartyId) -> MemberKeys:
        entry, shared = self.keys[party], self.shares.get(party)
        return MemberKeys(entry.channel_key, entry.mask_keys, shared.commitments if shared else ())


def unexpected(sender: PartyId, message: object, where: Round) -> PeerMisbehaved:
    return PeerMisbehaved(sender, DropReason.UNEXPECTED, f"{type(message).__name__} in round {where.value}")
