"""The table of transitions of a peer, whole: every state x every message class x whoever says it.

What must come of it: the message is taken, kept for later, ignored because it is late, or refused by name; and a
refused or late one leaves the peer where it stood.
"""

from itertools import product
from typing import Any

import numpy as np
import pytest
from conversation import Room
from mesh_recorded import LOST, ME, PEER, PROPOSER, STRANGER, Recorded, recorded, state_of
from mesh_room import MeshRoom

from mpc.field import M31
from mpc.randomness import SystemRandomness
from protocols.errors import AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved, WireError
from protocols.ledger import NOTHING_ANSWERED
from protocols.machine import Aborted, Envelope, Finished
from protocols.mesh import Peer
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
    Signed,
    Sums,
    SumVote,
)
from protocols.mesh.states import (
    AwaitingHolders,
    AwaitingOutputs,
    AwaitingRoster,
    CertifyingInputs,
    CertifyingSums,
    Ended,
    NotStarted,
    Recovering,
)

STATES = (
    NotStarted, AwaitingRoster, AwaitingHolders, CertifyingInputs, CertifyingSums, Recovering, AwaitingOutputs, Ended,
)  # fmt: skip
TAKEN = {
    Hello: 1, Roster: 1, Share: 2, Ready: 2, Holders: 2, ExplicitShare: 3, HeldInputs: 3, Inputs: 3, InputVote: 3,
    PartialSum: 4, HeldSums: 4, Sums: 4, SumVote: 4, Recover: 5, Lacking: 5, HeldShares: 5, Output: 6,
}  # fmt: skip
"""Message class -> the number of the state in which it is first of use. Written down a second time."""
FITTING = {
    AwaitingRoster: Roster, AwaitingHolders: Holders, CertifyingInputs: InputVote, CertifyingSums: SumVote,
    Recovering: Recover, AwaitingOutputs: Output,
}  # fmt: skip
"""The message that led on from each state."""
FORWARDED = (Roster, Holders, Inputs, Sums)
every_state = pytest.mark.parametrize("state", STATES, ids=lambda kind: kind.__name__)
open_states = pytest.mark.parametrize("state", STATES[:-1], ids=lambda kind: kind.__name__)
every_case = pytest.mark.parametrize(
    ("state", "kind"), list(product(STATES[:-1], TAKEN)), ids=lambda kind: kind.__name__
)


def genuine(rec: Recorded, kind: type) -> tuple[PartyId, Any]:
    """A message of this session with its sender. What ME does not hear is made as an honest peer would make it."""
    for sender, message in rec.heard:
        if isinstance(message, kind) and sender != LOST:
            return sender, message
    shares = rec.message(Recover, PEER)
    made: dict[type, Any] = {
        Ready: lambda: rec.message(Ready),
        HeldInputs: lambda: rec.message(HeldInputs),
        HeldSums: lambda: rec.message(HeldSums),
        Lacking: lambda: Lacking(shares.under, frozenset({PROPOSER}), b""),
        HeldShares: lambda: HeldShares(shares.under, shares.shares, b""),
    }
    return PEER, rec.signed(PEER, made[kind]())


REFUSALS = (
    DropReason.BAD_SIGNATURE, DropReason.UNEXPECTED, DropReason.WRONG_SET, DropReason.SECOND_ANSWER,
    DropReason.BAD_BUNDLE,
)  # fmt: skip


def refused(peer: Peer, sender: PartyId, message: Any) -> PeerMisbehaved | None:
    try:
        peer.receive(sender, message)
    except PeerMisbehaved as exc:
        return exc
    return None


@every_case
def test_what_is_early_is_kept_what_is_late_ignored_and_a_second_time_changes_nothing(state: type, kind: type) -> None:
    peer = recorded().peer(state)
    sender, message = genuine(recorded(), kind)
    before, order = peer.snapshot(), STATES.index(state)
    if state is Recovering and kind is HeldShares:
        with pytest.raises(PeerMisbehaved, match="did not ask for"):
            peer.receive(sender, message)
        assert peer.snapshot() == before
        return
    answers = peer.receive(sender, message)
    if order < TAKEN[kind]:
        assert not answers or state in (AwaitingRoster, AwaitingHolders, CertifyingInputs, CertifyingSums)
        assert (sender, message) in peer._now.early or type(state_of(peer)) is not state
        kept = peer.snapshot()
        assert peer.receive(sender, message) == []
        assert peer.snapshot() == kept
    elif order > TAKEN[kind] and (kind, state) != (Lacking, AwaitingOutputs):
        assert answers == []
        assert peer.snapshot() == before


