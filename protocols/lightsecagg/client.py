"""A client of LightSecAgg: what it accepts, what it answers, what it never says. [MLSys 2022, algorithm 1]

It believes nothing that it can check: each step below verifies first, builds the answer, and only then replaces the
state, so that a refused message leaves everything as it was. One method a round, in the order of the protocol.
"""

from dataclasses import replace

import numpy as np

from mpc.field import FieldError
from mpc.keys import AgreementKey, AgreementSecret, BadSignature, KeyRefused
from mpc.prg import SEED_BYTES, Seed
from mpc.sealing import SEAL_OVERHEAD, SealBroken, open_sealed, seal
from protocols.channels import opening
from protocols.contributor import HearsServer
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.evidence import Statement
from protocols.lightsecagg import bindings, coding, snapshots
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
    Survivors,
)
from protocols.lightsecagg.numbers import Numbers, Unworkable, numbers
from protocols.lightsecagg.states import (
    AwaitingConfirmations,
    AwaitingDealers,
    AwaitingInvitation,
    AwaitingResult,
    AwaitingRoster,
    AwaitingSurvivors,
    Ended,
    State,
)
from protocols.machine import Aborted, Aggregate, Finished
from protocols.session import SessionParams, Variant, domain
from protocols.wire import PartySet

Step = tuple[State, list[Message]]


