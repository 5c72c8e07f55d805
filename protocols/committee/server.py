"""The coordinator of a committee: it relays what others signed, keeps no share, and at the end decodes. [PROTOCOLS 3D]

It is trusted with nothing: what it could do wrong, the aggregators check. It defends itself against members that send
nonsense, each of which is dropped. One answer table, one closing a round; the driver says when.
"""

from collections.abc import Callable, Iterable, Mapping, Set
from types import MappingProxyType

from mpc.field import FieldError
from mpc.keys import AgreementKey, BadSignature, KeyRefused, SigningKey, VerifyKey
from mpc.shamir import TooManyErrors
from protocols.committee import aggregator, bindings, snapshots
from protocols.committee.checking import judge, plan
from protocols.committee.collected import NOBODY, Loss, ServerState
from protocols.committee.messages import (
    Abort,
    AdvertiseKey,
    Card,
    Certificate,
    Certify,
    Checks,
    CheckValues,
    Committee,
    Contribution,
    Delivery,
    Invitation,
    Message,
    Offer,
    Receipt,
    Receipts,
    Result,
    Round,
    SumShare,
    Vow,
    Vows,
)
from protocols.committee.numbers import NoCommittee, numbers_of
from protocols.committee.view import check_key
from protocols.errors import AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.evidence import Dispute, Evidence
from protocols.machine import Aborted, Aggregate, Envelope, Finished, Outcome
from protocols.session import SessionParams
from protocols.wire import PartySet

_ORDER = list(Round)


