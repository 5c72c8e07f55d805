"""The table of transitions, whole: every state of a client and every round of a server x every message class."""

from itertools import product
from typing import Any, get_args

import numpy as np
import pytest
from light_recorded import LOST, ME, SILENT, STRANGER, recorded, state_of
from light_room import LightRoom, parties

from mpc.field import M31
from mpc.randomness import SeededRandomness, SystemRandomness
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved, WireError
from protocols.ledger import NOTHING_ANSWERED
from protocols.lightsecagg import Client, Server
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
from protocols.lightsecagg.states import (
    AwaitingConfirmations,
    AwaitingDealers,
    AwaitingInvitation,
    AwaitingResult,
    AwaitingRoster,
    AwaitingSurvivors,
    Ended,
)
from protocols.machine import Aborted, Envelope, Finished

STATES = (
    AwaitingInvitation, AwaitingRoster, AwaitingDealers, AwaitingSurvivors, AwaitingConfirmations, AwaitingResult,
    Ended,
)  # fmt: skip
MESSAGES = get_args(Message)
NEXT = {
    (AwaitingInvitation, Invitation): AwaitingRoster,
    (AwaitingRoster, Roster): AwaitingDealers,
    (AwaitingDealers, Dealers): AwaitingSurvivors,
    (AwaitingSurvivors, Survivors): AwaitingConfirmations,
    (AwaitingConfirmations, AggregateRequest): AwaitingResult,
    (AwaitingResult, Result): Ended,
} | {(state, Abort): Ended for state in STATES}
ANSWERS = {
    Invitation: [AdvertiseKey], Roster: [*[Piece] * 5, Dealt], Dealers: [MaskedInput], Survivors: [Confirm],
    AggregateRequest: [AggregatedPiece],
}  # fmt: skip
U3 = parties(0, 1, 2, 3, 4)
every_running_state = pytest.mark.parametrize("state", STATES[:-1], ids=lambda kind: kind.__name__)


def valid(kind: type) -> Any:
    """A message of the session itself; what only clients say, as a client said it."""
    rec = recorded()
    if kind is Abort:
        return Abort(AbortReason.STOPPED, None)
    return rec.heard.get(kind) or rec.said[ME, kind]


def fitting(state: type) -> Any:
    return valid(next(kind for (before, kind) in NEXT if before is state))


@pytest.mark.parametrize(("state", "kind"), list(product(STATES, MESSAGES)), ids=lambda kind: kind.__name__)
def test_every_message_in_every_state_does_the_one_thing_that_the_table_says(state: type, kind: type) -> None:
    client = recorded().client(state)
    before = client.snapshot()
    if state is Ended:
        assert client.receive(SERVER, valid(kind)) == []
        assert client.snapshot() == before
    elif (state, kind) in NEXT:
        answers = [type(envelope.message) for envelope in client.receive(SERVER, valid(kind))]
        assert answers == ANSWERS.get(kind, [])
        assert type(state_of(client)) is NEXT[state, kind]
    else:
        with pytest.raises(PeerMisbehaved) as refusal:
            client.receive(SERVER, valid(kind))
        assert refusal.value.reason is DropReason.UNEXPECTED
        assert client.snapshot() == before


def test_a_piece_is_taken_while_we_wait_for_the_dealers() -> None:
    rec = recorded()
    client = rec.without_pieces()
    for piece in rec.relayed.values():
        assert client.receive(SERVER, piece) == []
        assert type(state_of(client)) is AwaitingDealers
    assert client.snapshot() == rec.kept[AwaitingDealers][0]


@every_running_state
def test_a_restored_client_goes_on_exactly_as_the_one_that_was_never_stopped(state: type) -> None:
    rec = recorded()
    client = rec.client(state)
    assert client.snapshot() == rec.kept[state][0]
    assert (client.receive(SERVER, fitting(state)), client.snapshot()) == rec.after[state]


