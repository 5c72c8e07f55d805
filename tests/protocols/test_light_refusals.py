"""Each single check of PROTOCOLS 3E that a client or the server makes, violated by itself.

A row is a message that differs from a good one in one thing, signed by whoever would have to collude. What must come of
it is a named error, and a machine that stands where it stood: it still takes the good message, with the same answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from light_recorded import LOST, ME, SILENT, STRANGER, Recorded, recorded
from light_room import LightRoom, parties

from mpc.field import PrimeField
from mpc.keys import KEY_BYTES
from mpc.sealing import seal
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.evidence import Dispute
from protocols.lightsecagg import bindings
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
    Piece,
    Relayed,
    Result,
    Roster,
    Round,
    Survivors,
)
from protocols.lightsecagg.states import (
    AwaitingConfirmations,
    AwaitingDealers,
    AwaitingInvitation,
    AwaitingResult,
    AwaitingRoster,
    AwaitingSurvivors,
)
from protocols.machine import Aborted, Envelope
from protocols.session import Variant

U3 = parties(0, 1, 2, 3, 4)
THREE = PartyId(3)
FITTING = {
    AwaitingInvitation: Invitation, AwaitingRoster: Roster, AwaitingDealers: Dealers, AwaitingSurvivors: Survivors,
    AwaitingConfirmations: AggregateRequest, AwaitingResult: Result,
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    state: Any  # of a client its class, of the server its round
    make: Callable[[Recorded], Any]
    reason: DropReason
    text: str | None


ROWS: list[Row] = []
SERVER_ROWS: list[Row] = []


def refused(state: Any, reason: DropReason, *, text: str | None = None) -> Callable[[Any], Any]:
    """Registers the message that the function makes: `state`, or the server in that round, refuses it for `reason`."""

    def register(make: Callable[[Recorded], Any]) -> Callable[[Recorded], Any]:
        (SERVER_ROWS if isinstance(state, Round) else ROWS).append(Row(state, make, reason, text))
        return make

    return register


def other_key(rec: Recorded) -> bytes:
    """A good key that stands in nobody's entry."""
    key: bytes = rec.room.identities[SERVER].verify_key.raw
    return key


def invited(rec: Recorded, **changes: Any) -> Any:
    return Invitation(replace(rec.room.params, **changes))


@refused(AwaitingInvitation, DropReason.OUTSIDE_TERMS, text="protocol")
def an_invitation_to_another_protocol(rec: Recorded) -> Any:
    return invited(rec, protocol="secagg")


@refused(AwaitingInvitation, DropReason.OUTSIDE_TERMS, text="variant")
def an_invitation_to_the_curious_variant(rec: Recorded) -> Any:
    return invited(rec, variant=Variant.CURIOUS)


@refused(AwaitingInvitation, DropReason.OUTSIDE_TERMS, text="plans for 0 colluding")
def an_invitation_that_plans_for_fewer_colluders(rec: Recorded) -> Any:
    return invited(rec, colluding=0)


@refused(AwaitingInvitation, DropReason.OUTSIDE_TERMS, text="model")
def an_invitation_to_sum_another_model(rec: Recorded) -> Any:
    return invited(rec, subject=replace(rec.room.params.subject, model=bytes(32)))


@refused(AwaitingRoster, DropReason.WRONG_SET)
def own_entry_altered(rec: Recorded) -> Any:
    return rec.roster_with(rec.entry(ME, other_key(rec)))


@refused(AwaitingRoster, DropReason.WRONG_SET)
def own_entry_missing(rec: Recorded) -> Any:
    return rec.roster(*(entry for entry in rec.heard[Roster].entries if entry.client != ME))


@refused(AwaitingRoster, DropReason.WRONG_SET)
def entries_out_of_order(rec: Recorded) -> Any:
    return rec.roster(*reversed(rec.heard[Roster].entries))


@refused(AwaitingRoster, DropReason.WRONG_SET)
def an_entry_twice(rec: Recorded) -> Any:
    first, *rest = rec.heard[Roster].entries
    return rec.roster(first, first, *rest)


@refused(AwaitingRoster, DropReason.OUTSIDE_TERMS, text="party 9 is not in our consortium")
def an_id_outside_the_consortium(rec: Recorded) -> Any:
    stranger = replace(rec.said[LOST, AdvertiseKey], client=STRANGER)
    return rec.roster(*rec.heard[Roster].entries[:-1], rec.signed_entry(stranger, LOST))


