"""The server of LightSecAgg: it relays, counts and, at the end, takes the sum of the masks off. [MLSys 2022]

It is trusted with nothing: what it could do wrong, the clients check. It defends itself against clients that send
nonsense, each of which is dropped. One answer table, one closing a round; the driver says when. What it computes does
not depend on who was lost: one sum of masks is decoded, whoever is in it.
"""

from collections.abc import Mapping, Set
from types import MappingProxyType

from mpc.field import FieldError
from mpc.keys import AgreementKey, BadSignature, KeyRefused, SigningKey, VerifyKey
from mpc.sealing import SEAL_OVERHEAD
from mpc.shamir import TooManyErrors
from protocols.errors import AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.evidence import Dispute, Evidence, Statement
from protocols.lightsecagg import bindings, coding, snapshots
from protocols.lightsecagg.collected import NOBODY, Loss, ServerState
from protocols.lightsecagg.messages import (
    Abort,
    AdvertiseKey,
    AggregatedPiece,
    AggregateRequest,
    Confirm,
    Dealers,
    Dealt,
    Invitation,
    MaskedInput,
    Message,
    Piece,
    Relayed,
    Result,
    Roster,
    Round,
    Survivors,
)
from protocols.lightsecagg.numbers import Numbers, Unworkable, numbers
from protocols.lightsecagg.testimony import ROSTER
from protocols.machine import Aborted, Aggregate, Envelope, Finished, Outcome
from protocols.session import SessionParams, Variant
from protocols.wire import PartySet


