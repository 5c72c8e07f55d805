"""A peer of the mesh: no server, the same machine for everybody. [PROTOCOLS 3C]

It believes nothing that it can check. A call works on one value, `Now`: each step verifies first, builds the next
value, and only then is it taken over, so that a refused message leaves everything as it was. After a message the peer
goes on by itself as far as it can (`_go_on`); what came before its time is kept, one of a kind from each peer, and
shown again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from mpc.field import FieldVector
from mpc.hashing import digest
from mpc.keys import SigningKey
from mpc.randomness import Randomness
from protocols.errors import AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.evidence import Dispute, Evidence
from protocols.inputs import checked_input
from protocols.ledger import NOTHING_ANSWERED, ONE_VERSION, Caution, Ledger, differencing_key
from protocols.machine import Aborted, Envelope, Outcome
from protocols.mesh import certifying, opening, recovering, snapshots
from protocols.mesh.messages import (
    Equivocation,
    Message,
    Round,
)
from protocols.mesh.snapshots import Now
from protocols.mesh.states import (
    AwaitingHolders,
    AwaitingOutputs,
    AwaitingRoster,
    Certifying,
    Ended,
    NotStarted,
    Recovering,
    State,
)
from protocols.mesh.steps import Steps, peers_of
from protocols.mesh.view import View
from protocols.session import SessionParams, Terms, Variant, domain
from protocols.wire import PartySet

PROTOCOL = "mesh"

Step = tuple[State, list[Envelope]]


class Peer(Steps):
    """One participant. All peers of a session are built with the same `params`, from their own files.

    me: its place in the consortium. identity: its long-term key, which must be the one that `terms` names for it.
    ledger: what its party has answered before. local_version: 32 bytes, the version of the rows that the input comes
    from. Raises LocalProtocolError where the identity is another's, or the session is not one that the terms admit.
    """

    def __init__(
        self,
        me: PartyId,
        *,
        identity: SigningKey,
        terms: Terms,
        params: SessionParams,
        rand: Randomness,
        ledger: Ledger = NOTHING_ANSWERED,
        local_version: bytes = ONE_VERSION,
    ) -> None:
        if terms.members.get(me) != identity.verify_key:
            raise LocalProtocolError(f"this identity is not the one that the terms name for party {me}")
        _require_terms(terms, params, domain(rand))
        self._me, self._identity, self._terms, self._params, self._rand = me, identity, terms, params, rand
        self._invite = params.digest
        self._ledger = ledger
        self._key = differencing_key(terms.subject, local_version)
        self._warnings: tuple[Caution, ...] = ()
        self._now = Now(NotStarted())
        self._out: list[Envelope] = []

    @classmethod
    def restore(cls, snapshot: bytes, *, identity: SigningKey, rand: Randomness, ledger: Ledger) -> "Peer":
        """Goes on from `snapshot()`; parameters and terms come from inside it.

        Only from the last snapshot that was taken, since from an older one the peer could sign a second list. The
        ledger tells: raises LocalProtocolError unless it is the one that was written with this snapshot.
        """
        kept, now = snapshots.load(snapshot)
        peer = cls(kept.me, identity=identity, terms=kept.terms, params=kept.params, rand=rand, ledger=ledger)
        if now.session is not None and not isinstance(now.state, Ended):
            ledger.require_last(now.session, now.seq)
        peer._now, peer._key = now, kept.key
        return peer

    def snapshot(self) -> bytes:
        return snapshots.dump(self._me, self._terms, self._params, self._key, self._now)

    @property
    def ledger(self) -> Ledger:
        """The newest. On disk before what a call returns is sent."""
        return self._ledger

    @property
    def warnings(self) -> tuple[Caution, ...]:
        """What the party should read about the sum that it voted for. Not in a snapshot."""
        return self._warnings

    @property
    def params(self) -> SessionParams:
        return self._params

    @property
    def dropped(self) -> Mapping[PartyId, tuple[Round, DropReason]]:
        """Who is out here: party -> where we stood when it was lost, and why."""
        return {party: (loss.round, loss.reason) for party, loss in self._now.lost.items()}

    @property
    def named(self) -> Mapping[PartyId, Equivocation]:
        """Who signed two vectors where one belongs, with the two signatures: anybody can check them."""
        return self._now.named

    @property
    def disputes(self) -> frozenset[Dispute]:
        """Shares that did not rebuild what their dealer committed to: of whom, held by whom."""
        return self._now.disputes

    @property
    def evidence(self) -> Evidence:
        """As it shows itself here: of what came so far, and when the session is over."""
        disputes = sorted(self._now.disputes)
        return replace(self._now.evidence, disputes=tuple(disputes))

    @property
    def outcome(self) -> Outcome | None:
        return self._now.state.outcome if isinstance(self._now.state, Ended) else None

    @property
    def waiting_for(self) -> PartySet:
        """Whose vector, report or share is still out; of who only waits, the proposer."""
        asked = {one.holder for one in self._now.asked}
        return self._view.left(self._awaited() | asked) - {self._me}

    def _awaited(self) -> PartySet:
        view = self._view
        match self._now.state:
            case AwaitingRoster() as state:
                return _gathered(view, view.terms.members, True, {}, state.hellos)
            case AwaitingHolders() as state:
                mine = self._me in state.reports
                return _gathered(view, opening.members(state.roster), mine, state.bundles, state.reports)
            case Certifying() as state:
                if state.choice:
                    return frozenset(state.holders.dealers) - state.votes.keys()
                return _gathered(view, state.holders.dealers, self._me in state.reports, state.vectors, state.reports)
            case Recovering() as state:
                silent = recovering.silent(state)
                return frozenset().union(silent, *(peers_of(state) - state.answers[i].keys() for i in silent))
            case AwaitingOutputs() as state:
                return peers_of(state) - state.outputs.keys()
            case _:
                return frozenset()

    @property
    def can_close(self) -> bool:
        """Whether there is something that only the driver's decision to wait no longer lets us say."""
        return self._can_go_on or bool(self._questions(late=True)[1])

    @property
    def _can_go_on(self) -> bool:
        view = self._view
        match self._now.state:
            case AwaitingRoster() as state:
                return opening.can_propose_roster(view, state)
            case AwaitingHolders() as state:
                return opening.can_report(view, state) or opening.can_propose_holders(view, state)
            case Certifying() as state:
                return self._me not in state.reports or certifying.can_propose(view, state)
            case Recovering() as state:
                return not state.asked
            case AwaitingOutputs() as state:
                return state.result is not None
            case _:
                return False

    # What a driver calls

    def set_input(self, vector: FieldVector) -> None:
        """The encoded vector, once, before `start`: in a mesh nobody holds a message back. Raises
        LocalProtocolError.
        """
        if self._now.input is not None or not isinstance(self._now.state, NotStarted):
            raise LocalProtocolError("the input is set once, before the session starts")
        self._now = replace(self._now, input=checked_input(self._terms.spec, vector))

    def start(self) -> list[Envelope]:
        if not isinstance(self._now.state, NotStarted) or self._now.input is None:
            raise LocalProtocolError("a session starts once, with its input set")
        try:
            self._ledger.check_attempt(self._key, self._terms)
        except PeerMisbehaved as exc:
            raise LocalProtocolError(exc.detail) from exc
        return self._call(self._greet)

    def _greet(self) -> None:
        greeted, envelopes = opening.greet(self._view, self._rand)
        session = digest("open session", self._invite, greeted.own.channel_key)
        self._now = replace(self._now, session=session)
        self._enter(greeted, envelopes)

    def receive(self, sender: PartyId, message: Message) -> list[Envelope]:
        if sender == self._me or sender not in self._terms.members:
            raise LocalProtocolError(f"party {sender} is not one of our peers")
        if sender in self._now.lost:
            return []
        if isinstance(self._now.state, Ended):
            return self._serve(self._now.state, sender, message)
        return self._call(lambda: self._take(sender, message))

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        """Of a party that is lost everywhere too, what it dealt and sent stays of use."""
        known = party in self._terms.members and party != self._me
        if not known or party in self._now.lost or isinstance(self._now.state, Ended):
            return []
        return self._call(lambda: self._lose(party, reason))

    def close_round(self) -> list[Envelope]:
        """Goes on with what is here. Nobody is dropped by it: who sends no vector in time may still hold a column."""
        if not self.can_close:
            raise LocalProtocolError("there is nothing to close: too little is here, or the others' turn has come")
        return self._call(self._close)

    def abort(self, reason: AbortReason) -> list[Envelope]:
        return [] if isinstance(self._now.state, Ended) else self._call(lambda: self._end(Aborted(reason)))


def _require_terms(terms: Terms, params: SessionParams, wire: str) -> None:
    if terms.protocol != PROTOCOL or terms.variant is not Variant.ACTIVE:
        raise LocalProtocolError(f"the terms are for {terms.protocol} ({terms.variant}), this is {PROTOCOL} (active)")
    if len(terms.members) > opening.MOST_PEERS:
        raise LocalProtocolError(f"{len(terms.members)} peers: a mesh has {opening.MOST_PEERS} at most, use secagg")
    try:
        terms.check_invitation(params, wire)
    except PeerMisbehaved as exc:
        raise LocalProtocolError(f"the session is not one that the terms admit: {exc.detail}") from exc


def _gathered(
    view: View,
    parties: Iterable[PartyId],
    reported: bool,
    gathered: Mapping[PartyId, object],
    reports: Mapping[PartyId, object],
) -> PartySet:
    """Until we reported: whose part is out. Then the proposer waits for reports, and the others for it."""
    if not reported:
        return frozenset(parties) - gathered.keys()
    leader = view.leader(parties)
    return frozenset(parties) - reports.keys() if leader == view.me else frozenset([leader])
