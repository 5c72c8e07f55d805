"""A client of a session of an epoch: it shares the keys of B rounds once, and takes part in one round. [PROTOCOLS 3F]

What comes before the masked input is here; from then on it is `protocols/secagg`'s client. As there each step verifies
first, builds the answer, and only then replaces the state.
"""

from dataclasses import replace
from enum import StrEnum
from typing import Any

import numpy as np

from mpc.field import FieldVector
from mpc.keys import AgreementKey, AgreementSecret, BadSignature, KeyRefused, SigningKey, VerifyKey
from mpc.prg import SEED_BYTES, Seed
from mpc.randomness import Randomness
from protocols import masking
from protocols.channels import opening
from protocols.epoch import bindings, dealing, snapshots
from protocols.epoch.epochs import ClientEpoch
from protocols.epoch.messages import AdvertiseKeys, Message, Roster, RoundStart, ShareKeys, single_keys
from protocols.epoch.states import AwaitingInvitation, AwaitingRoster, AwaitingShares, AwaitingStart, State
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.evidence import Seen
from protocols.inputs import checked_input
from protocols.ledger import NOTHING_ANSWERED, ONE_VERSION, Caution, Ledger, differencing_key
from protocols.machine import Aborted, Envelope, Outcome
from protocols.messages import Abort, Invitation, MaskedInput
from protocols.secagg import bindings as secagg
from protocols.secagg.client import Client as SingleClient
from protocols.secagg.client import servers_signature
from protocols.secagg.states import AwaitingSurvivors, Ended
from protocols.secagg.states import State as SingleState
from protocols.session import SessionParams, Terms, Variant, domain
from protocols.standing import Standing
from protocols.wire import PartySet