@refused(AwaitingRoster, DropReason.WRONG_SET, text="4 parties, a sum must cover at least 5")
def fewer_parties_than_a_sum_must_cover(rec: Recorded) -> Any:
    return rec.roster(*rec.heard[Roster].entries[:4])


@refused(AwaitingRoster, DropReason.BAD_KEY, text="the key of party 3")
def an_entry_signed_by_another_party(rec: Recorded) -> Any:
    return rec.roster_with(rec.signed_entry(rec.said[THREE, AdvertiseKey], 2))


@refused(AwaitingRoster, DropReason.BAD_KEY, text="the key of party 3")
def an_entry_without_a_signature(rec: Recorded) -> Any:
    return rec.roster_with(replace(rec.said[THREE, AdvertiseKey], signature=b""))


@refused(AwaitingRoster, DropReason.BAD_KEY, text="the key of party 3")
def an_entry_of_another_session(rec: Recorded) -> Any:
    invite = replace(rec.room.params, nonce=bytes(32)).digest
    return rec.roster_with(rec.signed_entry(rec.said[THREE, AdvertiseKey], 3, invite))


@refused(AwaitingRoster, DropReason.BAD_KEY, text="twice")
def another_party_with_our_key(rec: Recorded) -> Any:
    return rec.roster_with(rec.entry(3, rec.said[ME, AdvertiseKey].channel_key))


@refused(AwaitingRoster, DropReason.BAD_KEY, text="the key of party 3")
def a_key_of_low_order(rec: Recorded) -> Any:
    return rec.roster_with(rec.entry(3, bytes(KEY_BYTES)))


@refused(AwaitingRoster, DropReason.BAD_SIGNATURE)
def a_roster_that_another_coordinator_signed(rec: Recorded) -> Any:
    session = bindings.session_digest(rec.room.params, rec.heard[Roster].entries)
    return replace(rec.heard[Roster], signature=rec.sign(LOST, bindings.roster(session)))


@refused(AwaitingRoster, DropReason.BAD_SIGNATURE)
def a_roster_signed_for_fewer_parties(rec: Recorded) -> Any:
    return replace(rec.heard[Roster], signature=rec.roster(*rec.heard[Roster].entries[:5]).signature)


@refused(AwaitingDealers, DropReason.UNEXPECTED, text="of which we wait for none")
def a_piece_that_came_before(rec: Recorded) -> Any:
    return rec.relayed[THREE]


@refused(AwaitingDealers, DropReason.UNEXPECTED, text="of which we wait for none")
def a_piece_of_ourselves(rec: Recorded) -> Any:
    return Relayed(ME, rec.relayed[THREE].sealed)


@refused(AwaitingDealers, DropReason.UNEXPECTED, text="of which we wait for none")
def a_piece_of_a_stranger(rec: Recorded) -> Any:
    return Relayed(STRANGER, rec.relayed[THREE].sealed)


@refused(AwaitingDealers, DropReason.WRONG_SET, text="U2 is not a part")
def a_u2_without_us(rec: Recorded) -> Any:
    return rec.dealers(rec.everybody - {ME})


@refused(AwaitingDealers, DropReason.WRONG_SET, text="U2 is not a part")
def a_u2_beyond_u1(rec: Recorded) -> Any:
    return rec.dealers(rec.everybody | {STRANGER})


@refused(AwaitingDealers, DropReason.WRONG_SET, text="U2 has 3 parties, 4 are needed")
def a_u2_below_u_and_q(rec: Recorded) -> Any:
    return rec.dealers(parties(0, 1, 2))


@refused(AwaitingDealers, DropReason.WRONG_SET, text="4 parties, a sum must cover at least 5")
def a_u2_below_the_floor(rec: Recorded) -> Any:
    return rec.dealers(parties(0, 1, 2, 3))


@refused(AwaitingDealers, DropReason.BAD_SIGNATURE)
def a_u2_signed_as_another(rec: Recorded) -> Any:
    return replace(rec.heard[Dealers], signature=rec.dealers(U3).signature)


@refused(AwaitingSurvivors, DropReason.WRONG_SET, text="U3 is not a part")
def a_u3_beyond_u2(rec: Recorded) -> Any:
    return rec.survivors(U3 | {STRANGER})


