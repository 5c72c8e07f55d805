"""Each state of a member and of the server, shown each message: taken, or refused without a trace."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from committee_recorded import ME, PEER, POINTS, STRANGER, recorded
from committee_room import CommitteeRoom
from conversation import Room

from mpc.field import M31
from mpc.randomness import SystemRandomness
from protocols.committee import Member, Server
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
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved, WireError
from protocols.ledger import NOTHING_ANSWERED
from protocols.machine import Aborted, Envelope, Finished

FITS: dict[type, set[type]] = {
    Invitation: {Invitation},
    Committee: {Committee, Card},
    Card: {Card, Delivery, Offer},
    Delivery: {Delivery, Offer},
    Offer: {Delivery, Offer},
    Receipts: {Receipts, Result},
    Vows: {Vows, Result},
    Checks: {Checks, Result},
    Certificate: {Certificate, Result},
    Result: {Result},
}
"""Point -> what is taken there. A card may come late, and a result as soon as its certificate can be there."""

SAYS: dict[Round, type] = {
    Round.ADVERTISE: AdvertiseKey,
    Round.CONTRIBUTE: Contribution,
    Round.RECEIPT: Receipt,
    Round.VOW: Vow,
    Round.CHECK: CheckValues,
    Round.CERTIFY: Certify,
    Round.SUM: SumShare,
}

every_point = pytest.mark.parametrize("point", POINTS, ids=lambda kind: kind.__name__)


@every_point
def test_a_member_takes_what_fits_and_refuses_all_else_without_a_trace(point: type) -> None:
    rec = recorded()
    for kind in POINTS:
        member = rec.member(point)
        before, ledger = member.snapshot(), member.ledger
        if kind in FITS[point]:
            member.receive(SERVER, rec.heard[kind])
            continue
        with pytest.raises(PeerMisbehaved) as refusal:
            member.receive(SERVER, rec.heard[kind])
        assert (refusal.value.sender, refusal.value.reason) == (SERVER, DropReason.UNEXPECTED), kind
        assert (member.snapshot(), member.ledger) == (before, ledger)


@every_point
def test_what_a_member_says_itself_is_nothing_to_tell_it(point: type) -> None:
    rec = recorded()
    member = rec.member(point)
    before = member.snapshot()
    for kind in SAYS.values():
        with pytest.raises(PeerMisbehaved):
            member.receive(SERVER, rec.said[PEER, kind])
    assert member.snapshot() == before


@every_point
def test_a_member_that_is_restored_says_the_same_bytes_again(point: type) -> None:
    rec = recorded()
    one, other = rec.member(point), rec.member(point)
    assert one.snapshot() == rec.at[point][0]
    if point is Invitation:  # it draws
        return
    assert one.receive(SERVER, rec.heard[point]) == other.receive(SERVER, rec.heard[point])
    assert one.snapshot() == other.snapshot()
    assert one.ledger == other.ledger


@every_point
def test_an_abort_of_the_server_or_the_driver_ends_both_roles_in_any_state(point: type) -> None:
    rec = recorded()
    member = rec.member(point)
    assert member.receive(SERVER, Abort(AbortReason.TOO_FEW)) == []
    assert member.outcome == Aborted(AbortReason.TOLD)
    assert not member.waiting_for
    other = rec.member(point)
    assert other.abort(AbortReason.STOPPED) == [Envelope((SERVER,), Abort(AbortReason.STOPPED))]
    assert other.abort(AbortReason.STOPPED) == other.receive(SERVER, rec.heard[point]) == []
    assert (other._now.client, other._now.aggregator, other._now.input) == (None, None, None)
    assert other.ledger.sessions == ()


@every_point
def test_a_member_that_drops_its_server_has_aborted_and_others_do_not_concern_it(point: type) -> None:
    member = recorded().member(point)
    assert member.drop(PEER, DropReason.VANISHED) == []
    (envelope,) = member.drop(SERVER, DropReason.BAD_SIGNATURE)
    assert envelope.message == Abort(AbortReason.REFUSED)
    assert member.outcome == Aborted(AbortReason.REFUSED, DropReason.BAD_SIGNATURE)
    assert member.drop(SERVER, DropReason.VANISHED) == []


def test_only_before_its_input_left_a_member_believes_that_it_is_not_in_the_sum() -> None:
    rec = recorded()
    for point, reason in ((Committee, AbortReason.NOT_INCLUDED), (Delivery, AbortReason.TOLD)):
        member = rec.member(point)
        member.receive(SERVER, Abort(AbortReason.NOT_INCLUDED))
        assert member.outcome == Aborted(reason)


def test_after_the_end_everything_is_ignored() -> None:
    rec = recorded()
    member = rec.ended()
    assert isinstance(member.outcome, Finished)
    before = member.snapshot()
    for kind in POINTS:
        assert member.receive(SERVER, rec.heard[kind]) == []
    assert member.snapshot() == before
    assert member.round is Round.DONE


def test_the_rounds_of_a_member_are_those_of_its_last_answer() -> None:
    rounds = {point.__name__: recorded().member(point).round for point in POINTS}
    assert rounds == {
        "Invitation": Round.ADVERTISE, "Committee": Round.ADVERTISE, "Card": Round.CONTRIBUTE,
        "Delivery": Round.CONTRIBUTE, "Offer": Round.CONTRIBUTE, "Receipts": Round.RECEIPT, "Vows": Round.VOW,
        "Checks": Round.CHECK, "Certificate": Round.CERTIFY, "Result": Round.SUM,
    }  # fmt: skip


# The server


@pytest.mark.parametrize("opened", SAYS)
def test_the_server_takes_the_answer_of_its_round_once_and_refuses_all_else_without_a_trace(opened: Round) -> None:
    rec = recorded()
    server = rec.server(opened)
    before = server.snapshot()
    for round_, kind in SAYS.items():
        if round_ is not opened:
            with pytest.raises(PeerMisbehaved) as refusal:
                server.receive(PEER, rec.said[PEER, kind])
            assert (refusal.value.sender, refusal.value.reason) == (PEER, DropReason.UNEXPECTED)
    for kind in POINTS:
        with pytest.raises(PeerMisbehaved):
            server.receive(PEER, rec.heard[kind])
    with pytest.raises(LocalProtocolError, match="not invited"):
        server.receive(STRANGER, rec.said[PEER, SAYS[opened]])
    with pytest.raises(LocalProtocolError, match="answers of"):
        server.close_round()
    assert server.snapshot() == before
    server.receive(PEER, rec.said[PEER, SAYS[opened]])
    assert PEER not in server.waiting_for
    taken = server.snapshot()
    with pytest.raises(PeerMisbehaved):
        server.receive(PEER, rec.said[PEER, SAYS[opened]])
    assert server.snapshot() == taken


@pytest.mark.parametrize("opened", SAYS)
def test_a_lost_party_is_not_heard_any_more(opened: Round) -> None:
    rec = recorded()
    server = rec.server(opened)
    server.receive(PEER, Abort(AbortReason.STOPPED))
    assert server.dropped[PEER] == (opened, DropReason.ABORTED)
    before = server.snapshot()
    assert server.receive(PEER, rec.said[PEER, SAYS[opened]]) == []
    assert server.drop(PEER, DropReason.VANISHED) == []
    assert server.snapshot() == before


@pytest.mark.parametrize("opened", SAYS)
def test_the_server_keeps_no_share_of_anybody(opened: Round) -> None:
    """A contribution leaves a digest; what is kept of shares are check values and sums."""
    rec = recorded()
    sealed = rec.said[PEER, Contribution].sealed
    server = rec.server(opened)
    if opened is Round.CONTRIBUTE:
        pieces = server.receive(PEER, rec.said[PEER, Contribution])
        assert b"".join(piece.message.sealed for piece in pieces) == sealed
        assert [piece.recipients for piece in pieces] == [(party,) for party in rec.room.parties]
    size = rec.room.numbers.piece_size
    assert not any(sealed[at : at + size] in server.snapshot() for at in range(0, len(sealed), size))


@pytest.mark.parametrize("opened", SAYS)
def test_an_aborted_server_tells_all_and_is_over(opened: Round) -> None:
    server = recorded().server(opened)
    (envelope,) = server.abort(AbortReason.STOPPED)
    assert set(envelope.recipients) == {0, 1, 2, 3, 4}
    assert server.outcome == Aborted(AbortReason.STOPPED)
    assert server.abort(AbortReason.STOPPED) == server.receive(PEER, envelope.message) == []
    assert not server.waiting_for
    assert not server.can_close


def test_the_finished_server_is_restored_with_its_sum() -> None:
    rec = recorded()
    server = rec.server(Round.DONE)
    assert isinstance(server.outcome, Finished)
    assert np.array_equal(server.outcome.aggregate.vector, rec.room.plain_sum(rec.everybody))
    assert server.included == rec.everybody
    assert not server.disputes
    assert not server.named


# Built wrongly


def test_a_member_is_not_built_on_another_identity_or_terms_of_another_protocol() -> None:
    room = CommitteeRoom()
    with pytest.raises(LocalProtocolError, match="party 2"):
        Member(ME, identity=room.identities[PEER], terms=room.terms, rand=room.rand)
    with pytest.raises(LocalProtocolError, match="secagg"):
        Member(ME, identity=room.identities[ME], terms=replace(room.terms, protocol="secagg"), rand=room.rand)
    other = Room()
    with pytest.raises(LocalProtocolError, match="coordinator"):
        Server(room.params, identity=room.identities[ME], members=other.terms.members)


def test_an_input_is_set_once_before_the_card_and_has_the_sessions_shape() -> None:
    room = CommitteeRoom(length=3)
    member = Member(ME, identity=room.identities[ME], terms=room.terms, rand=room.rand)
    for wrong in ([0, 0, 0], M31.zeros(4), np.zeros(3), np.full(3, 2**31 - 1, dtype=np.uint32)):
        with pytest.raises(LocalProtocolError):
            member.set_input(wrong)  # type: ignore[arg-type]
    member.set_input(room.inputs[ME])
    with pytest.raises(LocalProtocolError, match="set once"):
        member.set_input(room.inputs[ME])
    with pytest.raises(LocalProtocolError, match="set once"):
        recorded().member(Delivery).set_input(room.inputs[ME])


def test_who_only_aggregates_has_no_input() -> None:
    room = CommitteeRoom(length=3, aggregators=4)
    with pytest.raises(LocalProtocolError, match="party 6 aggregates"):
        room.member(PartyId(6)).set_input(room.inputs[ME])


def test_a_card_before_the_input_is_the_drivers_mistake() -> None:
    rec = recorded()
    member = Member(ME, identity=rec.room.identities[ME], terms=rec.room.terms, rand=rec.room.rand.child("member 2"))
    member.receive(SERVER, rec.heard[Invitation])
    before = member.snapshot()
    with pytest.raises(LocalProtocolError, match="before the card"):
        member.receive(SERVER, rec.heard[Card])
    assert member.snapshot() == before


def test_a_cut_snapshot_and_the_wrong_kind_of_randomness_are_refused() -> None:
    rec = recorded()
    snapshot, ledger = rec.at[Offer]
    for wrong in (snapshot[:-1], b""):
        with pytest.raises(WireError):
            Member.restore(wrong, identity=rec.room.identities[ME], rand=rec.room.rand, ledger=ledger)
    with pytest.raises(LocalProtocolError, match="real session"):
        Member.restore(snapshot, identity=rec.room.identities[ME], rand=SystemRandomness(), ledger=ledger)
    with pytest.raises(LocalProtocolError, match="does not know"):
        Member.restore(snapshot, identity=rec.room.identities[ME], rand=rec.room.rand, ledger=NOTHING_ANSWERED)
    with pytest.raises(LocalProtocolError, match="not the last one"):
        Member.restore(snapshot, identity=rec.room.identities[ME], rand=rec.room.rand, ledger=rec.at[Receipts][1])


def test_members_hear_their_server_only() -> None:
    rec = recorded()
    member: Any = rec.member(Offer)
    with pytest.raises(LocalProtocolError, match="server only"):
        member.receive(PEER, rec.heard[Offer])
    with pytest.raises(LocalProtocolError, match="closes no round"):
        member.close_round()
    assert member.waiting_for == {SERVER}
    assert not member.can_close
    assert member.start() == []


def test_every_message_class_is_in_the_table() -> None:
    assert set(POINTS) | set(SAYS.values()) | {Abort} == set(Message.__args__)