class Server:
    """The aggregator of one session.

    identity: the coordinator's signing key, the one that `params.subject` names. members: who is invited. Raises
    LocalProtocolError where so many cannot hold this session, with the remedy.
    """

    def __init__(self, params: SessionParams, *, identity: SigningKey, members: Mapping[PartyId, VerifyKey]) -> None:
        if params.subject.coordinator != identity.verify_key.raw:
            raise LocalProtocolError("this identity is not the coordinator that the session names")
        try:
            numbers(params, len(members))
        except Unworkable as exc:
            raise LocalProtocolError(str(exc)) from exc
        self._params = params
        self._identity = identity
        self._members = dict(members)
        self._invited: PartySet = frozenset(members)
        self._state = ServerState()

    @property
    def round(self) -> Round:
        return self._state.round

    @property
    def outcome(self) -> Outcome | None:
        return self._state.outcome

    @property
    def params(self) -> SessionParams:
        return self._params

    @property
    def dropped(self) -> Mapping[PartyId, tuple[Round, DropReason]]:
        """Who was lost, with the round whose answer never came. After its last answer nobody can be lost."""
        losses = self._state.lost.items()
        return MappingProxyType({who: (loss.round, loss.reason) for who, loss in losses if loss.round != Round.DONE})

    @property
    def disputes(self) -> frozenset[Dispute]:
        return frozenset(self._state.disputes)

    @property
    def evidence(self) -> Evidence:
        """Of what came so far, and when the session is over."""
        state = self._state
        return Evidence(
            state.u1, state.u2, state.u3, state.u4, state.u5,
            foundation=ROSTER.dump(state.keys[client] for client in sorted(state.u1)) if state.u1 else b"",
            confirmations=dict(state.confirmations),
            disputes=tuple(sorted(state.disputes)),
        )  # fmt: skip

    @property
    def unfitting(self) -> PartySet:
        """Holders whose answer lay on no polynomial with the others'. Each of them said something wrong, or some dealer
        of U3 dealt it a wrong piece; which, is open."""
        return self._state.unfitting

    @property
    def u1(self) -> PartySet:
        """Advertised."""
        return self._state.u1

    @property
    def u2(self) -> PartySet:
        """Dealt all their pieces."""
        return self._state.u2

    @property
    def u3(self) -> PartySet:
        """Survivors: their masked input is in the sum."""
        return self._state.u3

    @property
    def u4(self) -> PartySet:
        """Confirmed U3."""
        return self._state.u4

    @property
    def u5(self) -> PartySet:
        """Answered with their aggregated piece."""
        return self._state.u5

    @property
    def waiting_for(self) -> PartySet:
        return self._asked - self._answered - self._state.lost.keys()

    @property
    def can_close(self) -> bool:
        return self._state.outcome is None and len(self._answered) >= self._enough

    @property
    def _asked(self) -> PartySet:
        """Whose answer the round is about."""
        state = self._state
        by_round = {
            Round.ADVERTISE: self._invited,
            Round.SHARE: state.u1,
            Round.MASKED_INPUT: state.u2,
            Round.CONFIRM: state.u3,
            Round.AGGREGATE: state.u4 if self._active else state.u3,
        }
        return by_round.get(state.round, NOBODY)

    @property
    def _answered(self) -> Set[PartyId]:
        state = self._state
        by_round: dict[Round, Set[PartyId]] = {
            Round.ADVERTISE: state.keys.keys(),
            Round.SHARE: state.dealt,
            Round.MASKED_INPUT: state.masked,
            Round.CONFIRM: state.confirmations.keys(),
            Round.AGGREGATE: state.answers.keys(),
        }
        return by_round.get(state.round, NOBODY)

    @property
    def _enough(self) -> int:
        """Answers that the round needs: U at the end, before it q too, and the fewest of a sum until U3 is fixed."""
        floor, advertised = self._params.floor, len(self._state.keys)
        if self._state.round is Round.ADVERTISE:
            return max(floor, numbers(self._params, advertised).alive) if advertised >= floor else floor
        if self._state.round is Round.AGGREGATE:
            return self._numbers.decode
        return self._numbers.alive if self._state.round is Round.CONFIRM else max(floor, self._numbers.alive)

    @property
    def _active(self) -> bool:
        return self._params.variant is Variant.ACTIVE

    @property
    def _numbers(self) -> Numbers:
        return numbers(self._params, len(self._state.u1))

    @property
    def _piece_size(self) -> int:
        """Bytes of one piece, packed."""
        spec = self._params.spec
        return spec.field.packed_size(self._numbers.piece_length(spec))

    @classmethod
    def restore(cls, snapshot: bytes, *, identity: SigningKey) -> "Server":
        """Goes on from `snapshot()`; parameters and members come from inside it."""
        params, members, state = snapshots.load_server(snapshot)
        server = cls(params, identity=identity, members=members)
        server._state = state
        return server

    def snapshot(self) -> bytes:
        return snapshots.dump_server(self._params, self._members, self._state)

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
        state.relayed.pop(party, None)
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
            raise self._unexpected(sender, message)
        match self._state.round, message:
            case Round.ADVERTISE, AdvertiseKey():
                self._take_key(sender, message)
            case Round.SHARE, Piece():
                return self._relay(sender, message)
            case Round.SHARE, Dealt():
                self._take_dealt(sender, message)
            case Round.MASKED_INPUT, MaskedInput():
                self._take_masked(sender, message)
            case Round.CONFIRM, Confirm():
                self._take_confirmation(sender, message)
            case Round.AGGREGATE, AggregatedPiece():
                self._take_answer(sender, message)
            case _:
                raise self._unexpected(sender, message)
        return []

    def _unexpected(self, sender: PartyId, message: Message) -> PeerMisbehaved:
        return PeerMisbehaved(sender, DropReason.UNEXPECTED, f"{type(message).__name__} in round {self.round.value}")

    def _given_up(self, sender: PartyId, message: Abort) -> list[Envelope]:
        if message.accused is not None and message.accused in self._state.u1:
            self._state.disputes.add(Dispute(message.accused, sender))
        return self.drop(sender, DropReason.ABORTED)

    # What clients send, checked

    def _take_key(self, sender: PartyId, message: AdvertiseKey) -> None:
        taken = {entry.channel_key for entry in self._state.keys.values()}
        try:
            AgreementKey(message.channel_key)
            if self._active:
                statement = bindings.key_of(self._params.digest, message.client, message.channel_key)
                self._members[sender].verify(message.signature, *statement)
        except (KeyRefused, BadSignature) as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_KEY, str(exc)) from exc
        if message.client != sender or message.channel_key in taken:
            raise PeerMisbehaved(sender, DropReason.BAD_KEY, "a key in another's name, or one that is not its own")
        self._state.keys[sender] = message

    def _relay(self, sender: PartyId, message: Piece) -> list[Envelope]:
        """Passed on at once and not kept: of a piece only the hash stays, until its dealer has signed for it."""
        relayed, recipient = self._state.relayed.get(sender, {}), message.recipient
        if recipient not in self._state.u1 - {sender} or recipient in relayed:
            raise PeerMisbehaved(sender, DropReason.WRONG_SET, f"a piece for party {recipient}, which is owed none")
        if len(message.sealed) != self._piece_size + SEAL_OVERHEAD:
            raise PeerMisbehaved(sender, DropReason.BAD_LENGTH, f"a sealed piece of {len(message.sealed)} bytes")
        self._state.relayed.setdefault(sender, {})[recipient] = bindings.hash_piece(message.sealed)
        return self._tell(frozenset({recipient}), Relayed(sender, message.sealed))

    def _take_dealt(self, sender: PartyId, message: Dealt) -> None:
        relayed = self._state.relayed.get(sender, {})
        if message.hashes != relayed or relayed.keys() != self._state.u1 - {sender}:
            raise PeerMisbehaved(sender, DropReason.WRONG_SET, "not the pieces that came, or not one for each of U1")
        statement = bindings.dealt(self._state.session, sender, message.hashes)
        self._require_signed(sender, message.signature, statement)
        self._state.dealt.add(sender)
        del self._state.relayed[sender]

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
        statement = bindings.confirmation(self._state.shared, self._state.u3)
        self._require_signed(sender, message.signature, statement)
        self._state.confirmations[sender] = message.signature

    def _take_answer(self, sender: PartyId, message: AggregatedPiece) -> None:
        spec = self._params.spec
        try:
            spec.field.unpack(message.piece, self._numbers.piece_length(spec))
        except FieldError as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_SHARE, str(exc)) from exc
        self._state.answers[sender] = message.piece

    def _sign(self, statement: Statement) -> bytes:
        return self._identity.sign(*statement) if self._active else b""

    def _require_signed(self, sender: PartyId, signature: bytes, statement: Statement) -> None:
        if not self._active:
            return
        try:
            self._members[sender].verify(signature, *statement)
        except BadSignature as exc:
            raise PeerMisbehaved(sender, DropReason.BAD_SIGNATURE, str(exc)) from exc

    # Closing a round: the set is fixed, the next round opens

    @property
    def _round_after(self) -> Round:
        order = [round_ for round_ in Round if self._active or round_ is not Round.CONFIRM]
        return order[order.index(self._state.round) + 1]

    def close_round(self) -> list[Envelope]:
        if self._state.outcome is not None:
            raise LocalProtocolError("the session has ended")
        if not self.can_close:
            raise LocalProtocolError(f"round {self.round.value} has {len(self._answered)} answers of {self._enough}")
        late = self.waiting_for
        for party in late:
            self._state.lost[party] = Loss(self.round, DropReason.TOO_SLOW)
        closing = {
            Round.ADVERTISE: self._close_advertise,
            Round.SHARE: self._close_share,
            Round.MASKED_INPUT: self._close_masked,
            Round.CONFIRM: self._close_confirm,
            Round.AGGREGATE: self._close_aggregate,
        }
        opened = closing[self.round]()
        why = AbortReason.TOO_SLOW if late & self._state.u3 else AbortReason.NOT_INCLUDED
        return ([Envelope(tuple(sorted(late)), Abort(why, None))] if late else []) + opened

    def _close_advertise(self) -> list[Envelope]:
        state = self._state
        state.u1 = frozenset(state.keys)
        state.round = Round.SHARE
        entries = tuple(state.keys[client] for client in sorted(state.u1))
        state.session = bindings.session_digest(self._params, entries)
        return self._tell(state.u1, Roster(entries, self._sign(bindings.roster(state.session))))

    def _close_share(self) -> list[Envelope]:
        state = self._state
        state.u2 = frozenset(state.dealt)
        state.shared = bindings.shared_digest(state.session, state.u2)
        state.round = Round.MASKED_INPUT
        state.relayed.clear()
        return self._tell(state.u2, Dealers(state.u2, self._sign(bindings.dealers(state.shared))))

    def _close_masked(self) -> list[Envelope]:
        state = self._state
        state.u3 = frozenset(state.masked)
        state.round = self._round_after
        signature = self._sign(bindings.survivors(state.shared, state.u3))
        return self._tell(state.u3, Survivors(state.u3, signature))

    def _close_confirm(self) -> list[Envelope]:
        state = self._state
        state.u4 = frozenset(state.confirmations)
        state.round = Round.AGGREGATE
        return self._tell(state.u4, AggregateRequest(dict(state.confirmations)))

    def _close_aggregate(self) -> list[Envelope]:
        """The sum of the masks comes off. What is then not zero at the end of the vector is no sum of inputs."""
        state, spec = self._state, self._params.spec
        state.u5 = frozenset(state.answers)
        assert state.total is not None
        try:
            decoded = self._decoded()
        except TooManyErrors:
            return self._end(Aborted(AbortReason.UNMASK_INCONSISTENT))
        total = spec.field.sub(state.total, decoded.masks)
        state.unfitting = frozenset(party for place, party in self._places() if 1 + place in decoded.wrong)
        if total[spec.length :].any():
            return self._end(Aborted(AbortReason.UNMASK_INCONSISTENT))
        return self._end(Finished(Aggregate(total[: spec.length], state.u3)))

    def _decoded(self) -> coding.Decoded:
        state, spec, agreed = self._state, self._params.spec, self._numbers
        length = agreed.piece_length(spec)
        rows = {
            agreed.share_points[place]: spec.field.unpack(state.answers[party], length)
            for place, party in self._places()
            if party in state.answers
        }
        return coding.decode(rows, agreed, spec, bindings.check_seed(state.shared, state.answers))

    def _places(self) -> list[tuple[int, PartyId]]:
        return list(enumerate(sorted(self._state.u1)))

    def _end(self, outcome: Outcome) -> list[Envelope]:
        """Of the clients' answers what is evidence stays; everybody who still listens is told."""
        state = self._state
        if isinstance(outcome, Aborted):
            told = self._tell(self._invited, Abort(outcome.reason, None))
        else:
            vector = self._params.spec.field.pack(outcome.aggregate.vector)
            signature = self._sign(bindings.result(state.shared, state.u3, vector))
            told = self._tell(state.u5, Result(state.u3, signature, vector))
        self._state = ServerState(
            Round.DONE, state.session, state.shared, state.u1, state.u2, state.u3, state.u4, state.u5,
            lost=state.lost, keys={client: state.keys[client] for client in sorted(state.u1)},
            confirmations=state.confirmations, disputes=state.disputes, unfitting=state.unfitting, outcome=outcome,
        )  # fmt: skip
        return told

    def _tell(self, parties: PartySet, message: Message) -> list[Envelope]:
        listening = tuple(sorted(parties - self._state.lost.keys()))
        return [Envelope(listening, message)] if listening else []