@refused(AwaitingSurvivors, DropReason.WRONG_SET, text="U3 is not a part")
def a_u3_beyond_u2_and_without_us(rec: Recorded) -> Any:
    return rec.survivors(U3 - {ME} | {STRANGER})


@refused(AwaitingSurvivors, DropReason.WRONG_SET, text="U3 has 3 parties, 4 are needed")
def a_u3_below_u_and_q(rec: Recorded) -> Any:
    return rec.survivors(parties(0, 1, 2))


@refused(AwaitingSurvivors, DropReason.WRONG_SET, text="4 parties, a sum must cover at least 5")
def a_u3_below_the_floor(rec: Recorded) -> Any:
    return rec.survivors(parties(0, 1, 2, 3))


@refused(AwaitingSurvivors, DropReason.BAD_SIGNATURE)
def a_u3_signed_as_another(rec: Recorded) -> Any:
    return replace(rec.survivors(U3), signature=rec.survivors(rec.everybody).signature)


@refused(AwaitingSurvivors, DropReason.BAD_SIGNATURE)
def a_u3_signed_over_another_u2(rec: Recorded) -> Any:
    return rec.survivors(U3, u2=U3)


@refused(AwaitingSurvivors, DropReason.BAD_SIGNATURE)
def an_exclusion_that_the_coordinator_did_not_sign(rec: Recorded) -> Any:
    return Survivors(U3 - {ME}, b"")


@refused(AwaitingConfirmations, DropReason.SECOND_ANSWER)
def a_second_and_larger_u3(rec: Recorded) -> Any:
    return rec.survivors(rec.everybody)


@refused(AwaitingConfirmations, DropReason.SECOND_ANSWER)
def a_second_u3_without_us(rec: Recorded) -> Any:
    return rec.survivors(U3 - {ME} | {LOST})


@refused(AwaitingConfirmations, DropReason.BAD_SIGNATURE)
def a_second_u3_that_nobody_signed(rec: Recorded) -> Any:
    return replace(rec.survivors(rec.everybody), signature=bytes(64))


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="3 confirmations, 4 are needed")
def too_few_confirmations(rec: Recorded) -> Any:
    return rec.confirmed(parties(0, 1, 2), U3)


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="0 confirmations")
def no_confirmations(rec: Recorded) -> Any:
    return AggregateRequest({})


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="outside our U3")
def a_confirmation_from_outside_u3(rec: Recorded) -> Any:
    return rec.confirmed(rec.everybody, U3)


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="party 0 did not confirm")
def confirmations_of_another_u3(rec: Recorded) -> Any:
    return rec.confirmed(U3, rec.everybody)


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="party 3 did not confirm")
def one_confirmation_of_another_u3_among_enough_of_ours(rec: Recorded) -> Any:
    other = rec.confirmed(parties(3), rec.everybody).confirmations
    return AggregateRequest(dict(rec.confirmed(U3, U3).confirmations) | dict(other))


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="party 0 did not confirm")
def confirmations_over_another_u2(rec: Recorded) -> Any:
    return rec.confirmed(U3, U3, u2=U3)


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="party 0 did not confirm")
def our_own_confirmation_under_everybodys_name(rec: Recorded) -> Any:
    return AggregateRequest(dict.fromkeys(sorted(U3), rec.said[ME, Confirm].signature))


@refused(AwaitingConfirmations, DropReason.NO_QUORUM, text="party 0 did not confirm")
def the_coordinators_own_signatures_over_u3(rec: Recorded) -> Any:
    return AggregateRequest(dict.fromkeys(sorted(U3), rec.heard[Survivors].signature))


@refused(AwaitingResult, DropReason.WRONG_SET, text="over others")
def a_sum_over_more(rec: Recorded) -> Any:
    return rec.result(rec.everybody, rec.heard[Result].vector)


@refused(AwaitingResult, DropReason.BAD_SIGNATURE)
def another_sum_than_was_signed(rec: Recorded) -> Any:
    return replace(rec.heard[Result], vector=bytes(len(rec.heard[Result].vector)))


@refused(AwaitingResult, DropReason.BAD_LENGTH)
def a_sum_of_another_length(rec: Recorded) -> Any:
    return rec.result(U3, rec.heard[Result].vector + b"\0")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.make.__name__)