class Client:
    """One contributor in one session of an epoch.

    epoch: what the session before left behind (`Client.epoch`). Without one, or where it is another consortium's or
    another version's, the client waits to be invited to a new one. Raises LocalProtocolError where the identity is
    another's, or where the ledger says that this party has gone further than this epoch.
    The other arguments are those of `protocols/secagg`.
    """

    def __init__(
        self,
        me: PartyId,
        *,
        identity: SigningKey,
        terms: Terms,
        rand: Randomness,
        ledger: Ledger = NOTHING_ANSWERED,
        local_version: bytes = ONE_VERSION,
        epoch: ClientEpoch | None = None,
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
        self._input: FieldVector | None = None
        self._left: ClientEpoch | None = None  # of the epoch, once this session is done with it
        self._now: State | SingleClient = AwaitingInvitation()
        if epoch is not None:
            epoch.require_last(ledger)
            if epoch.fits(terms):
                self._now = AwaitingStart(epoch)
            else:
                self._ledger = ledger.ended(epoch.name)

    @classmethod
    def restore(cls, snapshot: bytes, *, identity: SigningKey, rand: Randomness, ledger: Ledger) -> "Client":
        """Goes on from `snapshot()`, the last one that was taken, as the ledger tells. [PROTOCOLS rule 12]

        Raises LocalProtocolError unless the ledger is the one that was written with this snapshot.
        """
        kept = snapshots.load_client(snapshot)
        params = getattr(kept.state, "params", None)
        if params is not None and params.wire != domain(rand):
            raise LocalProtocolError("a real session goes on with the system's randomness, a seeded one with a seed")
        client = cls(kept.me, identity=identity, terms=kept.terms, rand=rand, ledger=ledger)
        client._left, client._standing, client._input = kept.left, kept.standing, kept.input
        if isinstance(kept.state, bytes):
            client._now = SingleClient.restore(kept.state, identity=identity, rand=rand, ledger=ledger)
        else:
            client._now = kept.state
            if kept.standing.session is not None:
                ledger.require_last(kept.standing.session, kept.standing.seq)
        if client.epoch is not None:
            client.epoch.require_last(ledger)
        return client

    def snapshot(self) -> bytes:
        now = self._now.snapshot() if isinstance(self._now, SingleClient) else self._now
        return snapshots.dump_client(self._me, self._terms, self._standing, now, self._left, self._input)

    @property
    def epoch(self) -> ClientEpoch | None:
        """What the next session's client is built with, once this one has ended. None: the next one sets up anew."""
        return self._now.epoch if isinstance(self._now, AwaitingStart) else self._left

    @property
    def ledger(self) -> Ledger:
        """The newest. On disk before what a call returns is sent."""
        return self._now.ledger if isinstance(self._now, SingleClient) else self._ledger

    @property
    def warnings(self) -> tuple[Caution, ...]:
        return self._now.warnings if isinstance(self._now, SingleClient) else ()

    @property
    def seen(self) -> Seen | None:
        """None before it is invited and after it has ended."""
        if isinstance(self._now, SingleClient):
            return self._now.seen
        params = getattr(self._now, "params", None)
        return None if params is None else Seen(params, None)

    @property
    def round(self) -> StrEnum:
        return self._now.round

    @property
    def outcome(self) -> Outcome | None:
        return self._now.outcome if isinstance(self._now, SingleClient) else None

    @property
    def waiting_for(self) -> PartySet:
        return self._now.waiting_for if isinstance(self._now, SingleClient) else frozenset({SERVER})

    @property
    def can_close(self) -> bool:
        return False

    def start(self) -> list[Envelope]:
        return []

    def set_input(self, vector: FieldVector) -> None:
        """The encoded vector, once. Raises LocalProtocolError on another shape, or where it comes too late."""
        if self._input is not None or isinstance(self._now, SingleClient):
            raise LocalProtocolError("the input is set once, before the round starts")
        self._input = checked_input(self._terms.spec, vector)

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        if isinstance(self._now, SingleClient):
            return self._now.receive(sender, message)
        if sender != SERVER:
            raise LocalProtocolError("a client hears its server only")
        answer = self._step(self._now, message)
        return [] if answer is None else [Envelope((SERVER,), answer)]

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        if isinstance(self._now, SingleClient):
            return self._now.drop(party, reason)
        if party != SERVER:
            return []
        why = AbortReason.SERVER_LOST if reason is DropReason.VANISHED else AbortReason.REFUSED
        return [Envelope((SERVER,), self._end(Aborted(why, reason), keep=self.epoch))]

    def close_round(self) -> list[Envelope]:
        raise LocalProtocolError("a client closes no round")

    def abort(self, reason: AbortReason) -> list[Envelope]:
        if isinstance(self._now, SingleClient):
            return self._now.abort(reason)
        return [Envelope((SERVER,), self._end(Aborted(reason), keep=self.epoch))]

    def _step(self, state: State, message: Any) -> Message | None:
        """The table of transitions up to the masked input. What is not in it is refused."""
        match state, message:
            case _, Abort():
                early = message.reason is AbortReason.NOT_INCLUDED
                self._end(Aborted(AbortReason.NOT_INCLUDED if early else AbortReason.TOLD), keep=self.epoch)
                return None
            case ((AwaitingInvitation() | AwaitingStart()), Invitation()):
                return self._advertise_keys(message)
            case AwaitingRoster(), Roster():
                return self._share_keys(state, message)
            case AwaitingShares(), RoundStart():
                return self._start_first_round(state, message)
            case AwaitingStart(), RoundStart() if message.epoch == state.epoch.digest:
                return self._start_later_round(state.epoch, message)
            case ((AwaitingInvitation() | AwaitingStart()), RoundStart()):
                return self._end(Aborted(AbortReason.NO_EPOCH), keep=None)
            case _:
                name, where = type(message).__name__, type(state).__name__
                raise PeerMisbehaved(SERVER, DropReason.UNEXPECTED, f"{name} while {where}")

    # Into the next state, in the ledger as well

    def _enter(self, state: AwaitingRoster | AwaitingShares, session: bytes) -> None:
        """One step of a set-up, which gives up the epoch that we may hold."""
        ledger = _given_up(self._ledger, self.epoch)
        self._standing = replace(self._standing, session=session, seq=self._standing.seq + 1)
        self._ledger = ledger.moved(session, self._standing.seq)
        self._now = state

    def _go_on(self, state: SingleState, standing: Standing, ledger: Ledger) -> None:
        """From here this session is one of `protocols/secagg`."""
        self._now = SingleClient.standing_at(
            state, me=self._me, identity=self._identity, terms=self._terms, rand=self._rand, ledger=ledger,
            standing=replace(standing, seq=standing.seq + 1),
        )  # fmt: skip
        self._input = None

    def _end(self, outcome: Aborted, *, keep: ClientEpoch | None) -> Abort:
        """Before our input left."""
        ledger = self._ledger if keep else _given_up(self._ledger, self.epoch)
        self._left = keep
        self._go_on(Ended(outcome), self._standing, ledger)
        return Abort(outcome.reason, outcome.accused)

    # Round 0

    def _advertise_keys(self, message: Invitation) -> AdvertiseKeys:
        params = message.params
        self._check_params(params)
        channel_secret = AgreementSecret.generate(self._rand)
        root, deal_secret = Seed(self._rand.bytes(SEED_BYTES)), Seed(self._rand.bytes(SEED_BYTES))
        channel_key, mask_keys = channel_secret.public.raw, dealing.mask_keys(root, params.rounds_per_epoch)
        signature = bindings.sign_keys(self._identity, params.digest, self._me, channel_key, mask_keys)
        own = AdvertiseKeys(self._me, channel_key, mask_keys, signature)
        self._enter(
            AwaitingRoster(params, own, channel_secret, root, deal_secret), bindings.set_up_name(params, own)
        )  # fmt: skip
        return own

    def _check_params(self, params: SessionParams) -> None:
        """Of the set-up and of every round: what is summed is what our own terms say. Raises PeerMisbehaved."""
        self._terms.check_invitation(params, domain(self._rand))
        if params.variant is not Variant.ACTIVE:
            raise PeerMisbehaved(SERVER, DropReason.OUTSIDE_TERMS, "an epoch is of the active variant")
        self._ledger.check_attempt(self._standing.key, self._terms)

    # Round 1

    def _share_keys(self, state: AwaitingRoster, roster: Roster) -> ShareKeys:
        params, me = state.params, self._me
        threshold = self._check_roster(state, roster)
        epoch = bindings.epoch_digest(params, roster.entries)
        with servers_signature():
            bindings.verify_roster(self._server_key, epoch, roster)
        u1 = {entry.client: entry for entry in roster.entries}
        rounds = params.rounds_per_epoch
        dealt = dealing.deal(
            me, state.root, state.deal_secret, epoch, threshold=threshold, parties=len(u1), rounds=rounds
        )
        by_party = dict(zip(u1, dealt.shares, strict=True))
        channels = {
            peer: secagg.channel(epoch, me, state.channel_secret, single_keys(entry, 0))
            for peer, entry in u1.items()
            if peer != me
        }
        bundles = dealing.seal_all(by_party, channels, me, epoch)
        signature = bindings.sign_shares(self._identity, epoch, me, dealt.commitments, bundles)
        own_shares = dealing.own_self_shares(by_party[me])
        after = AwaitingShares(params, threshold, epoch, u1, opening(channels), state.root, own_shares)
        self._enter(after, bindings.set_up_name(params, state.own))
        return ShareKeys(dealt.commitments, signature, bundles)

    def _check_roster(self, state: AwaitingRoster, roster: Roster) -> int:
        """The threshold for this U1. Raises PeerMisbehaved on any entry that does not belong."""
        ids = [entry.client for entry in roster.entries]
        if ids != sorted(set(ids)) or state.own not in roster.entries:
            raise PeerMisbehaved(
                SERVER, DropReason.WRONG_SET, "a roster that is not in order, or without our own entry"
            )
        threshold = self._terms.check_cohort(state.params, ids)
        keys = {key for entry in roster.entries for key in (entry.channel_key, *entry.mask_keys)}
        if len(keys) != (1 + state.params.rounds_per_epoch) * len(ids):
            raise PeerMisbehaved(SERVER, DropReason.BAD_KEY, "a key twice, or keys for another number of rounds")
        for entry in roster.entries:
            try:
                check_keys(self._terms.members[entry.client], state.params, entry)
            except (KeyRefused, BadSignature) as exc:
                raise PeerMisbehaved(SERVER, DropReason.BAD_KEY, f"the keys of party {entry.client}: {exc}") from exc
        return threshold

    # The start of a round

    def _start_first_round(self, state: AwaitingShares, message: RoundStart) -> MaskedInput | Abort:
        """In the session that sets the epoch up: all bundles are opened now (rule 9)."""
        if (message.epoch, message.number, message.params) != (state.epoch, 1, state.params):
            raise PeerMisbehaved(SERVER, DropReason.SPLIT_VIEW, "not the first round of what we were invited to")
        if not message.u2 <= state.u1.keys() or message.bundles.keys() != message.u2 - {self._me}:
            raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "bundles of others than U2")
        self._check_start(state.epoch, state.threshold, frozenset(state.u1), message)
        opened, broken = dealing.open_all(state, self._me, message.bundles)
        if broken:
            return self._end(Aborted(AbortReason.REFUSED, DropReason.BAD_BUNDLE, broken[0]), keep=None)
        return self._mask(dealing.epoch_of(state, opened), message, self._standing)

    def _start_later_round(self, epoch: ClientEpoch, message: RoundStart) -> MaskedInput:
        if not epoch.number <= message.number <= epoch.scope.rounds:
            raise PeerMisbehaved(
                SERVER,
                DropReason.SECOND_ANSWER,
                f"round {message.number} of an epoch in which we stand before round {epoch.number}",
            )
        if message.bundles or not message.u2 - {self._me} <= epoch.peers.keys():
            raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "bundles again, or a party that dealt us nothing")
        self._check_start(epoch.digest, epoch.threshold, epoch.u1, message)
        named = replace(self._standing, session=bindings.round_name(epoch.digest, message.number))
        return self._mask(epoch.at(message.number), message, named)

    def _check_start(self, epoch: bytes, threshold: int, u1: PartySet, message: RoundStart) -> None:
        """epoch: D_E. Raises PeerMisbehaved. The threshold stays that of U1, however few of them take part."""
        params, u2 = message.params, message.u2
        self._check_params(params)
        if self._terms.check_cohort(params, sorted(u1)) != threshold:
            raise PeerMisbehaved(SERVER, DropReason.OUTSIDE_TERMS, "another threshold than the keys were shared with")
        shared = bindings.round_digest(epoch, message.number, params, u2)
        with servers_signature():
            bindings.verify_start(self._server_key, shared, message)
        self._check_members(u2, u1, threshold)
        self._terms.require_floor(len(u2), params)

    def _check_members(self, u2: PartySet, u1: PartySet, threshold: int) -> None:
        if self._me not in u2 or not u2 <= u1 or len(u2) < threshold:
            raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "U2 is without us, not of U1, or too small")

    def _mask(self, epoch: ClientEpoch, message: RoundStart, standing: Standing) -> MaskedInput:
        """Once in round r. What it needs is taken out of the epoch, and the epoch moves on before the input leaves."""
        if self._input is None:
            raise LocalProtocolError("the input must be set before the round starts")
        params, peers = message.params, {peer: epoch.peers[peer] for peer in sorted(message.u2 - {self._me})}
        shared = bindings.round_digest(epoch.digest, epoch.number, params, message.u2)
        secret = bindings.mask_secret(epoch.root)
        own_key = secret.public.raw
        leaf_seeds = {
            peer: secagg.leaf_seed(shared, self._me, secret, own_key, peer, keys.mask_key)
            for peer, keys in peers.items()
        }
        own_seed = secagg.self_seed(shared, self._me, bindings.self_secret(epoch.root))
        spec = params.spec
        vector = np.concatenate([self._input, spec.field.zeros(spec.canaries)])
        masking.mask(vector, spec.field, me=self._me, self_seed=own_seed, leaf_seeds=leaf_seeds)
        self_shares = {peer: keys.self_share for peer, keys in peers.items()} | {self._me: epoch.own_self_share}
        mask_shares = {peer: keys.mask_share for peer, keys in peers.items()}
        masked = AwaitingSurvivors(
            params, epoch.threshold, shared, message.u2, leaf_seeds, self_shares, mask_shares
        )  # fmt: skip
        left = epoch.after()
        ledger = self._ledger.moved(left.name, left.number) if left else self._ledger.ended(epoch.name)
        self._left = left
        self._go_on(masked, standing, ledger)
        return MaskedInput(spec.field.pack(vector))


def check_keys(identity: VerifyKey, params: SessionParams, entry: AdvertiseKeys) -> None:
    """Raises KeyRefused or BadSignature."""
    for key in (entry.channel_key, *entry.mask_keys):
        AgreementKey(key)
    bindings.verify_keys(identity, params.digest, entry)


def _given_up(ledger: Ledger, epoch: ClientEpoch | None) -> Ledger:
    return ledger.ended(epoch.name) if epoch else ledger