@every_case
def test_a_message_of_another_sender_is_refused_or_changes_nothing(state: type, kind: type) -> None:
    """But for lists, which carry their proposer's signature and may come from anybody."""
    rec = recorded()
    _, message = genuine(rec, kind)
    author = genuine(rec, kind)[0]
    liar = PartyId(1) if author != 1 else PEER
    peer = rec.peer(state)
    before = peer.snapshot()
    refusal = refused(peer, liar, message)
    assert peer.snapshot() == before or (kind in FORWARDED and not refusal)
    if refusal:
        assert refusal.sender == liar
        assert refusal.reason in REFUSALS


@open_states
def test_strangers_and_ourselves_are_the_drivers_fault_and_the_lost_are_not_heard(state: type) -> None:
    rec = recorded()
    peer = rec.peer(state)
    messages = [genuine(rec, kind)[1] for kind in TAKEN]
    before = peer.snapshot()
    for nobody in (STRANGER, ME):
        for message in messages:
            with pytest.raises(LocalProtocolError, match="not one of our peers"):
                peer.receive(nobody, message)
    assert peer.snapshot() == before
    peer.drop(PartyId(1), DropReason.VANISHED)
    after = peer.snapshot()
    assert not any(peer.receive(PartyId(1), message) for message in messages)
    assert peer.snapshot() == after


@open_states
def test_what_nobody_asked_for_is_refused(state: type) -> None:
    peer = recorded().peer(state)
    before = peer.snapshot()
    with pytest.raises(PeerMisbehaved) as refusal:
        peer.receive(PEER, Result(frozenset({PEER}), bytes(12)))
    assert refusal.value.reason is DropReason.UNEXPECTED
    assert peer.snapshot() == before
    assert peer.receive(PEER, Fetch(bytes(32))) == []
    assert peer.snapshot() == before


@pytest.mark.parametrize("state", STATES[3:7], ids=lambda kind: kind.__name__)
def test_a_proof_of_nothing_is_refused(state: type) -> None:
    rec = recorded()
    peer = rec.peer(state)
    share: ExplicitShare = rec.message(ExplicitShare, PEER)
    before = peer.snapshot()
    one, forged = Signed(bytes(32), share.signature), Signed(b"\1" * 32, share.signature)
    for under, first, second in ((share.under, one, one), (share.under, one, forged), (bytes(32), one, forged)):
        with pytest.raises(PeerMisbehaved):
            peer.receive(PartyId(1), Equivocation(Round.EXPLICIT, under, PEER, first, second))
        assert peer.snapshot() == before


@pytest.mark.parametrize("state", FITTING, ids=lambda kind: kind.__name__)
def test_a_restored_peer_goes_on_to_the_next_state_with_the_message_that_fits(state: type) -> None:
    rec = recorded()
    peer, order = rec.peer(state), STATES.index(state)
    for sender, message in rec.heard:
        if isinstance(message, FITTING[state]) and sender not in peer.dropped:
            peer.receive(sender, message)
    assert type(state_of(peer)) is STATES[order + 1]


@every_state
def test_a_snapshot_taken_up_gives_the_same_snapshot(state: type) -> None:
    assert recorded().peer(state).snapshot() == recorded().kept[state][0]


@open_states
def test_an_abort_of_the_driver_ends_in_any_state_and_tells_who_is_left(state: type) -> None:
    peer = recorded().peer(state)
    (envelope,) = peer.abort(AbortReason.STOPPED)
    there = {0, 1, 2, 3, 4} - {ME} - peer.dropped.keys()
    assert envelope == Envelope(tuple(sorted(there)), Abort(AbortReason.STOPPED))
    assert peer.outcome == Aborted(AbortReason.STOPPED)
    assert (peer._now.input, peer._now.early, peer.waiting_for) == (None, (), frozenset())
    assert peer.abort(AbortReason.STOPPED) == peer.drop(PEER, DropReason.VANISHED) == []