def test_a_client_refuses_it_and_stands_where_it_stood(row: Row) -> None:
    rec = recorded()
    client, message = rec.client(row.state), row.make(rec)
    with pytest.raises(PeerMisbehaved, match=row.text) as refusal:
        client.receive(SERVER, message)
    assert (refusal.value.sender, refusal.value.reason) == (SERVER, row.reason)
    assert client.snapshot() == rec.kept[row.state][0]
    good = rec.heard[FITTING[row.state]]
    assert (client.receive(SERVER, good), client.snapshot()) == rec.after[row.state]


def test_exactly_the_quorum_suffices_and_our_own_confirmation_need_not_be_in_it() -> None:
    rec = recorded()
    client = rec.client(AwaitingConfirmations)
    assert client.receive(SERVER, rec.confirmed(U3 - {ME}, U3)) == rec.after[AwaitingConfirmations][0]


def test_a_client_that_is_not_among_the_survivors_ends_and_says_nothing() -> None:
    rec = recorded()
    client = rec.client(AwaitingSurvivors)
    assert client.receive(SERVER, rec.survivors(rec.everybody - {ME})) == []
    assert client.outcome == Aborted(AbortReason.NOT_INCLUDED)
    assert client.receive(SERVER, rec.heard[Survivors]) == []


@pytest.mark.parametrize("sealed", [b"", bytes(16), bytes(200)], ids=len)
def test_a_piece_of_another_length_is_refused_before_it_is_kept(sealed: bytes) -> None:
    client = recorded().without_pieces()
    before = client.snapshot()
    with pytest.raises(PeerMisbehaved) as refusal:
        client.receive(SERVER, Relayed(THREE, sealed))
    assert refusal.value.reason is DropReason.BAD_LENGTH
    assert client.snapshot() == before


# A piece that is not what was dealt


def broken(rec: Recorded) -> Relayed | None:
    sealed = bytearray(rec.relayed[THREE].sealed)
    sealed[0] ^= 1
    return Relayed(THREE, bytes(sealed))


def out_of_the_field(rec: Recorded) -> Relayed | None:
    """Sealed as party 3 would, but with an element that is p itself."""
    state = rec.dealing()
    key = state.opening[THREE]
    return Relayed(THREE, seal(key, b"\xff" * len(state.own_piece), state.session, THREE, ME))


def from_another_dealer(rec: Recorded) -> Relayed | None:
    return Relayed(THREE, rec.relayed[PartyId(2)].sealed)


def none_at_all(rec: Recorded) -> Relayed | None:
    return None


def shown(rec: Recorded, instead: dict[PartyId, Relayed | None]) -> Any:
    """ME with these pieces in the place of what came."""
    client = rec.without_pieces()
    for dealer, true in rec.relayed.items():
        if (piece := instead.get(dealer, true)) is not None:
            client.receive(SERVER, piece)
    return client


@pytest.mark.parametrize("spoil", [broken, out_of_the_field, from_another_dealer, none_at_all])
def test_one_piece_that_does_not_open_or_never_came_accuses_its_dealer_before_any_input_leaves(
    spoil: Callable[[Recorded], Relayed | None],
) -> None:
    rec = recorded()
    client = shown(rec, {THREE: spoil(rec)})
    answer = client.receive(SERVER, rec.heard[Dealers])
    assert answer == [Envelope((SERVER,), Abort(AbortReason.REFUSED, THREE))]
    assert client.outcome == Aborted(AbortReason.REFUSED, DropReason.BAD_BUNDLE, THREE)


def test_a_piece_of_somebody_outside_u2_may_be_missing_or_wrong() -> None:
    rec = recorded()
    for spoilt in (None, broken(rec)):
        client = shown(rec, {THREE: spoilt})
        (answer,) = client.receive(SERVER, rec.dealers(rec.everybody - {THREE}))
        assert isinstance(answer.message, MaskedInput)


def test_where_no_piece_opens_it_is_the_view_that_is_split_and_no_dealer_is_named() -> None:
    rec = recorded()
    size = len(rec.relayed[THREE].sealed)
    for spoilt in ({dealer: Relayed(dealer, bytes(size)) for dealer in rec.relayed}, dict.fromkeys(rec.relayed)):
        client = shown(rec, spoilt)
        before = client.snapshot()
        with pytest.raises(PeerMisbehaved) as refusal:
            client.receive(SERVER, rec.heard[Dealers])
        assert refusal.value.reason is DropReason.SPLIT_VIEW
        assert client.snapshot() == before