class Server:
    """The relay and decoder of one session.

    identity: the coordinator's signing key, the one that `params.subject` names. members: the whole consortium, as the
    parties' terms have it: A follows from it. Who is not there is dropped before `start`. Raises LocalProtocolError,
    also where no committee has these numbers.
    """

    def __init__(self, params: SessionParams, *, identity: SigningKey, members: Mapping[PartyId, VerifyKey]) -> None:
        if params.subject.coordinator != identity.verify_key.raw:
            raise LocalProtocolError("this identity is not the coordinator that the session names")
        try:
            self._numbers = numbers_of(params, members)
        except NoCommittee as exc:
            raise LocalProtocolError(str(exc)) from exc
        self._params = params
        self._identity = identity
        self._members = dict(members)
        self._invited: PartySet = frozenset(members)
        self._invite = params.digest
        self._state = ServerState()
        self._outcome: Outcome | None = None

    @classmethod
    def restore(cls, snapshot: bytes, *, identity: SigningKey) -> "Server":
        """Goes on from `snapshot()`; parameters and members come from inside it."""
        record, state, outcome = snapshots.load_server(snapshot)
        server = cls(record.params, identity=identity, members=record.members)
        server._state, server._outcome = state, outcome
        return server

    def snapshot(self) -> bytes:
        return snapshots.dump_server(self._params, self._members, self._state, self._outcome)

    @property
    def round(self) -> Round:
        return self._state.round

    @property
    def outcome(self) -> Outcome | None:
        return self._outcome

    @property
    def params(self) -> SessionParams:
        return self._params

    @property
    def dropped(self) -> Mapping[PartyId, tuple[Round, DropReason]]:
        """Who was lost, with the round whose answer never came. After its last answer nobody can be lost."""
        lost = self._state.lost.items()
        return MappingProxyType(
            {party: (loss.round, loss.reason) for party, loss in lost if loss.round is not Round.DONE}
        )

    @property
    def disputes(self) -> frozenset[Dispute]:
        """Shares that their aggregator says it does not hold, or that fit no polynomial: of whom, held by whom."""
        return frozenset(self._state.disputes)

    @property
    def evidence(self) -> Evidence:
        """Of what came so far, and when the session is over. u1: the committee. u2: who contributed."""
        state = self._state
        return state.left or Evidence(
            u1=frozenset(state.keys),
            u2=frozenset(state.envelopes),
            u3=state.included,
            u4=frozenset(state.certificate) if state.round is Round.SUM else NOBODY,
            u5=frozenset(state.sums),
            foundation=state.agreed,
            confirmations=dict(state.certificate),
            disputes=state.disputes,
        )

    @property
    def named(self) -> PartySet:
        """Aggregators whose signed sums are not those of the shares that passed the check."""
        return self._state.named

    @property
    def included(self) -> PartySet:
        """U, once it is known."""
        return self._state.included

    @property
    def waiting_for(self) -> PartySet:
        if self._outcome is not None:
            return NOBODY
        return frozenset(self._asked - self._answered - self._state.lost.keys())

    @property
    def can_close(self) -> bool:
        return self._outcome is None and len(self._answered) >= self._enough

    @property
    def _asked(self) -> Set[PartyId]:
        """Whose answer the round is about: of aggregators, those that answered in the round before."""
        state, numbers = self._state, self._numbers
        by_round: dict[Round, Set[PartyId]] = {
            Round.ADVERTISE: frozenset(numbers.aggregators),
            Round.CONTRIBUTE: numbers.contributors,
            Round.RECEIPT: state.keys.keys(),
            Round.VOW: state.committee,
            Round.CHECK: state.vows.keys(),
            Round.CERTIFY: state.values.keys(),
            Round.SUM: state.certificate.keys(),
        }
        return by_round.get(state.round, NOBODY)

    @property
    def _answered(self) -> Set[PartyId]:
        state = self._state
        by_round: dict[Round, Set[PartyId]] = {
            Round.ADVERTISE: state.keys.keys(),
            Round.CONTRIBUTE: state.envelopes.keys(),
            Round.RECEIPT: state.receipts.keys(),
            Round.VOW: state.vows.keys(),
            Round.CHECK: state.values.keys(),
            Round.CERTIFY: state.certificate.keys(),
            Round.SUM: state.sums.keys(),
        }
        return by_round.get(state.round, NOBODY)

    @property
    def _enough(self) -> int:
        """Answers that the round needs."""
        if self._state.round is Round.CONTRIBUTE:
            return self._params.floor
        return self._numbers.decode if self._state.round is Round.SUM else self._numbers.enough

    def start(self) -> list[Envelope]:
        return self._tell(self._invited, Invitation(self._params))

    def abort(self, reason: AbortReason) -> list[Envelope]:
        return self._end(Aborted(reason)) if self._outcome is None else []

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        state = self._state
        if self._outcome is None and party in self._invited and party not in state.lost:
            state.lost[party] = Loss(self._missed_by(party), reason)
        return []

    def _missed_by(self, party: PartyId) -> Round:
        """The first round from here on whose answer of it is due and not here."""
        state = self._state
        if party in self._asked and party not in self._answered:
            return state.round
        if state.round is Round.ADVERTISE and party in self._numbers.contributors:
            return Round.CONTRIBUTE
        if state.round in (Round.ADVERTISE, Round.CONTRIBUTE):
            return Round.RECEIPT if party in state.keys else Round.DONE
        return _ORDER[_ORDER.index(state.round) + 1] if party in self._answered else Round.DONE

    def receive(self, sender: PartyId, message: Message) -> list[Envelope]:
        """Checks first, then takes over: a refused message leaves no trace. What a lost party still says is ignored."""
        if self._outcome is not None or sender in self._state.lost:
            return []
        if sender not in self._members:
            raise LocalProtocolError(f"party {sender} was not invited")
        if isinstance(message, Abort):
            return self.drop(sender, DropReason.ABORTED)
        if sender not in self._asked or sender in self._answered:
            raise self._unexpected(sender, message)
        match self._state.round, message:
            case Round.ADVERTISE, AdvertiseKey():
                self._take_key(sender, message)
            case Round.CONTRIBUTE, Contribution():
                return self._send_on(sender, message)
            case Round.RECEIPT, Receipt():
                self._take_receipt(sender, message)
            case Round.VOW, Vow():
                self._take_vow(sender, message)
            case Round.CHECK, CheckValues():
                self._take_values(sender, message)
            case Round.CERTIFY, Certify():
                self._take_certificate(sender, message)
            case Round.SUM, SumShare():
                self._take_sum(sender, message)
            case _:
                raise self._unexpected(sender, message)
        return []

    def _unexpected(self, sender: PartyId, message: Message) -> PeerMisbehaved:
        return PeerMisbehaved(sender, DropReason.UNEXPECTED, f"{type(message).__name__} in round {self.round.value}")

    # What members send, checked

    def _take_key(self, sender: PartyId, message: AdvertiseKey) -> None:
        if message.aggregator != sender:
            raise PeerMisbehaved(sender, DropReason.BAD_KEY, "a key in another's name")
        check_key(self._members[sender], self._invite, message, sender=sender)
        if message.channel_key in {entry.channel_key for entry in self._state.keys.values()}:
            raise PeerMisbehaved(sender, DropReason.BAD_KEY, "the key of another aggregator")
        self._state.keys[sender] = message

    def _send_on(self, sender: PartyId, message: Contribution) -> list[Envelope]:
        """To each aggregator its piece, at once; here a digest stays. The pieces are the only copy of the upload."""
        state, size = self._state, self._numbers.piece_size
        committee = sorted(state.keys)
        if len(message.sealed) != size * len(committee):
            raise PeerMisbehaved(
                sender, DropReason.BAD_LENGTH, "pieces of another size or number than the card asks for"
            )
        pieces = [message.sealed[at : at + size] for at in range(0, len(message.sealed), size)]
        hashes = b"".join(map(bindings.hash_bytes, pieces))
        envelope = bindings.envelope_digest(state.session, sender, message.ephemeral_key, hashes)
        try:
            AgreementKey(message.ephemeral_key)
        except KeyRefused as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_KEY, str(exc)) from exc
        self._check(sender, lambda key: bindings.verify_contribution(key, envelope, message.signature))
        state.envelopes[sender] = envelope
        return [
            envelope_
            for party, piece in zip(committee, pieces, strict=True)
            for envelope_ in self._tell(
                frozenset({party}), Delivery(sender, message.ephemeral_key, message.signature, hashes, piece)
            )
        ]

    def _take_receipt(self, sender: PartyId, message: Receipt) -> None:
        state = self._state
        try:
            aggregator.check_receipt(self._members[sender], self._invite, state.offered, state.keys[sender], message)
        except aggregator.ReceiptRefused as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_SIGNATURE, str(exc)) from exc
        state.receipts[sender] = message

    def _take_vow(self, sender: PartyId, message: Vow) -> None:
        self._check(sender, lambda key: bindings.verify_vow(key, self._state.agreed, message.signature))
        self._state.vows[sender] = message.signature

    def _take_values(self, sender: PartyId, message: CheckValues) -> None:
        state = self._state
        try:
            aggregator.unpack_values(self._numbers, message.values, len(state.candidates))
        except FieldError as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_LENGTH, str(exc)) from exc
        self._check(sender, lambda key: bindings.verify_values(key, state.agreed, message.values, message.signature))
        state.values[sender], state.signatures[sender] = message.values, message.signature

    def _take_certificate(self, sender: PartyId, message: Certify) -> None:
        state, invite = self._state, self._invite
        self._check(
            sender,
            lambda key: bindings.verify_certificate(key, invite, state.agreed, state.included, message.signature),
        )
        state.certificate[sender] = message.signature

    def _take_sum(self, sender: PartyId, message: SumShare) -> None:
        state = self._state
        try:
            self._params.spec.field.unpack(message.share, self._numbers.blocks)
        except FieldError as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_LENGTH, str(exc)) from exc
        body = state.agreed, state.included, message.share, message.signature
        self._check(sender, lambda key: bindings.verify_sum(key, *body))
        state.sums[sender] = message.share

    def _check(self, sender: PartyId, verify: Callable[[VerifyKey], None]) -> None:
        try:
            verify(self._members[sender])
        except BadSignature as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_SIGNATURE, str(exc)) from exc

    # Closing a round: what it gathered is fixed, the next round opens

    def close_round(self) -> list[Envelope]:
        if not self.can_close:
            raise LocalProtocolError(f"round {self.round.value} has {len(self._answered)} answers of {self._enough}")
        left_out = self._leave_out(self.waiting_for, DropReason.TOO_SLOW)
        closing = {
            Round.ADVERTISE: self._close_advertise,
            Round.CONTRIBUTE: self._close_contribute,
            Round.RECEIPT: self._close_receipt,
            Round.VOW: self._close_vow,
            Round.CHECK: self._close_check,
            Round.CERTIFY: self._close_certify,
            Round.SUM: self._close_sum,
        }
        return left_out + closing[self.round]()

    def _leave_out(self, parties: PartySet, reason: DropReason) -> list[Envelope]:
        """They are out of the session, as clients too where they had not contributed."""
        in_it = parties & self._state.envelopes.keys()
        told = [
            *self._tell(parties - in_it, Abort(AbortReason.NOT_INCLUDED)),
            *self._tell(in_it, Abort(AbortReason.TOO_SLOW)),
        ]
        for party in parties:
            self._state.lost[party] = Loss(self.round, reason)
        return told

    def _close_advertise(self) -> list[Envelope]:
        state = self._state
        state.round = Round.CONTRIBUTE
        entries = tuple(state.keys[party] for party in sorted(state.keys))
        state.session = bindings.session_digest(self._invite, entries)
        signature = bindings.sign_card(self._identity, state.session)
        return [
            *self._tell(frozenset(state.keys), Committee(entries, signature)),
            *self._tell(self._numbers.contributors, Card(entries, signature)),
        ]

    def _close_contribute(self) -> list[Envelope]:
        state = self._state
        state.round = Round.RECEIPT
        clients = frozenset(state.envelopes)
        envelopes = b"".join(state.envelopes[client] for client in sorted(clients))
        state.offered = bindings.offer_digest(state.session, clients, envelopes)
        offer = Offer(clients, bindings.sign_offer(self._identity, state.offered), envelopes)
        return self._tell(frozenset(state.keys), offer)

    def _close_receipt(self) -> list[Envelope]:
        state, clients = self._state, frozenset(self._state.envelopes)
        held = {party: one.held & clients for party, one in state.receipts.items()}
        self._dispute(Dispute(client, party) for party in sorted(held) for client in sorted(clients - held[party]))
        found = plan(self._numbers, held)
        if len(found.candidates) < self._params.floor:
            return self._end(Aborted(AbortReason.TOO_FEW, DropReason.BAD_SHARE))
        state.round = Round.VOW
        state.committee, state.candidates = found.committee, found.candidates
        state.agreed = bindings.agreed_digest(state.offered, state.receipts)
        return self._tell(state.committee, Receipts(dict(state.receipts)))

    def _close_vow(self) -> list[Envelope]:
        self._state.round = Round.CHECK
        return self._tell(frozenset(self._state.vows), Vows(dict(self._state.vows)))

    def _close_check(self) -> list[Envelope]:
        """An aggregator that is out counts as lost, but what it signed goes on to the others: all find the same U."""
        state, clients = self._state, sorted(self._state.candidates)
        values = {
            party: aggregator.unpack_values(self._numbers, packed, len(clients))
            for party, packed in state.values.items()
        }
        verdict = judge(self._numbers, clients, values)
        self._dispute(sorted(verdict.disputes))
        state.included = verdict.included
        if len(state.included) < self._params.floor:
            return self._end(Aborted(AbortReason.TOO_FEW, DropReason.BAD_SHARE))
        signers = sorted(state.values)
        checks = Checks(dict(state.signatures), b"".join(state.values[party] for party in signers))
        left_out = self._leave_out(verdict.out - state.lost.keys(), DropReason.BAD_SHARE)
        state.round = Round.CERTIFY
        return left_out + self._tell(frozenset(signers), checks)

    def _close_certify(self) -> list[Envelope]:
        self._state.round = Round.SUM
        return self._tell(frozenset(self._state.certificate), Certificate(dict(self._state.certificate)))

    def _close_sum(self) -> list[Envelope]:
        state, spec, numbers = self._state, self._params.spec, self._numbers
        rows = {numbers.points[party]: spec.field.unpack(one, numbers.blocks) for party, one in state.sums.items()}
        try:
            opened = numbers.packing.correct(rows, spec.masked_length)
        except TooManyErrors:
            return self._end(Aborted(AbortReason.UNMASK_INCONSISTENT, DropReason.BAD_SHARE))
        state.named = frozenset(party for party in state.sums if numbers.points[party] in opened.wrong)
        left_out = self._leave_out(state.named - state.lost.keys(), DropReason.BAD_SHARE)
        if opened.secrets[spec.length :].any():
            return left_out + self._end(Aborted(AbortReason.UNMASK_INCONSISTENT))
        return left_out + self._end(Finished(Aggregate(opened.secrets[: spec.length], state.included)))

    def _dispute(self, found: Iterable[Dispute]) -> None:
        self._state.disputes = (*self._state.disputes, *found)

    def _end(self, outcome: Outcome) -> list[Envelope]:
        """Of the members' answers what is evidence stays; everybody who still listens is told."""
        state = self._state
        if isinstance(outcome, Aborted):
            told = self._tell(self._invited, Abort(outcome.reason))
        else:
            vector = self._params.spec.field.pack(outcome.aggregate.vector)
            signature = bindings.sign_result(self._identity, state.agreed, state.included, vector)
            certificate = dict(state.certificate)
            result = Result(state.included, state.agreed, certificate, signature, vector)
            told = self._tell(self._invited, result)
        self._state = ServerState(
            Round.DONE,
            lost=state.lost,
            included=state.included,
            disputes=state.disputes,
            named=state.named,
            left=self.evidence,
        )
        self._outcome = outcome
        return told

    def _tell(self, parties: PartySet, message: Message) -> list[Envelope]:
        listening = tuple(sorted(parties - self._state.lost.keys()))
        return [Envelope(listening, message)] if listening else []