@every_running_state
def test_a_snapshot_that_the_ledger_does_not_know_as_the_last_is_refused(state: type) -> None:
    rec, rand = recorded(), SeededRandomness(b"")
    snapshot, ledger = rec.kept[state]
    later = rec.kept[STATES[STATES.index(state) + 1]][1]
    if state is AwaitingInvitation:
        rec.restored((snapshot, later), rand)  # no session is open yet
        return
    for wrong in (later, NOTHING_ANSWERED):
        assert wrong != ledger
        with pytest.raises(LocalProtocolError):
            rec.restored((snapshot, wrong), rand)


@every_running_state
def test_whoever_is_not_the_server_is_not_heard(state: type) -> None:
    client = recorded().client(state)
    with pytest.raises(LocalProtocolError):
        client.receive(PartyId(0), fitting(state))
    assert client.snapshot() == recorded().kept[state][0]


@pytest.mark.parametrize("state", STATES, ids=lambda kind: kind.__name__)
def test_a_client_waits_for_its_server_until_it_has_ended_and_closes_nothing(state: type) -> None:
    client = recorded().client(state)
    assert client.round is state.round
    assert client.waiting_for == (frozenset() if state is Ended else {SERVER})
    assert not client.can_close
    assert client.start() == []
    with pytest.raises(LocalProtocolError):
        client.close_round()
    assert client.drop(PartyId(0), DropReason.VANISHED) == []
    assert client.snapshot() == recorded().kept[state][0]


@every_running_state
@pytest.mark.parametrize(
    ("reason", "expected"),
    [(DropReason.VANISHED, AbortReason.SERVER_LOST), (DropReason.BAD_SIGNATURE, AbortReason.REFUSED)],
)
def test_a_client_that_gives_its_server_up_has_aborted_and_says_so_once(
    state: type, reason: DropReason, expected: AbortReason
) -> None:
    client = recorded().client(state)
    assert client.drop(SERVER, reason) == [Envelope((SERVER,), Abort(expected, None))]
    assert client.outcome == Aborted(expected, reason)
    assert client.drop(SERVER, reason) == client.abort(AbortReason.STOPPED) == []


@every_running_state
def test_an_unsigned_abort_of_the_server_says_not_included_only_while_our_input_is_here(state: type) -> None:
    for said in AbortReason:
        client = recorded().client(state)
        client.receive(SERVER, Abort(said, PartyId(2)))
        early = state in (AwaitingInvitation, AwaitingRoster, AwaitingDealers)
        kept = said if early and said is AbortReason.NOT_INCLUDED else AbortReason.TOLD
        assert client.outcome == Aborted(kept)


def test_a_restored_client_deals_the_same_pieces_whatever_its_new_randomness() -> None:
    rec = recorded()
    client = rec.restored(rec.kept[AwaitingRoster], SeededRandomness(b"another process"))
    assert client.receive(SERVER, rec.heard[Roster]) == rec.after[AwaitingRoster][0]


def test_a_seeded_session_does_not_go_on_with_the_systems_randomness() -> None:
    rec = recorded()
    with pytest.raises(LocalProtocolError, match="a seeded one with a seed"):
        rec.restored(rec.kept[AwaitingRoster], SystemRandomness())


def test_a_snapshot_of_another_kind_of_machine_or_a_cut_one_is_refused() -> None:
    rec = recorded()
    of_server, (of_client, ledger) = rec.server_at[Round.SHARE], rec.kept[AwaitingDealers]
    for wrong in (of_server, of_client[:-1], b""):
        with pytest.raises(WireError):
            rec.restored((wrong, ledger), SeededRandomness(b""))
    for wrong in (of_client, of_server[:-1], b""):
        with pytest.raises(WireError):
            Server.restore(wrong, identity=rec.room.identities[SERVER])


def test_what_a_state_does_not_need_is_not_in_its_snapshot() -> None:
    rec = recorded()
    field, state = rec.room.field, rec.dealing()
    secrets = {"input": field.pack(rec.room.inputs[ME]), "mask seed": state.mask_seed.raw, "own": state.own_piece}
    channel = state.opening[PartyId(0)].raw
    assert all(secret in rec.kept[AwaitingDealers][0] for secret in (*secrets.values(), channel))
    masked = rec.kept[AwaitingSurvivors][0]
    assert secrets["own"] in masked
    assert not any(secret in masked for secret in (secrets["input"], secrets["mask seed"], channel))
    fixed = rec.kept[AwaitingConfirmations][0]
    assert not any(secret in fixed for secret in secrets.values())
    assert rec.said[ME, AggregatedPiece].piece in fixed
    assert rec.said[ME, AggregatedPiece].piece not in rec.kept[AwaitingResult][0]