@open_states
def test_a_peer_that_says_it_has_aborted_is_lost_and_the_session_goes_on(state: type) -> None:
    peer = recorded().peer(state)
    peer.receive(PEER, Abort(AbortReason.STOPPED))
    assert peer.dropped[PEER][1] is DropReason.ABORTED
    assert PEER not in peer.waiting_for
    assert not isinstance(peer.outcome, Aborted)


def test_after_the_end_only_those_who_lack_something_are_answered() -> None:
    rec = recorded()
    peer = rec.peer(Ended)
    before = peer.snapshot()
    for kind in TAKEN:
        sender, message = genuine(rec, kind)
        answers = peer.receive(sender, message)
        assert [type(one.message) for one in answers] == ([HeldShares] if kind is Lacking else [])
    (answer,) = peer.receive(PEER, Fetch(rec.message(Output).result))
    assert answer.recipients == (PEER,)
    assert isinstance(answer.message, Result)
    assert peer.snapshot() == before
    assert isinstance(peer.outcome, Finished)


@pytest.mark.parametrize("state", [AwaitingHolders, CertifyingInputs, CertifyingSums], ids=lambda kind: kind.__name__)
def test_there_is_nothing_to_close_for_a_peer_that_reported_and_does_not_propose(state: type) -> None:
    peer = recorded().peer(state)
    before = peer.snapshot()
    assert not peer.can_close
    with pytest.raises(LocalProtocolError, match="nothing to close"):
        peer.close_round()
    assert peer.snapshot() == before


# Built wrongly


def test_a_peer_is_not_built_on_another_identity_or_a_session_outside_its_terms() -> None:
    room = recorded().room
    with pytest.raises(LocalProtocolError, match="party 2"):
        Peer(ME, identity=room.identities[PEER], terms=room.terms, params=room.params, rand=room.rand)
    with pytest.raises(LocalProtocolError, match="wire version"):
        Peer(ME, identity=room.identities[ME], terms=room.terms, params=room.params, rand=SystemRandomness())
    other = MeshRoom(length=4)
    with pytest.raises(LocalProtocolError, match="vector"):
        Peer(ME, identity=room.identities[ME], terms=room.terms, params=other.params, rand=room.rand)
    with pytest.raises(LocalProtocolError, match="64 at most"):
        MeshRoom(clients=65, length=1).peers()


def test_terms_for_another_protocol_do_not_admit_a_mesh() -> None:
    room = Room()
    with pytest.raises(LocalProtocolError, match="secagg"):
        Peer(ME, identity=room.identities[ME], terms=room.terms, params=room.params, rand=room.rand)


def test_an_input_is_set_once_before_the_start_and_has_the_sessions_shape() -> None:
    room = recorded().room
    peer = Peer(ME, identity=room.identities[ME], terms=room.terms, params=room.params, rand=room.rand)
    with pytest.raises(LocalProtocolError, match="input set"):
        peer.start()
    for wrong in ([0, 0, 0], M31.zeros(4), np.zeros(3), np.full(3, 2**31 - 1, dtype=np.uint32)):
        with pytest.raises(LocalProtocolError):
            peer.set_input(wrong)  # type: ignore[arg-type]
    peer.set_input(room.inputs[ME])
    with pytest.raises(LocalProtocolError, match="set once"):
        peer.set_input(room.inputs[ME])
    peer.start()
    with pytest.raises(LocalProtocolError, match="starts once"):
        peer.start()


def test_a_cut_snapshot_is_refused() -> None:
    rec = recorded()
    for wrong in (rec.kept[Recovering][0][:-1], b""):
        with pytest.raises(WireError):
            Peer.restore(wrong, identity=rec.room.identities[ME], rand=rec.room.rand, ledger=NOTHING_ANSWERED)


def test_every_message_class_is_in_the_table() -> None:
    assert set(TAKEN) | {Fetch, Result, Equivocation, Abort} == set(Message.__args__)
