"""The server of a session of an epoch: it gathers a set-up where there is none, and holds one round. [PROTOCOLS 3F]

Once the round has started it is `protocols/secagg`'s server, which knows D_r as its D2.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from mpc.keys import SigningKey, VerifyKey
from protocols.epoch import bindings, snapshots
from protocols.epoch.epochs import ServerEpoch
from protocols.epoch.gathering import SetUp, unexpected
from protocols.epoch.messages import AdvertiseKeys, Roster, RoundStart, ShareKeys
from protocols.epoch.testimony import founded
from protocols.errors import AbortReason, DropReason, LocalProtocolError, PartyId
from protocols.evidence import Dispute, Evidence
from protocols.machine import Envelope, Outcome
from protocols.messages import Abort, Invitation, Round
from protocols.messages import AdvertiseKeys as SingleKeys
from protocols.messages import ShareKeys as SingleShares
from protocols.secagg.collected import Loss, ServerState
from protocols.secagg.server import Server as SingleServer
from protocols.session import SessionParams, Variant
from protocols.wire import LARGEST_TREE, PartySet

NOT_SIGNED = b""  # a round's keys were signed with those of all rounds, and checked then
_PER_ROUND, _PER_MEMBER = 72, 144  # bytes: what a roster or a party's bundles take for each stays below


class Server:
    """The aggregator of one session.

    params: of this round; their nonce is fresh. members: who takes part, those who are connected now. epoch: what the
    session before left behind (`Server.epoch`); where it does not fit these params or these members, and without one,
    the session begins with a set-up. Raises LocalProtocolError where the identity is another's, in the curious variant,
    or where the bundles of so many rounds and members do not go into a message.
    """

    def __init__(
        self,
        params: SessionParams,
        *,
        identity: SigningKey,
        members: Mapping[PartyId, VerifyKey],
        epoch: ServerEpoch | None = None,
    ) -> None:
        _check(params, identity, len(members))
        self._params = params
        self._identity = identity
        self._members = dict(members)
        self._epoch: ServerEpoch | None = None  # before this session's round
        self._lacking = False  # whether a member has lost its keys
        self._now: SetUp | SingleServer = SetUp(params, self._members)
        if epoch is not None and epoch.fits(params, frozenset(members)):
            self._begin(epoch, frozenset(members), {})

    @classmethod
    def restore(cls, snapshot: bytes, *, identity: SigningKey) -> "Server":
        """Goes on from `snapshot()`; parameters, members and epoch come from inside it."""
        kept = snapshots.load_server(snapshot)
        server = cls(kept.params, identity=identity, members=kept.members)
        server._epoch, server._lacking = kept.epoch, kept.lacking
        if isinstance(kept.now, snapshots.RoundRecord):
            server._now = SingleServer.restore(kept.now.snapshot, identity=identity)
        else:
            now = kept.now
            server._now = SetUp(
                kept.params, server._members, now.round, now.epoch,
                {party: Loss(loss.round, loss.reason) for party, loss in now.lost.items()},
                dict(now.keys), now.u1, dict(now.shares),
            )  # fmt: skip
        return server

    def snapshot(self) -> bytes:
        now = self._now
        kept = (
            snapshots.RoundRecord(now.snapshot())
            if isinstance(now, SingleServer)
            else snapshots.SetUpRecord(
                now.round,
                now.epoch,
                {party: snapshots.LossRecord(Round(loss.round), loss.reason) for party, loss in now.lost.items()},
                now.keys,
                now.u1,
                now.shares,
            )
        )
        return snapshots.dump_server(
            snapshots.ServerRecord(self._params, self._members, kept, self._epoch, self._lacking)
        )

    @property
    def epoch(self) -> ServerEpoch | None:
        """What the next session's server is built with, however this one ends. None: the next one sets up anew."""
        return None if self._epoch is None or self._lacking else self._epoch.after()

    @property
    def round(self) -> Round:
        return self._now.round

    @property
    def outcome(self) -> Outcome | None:
        return self._now.outcome if isinstance(self._now, SingleServer) else None

    @property
    def params(self) -> SessionParams:
        return self._params

    @property
    def dropped(self) -> Mapping[PartyId, tuple[StrEnum, DropReason]]:
        if isinstance(self._now, SingleServer):
            return self._now.dropped
        return {party: (loss.round, loss.reason) for party, loss in self._now.lost.items()}

    @property
    def disputes(self) -> frozenset[Dispute]:
        return self._now.disputes if isinstance(self._now, SingleServer) else frozenset()

    @property
    def evidence(self) -> Evidence:
        """Of the round; nothing before it has started."""
        if self._epoch is None or not isinstance(self._now, SingleServer):
            return Evidence()
        return replace(self._now.evidence, foundation=founded(self._epoch.digest, self._epoch.number))

    @property
    def waiting_for(self) -> PartySet:
        return self._now.waiting_for

    @property
    def can_close(self) -> bool:
        now = self._now
        return now.can_close if isinstance(now, SingleServer) else len(now.answered) >= now.enough

    def start(self) -> list[Envelope]:
        if self._epoch is None:
            return [Envelope(tuple(sorted(self._members)), Invitation(self._params))]
        u2 = frozenset(self._members)
        return [Envelope(tuple(sorted(u2)), self._round_start(self._epoch, u2, {}))]

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        now = self._now
        if isinstance(now, SingleServer):
            answers = now.receive(sender, message)
            if isinstance(message, Abort) and message.reason is AbortReason.NO_EPOCH:
                self._lacking = True
            return answers
        if sender in now.lost:
            return []
        if sender not in self._members:
            raise LocalProtocolError(f"party {sender} was not invited")
        match message:
            case Abort():
                now.drop(sender, DropReason.ABORTED)
            case AdvertiseKeys() | ShareKeys():
                now.take(sender, message)
            case _:
                raise unexpected(sender, message, now.round)
        return []

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        if isinstance(self._now, SingleServer):
            return self._now.drop(party, reason)
        self._now.drop(party, reason)
        return []

    def close_round(self) -> list[Envelope]:
        now = self._now
        if isinstance(now, SingleServer):
            return now.close_round()
        if not self.can_close:
            raise LocalProtocolError(f"round {now.round.value} has {len(now.answered)} answers of {now.enough}")
        late = now.waiting_for
        now.lost |= {party: Loss(now.round, DropReason.TOO_SLOW) for party in late}
        told = [Envelope(tuple(sorted(late)), Abort(AbortReason.NOT_INCLUDED, None))] if late else []
        return told + (self._close_advertise(now) if now.round is Round.ADVERTISE else self._close_share(now))

    def abort(self, reason: AbortReason) -> list[Envelope]:
        if isinstance(self._now, SetUp):
            self._now = self._single(ServerState(self._now.round, lost=self._now.lost))
        return self._now.abort(reason)

    def _close_advertise(self, now: SetUp) -> list[Envelope]:
        entries = now.fix_u1()
        roster = Roster(entries, bindings.sign_roster(self._identity, now.epoch))
        listening = now.u1 - now.lost.keys()
        return [Envelope(tuple(sorted(listening)), roster)] if listening else []

    def _close_share(self, now: SetUp) -> list[Envelope]:
        """The bundles go to whom they are for, with the start of the first round; then they are forgotten."""
        u2, epoch = frozenset(now.shares), now.server_epoch()
        self._begin(epoch, u2, now.lost)
        sealed = {dealer: message.bundles for dealer, message in now.shares.items()}
        return [
            Envelope(
                (client,), self._round_start(epoch, u2, {dealer: sealed[dealer][client] for dealer in u2 - {client}})
            )
            for client in sorted(u2 - now.lost.keys())
        ]

    def _begin(self, epoch: ServerEpoch, u2: PartySet, lost: dict[PartyId, Loss]) -> None:
        """U2_r is fixed; the round is one of `protocols/secagg`, with the keys of this round alone."""
        self._epoch = epoch
        state = ServerState(
            Round.MASKED_INPUT,
            bindings.keys_digest(epoch.digest, epoch.number),
            bindings.round_digest(epoch.digest, epoch.number, self._params, u2),
            u1=frozenset(epoch.u1),
            u2=u2,
            lost=lost,
            keys={
                party: SingleKeys(party, keys.channel_key, keys.mask_keys[0], NOT_SIGNED)
                for party, keys in epoch.u1.items()
            },
            shares={party: SingleShares(epoch.u1[party].commitments[0], {}, NOT_SIGNED) for party in sorted(u2)},
        )
        self._now = self._single(state)

    def _single(self, state: ServerState) -> SingleServer:
        return SingleServer.standing_at(
            state, params=self._params, identity=self._identity, members=self._members
        )  # fmt: skip

    def _round_start(self, epoch: ServerEpoch, u2: PartySet, bundles: Mapping[PartyId, bytes]) -> RoundStart:
        shared = bindings.round_digest(epoch.digest, epoch.number, self._params, u2)
        signature = bindings.sign_start(self._identity, shared)
        return RoundStart(epoch.digest, epoch.number, self._params, u2, signature, bundles)


def most_rounds(members: int) -> int:
    """Of an epoch: so many that their roster, and the bundles of a party, each go into one message."""
    return (LARGEST_TREE // max(members, 1) - _PER_MEMBER) // _PER_ROUND


def _check(params: SessionParams, identity: SigningKey, members: int) -> None:
    if params.subject.coordinator != identity.verify_key.raw:
        raise LocalProtocolError("this identity is not the coordinator that the session names")
    if params.variant is not Variant.ACTIVE:
        raise LocalProtocolError("an epoch is of the active variant")
    if params.rounds_per_epoch > (most := most_rounds(members)):
        raise LocalProtocolError(f"{members} members share the keys of at most {most} rounds at once")