def test_states_do_not_print_their_secrets() -> None:
    rec = recorded()
    for kind in (AwaitingRoster, AwaitingDealers, AwaitingSurvivors, AwaitingConfirmations):
        shown = repr(state_of(rec.client(kind)))
        assert not any(repr(piece)[2:20] in shown for piece in (rec.dealing().own_piece, rec.dealing().mask_seed.raw))


@pytest.mark.parametrize("state", STATES[3:], ids=lambda kind: kind.__name__)
def test_an_input_is_set_once_and_before_the_dealers_are_known(state: type) -> None:
    rec = recorded()
    for late in (state, AwaitingInvitation):
        client = rec.client(late)
        with pytest.raises(LocalProtocolError, match="set once"):
            client.set_input(rec.room.inputs[ME])
        assert client.snapshot() == rec.kept[late][0]


@pytest.mark.parametrize("vector", [[0, 0, 0], M31.zeros(4), np.zeros(3), np.full(3, 2**31 - 1, dtype=np.uint32)])
def test_an_input_of_another_shape_or_outside_the_field_is_refused(vector: Any) -> None:
    room = recorded().room
    client = Client(ME, identity=room.identities[ME], terms=room.terms, rand=room.rand)
    before = client.snapshot()
    with pytest.raises(LocalProtocolError):
        client.set_input(vector)
    assert client.snapshot() == before


# The server: every round x every message class x whoever says it

ROUNDS = tuple(Round)
TAKES = {
    Round.ADVERTISE: AdvertiseKey, Round.MASKED_INPUT: MaskedInput, Round.CONFIRM: Confirm,
    Round.AGGREGATE: AggregatedPiece,
}  # fmt: skip
GONE = {SILENT: (Round.DONE,), LOST: ROUNDS[3:]}  # the rounds in which they are lost already
every_round = pytest.mark.parametrize("opened", ROUNDS, ids=str)
open_rounds = pytest.mark.parametrize("opened", ROUNDS[:-1], ids=str)
every_message = pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)


def answers_of(party: PartyId, opened: Round) -> list[Any]:
    """All that the party says in this round."""
    rec = recorded()
    return rec.pieces[party] if opened is Round.SHARE else [rec.said[party, TAKES[opened]]]


@every_round
@every_message
def test_a_server_takes_from_a_member_what_the_round_is_about_and_refuses_the_rest(opened: Round, kind: type) -> None:
    server = recorded().server(opened)
    before, waiting = server.snapshot(), server.waiting_for
    if opened is Round.DONE:
        assert server.receive(ME, valid(kind)) == []
        assert server.snapshot() == before
    elif opened is Round.SHARE and kind is Piece:
        piece = valid(Piece)
        (passed_on,) = server.receive(ME, piece)
        assert passed_on == Envelope((piece.recipient,), Relayed(ME, piece.sealed))
        assert server.waiting_for == waiting
    elif kind in (TAKES.get(opened), Abort):
        assert server.receive(ME, valid(kind)) == []
        assert server.waiting_for == waiting - {ME}
        assert (ME in server.dropped) == (kind is Abort)
    else:
        with pytest.raises(PeerMisbehaved) as refusal:
            server.receive(ME, valid(kind))
        early = opened is Round.SHARE and kind is Dealt  # without the pieces that it is about
        assert refusal.value.reason is (DropReason.WRONG_SET if early else DropReason.UNEXPECTED)
        assert server.snapshot() == before


@open_rounds
@every_message
def test_a_second_answer_is_refused_whatever_it_is(opened: Round, kind: type) -> None:
    server = recorded().server(opened)
    for message in answers_of(ME, opened):
        server.receive(ME, message)
    before = server.snapshot()
    if kind is Abort:
        assert server.receive(ME, valid(Abort)) == []
        assert ME not in server.waiting_for
    else:
        with pytest.raises(PeerMisbehaved) as refusal:
            server.receive(ME, valid(kind))
        assert refusal.value.reason is DropReason.UNEXPECTED
        assert server.snapshot() == before


