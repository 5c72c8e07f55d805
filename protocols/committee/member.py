"""A member of a consortium that sums through a committee: a client, an aggregator, or both. [PROTOCOLS 3D]

Which of them it is, its own terms say. Both roles stand behind one machine, since one party has one ledger, one
snapshot and one outcome; each has its own state, and a message belongs to one of them. Each step verifies first and
builds what comes next, and only then is it taken over, so that a refused message leaves everything as it was.
"""

from collections.abc import Sequence
from dataclasses import replace

from mpc.field import FieldError, FieldVector
from mpc.hashing import digest
from mpc.keys import SigningKey
from mpc.randomness import Randomness
from protocols.committee import aggregator, bindings, client, snapshots
from protocols.committee.messages import (
    Abort,
    Card,
    Certificate,
    Checks,
    Committee,
    Delivery,
    Invitation,
    Message,
    Offer,
    Receipts,
    Result,
    Round,
    Vows,
)
from protocols.committee.numbers import PROTOCOL, NoCommittee, Numbers, numbers_of
from protocols.committee.snapshots import Now
from protocols.committee.states import (
    AggregatorState,
    Answered,
    AwaitingCard,
    AwaitingCertificate,
    AwaitingChecks,
    AwaitingCommittee,
    AwaitingReceipts,
    AwaitingVows,
    Collecting,
)
from protocols.committee.view import View, servers_signature
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved, WireError
from protocols.evidence import Seen
from protocols.inputs import checked_input
from protocols.ledger import NOTHING_ANSWERED, ONE_VERSION, Caution, Ledger, contribution_key, differencing_key
from protocols.machine import Aborted, Aggregate, Envelope, Finished, Outcome
from protocols.session import SessionParams, Terms, Variant, domain
from protocols.standing import Standing
from protocols.wire import PartySet

Step = tuple[Now, Message | None]

_ORDER = list(Round)


