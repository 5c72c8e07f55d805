"""What a peer does within one call: the table of transitions, and how far it goes on by itself. [PROTOCOLS 3C]

A call works on one value, `Now`: each step verifies first, builds the next value, and only then is it taken over. After
a message the peer goes on by itself as far as it can (`_go_on`); what came before its time is kept, one of a kind from
each peer, and shown again in the next state.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mpc.keys import SigningKey
from mpc.randomness import Randomness
from protocols.errors import AbortReason, DropReason, PartyId, PeerMisbehaved
from protocols.evidence import Dispute
from protocols.ledger import Caution, Ledger
from protocols.machine import Aborted, Envelope
from protocols.mesh import bindings, certifying, fetching, opening, recovering, summing
from protocols.mesh.messages import (
    Abort,
    Equivocation,
    ExplicitShare,
    Fetch,
    HeldInputs,
    HeldShares,
    HeldSums,
    Hello,
    Holders,
    Inputs,
    InputVote,
    Lacking,
    Message,
    Output,
    PartialSum,
    Ready,
    Recover,
    Result,
    Roster,
    Round,
    Share,
    Sums,
    SumVote,
)
from protocols.mesh.snapshots import Now
from protocols.mesh.states import (
    AwaitingHolders,
    AwaitingOutputs,
    AwaitingRoster,
    Certifying,
    CertifyingInputs,
    CertifyingSums,
    Ended,
    NotStarted,
    Recovering,
    Shared,
    State,
)
from protocols.mesh.testimony import gathered
from protocols.mesh.view import Equivocated, Loss, View, require_members, require_under
from protocols.session import SessionParams, Terms
from protocols.wire import PartySet

TAKEN_FROM: dict[type, type[State]] = {
    Hello: AwaitingRoster, Roster: AwaitingRoster, Share: AwaitingHolders, Ready: AwaitingHolders,
    Holders: AwaitingHolders, ExplicitShare: CertifyingInputs, HeldInputs: CertifyingInputs, Inputs: CertifyingInputs,
    InputVote: CertifyingInputs, PartialSum: CertifyingSums, HeldSums: CertifyingSums, Sums: CertifyingSums,
    SumVote: CertifyingSums, Recover: Recovering, Lacking: Recovering, HeldShares: Recovering, Output: AwaitingOutputs,
}  # fmt: skip
"""The state in which a message is first of use. Before it is kept, after it is ignored: slow is not malicious."""


class Steps:
    """The inside of `Peer`."""

    _me: PartyId
    _identity: SigningKey
    _terms: Terms
    _params: SessionParams
    _invite: bytes  # I
    _rand: Randomness
    _key: bytes
    _ledger: Ledger
    _warnings: tuple[Caution, ...]
    _now: Now
    _out: list[Envelope]

    def _call(self, step: Callable[[], None]) -> list[Envelope]:
        """All of it or nothing. Every change counts one step in the ledger (PROTOCOLS rule 12)."""
        before = self._now, self._ledger, self._warnings
        self._out = []
        try:
            step()
            self._go_on()
        except Exception:
            self._now, self._ledger, self._warnings = before
            raise
        if self._now is not before[0] and (session := self._now.session):
            self._now = replace(self._now, seq=self._now.seq + 1)
            ended = isinstance(self._now.state, Ended)
            self._ledger = self._ledger.ended(session) if ended else self._ledger.moved(session, self._now.seq)
        return self._out

    @property
    def round(self) -> Round:
        match self._now.state:
            case NotStarted() | AwaitingRoster():
                return Round.HELLO
            case AwaitingHolders(reports=reports):
                return Round.READY if self._me in reports else Round.SHARE
            case CertifyingInputs(reports=reports):
                return Round.CERTIFY_INPUTS if self._me in reports else Round.EXPLICIT
            case CertifyingSums(reports=reports):
                return Round.CERTIFY_SUMS if self._me in reports else Round.PARTIAL
            case Recovering():
                return Round.RECOVER
            case AwaitingOutputs():
                return Round.OUTPUT
            case Ended():
                return Round.DONE

    @property
    def _view(self) -> View:
        now = self._now
        return View(self._me, self._identity, self._terms, self._params, self._invite, now.lost, now.named)

    def _enter(self, state: State, envelopes: list[Envelope]) -> None:
        """The next state. What came early may be of use in it."""
        moved = type(state) is not type(self._now.state)
        self._now = replace(self._now, state=state)
        self._out += envelopes
        if moved:
            self._now = replace(self._now, evidence=gathered(self._now.evidence, state, self._me))
            early, self._now = self._now.early, replace(self._now, early=())
            for sender, message in early:
                self._take_again(sender, message)

    def _take_again(self, sender: PartyId, message: Message) -> None:
        if sender in self._now.lost:
            return
        try:
            self._take(sender, message)
        except PeerMisbehaved as exc:
            self._lose(exc.sender, exc.reason)

    def _take(self, sender: PartyId, message: Message) -> None:
        try:
            self._step(sender, message)
        except Equivocated as exc:
            self._convict(exc.proof)
            self._out += self._view.to_all(self._terms.members, exc.proof)
            if sender not in self._now.lost:
                self._take(sender, message)

    def _step(self, sender: PartyId, message: Any) -> None:
        """The table of transitions. What is not in it comes early, late, or is refused."""
        view, state = self._view, self._now.state
        match state, message:
            case _, Abort():
                self._lose(sender, DropReason.ABORTED)
            case _, Fetch():
                self._give(state, sender, message)
            case _, Result():
                self._adopt(sender, message)
            case ((CertifyingInputs() | CertifyingSums() | Recovering() | AwaitingOutputs()), Equivocation()):
                self._take_proof(state, sender, message)
            case AwaitingRoster(), Hello():
                self._become(opening.take_hello(view, state, sender, message))
            case AwaitingRoster(), Roster():
                self._become(opening.take_roster(view, state, sender, message))
            case AwaitingHolders(), Share():
                self._become(opening.take_share(view, state, sender, message))
            case AwaitingHolders(), Ready():
                self._become(opening.take_ready(view, state, sender, message))
            case AwaitingHolders(), Holders():
                self._become(opening.take_holders(view, state, sender, message))
            case Certifying(), _ if certifying.takes(state, message):
                self._become(certifying.take(view, state, sender, message))
            case (CertifyingInputs(), PartialSum()) | (CertifyingSums(), Recover()):
                self._take_certificate(sender, message)
                self._keep(sender, message)
            case CertifyingSums(), ExplicitShare():
                self._become(summing.take_late(view, state, sender, message))
            case CertifyingSums(), InputVote():
                self._become(summing.take_late_vote(view, state, sender, message))
            case Recovering(), Recover():
                self._become(recovering.take_recover(view, state, sender, message))
            case Recovering(), HeldShares():
                self._become(recovering.take_shares(view, state, sender, message))
            case ((Recovering() | AwaitingOutputs()), Lacking()):
                self._out += recovering.answer(view, state.recovery, sender, message)
            case AwaitingOutputs(), Output():
                self._become(summing.take_output(view, state, sender, message))
            case _:
                self._keep(sender, message)

    def _take_certificate(self, sender: PartyId, message: PartialSum | Recover) -> None:
        """Whoever has gone on shows by what right: so can we."""
        state = self._now.state
        assert isinstance(state, Certifying)
        of, votes = message.under, message.certificate
        self._become(certifying.take_certificate(self._view, state, sender, of, votes))

    def _become(self, state: State) -> None:
        if state is not self._now.state:
            self._now = replace(self._now, state=state)

    def _keep(self, sender: PartyId, message: Any) -> None:
        """What is of use later only: one of each kind from each peer, its own, signed, and no longer than it may be."""
        first: type[State] | None
        first, state = TAKEN_FROM.get(type(message)), self._now.state
        if isinstance(message, Equivocation) and state.order < CertifyingInputs.order:
            first = CertifyingInputs
        if first is None or (first.order == state.order and not isinstance(message, Output)):
            raise PeerMisbehaved(sender, DropReason.UNEXPECTED, f"{type(message).__name__} while {self.round}")
        if first.order < state.order:
            return
        _check_early(self._view, sender, message)
        for other, kept in self._now.early:
            if other == sender and type(kept) is type(message):
                if kept != message:
                    raise PeerMisbehaved(sender, DropReason.SECOND_ANSWER, f"two of {type(message).__name__}")
                return
        self._now = replace(self._now, early=(*self._now.early, (sender, message)))

    def _lose(self, party: PartyId, reason: DropReason) -> None:
        """What we reported to a proposer that is gone goes to the next."""
        before, where = self._view, self.round
        if party in self._now.lost or party == self._me:
            return
        self._now = replace(self._now, lost={**self._now.lost, party: Loss(where, reason)})
        state = self._now.state
        if isinstance(state, AwaitingHolders | Certifying) and self._me in state.reports:
            peers = peers_of(state)
            if before.leader(peers) == party:
                self._out += self._view.to_leader(peers, state.reports[self._me])

    def _leave_out(self, parties: PartySet) -> None:
        for party in sorted(parties - {self._me}):
            self._lose(party, DropReason.TOO_SLOW)

    def _convict(self, proof: Equivocation) -> None:
        self._now = replace(self._now, named={**self._now.named, proof.party: proof})
        self._lose(proof.party, DropReason.SECOND_ANSWER)

    def _take_proof(self, state: Shared, sender: PartyId, proof: Equivocation) -> None:
        """Two signatures of one party over two hashes, under our D2 or our certificate. Believed from anybody."""
        if proof.party in self._now.named:
            return
        if proof.of is Round.PARTIAL and isinstance(state, CertifyingInputs):
            raise PeerMisbehaved(sender, DropReason.UNEXPECTED, "a proof about sums that are not under way")
        require_members([proof.party], state.holders.dealers, sender)
        if proof.of is Round.PARTIAL and not isinstance(state, CertifyingInputs):
            require_under(proof.under, bindings.list_digest(state.inputs), sender)
        else:
            require_under(proof.under, state.shared, sender)
        if proof.one.hash == proof.other.hash or proof.of not in (Round.EXPLICIT, Round.PARTIAL):
            raise PeerMisbehaved(sender, DropReason.UNEXPECTED, "a proof of nothing")
        for signed in (proof.one, proof.other):
            self._view.require_hash(proof.of, proof.under, proof.party, signed, sender=sender)
        self._convict(proof)

    def _end(self, outcome: Aborted) -> None:
        """Erases everything, and tells the others."""
        peers = peers_of(self._now.state) or frozenset(self._terms.members)
        self._out += self._view.to_all(peers, Abort(outcome.reason))
        self._finish(Ended(outcome))

    def _finish(self, ended: Ended) -> None:
        self._now = replace(self._now, state=ended, input=None, early=(), asked=())

    # Going on by ourselves

    def _go_on(self) -> None:
        while True:
            before = self._now
            self._advance()
            self._ask()
            if self._now is before:
                return

    def _advance(self) -> None:
        view = self._view
        match self._now.state:
            case AwaitingRoster() as state:
                self._advance_roster(view, state)
            case AwaitingHolders() as state:
                self._advance_holders(view, state)
            case Certifying() as state:
                self._advance_certificate(view, state)
            case Recovering() as state:
                self._advance_recovery(view, state)
            case AwaitingOutputs(result=bytes()) as state if len(state.outputs) >= state.threshold:
                self._finish(summing.finish(view, state))

    def _advance_roster(self, view: View, state: AwaitingRoster) -> None:
        if roster := opening.next_roster(view, state):
            self._leave_out(frozenset(self._terms.members) - {entry.party for entry in roster.entries})
            self._enter(*opening.share(self._view, state, roster))
        elif opening.all_have_greeted(view, state) and opening.can_propose_roster(view, state):
            self._enter(*opening.propose_roster(view, state))

    def _advance_holders(self, view: View, state: AwaitingHolders) -> None:
        holders = opening.next_holders(view, state)
        if holders and self._me not in holders.dealers:
            self._end(Aborted(AbortReason.NOT_INCLUDED))
        elif holders:
            assert self._now.input is not None
            self._leave_out(frozenset(opening.members(state.roster)) - holders.dealers.keys())
            split = summing.split_input(self._view, state, holders, self._now.input)
            self._now = replace(self._now, input=None)
            self._enter(*split)
        elif opening.is_ready(view, state):
            self._enter(*opening.report(view, state))
        elif opening.all_are_ready(view, state) and opening.can_propose_holders(view, state):
            self._enter(*opening.propose_holders(view, state))

    def _advance_certificate(self, view: View, state: Any) -> None:
        """One step of what can be done, the certificate first."""
        if after := certifying.certify(state) or certifying.choose(view, state) or summing.gather(view, state):
            self._become(after)
        elif certifying.certified(state):
            self._open(view, state)
        elif certifying.has_gathered(view, state):
            self._enter(*certifying.report(view, state))
        elif certifying.all_have_reported(view, state) and certifying.can_propose(view, state):
            self._enter(*certifying.propose(view, state))
        elif (voted := certifying.vote(view, state)) and self._admits(state, certifying.find(state, state.choice)):
            self._enter(*voted)

    def _open(self, view: View, state: CertifyingInputs | CertifyingSums) -> None:
        """Where a certificate opens something. From our partial sum on this sum counts as opened (rule 13)."""
        if isinstance(state, CertifyingSums):
            self._enter(*summing.settle_sums(view, state))
        elif self._admits(state, certifying.certified(state)):
            u3 = frozenset(certifying.certified(state).hashes)
            self._ledger = self._ledger.revealed(self._key, self._terms, u3)
            self._enter(*summing.sum_column(view, state))

    def _admits(self, state: Certifying, listing: Any) -> bool:
        """Our party's ledger on this U3; where it refuses, the session is over here."""
        if isinstance(state, CertifyingInputs):
            try:
                self._warnings = self._ledger.check_survivors(self._key, self._terms, frozenset(listing.hashes))
            except PeerMisbehaved as exc:
                self._end(Aborted(AbortReason.REFUSED, exc.reason))
                return False
        return True

    def _advance_recovery(self, view: View, state: Recovering) -> None:
        if not recovering.silent(state):
            self._enter(*summing.give_result(view, state, summing.add_columns(view, state)))
        elif rebuilt := recovering.rebuild(state):
            after, wrong = rebuilt
            disputes = {Dispute(dealer, holder) for dealer, holders in wrong.items() for holder in holders}
            self._now = replace(self._now, disputes=self._now.disputes | disputes)
            self._become(after)
        elif ended := recovering.give_up(view, state):
            self._end(ended)

    def _close(self) -> None:
        view = self._view
        match self._now.state:
            case AwaitingRoster() as state if opening.can_propose_roster(view, state):
                self._enter(*opening.propose_roster(view, state))
            case AwaitingHolders() as state if opening.can_report(view, state):
                self._enter(*opening.report(view, state))
            case AwaitingHolders() as state if opening.can_propose_holders(view, state):
                self._enter(*opening.propose_holders(view, state))
            case Certifying() as state if self._me not in state.reports:
                self._enter(*certifying.report(view, state))
            case Certifying() as state if certifying.can_propose(view, state):
                self._enter(*certifying.propose(view, state))
            case Recovering() as state if not state.asked:
                self._enter(*recovering.ask(view, state))
            case AwaitingOutputs(result=bytes()) as state:
                self._finish(summing.finish(view, state))
            case _:
                self._ask(late=True)

    # Lists, vectors and sums by their digest

    def _ask(self, *, late: bool = False) -> None:
        kept, fresh = self._questions(late)
        if fresh or len(kept) < len(self._now.asked):
            self._now = replace(self._now, asked=(*kept, *fresh))
            self._out += [Envelope((one.holder,), Fetch(one.wanted)) for one in fresh]

    def _questions(self, late: bool) -> tuple[list[fetching.Asked], list[fetching.Asked]]:
        """What stays asked, and what is to be asked now. late: the driver waits no longer for those whom we asked."""
        now, view = self._now, self._view
        wanted = fetching.wants(view, now.state, now.early, now.asked, late=late)
        return fetching.ask(view, wanted, now.asked, again=late)

    def _give(self, state: State, sender: PartyId, message: Fetch) -> None:
        if item := fetching.held(self._params.spec, self._invite, state, message):
            self._out.append(Envelope((sender,), item))

    def _adopt(self, sender: PartyId, result: Result) -> None:
        """The sum itself, which t peers signed, at least t - c of them honest."""
        state, wanted = self._now.state, fetching.Asked(bindings.hash_bytes(result.vector), sender)
        output = fetching.signed_result(state, self._now.early) if isinstance(state, Shared) else None
        if output is None or wanted not in self._now.asked or wanted.wanted != output.result:
            raise PeerMisbehaved(sender, DropReason.UNEXPECTED, "a result that we did not ask for")
        if result.included != output.included:
            raise PeerMisbehaved(sender, DropReason.WRONG_SET, "a result over others than were signed")
        self._finish(summing.finished(self._view, result, getattr(state, "recovery", None)))

    def _serve(self, state: Ended, sender: PartyId, message: Any) -> list[Envelope]:
        """After the end: whoever lacks the sum, or shares of the lost columns, is answered; nothing changes here."""
        self._out = []
        if isinstance(message, Fetch):
            self._give(state, sender, message)
        elif isinstance(message, Lacking) and state.recovery:
            return recovering.answer(self._view, state.recovery, sender, message)
        return self._out


def _check_early(view: View, sender: PartyId, message: Any) -> None:
    author = getattr(message, "proposer", getattr(message, "party", sender))
    if isinstance(message, Equivocation):
        return
    if author != sender:
        raise PeerMisbehaved(
            sender, DropReason.UNEXPECTED, f"{type(message).__name__} of party {author}, not asked for"
        )
    view.require_signed(sender, message, sender=sender)
    if isinstance(message, ExplicitShare | PartialSum) and len(message.vector) != view.params.spec.masked_size:
        raise PeerMisbehaved(sender, DropReason.BAD_LENGTH, "a vector of another size")


def peers_of(state: State) -> PartySet:
    """U1, then U2; empty where neither is known."""
    match state:
        case AwaitingHolders():
            return frozenset(opening.members(state.roster))
        case Certifying() | Recovering() | AwaitingOutputs():
            return frozenset(state.holders.dealers)
        case _:
            return frozenset()