def test_dealers_for_a_client_without_an_input_are_the_drivers_fault_and_can_be_shown_again() -> None:
    rec = recorded()
    room = LightRoom(clients=6, colluding=1, losses=2, cohort=5, length=3)
    client = room.client(ME)
    bare = type(client)(ME, identity=room.identities[ME], terms=room.terms, rand=room.rand.child(f"client {ME}"))
    for message in (rec.heard[Invitation], rec.heard[Roster], *rec.relayed.values()):
        bare.receive(SERVER, message)
    before = bare.snapshot()
    with pytest.raises(LocalProtocolError, match="the input must be set"):
        bare.receive(SERVER, rec.heard[Dealers])
    assert bare.snapshot() == before
    bare.set_input(room.inputs[ME])
    assert bare.receive(SERVER, rec.heard[Dealers]) == rec.after[AwaitingDealers][0]


# Numbers that fit nobody


def test_a_session_whose_field_has_too_few_points_is_refused_by_both_sides_with_the_remedy() -> None:
    small = LightRoom(clients=5, colluding=1, losses=0, field=PrimeField(11))
    assert small.params.spec.field.modulus == 5 + 5 + 1
    small.hold().require_exact(0, 1, 2, 3, 4)
    room = LightRoom(clients=6, colluding=1, losses=0, field=PrimeField(11))
    with pytest.raises(LocalProtocolError, match="take one of at least 5 bits"):
        room.server()
    clients = {party: room.client(party) for party in room.parties}
    said = [client.receive(SERVER, Invitation(room.params)) for client in clients.values()]
    entries = tuple(answer.message for (answer,) in said)
    session = bindings.session_digest(room.params, entries)
    signature = room.identities[SERVER].sign(*bindings.roster(session))
    with pytest.raises(PeerMisbehaved, match="take one of at least 5 bits") as refusal:
        clients[ME].receive(SERVER, Roster(entries, signature))
    assert refusal.value.reason is DropReason.OUTSIDE_TERMS


def test_more_colluders_than_others_are_refused_with_the_remedy() -> None:
    with pytest.raises(LocalProtocolError, match="plan for at most 4 colluding, or invite 6"):
        LightRoom(clients=5, colluding=5).server()


# The server


def spoilt(rec: Recorded, kind: type, **changes: Any) -> Any:
    return replace(rec.said[ME, kind], **changes)


@refused(Round.ADVERTISE, DropReason.BAD_KEY, text="in another's name")
def a_key_in_anothers_name(rec: Recorded) -> Any:
    return rec.signed_entry(spoilt(rec, AdvertiseKey, client=THREE), ME)


@refused(Round.ADVERTISE, DropReason.BAD_KEY)
def a_key_of_low_order_advertised(rec: Recorded) -> Any:
    return rec.entry(ME, bytes(KEY_BYTES))


@refused(Round.ADVERTISE, DropReason.BAD_KEY)
def a_key_that_is_not_signed(rec: Recorded) -> Any:
    return spoilt(rec, AdvertiseKey, signature=b"")


@refused(Round.SHARE, DropReason.WRONG_SET, text="owed none")
def a_piece_for_a_stranger(rec: Recorded) -> Any:
    return spoilt(rec, Piece, recipient=STRANGER)


@refused(Round.SHARE, DropReason.WRONG_SET, text="owed none")
def a_piece_for_oneself(rec: Recorded) -> Any:
    return spoilt(rec, Piece, recipient=ME)


@refused(Round.SHARE, DropReason.BAD_LENGTH)
def a_piece_that_is_too_long(rec: Recorded) -> Any:
    return spoilt(rec, Piece, sealed=rec.said[ME, Piece].sealed + b"\0")


@refused(Round.SHARE, DropReason.WRONG_SET, text="not the pieces that came")
def pieces_signed_for_that_never_came(rec: Recorded) -> Any:
    return rec.said[ME, Dealt]


@refused(Round.SHARE, DropReason.WRONG_SET, text="not the pieces that came")
def no_pieces(rec: Recorded) -> Any:
    return Dealt({}, bytes(64))


@refused(Round.MASKED_INPUT, DropReason.BAD_LENGTH)
def a_masked_input_that_is_too_short(rec: Recorded) -> Any:
    return MaskedInput(rec.said[ME, MaskedInput].masked[:-1])


@refused(Round.MASKED_INPUT, DropReason.BAD_LENGTH)
def a_masked_input_outside_the_field(rec: Recorded) -> Any:
    return MaskedInput(b"\xff" * len(rec.said[ME, MaskedInput].masked))