class Member:
    """One participant in one session.

    me: its place in the consortium. identity: its long-term key, which must be the one that `terms` names for it.
    terms.aggregators: who aggregates and contributes nothing; EVERYBODY where each member does both. ledger: what its
    party has answered before. local_version: 32 bytes, the version of the rows that the input comes from. Raises
    LocalProtocolError where the identity is another's, or the terms name no coordinator or are for another protocol.
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
    ) -> None:
        if terms.members.get(me) != identity.verify_key:
            raise LocalProtocolError(f"this identity is not the one that the terms name for party {me}")
        if terms.protocol != PROTOCOL or terms.variant is not Variant.ACTIVE:
            raise LocalProtocolError(
                f"the terms are for {terms.protocol} ({terms.variant}), this is {PROTOCOL} (active)"
            )
        self._me, self._identity, self._terms, self._rand = me, identity, terms, rand
        self._server_key = terms.coordinator_key
        self._contributes = me not in terms.aggregators
        self._aggregates = me in (terms.aggregators or terms.members)
        self._ledger = ledger
        self._warnings: tuple[Caution, ...] = ()
        self._now = Now(Standing(differencing_key(terms.subject, local_version)))
        self._numbers: Numbers | None = None

    @classmethod
    def restore(cls, snapshot: bytes, *, identity: SigningKey, rand: Randomness, ledger: Ledger) -> "Member":
        """Goes on from `snapshot()`. Parameters and terms come from inside it; randomness is new.

        Only from the last snapshot that was taken: from an older one it could sign a second time. The ledger tells:
        raises LocalProtocolError unless it is the one that was written with this snapshot.
        """
        me, terms, now = snapshots.load_member(snapshot)
        if now.params is not None and now.params.wire != domain(rand):
            raise LocalProtocolError("a real session goes on with the system's randomness, a seeded one with a seed")
        now.standing.require_last(ledger, ended=now.outcome is not None)
        member = cls(me, identity=identity, terms=terms, rand=rand, ledger=ledger)
        member._now = now
        try:
            member._numbers = None if now.params is None else numbers_of(now.params, terms.members)
        except NoCommittee as exc:
            raise WireError("a snapshot of a session that has no committee") from exc
        return member

    def snapshot(self) -> bytes:
        return snapshots.dump_member(self._me, self._terms, self._now)

    @property
    def ledger(self) -> Ledger:
        """The newest. On disk before what a call returns is sent."""
        return self._ledger

    @property
    def warnings(self) -> tuple[Caution, ...]:
        """What an aggregator's party should read about the sum that it certified. Not in a snapshot."""
        return self._warnings

    @property
    def seen(self) -> Seen | None:
        """None before it is invited."""
        params, state = self._now.params, self._now.aggregator
        if params is None:
            return None
        if not isinstance(state, AwaitingCertificate | Answered):
            return Seen(params, None)
        return Seen(params, bindings.certified(params.digest, state.agreed, state.included))

    @property
    def round(self) -> Round:
        """The later of the two roles'."""
        if self._now.outcome is not None:
            return Round.DONE
        rounds = [state.round for state in (self._now.client, self._now.aggregator) if state is not None]
        return max(rounds, key=_ORDER.index, default=Round.ADVERTISE)

    @property
    def outcome(self) -> Outcome | None:
        return self._now.outcome

    @property
    def waiting_for(self) -> PartySet:
        return frozenset() if self._now.outcome is not None else frozenset({SERVER})

    @property
    def can_close(self) -> bool:
        """A member waits for the server or gives it up; it closes nothing."""
        return False

    @property
    def _view(self) -> View:
        assert self._now.params is not None
        assert self._numbers is not None
        return View(self._me, self._identity, self._terms, self._now.params, self._numbers)

    # What a driver calls

    def start(self) -> list[Envelope]:
        return []

    def set_input(self, vector: FieldVector) -> None:
        """The encoded vector, once. Raises LocalProtocolError on another shape, too late, or where none belongs."""
        if not self._contributes:
            raise LocalProtocolError(f"party {self._me} aggregates, and has no input")
        open_ = self._now.params is None or isinstance(self._now.client, AwaitingCard)
        if self._now.input is not None or not open_ or self._now.outcome is not None:
            raise LocalProtocolError("the input is set once, before the card is delivered")
        self._now = replace(self._now, input=checked_input(self._terms.spec, vector))

    def receive(self, sender: PartyId, message: Message) -> list[Envelope]:
        if self._now.outcome is not None:
            return []
        if sender != SERVER:
            raise LocalProtocolError("a member hears its server only")
        now, answer = self._step(message)
        self._enter(now)
        return [] if answer is None else [Envelope((SERVER,), answer)]

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        if party != SERVER or self._now.outcome is not None:
            return []
        why = AbortReason.SERVER_LOST if reason is DropReason.VANISHED else AbortReason.REFUSED
        return self._give_up(Aborted(why, reason))

    def close_round(self) -> list[Envelope]:
        raise LocalProtocolError("a member closes no round")

    def abort(self, reason: AbortReason) -> list[Envelope]:
        return [] if self._now.outcome is not None else self._give_up(Aborted(reason))

    def _give_up(self, outcome: Aborted) -> list[Envelope]:
        self._enter(self._ended(outcome))
        return [Envelope((SERVER,), Abort(outcome.reason))]

    def _ended(self, outcome: Outcome) -> Now:
        """Both roles are over, and their secrets gone."""
        return Now(self._now.standing, self._now.params, outcome=outcome)

    def _enter(self, now: Now) -> None:
        """One step on, in the ledger as well; a re-send is none."""
        if now is self._now:
            return
        opened = None if self._now.params is not None or now.params is None else _session(now)
        self._now = replace(now, standing=now.standing.after(opened))
        self._ledger = self._now.standing.written(self._ledger, ended=now.outcome is not None)

    # The table of transitions. What is not in it is refused

    def _step(self, message: Message) -> Step:
        now = self._now
        match message:
            case Abort():
                return self._ended(Aborted(self._told(message.reason))), None
            case Invitation() if now.params is None:
                return self._accept(message.params)
            case Card() if isinstance(now.client, AwaitingCard):
                return self._contribute(now.client, message)
            case Result() if self._has_spoken:
                return self._finish(message), None
            case _ if now.aggregator is not None:
                return self._aggregate(now.aggregator, message)
            case _:
                raise self._unexpected(message)

    def _aggregate(self, state: AggregatorState, message: Message) -> Step:
        view = self._view
        match state, message:
            case AwaitingCommittee(), Committee():
                return self._as_aggregator(aggregator.join(view, state, message))
            case Collecting(), Delivery():
                return self._as_aggregator(aggregator.hold(view, state, message))
            case Collecting(), Offer():
                return self._as_aggregator(*aggregator.receipt(view, state, message))
            case AwaitingReceipts(), Receipts():
                return self._as_aggregator(*aggregator.vow(view, state, message))
            case AwaitingVows(), Vows():
                return self._as_aggregator(*aggregator.answer_challenge(view, state, message))
            case AwaitingChecks(), Checks():
                return self._certify(state, message)
            case AwaitingCertificate(), Certificate():
                return self._sum(state, message)
            case _:
                raise self._unexpected(message)

    def _as_aggregator(self, state: AggregatorState, answer: Message | None = None) -> Step:
        unchanged = state is self._now.aggregator
        return self._now if unchanged else replace(self._now, aggregator=state), answer

    def _unexpected(self, message: Message) -> PeerMisbehaved:
        return PeerMisbehaved(SERVER, DropReason.UNEXPECTED, f"{type(message).__name__} while in {self.round.value}")

    def _accept(self, params: SessionParams) -> Step:
        """The session is one that we take part in. All randomness of both roles is drawn here."""
        self._terms.check_invitation(params, domain(self._rand))
        try:
            numbers = numbers_of(params, self._terms.members)
        except NoCommittee as exc:
            raise PeerMisbehaved(SERVER, DropReason.OUTSIDE_TERMS, str(exc)) from exc
        key = self._now.standing.key
        if self._contributes:
            self._terms.require_floor(params.floor, params)  # ours to say now or never: the aggregators hold to theirs
            self._ledger.check_attempt(contribution_key(key), self._terms)
        if self._aggregates:
            self._ledger.check_attempt(self._guarded, self._terms)
        self._numbers = numbers
        as_client = client.invited(self._rand) if self._contributes else None
        after = replace(self._now, params=params, client=as_client)
        if not self._aggregates:
            return after, None
        state = aggregator.invited(self._me, self._identity, params.digest, self._rand)
        return replace(after, aggregator=state), state.own

    def _contribute(self, state: AwaitingCard, card: Card) -> Step:
        """Once for I, and counted for this model: others can open it without us (rule 13)."""
        vector = self._now.input
        if vector is None:
            raise LocalProtocolError("the input must be set before the card is delivered")
        after, contribution = client.contribute(self._view, state, card, vector)
        self._ledger = self._ledger.contributed(contribution_key(self._now.standing.key))
        return replace(self._now, client=after, input=None), contribution

    def _certify(self, state: AwaitingChecks, message: Checks) -> Step:
        """From here on the sum counts as opened, whatever becomes of the session (rule 13, decision 13): T + ell sums
        open it, which may be fewer than q, and part of it opens before; only those who certify are sure to be q.
        """
        included = aggregator.find_included(self._view, state, message)
        self._warnings = self._ledger.check_survivors(self._guarded, self._terms, included)
        self._ledger = self._ledger.revealed(self._guarded, self._terms, included)
        return self._as_aggregator(*aggregator.certify(self._view, state, included))

    def _sum(self, state: AwaitingCertificate, message: Certificate) -> Step:
        return self._as_aggregator(*aggregator.answer(self._view, state, message))

    @property
    def _guarded(self) -> bytes:
        """What an aggregator guards are others' inputs: its own rows, and their version, have no part in it."""
        return differencing_key(self._terms.subject)

    @property
    def _has_spoken(self) -> bool:
        """Whether a result can be ours: each of our roles is past the point at which a sum can be without it."""
        now = self._now
        waiting = isinstance(now.client, AwaitingCard) or isinstance(now.aggregator, AwaitingCommittee | Collecting)
        return now.params is not None and not waiting

    def _finish(self, result: Result) -> Now:
        """The certificate shows over whom the sum is. What the sum is, the server says."""
        view, included = self._view, result.included
        with servers_signature():
            bindings.verify_result(self._server_key, result)
        committee = frozenset(view.numbers.aggregators)
        aggregator.check_certificate(view, result.certificate, committee, result.agreed, included)
        view.terms.require_floor(len(included), view.params)
        _require_own_set(self._now.aggregator, result)
        if self._contributes and self._me not in included:
            return self._ended(Aborted(AbortReason.NOT_INCLUDED))
        spec = view.params.spec
        try:
            vector = spec.field.unpack(result.vector, spec.length)
        except FieldError as exc:
            raise PeerMisbehaved(
                SERVER, DropReason.BAD_LENGTH, f"the sum is not a vector of the session: {exc}"
            ) from exc
        return self._ended(Finished(Aggregate(vector, included)))

    def _told(self, reason: AbortReason) -> AbortReason:
        """What an unsigned abort of the server can mean here: once our input left, only a certificate says that it is
        not in the sum.
        """
        early = self._contributes and (self._now.client is None or isinstance(self._now.client, AwaitingCard))
        return AbortReason.NOT_INCLUDED if early and reason is AbortReason.NOT_INCLUDED else AbortReason.TOLD


def _require_own_set(state: AggregatorState | None, result: Result) -> None:
    """Second to the certificate, which two sets cannot both have."""
    if not isinstance(state, AwaitingCertificate | Answered):
        return
    if (state.agreed, state.included) != (result.agreed, result.included):
        raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "a sum over another set than the one that we certified")


def _session(now: Now) -> bytes:
    """Its name in the ledger: an invitation that is played back never names a session that was."""
    assert now.params is not None
    keys: Sequence[bytes] = [
        *([now.client.ephemeral_secret.public.raw] if isinstance(now.client, AwaitingCard) else []),
        *([now.aggregator.own.channel_key] if isinstance(now.aggregator, AwaitingCommittee) else []),
    ]
    return digest("open session", now.params.digest, *keys)