class Client(HearsServer):
    """One contributor in one session."""

    _first = AwaitingInvitation
    _ended = Ended
    _abort = Abort
    _before_masking = (AwaitingInvitation, AwaitingRoster, AwaitingDealers)
    _format = snapshots.CLIENT

    def _opened(self, state: State) -> bytes | None:
        return bindings.open_session(state.params, state.own) if isinstance(state, AwaitingRoster) else None

    def _confirmed(self, state: State) -> Statement | None:
        match state:
            case AwaitingConfirmations() | AwaitingResult() if self._active:
                return bindings.confirmation(state.shared, state.u3)
            case _:
                return None

    def _step(self, state: State, message: Message) -> Step:
        """The table of transitions. What is not in it is refused."""
        match state, message:
            case _, Abort():
                return Ended(Aborted(self._told(message.reason))), []
            case AwaitingInvitation(), Invitation():
                return self._advertise_key(message)
            case AwaitingRoster(), Roster():
                return self._deal(state, message)
            case AwaitingDealers(), Relayed():
                return self._keep_piece(state, message), []
            case AwaitingDealers(), Dealers():
                return self._mask_input(state, message)
            case AwaitingSurvivors(), Survivors():
                return self._fix_survivors(state, message)
            case AwaitingConfirmations(), Survivors() if message.u3 != state.u3:
                self._require_signed(message.signature, bindings.survivors(state.shared, message.u3))
                raise _misbehaved(DropReason.SECOND_ANSWER, "another set of survivors, signed, after the first")
            case AwaitingConfirmations(), AggregateRequest():
                self._check_quorum(state, message)
                return self._answer(state.params, state.shared, state.u3, state.piece)
            case AwaitingResult(), Result():
                return self._finish(state, message), []
            case _:
                raise _misbehaved(DropReason.UNEXPECTED, f"{type(message).__name__} while {type(state).__name__}")

    # Round 0

    def _advertise_key(self, message: Invitation) -> Step:
        params = message.params
        self._terms.check_invitation(params, domain(self._rand))
        self._ledger.check_attempt(self._standing.key, self._terms)
        secret = AgreementSecret.generate(self._rand)
        key = secret.public.raw
        own = AdvertiseKey(self._me, key, self._sign(bindings.key_of(params.digest, self._me, key)))
        return AwaitingRoster(params, own, secret, Seed(self._rand.bytes(SEED_BYTES))), [own]

    # Round 1

    def _deal(self, state: AwaitingRoster, roster: Roster) -> Step:
        """A piece for each peer, each a message of its own, and at the end what was dealt."""
        params, me = state.params, self._me
        agreed = self._check_roster(state, roster)
        session = bindings.session_digest(params, roster.entries)
        self._require_signed(roster.signature, bindings.roster(session))
        channels = {
            entry.client: bindings.channel(session, me, state.channel_secret, entry)
            for entry in roster.entries
            if entry.client != me
        }
        mask_seed = bindings.mask_seed(session, me, state.deal_secret)
        rows = coding.cut(mask_seed, bindings.noise_seed(session, me, state.deal_secret), agreed, params.spec)
        places = {entry.client: place for place, entry in enumerate(roster.entries)}
        own_piece = params.spec.field.pack(rows[places[me]])
        pieces = [
            Piece(peer, seal(channel.sending, params.spec.field.pack(rows[places[peer]]), session, me, peer))
            for peer, channel in channels.items()
        ]
        hashes = {piece.recipient: bindings.hash_piece(piece.sealed) for piece in pieces}
        dealt = Dealt(hashes, self._sign(bindings.dealt(session, me, hashes)))
        u1 = frozenset(places)
        after = AwaitingDealers(params, agreed, session, u1, opening(channels), mask_seed, own_piece, {})
        return after, [*pieces, dealt]

    def _check_roster(self, state: AwaitingRoster, roster: Roster) -> Numbers:
        """The numbers for this U1. Raises PeerMisbehaved on any entry that does not belong."""
        ids = [entry.client for entry in roster.entries]
        if ids != sorted(set(ids)) or state.own not in roster.entries:
            raise _misbehaved(DropReason.WRONG_SET, "a roster that is not in order, or without our own entry")
        self._terms.check_cohort(state.params, ids)
        if len({entry.channel_key for entry in roster.entries}) != len(ids):
            raise _misbehaved(DropReason.BAD_KEY, "a key appears twice in the roster")
        for entry in roster.entries:
            statement = bindings.key_of(state.params.digest, entry.client, entry.channel_key)
            try:
                AgreementKey(entry.channel_key)
                if self._active:
                    self._terms.members[entry.client].verify(entry.signature, *statement)
            except (KeyRefused, BadSignature) as exc:
                raise _misbehaved(DropReason.BAD_KEY, f"the key of party {entry.client}: {exc}") from exc
        return _agreed(state.params, len(ids))

    def _keep_piece(self, state: AwaitingDealers, message: Relayed) -> State:
        """It is opened once we know that its dealer is in U2."""
        dealer, spec = message.dealer, state.params.spec
        if dealer not in state.opening or dealer in state.sealed:
            raise _misbehaved(DropReason.UNEXPECTED, f"a piece of party {dealer}, of which we wait for none")
        if len(message.sealed) != spec.field.packed_size(state.numbers.piece_length(spec)) + SEAL_OVERHEAD:
            raise _misbehaved(DropReason.BAD_LENGTH, f"a piece of party {dealer} of another length")
        return replace(state, sealed={**state.sealed, dealer: message.sealed})

    # Round 2

    def _mask_input(self, state: AwaitingDealers, message: Dealers) -> Step:
        if self._input is None:
            raise LocalProtocolError("the input must be set before the dealers are known")
        u2, spec = message.u2, state.params.spec
        self._check_subset(u2, state.u1, state.numbers, state.params, "U2")
        shared = bindings.shared_digest(state.session, u2)
        self._require_signed(message.signature, bindings.dealers(shared))
        opened, broken = self._open_pieces(state, u2)
        if broken:
            return _accuse(broken[0])
        vector = np.concatenate([self._input, spec.field.zeros(spec.canaries)])
        coding.add_mask(vector, state.mask_seed, spec)
        pieces = {**opened, self._me: state.own_piece}
        after = AwaitingSurvivors(state.params, state.numbers, shared, u2, pieces)
        return after, [MaskedInput(spec.field.pack(vector))]

    def _open_pieces(self, state: AwaitingDealers, u2: PartySet) -> tuple[dict[PartyId, bytes], list[PartyId]]:
        """All of U2, now (rule 9), and the dealers whose piece does not open or never came.

        Raises PeerMisbehaved when none opens: then it is not a dealer, but the server that showed us something else.
        """
        opened: dict[PartyId, bytes] = {}
        broken: list[PartyId] = []
        dealers = u2 - {self._me}
        for dealer in sorted(dealers):
            try:
                opened[dealer] = self._open(state, dealer)
            except (SealBroken, FieldError, KeyError):
                broken.append(dealer)
        if len(broken) == len(dealers):
            raise _misbehaved(
                DropReason.SPLIT_VIEW, "no piece opens: we were shown another roster, model or configuration"
            )
        return opened, broken

    def _open(self, state: AwaitingDealers, dealer: PartyId) -> bytes:
        """Raises SealBroken, FieldError where it is no vector, KeyError where it never came."""
        spec, session = state.params.spec, state.session
        piece = open_sealed(state.opening[dealer], state.sealed[dealer], session, dealer, self._me)
        spec.field.unpack(piece, state.numbers.piece_length(spec))
        return piece

    # Rounds 2 to 4: U3 comes once, here

    def _fix_survivors(self, state: AwaitingSurvivors, message: Survivors) -> Step:
        """From here on the sum counts as opened, whatever becomes of the session (rule 13, decision 14): U answers open
        it, which may be fewer than q, and part of it opens before; only those who confirm are sure to be q.
        """
        u3 = message.u3
        self._require_signed(message.signature, bindings.survivors(state.shared, u3))
        if u3 <= state.u2 and self._me not in u3:
            return Ended(Aborted(AbortReason.NOT_INCLUDED)), []
        self._check_subset(u3, state.u2, state.numbers, state.params, "U3")
        self._warnings = self._ledger.check_survivors(self._standing.key, self._terms, u3)
        summed = coding.add_pieces((state.pieces[party] for party in sorted(u3)), state.numbers, state.params.spec)
        self._ledger = self._ledger.revealed(self._standing.key, self._terms, u3)
        if not self._active:
            return self._answer(state.params, state.shared, u3, summed)
        fixed = AwaitingConfirmations(state.params, state.numbers.quorum, state.shared, u3, summed)
        return fixed, [Confirm(self._sign(bindings.confirmation(state.shared, u3)))]

    def _answer(self, params: SessionParams, shared: bytes, u3: PartySet, summed: bytes) -> Step:
        return AwaitingResult(params, shared, u3), [AggregatedPiece(summed)]

    def _check_quorum(self, state: AwaitingConfirmations, message: AggregateRequest) -> None:
        """Whether q members of our U3 have confirmed exactly our U3."""
        if not message.confirmations.keys() <= state.u3:
            raise _misbehaved(DropReason.NO_QUORUM, "confirmations from outside our U3")
        statement = bindings.confirmation(state.shared, state.u3)
        for client, signature in message.confirmations.items():
            try:
                self._terms.members[client].verify(signature, *statement)
            except BadSignature as exc:
                raise _misbehaved(DropReason.NO_QUORUM, f"party {client} did not confirm our U3") from exc
        if len(message.confirmations) < state.quorum:
            raise _misbehaved(
                DropReason.NO_QUORUM, f"{len(message.confirmations)} confirmations, {state.quorum} are needed"
            )

    def _finish(self, state: AwaitingResult, message: Result) -> Ended:
        self._require_signed(message.signature, bindings.result(state.shared, message.included, message.vector))
        if message.included != state.u3:
            raise _misbehaved(DropReason.WRONG_SET, "a sum over others than the survivors")
        spec = state.params.spec
        try:
            vector = spec.field.unpack(message.vector, spec.length)
        except FieldError as exc:
            raise _misbehaved(DropReason.BAD_LENGTH, f"the sum is not a vector of the session: {exc}") from exc
        return Ended(Finished(Aggregate(vector, message.included)))

    # Checks that several rounds share

    def _check_subset(
        self, inner: PartySet, outer: PartySet, agreed: Numbers, params: SessionParams, name: str
    ) -> None:
        if not inner <= outer or self._me not in inner:
            raise _misbehaved(DropReason.WRONG_SET, f"{name} is not a part of the set before it with us in it")
        if len(inner) < agreed.alive:
            raise _misbehaved(DropReason.WRONG_SET, f"{name} has {len(inner)} parties, {agreed.alive} are needed")
        self._terms.require_floor(len(inner), params)

    @property
    def _active(self) -> bool:
        return self._terms.variant is Variant.ACTIVE

    def _sign(self, statement: Statement) -> bytes:
        return self._identity.sign(*statement) if self._active else b""

    def _require_signed(self, signature: bytes, statement: Statement) -> None:
        if not self._active:
            return
        try:
            self._server_key.verify(signature, *statement)
        except BadSignature as exc:
            raise _misbehaved(DropReason.BAD_SIGNATURE, "not signed by the coordinator that we know") from exc


def _misbehaved(reason: DropReason, detail: str) -> PeerMisbehaved:
    return PeerMisbehaved(SERVER, reason, detail)


def _agreed(params: SessionParams, parties: int) -> Numbers:
    try:
        return numbers(params, parties)
    except Unworkable as exc:
        raise _misbehaved(DropReason.OUTSIDE_TERMS, str(exc)) from exc


def _accuse(dealer: PartyId) -> Step:
    """Not every view is split, but this piece is not what was dealt: we leave before our input does, and say whose.

    Whether the dealer sealed it so or the server changed or kept it, we cannot tell.
    """
    outcome = Aborted(AbortReason.REFUSED, DropReason.BAD_BUNDLE, dealer)
    return Ended(outcome), [Abort(outcome.reason, dealer)]