@every_message
@pytest.mark.parametrize(
    ("opened", "party"), [(opened, party) for party, rounds in GONE.items() for opened in rounds], ids=str
)
def test_what_a_lost_party_still_says_is_ignored(opened: Round, party: PartyId, kind: type) -> None:
    server = recorded().server(opened)
    before = server.snapshot()
    assert server.receive(party, valid(kind)) == []
    assert server.snapshot() == before


@open_rounds
@every_message
def test_a_stranger_is_the_drivers_fault(opened: Round, kind: type) -> None:
    server = recorded().server(opened)
    before = server.snapshot()
    with pytest.raises(LocalProtocolError, match="party 9 was not invited"):
        server.receive(STRANGER, valid(kind))
    assert server.snapshot() == before


@open_rounds
def test_a_restored_server_goes_on_exactly_as_the_one_that_was_never_stopped(opened: Round) -> None:
    rec = recorded()
    server = rec.server(opened)
    for party in sorted(server.waiting_for):
        if (party, opened) not in ((LOST, Round.MASKED_INPUT), (SILENT, Round.AGGREGATE)):
            for message in answers_of(party, opened):
                server.receive(party, message)
                server = Server.restore(server.snapshot(), identity=rec.room.identities[SERVER])
    assert server.close_round() == rec.closed[opened]
    assert server.snapshot() == rec.server_at[server.round]


@every_round
def test_a_round_with_too_few_answers_cannot_be_closed(opened: Round) -> None:
    server = recorded().server(opened)
    before = server.snapshot()
    assert not server.can_close
    with pytest.raises(LocalProtocolError):
        server.close_round()
    assert server.snapshot() == before


@pytest.mark.parametrize(("opened", "enough"), [
    (Round.ADVERTISE, 5), (Round.SHARE, 5), (Round.MASKED_INPUT, 5), (Round.CONFIRM, 4), (Round.AGGREGATE, 4),
])  # fmt: skip
def test_a_round_closes_from_that_answer_on_that_makes_enough(opened: Round, enough: int) -> None:
    server = recorded().server(opened)
    for count, party in enumerate(sorted(server.waiting_for), start=1):
        for message in answers_of(party, opened):
            server.receive(party, message)
        assert server.can_close == (count >= enough)
    assert not server.waiting_for


@open_rounds
def test_an_abort_tells_everybody_who_is_still_there(opened: Round) -> None:
    server = recorded().server(opened)
    there = tuple(sorted(recorded().everybody - server.dropped.keys()))
    assert server.abort(AbortReason.STOPPED) == [Envelope(there, Abort(AbortReason.STOPPED, None))]
    assert server.outcome == Aborted(AbortReason.STOPPED)
    assert server.round is Round.DONE
    assert not server.waiting_for
    assert server.abort(AbortReason.STOPPED) == server.drop(ME, DropReason.VANISHED) == []


def test_the_recorded_session_ends_with_the_exact_sum_over_its_survivors() -> None:
    rec = recorded()
    assert isinstance(rec.outcome, Finished)
    assert np.array_equal(rec.outcome.aggregate.vector, rec.room.plain_sum(U3))
    server = rec.server(Round.DONE)
    assert (server.u1, server.u2, server.u3, server.u4) == (rec.everybody, rec.everybody, U3, U3)
    assert server.u5 == U3 - {SILENT}
    assert dict(server.dropped) == {
        LOST: (Round.MASKED_INPUT, DropReason.TOO_SLOW), SILENT: (Round.AGGREGATE, DropReason.TOO_SLOW)
    }  # fmt: skip


def test_a_machine_is_not_built_on_an_identity_that_the_session_does_not_name() -> None:
    room, stranger = recorded().room, LightRoom(seed=b"strangers").identities
    with pytest.raises(LocalProtocolError, match="party 1"):
        Client(ME, identity=stranger[ME], terms=room.terms, rand=room.rand)
    with pytest.raises(LocalProtocolError, match="coordinator"):
        Server(room.params, identity=stranger[SERVER], members=room.terms.members)