@refused(Round.CONFIRM, DropReason.BAD_SIGNATURE)
def a_confirmation_of_another_party(rec: Recorded) -> Any:
    return rec.said[THREE, Confirm]


@refused(Round.AGGREGATE, DropReason.BAD_SHARE)
def an_answer_of_another_length(rec: Recorded) -> Any:
    return AggregatedPiece(rec.said[ME, AggregatedPiece].piece + b"\0")


@refused(Round.AGGREGATE, DropReason.BAD_SHARE)
def an_answer_outside_the_field(rec: Recorded) -> Any:
    return AggregatedPiece(b"\xff" * len(rec.said[ME, AggregatedPiece].piece))


@pytest.mark.parametrize("row", SERVER_ROWS, ids=lambda row: row.make.__name__)
def test_the_server_refuses_it_and_stands_where_it_stood(row: Row) -> None:
    rec = recorded()
    server = rec.server(row.state)
    before, message = server.snapshot(), row.make(rec)
    with pytest.raises(PeerMisbehaved, match=row.text) as refusal:
        server.receive(ME, message)
    assert (refusal.value.sender, refusal.value.reason) == (ME, row.reason)
    assert server.snapshot() == before


def test_a_key_that_another_party_advertised_is_not_ones_own() -> None:
    rec = recorded()
    server = rec.server(Round.ADVERTISE)
    server.receive(THREE, rec.said[THREE, AdvertiseKey])
    with pytest.raises(PeerMisbehaved) as refusal:
        server.receive(ME, rec.entry(ME, rec.said[THREE, AdvertiseKey].channel_key))
    assert refusal.value.reason is DropReason.BAD_KEY


def dealt_but_for(rec: Recorded, left_out: int) -> tuple[Any, list[Any], Dealt]:
    """The server after all pieces of ME but so many; those; and what ME then signs for."""
    server, (*pieces, dealt) = rec.server(Round.SHARE), rec.pieces[ME]
    for piece in pieces[left_out:]:
        (relayed,) = server.receive(ME, piece)
        assert relayed == Envelope((piece.recipient,), Relayed(ME, piece.sealed))
    return server, pieces[:left_out], dealt


def test_a_dealer_is_in_u2_when_all_its_pieces_went_out_and_it_signed_for_exactly_these() -> None:
    rec = recorded()
    server, (missing,), dealt = dealt_but_for(rec, 1)
    with pytest.raises(PeerMisbehaved, match="not the pieces that came"):
        server.receive(ME, dealt)
    server.receive(ME, replace(missing, sealed=missing.sealed[::-1]))
    with pytest.raises(PeerMisbehaved, match="not the pieces that came"):
        server.receive(ME, dealt)
    assert ME in server.waiting_for
    server, _, dealt = dealt_but_for(rec, 0)
    with pytest.raises(PeerMisbehaved) as refusal:
        server.receive(ME, replace(dealt, signature=rec.sign(THREE, bindings.dealt(b"", ME, dealt.hashes))))
    assert refusal.value.reason is DropReason.BAD_SIGNATURE
    server.receive(ME, dealt)
    assert ME not in server.waiting_for


def test_a_piece_is_passed_on_once_and_not_kept() -> None:
    rec = recorded()
    server, _, _ = dealt_but_for(rec, 0)
    first = rec.pieces[ME][0]
    with pytest.raises(PeerMisbehaved, match="owed none"):
        server.receive(ME, first)
    assert first.sealed not in server.snapshot()
    assert bindings.hash_piece(first.sealed) in server.snapshot()


def test_a_piece_for_somebody_who_is_lost_goes_nowhere_and_is_no_fault() -> None:
    rec = recorded()
    server = rec.server(Round.SHARE)
    server.drop(SILENT, DropReason.VANISHED)
    piece = next(piece for piece in rec.pieces[ME][:-1] if piece.recipient == SILENT)
    assert server.receive(ME, piece) == []


def test_whom_a_party_that_gave_up_accuses_is_kept_as_a_dispute_and_not_dropped() -> None:
    server = recorded().server(Round.MASKED_INPUT)
    server.receive(ME, Abort(AbortReason.REFUSED, THREE))
    assert server.disputes == {Dispute(THREE, ME)}
    assert set(server.dropped) == {ME}
