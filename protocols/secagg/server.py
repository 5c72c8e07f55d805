"""The server of the Bonawitz protocol: it relays, counts and, at the end, takes the masks off. [CCS 2017, figure 4]

It is trusted with nothing: what it could do wrong, the clients check. It defends itself against clients that send
nonsense, each of which is dropped. One answer table, one closing a round; the driver says when.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Self

from mpc.field import FieldError
from mpc.keys import AgreementKey, AgreementSecret, BadSignature, KeyRefused, SigningKey, VerifyKey
from mpc.prg import Seed
from protocols.errors import AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.evidence import Dispute
from protocols.machine import Aborted, Aggregate, Envelope, Finished, Outcome
from protocols.messages import (
    Abort,
    AdvertiseKeys,
    Confirm,
    DeliverShares,
    DroppedReveal,
    FallbackRequest,
    FallbackShares,
    Invitation,
    MaskedInput,
    MaskKeyReveal,
    Message,
    Result,
    Reveal,
    Roster,
    Round,
    ShareKeys,
    SurvivorReveal,
    Survivors,
    UnmaskRequest,
    UnmaskShares,
)
from protocols.secagg import bindings, snapshots
from protocols.secagg.collected import Loss, ServerState
from protocols.secagg.judging import Judge
from protocols.secagg.progress import Progress, R
from protocols.secagg.proofs import Proof
from protocols.secagg.shares import unpack_shares
from protocols.secagg.unmasking import LeafSeeds, Shares, Transcript, UnmaskFailed
from protocols.secagg.vouching import PAIR_BYTES, Dealing, Secret, reveals_in
from protocols.session import SessionParams
from protocols.wire import PartySet


class Aggregator(Progress[R]):
    """The server of one session, whatever its graph.

    identity: the coordinator's signing key, the one that `params.subject` names. members: who is invited.
    """

    _collects: type[ServerState] = ServerState
    _load: Callable[[bytes], tuple[SessionParams, Mapping[PartyId, VerifyKey], Any]] = staticmethod(
        snapshots.load_server
    )
    _dump: Callable[[SessionParams, Mapping[PartyId, VerifyKey], Any], bytes] = staticmethod(snapshots.dump_server)

    def __init__(self, params: SessionParams, *, identity: SigningKey, members: Mapping[PartyId, VerifyKey]) -> None:
        if params.subject.coordinator != identity.verify_key.raw:
            raise LocalProtocolError("this identity is not the coordinator that the session names")
        self._params = params
        self._identity = identity
        self._members = dict(members)
        self._invited: PartySet = frozenset(members)
        self._invite = params.digest
        self._state = self._collects()

    @property
    def _leaves_are_revealed(self) -> bool:
        """Of who dropped, the leaf seeds; otherwise shares of its mask secret."""
        return self._active

    @property
    def _transcript(self) -> Transcript:
        state = self._state
        commitments = {client: message.commitment for client, message in state.shares.items()}
        return Transcript(
            self._params, self._threshold, state.session, state.shared, _of(state.keys, state.u1), commitments,
            state.u2, state.u3, state.disputes, self._graph, self._blame if self._params.accountable else None,
        )  # fmt: skip

    @property
    def _judge(self) -> Judge:
        state = self._state
        return Judge(self._params, _of(state.keys, state.u1), state.shared, state.u2, state.dealings)

    def _blame(self, dealer: PartyId, kind: Secret, shares: Shares) -> None:
        self._note(self._judge.wrong_dealing(dealer, kind, shares))

    def _note(self, proof: Proof) -> None:
        """One for each verdict is enough."""
        if proof.verdict not in self.verdicts:
            self._state.proofs.append(proof)

    @classmethod
    def restore(cls, snapshot: bytes, *, identity: SigningKey) -> Self:
        """Goes on from `snapshot()`; parameters and members come from inside it."""
        params, members, state = cls._load(snapshot)
        return cls.standing_at(state, params=params, identity=identity, members=members)

    @classmethod
    def standing_at(
        cls, state: Any, *, params: SessionParams, identity: SigningKey, members: Mapping[PartyId, VerifyKey]
    ) -> Self:
        """A server that came to `state` in another process, or by keys that were shared in another way."""
        server = cls(params, identity=identity, members=members)
        server._state = state
        return server

    def snapshot(self) -> bytes:
        return self._dump(self._params, self._members, self._state)

    def start(self) -> list[Envelope]:
        return self._tell(self._invited, Invitation(self._params))

    def abort(self, reason: AbortReason) -> list[Envelope]:
        return [] if self._state.outcome else self._end(Aborted(reason))

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        state = self._state
        if state.outcome or party in state.lost or party not in self._asked:
            return []
        where = self._round_after if party in self._answered else state.round
        state.lost[party] = Loss(where, reason)
        return []

    def receive(self, sender: PartyId, message: Message) -> list[Envelope]:
        """Checks first, then takes over: a refused message leaves no trace. What a lost party still says is ignored."""
        if self._state.outcome or sender in self._state.lost:
            return []
        if sender not in self._members:
            raise LocalProtocolError(f"party {sender} was not invited")
        if isinstance(message, Abort):
            return self._given_up(sender, message)
        if sender not in self._asked or sender in self._answered:
            raise PeerMisbehaved(sender, DropReason.UNEXPECTED, f"{type(message).__name__} in round {self.round.value}")
        self._take(sender, message)
        return []

    def _take(self, sender: PartyId, message: Any) -> None:
        """The table: what each round takes. What is not in it is refused."""
        match self._state.round, message:
            case Round.ADVERTISE, AdvertiseKeys():
                self._take_keys(sender, message)
            case Round.SHARE, ShareKeys():
                self._take_shares(sender, message)
            case Round.MASKED_INPUT, MaskedInput():
                self._take_masked(sender, message)
            case Round.CONFIRM, Confirm():
                self._take_confirmation(sender, message)
            case Round.UNMASK, UnmaskShares():
                self._take_reveals(sender, message)
            case Round.FALLBACK, FallbackShares():
                self._take_fallback(sender, message)
            case _:
                raise PeerMisbehaved(
                    sender, DropReason.UNEXPECTED, f"{type(message).__name__} in round {self.round.value}"
                )

    def _given_up(self, sender: PartyId, message: Abort) -> list[Envelope]:
        if message.accused is not None and message.accused in self._state.u1:
            self._state.disputes.add(Dispute(message.accused, sender))
        return self.drop(sender, DropReason.ABORTED)

    # What clients send, checked

    def _take_keys(self, sender: PartyId, message: AdvertiseKeys) -> None:
        offered = {message.channel_key, message.mask_key}
        try:
            AgreementKey(message.channel_key), AgreementKey(message.mask_key)
            if self._active:
                bindings.verify_keys(self._members[sender], self._invite, message)
        except (KeyRefused, BadSignature) as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_KEY, str(exc)) from exc
        if message.client != sender or len(offered) != 2 or not offered.isdisjoint(self._state.taken):
            raise PeerMisbehaved(sender, DropReason.BAD_KEY, "keys in another's name, or keys that are not its own")
        self._state.keys[sender] = message
        self._state.taken |= offered

    def _take_shares(self, sender: PartyId, message: ShareKeys) -> None:
        state, holders, accountable = self._state, self._graph.holders(sender), self._params.accountable
        if message.bundles.keys() != holders - {sender} or bool(message.commitment) != self._active:
            raise PeerMisbehaved(sender, DropReason.WRONG_SET, "bundles for others than U1, or no commitment")
        if len(message.digests) != (PAIR_BYTES * len(holders) if accountable else 0):
            raise PeerMisbehaved(sender, DropReason.BAD_LENGTH, "digests of other shares than it dealt")
        dealing = Dealing.of(message, holders)
        if self._active:
            dealt = dealing.tree(sender).root if accountable else bindings.bundles_digest(message.bundles)
            self._check(
                sender,
                lambda key: bindings.verify_shares(
                    key, state.session, sender, message.signature, message.commitment, dealt
                ),
            )
        state.shares[sender] = message
        if accountable:
            state.dealings[sender] = dealing

    def _take_masked(self, sender: PartyId, message: MaskedInput) -> None:
        spec = self._params.spec
        try:
            vector = spec.field.unpack(message.masked, spec.masked_length)
        except FieldError as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_LENGTH, str(exc)) from exc
        total = self._state.total
        self._state.total = vector if total is None else spec.field.add(total, vector, out=total)
        self._state.masked.add(sender)

    def _take_confirmation(self, sender: PartyId, message: Confirm) -> None:
        state = self._state
        confirmed = bindings.confirmation(state.shared, state.u3)
        self._check(sender, lambda key: bindings.verify_confirmation(key, confirmed, message))
        self._state.confirmations[sender] = message.signature

    def _take_reveals(self, sender: PartyId, message: UnmaskShares) -> None:
        state = self._state
        of_dropped = DroppedReveal if self._leaves_are_revealed else MaskKeyReveal
        if message.reveals.keys() != self._graph.owners(sender) & state.u2:
            raise PeerMisbehaved(sender, DropReason.WRONG_SET, "reveals for others than U2")
        for peer, reveal in message.reveals.items():
            if type(reveal) is not (SurvivorReveal if peer in state.u3 else of_dropped):
                raise PeerMisbehaved(sender, DropReason.BAD_SHARE, f"the wrong kind of secret for party {peer}")
        self._check_shares(sender, message.reveals)
        if self._answers_for(sender, message):
            state.reveals[sender] = message

    def _take_fallback(self, sender: PartyId, message: FallbackShares) -> None:
        if message.shares.keys() != self._state.fallback_for:
            raise PeerMisbehaved(sender, DropReason.WRONG_SET, "fallback shares of others than were asked for")
        self._check_shares(sender, message.shares)
        if self._answers_for(sender, message):
            self._state.fallback[sender] = message

    def _answers_for(self, sender: PartyId, message: UnmaskShares | FallbackShares) -> bool:
        """Whether what it reveals is used. In an accountable session it is signed, and a wrong share convicts."""
        if not self._params.accountable:
            if message.signature:
                raise PeerMisbehaved(sender, DropReason.BAD_SIGNATURE, "reveals are not signed in this session")
            return True
        judge = self._judge
        self._check(sender, lambda key: judge.verify(key, sender, message))
        wrong = judge.wrong_share(sender, message)
        if wrong is not None:  # as good as no answer: t right shares are enough, and nobody has to look for them
            self._note(wrong)
            self._state.lost[sender] = Loss(self._state.round, DropReason.BAD_SHARE)
        return wrong is None

    def _check(self, sender: PartyId, verify: Callable[[VerifyKey], None]) -> None:
        try:
            verify(self._members[sender])
        except BadSignature as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_SIGNATURE, str(exc)) from exc

    def _check_shares(self, sender: PartyId, reveals: Mapping[PartyId, Reveal]) -> None:
        shares = [reveal.share for reveal in reveals.values() if not isinstance(reveal, DroppedReveal)]
        try:
            unpack_shares(shares)
        except FieldError as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_SHARE, str(exc)) from exc

    # Closing a round: the set is fixed, the next round opens

    @property
    def _round_after(self) -> StrEnum:
        return self._order[self._order.index(self._state.round) + 1]

    def close_round(self) -> list[Envelope]:
        if not self.can_close:
            raise LocalProtocolError(f"round {self.round.value} has {len(self._answered)} answers of {self._enough}")
        late = self.waiting_for
        for party in late:
            self._state.lost[party] = Loss(self.round, DropReason.TOO_SLOW)
        left_out = self._closings[self.round]()
        why = AbortReason.TOO_SLOW if late & self._state.u3 else AbortReason.NOT_INCLUDED
        return ([Envelope(tuple(sorted(late)), Abort(why, None))] if late else []) + left_out

    @property
    def _closings(self) -> Mapping[StrEnum, Callable[[], list[Envelope]]]:
        return {
            Round.ADVERTISE: self._close_advertise,
            Round.SHARE: self._close_share,
            Round.MASKED_INPUT: self._close_masked,
            Round.CONFIRM: self._close_confirm,
            Round.UNMASK: self._close_unmask,
            Round.FALLBACK: self._close_fallback,
        }

    def _close_advertise(self) -> list[Envelope]:
        state = self._state
        state.u1 = frozenset(state.keys)
        state.round = Round.SHARE
        entries = tuple(state.keys[client] for client in sorted(state.u1))
        state.session = bindings.session_digest(self._params, entries)
        signature = bindings.sign_roster(self._identity, self._state.session) if self._active else b""
        return self._tell(state.u1, Roster(entries, signature))

    def _close_share(self) -> list[Envelope]:
        state = self._state
        state.u2 = frozenset(state.shares)
        state.shared = bindings.shared_digest(state.session, state.u2)
        state.round = Round.MASKED_INPUT
        signature = bindings.sign_u2(self._identity, self._state.shared) if self._active else b""
        sealed = {client: message.bundles for client, message in state.shares.items()}
        vouchers = {dealer: dealing.vouchers(dealer) for dealer, dealing in state.dealings.items()}
        for dealer, message in state.shares.items():
            state.shares[dealer] = ShareKeys(message.commitment, {}, message.signature)  # relayed once, then forgotten

        def dealers(client: PartyId) -> PartySet:
            return (self._graph.owners(client) & state.u2) - {client}

        return self._tell_each(
            state.u2,
            lambda client: DeliverShares(
                state.u2,
                {dealer: sealed[dealer][client] for dealer in dealers(client)},
                signature,
                {dealer: vouchers[dealer][client] for dealer in dealers(client) & vouchers.keys()},
            ),
        )

    def _close_masked(self) -> list[Envelope]:
        state = self._state
        state.u3 = frozenset(state.masked)
        state.round = self._round_after
        signature = bindings.sign_survivors(self._identity, self._state.shared, state.u3) if self._active else b""
        return self._show_survivors(state.u3, signature)

    def _show_survivors(self, u3: PartySet, signature: bytes) -> list[Envelope]:
        return self._tell(u3, Survivors(u3, signature))

    def _close_confirm(self) -> list[Envelope]:
        state = self._state
        state.u4 = frozenset(state.confirmations)
        state.round = Round.UNMASK
        return self._show_confirmations(state.u4)

    def _show_confirmations(self, u4: PartySet) -> list[Envelope]:
        return self._tell(u4, UnmaskRequest(dict(self._state.confirmations)))

    def _close_unmask(self) -> list[Envelope]:
        state = self._state
        state.u5 = frozenset(state.reveals)
        dropped = state.u2 - state.u3
        if self._leaves_are_revealed and dropped and state.u3 - state.u5:
            return self._ask_fallback(dropped)  # a survivor is gone, and with it the leaves that it alone knew
        if self._leaves_are_revealed:
            leaves = self._revealed_leaves()
        else:
            try:
                transcript = self._transcript
                leaves = transcript.leaves_of_dropped(transcript.mask_secrets(_by_owner(state.reveals, dropped)))
            except UnmaskFailed as exc:
                return self._end(Aborted(AbortReason.UNMASK_INCONSISTENT, accused=exc.owner))
        return self._unmask(leaves)

    def _close_fallback(self) -> list[Envelope]:
        state = self._state
        transcript = self._transcript
        try:
            secrets = transcript.mask_secrets(_by_owner(state.fallback, state.fallback_for))
        except UnmaskFailed as exc:
            return self._end(Aborted(AbortReason.UNMASK_INCONSISTENT, accused=exc.owner))
        leaves = transcript.leaves_of_dropped(secrets)
        for dropped, seeds in self._revealed_leaves().items():
            for survivor, seed in seeds.items():
                if seed != leaves[dropped][survivor]:  # the mask secret is the owner's: the survivor lied
                    self._caught(survivor, dropped, secrets[dropped])
        return self._unmask(leaves)

    def _caught(self, survivor: PartyId, lost: PartyId, secret: AgreementSecret) -> None:
        if self._params.accountable:
            self._note(self._judge.wrong_seed(survivor, self._state.reveals[survivor], lost, secret))
        self._state.lost[survivor] = Loss(Round.UNMASK, DropReason.BAD_SHARE)

    def _revealed_leaves(self) -> LeafSeeds:
        leaves: LeafSeeds = {dropped: {} for dropped in self._state.u2 - self._state.u3}
        for survivor, message in self._state.reveals.items():
            for peer, reveal in message.reveals.items():
                if isinstance(reveal, DroppedReveal):
                    leaves[peer][survivor] = Seed(reveal.leaf_seed)
        return leaves

    def _ask_fallback(self, dropped: PartySet) -> list[Envelope]:
        self._state.fallback_for = dropped
        self._state.round = Round.FALLBACK
        return self._tell(self._state.u5, FallbackRequest(dropped))

    def _unmask(self, leaves: LeafSeeds) -> list[Envelope]:
        state, spec = self._state, self._params.spec
        assert state.total is not None
        transcript = self._transcript
        try:
            seeds = transcript.self_seeds(_by_owner(state.reveals, state.u3))
            total = transcript.unmask(state.total, seeds, leaves)
        except UnmaskFailed as exc:
            return self._end(Aborted(AbortReason.UNMASK_INCONSISTENT, accused=exc.owner))
        if total[spec.length :].any():
            dropped = state.u2 - state.u3
            if self._leaves_are_revealed and dropped and not state.fallback_for:
                return self._ask_fallback(dropped)
            return self._end(Aborted(AbortReason.UNMASK_INCONSISTENT))
        return self._end(Finished(Aggregate(total[: spec.length], state.u3)))

    def _end(self, outcome: Outcome) -> list[Envelope]:
        """Of the clients' answers what is evidence stays; everybody who still listens is told."""
        state = self._state
        if isinstance(outcome, Aborted):
            told = self._tell(self._invited, Abort(outcome.reason, None))
        else:
            vector = self._params.spec.field.pack(outcome.aggregate.vector)
            signature = (
                bindings.sign_result(self._identity, self._state.shared, state.u3, vector) if self._active else b""
            )
            told = self._tell(state.u5, Result(state.u3, signature, vector))
        self._state = type(state)(
            Round.DONE, state.session, state.shared, state.u1, state.u2, state.u3, state.u4, state.u5,
            lost=state.lost, keys=_of(state.keys, state.u1), confirmations=state.confirmations,
            fallback_for=state.fallback_for, disputes=state.disputes, proofs=state.proofs, outcome=outcome,
        )  # fmt: skip
        return told

    def _tell_each(self, parties: PartySet, say: Callable[[PartyId], Any]) -> list[Envelope]:
        return [one for client in sorted(parties) for one in self._tell(frozenset({client}), say(client))]

    def _tell(self, parties: PartySet, message: Any) -> list[Envelope]:
        listening = tuple(sorted(parties - self._state.lost.keys()))
        return [Envelope(listening, message)] if listening else []


class Server(Aggregator[Round]):
    """The server of one session over the complete graph."""

    rounds = Round


def _by_owner(said: Mapping[PartyId, UnmaskShares | FallbackShares], owners: PartySet) -> dict[PartyId, Shares]:
    """Shares by owner, then by holder, from what the holders sent."""
    shares: dict[PartyId, dict[PartyId, bytes]] = {owner: {} for owner in owners}
    for holder, message in said.items():
        for owner, reveal in reveals_in(message).items():
            if owner in shares and not isinstance(reveal, DroppedReveal):
                shares[owner][holder] = reveal.share
    return dict(shares)


def _of(entries: Mapping[PartyId, AdvertiseKeys], parties: PartySet) -> dict[PartyId, AdvertiseKeys]:
    return {party: entries[party] for party in sorted(parties)}
