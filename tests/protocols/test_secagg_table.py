"""The table of transitions, whole: every state of a client and every round of a server x every message class.

What must come of it: the next state, or a named error and a machine that stands where it stood.
"""

from itertools import product
from typing import Any, get_args

import numpy as np
import pytest
from conversation import Room
from recorded import LOST, ME, SILENT, STRANGER, parties, recorded, state_of

from mpc.field import M31
from mpc.randomness import SeededRandomness, SystemRandomness
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved, WireError
from protocols.machine import Aborted, Envelope, Finished
from protocols.messages import (
    Abort,
    AdvertiseKeys,
    Confirm,
    DeliverShares,
    FallbackRequest,
    FallbackShares,
    Invitation,
    MaskedInput,
    Message,
    Result,
    Roster,
    Round,
    ShareKeys,
    Survivors,
    UnmaskRequest,
    UnmaskShares,
)
from protocols.secagg import Client, Server
from protocols.secagg.states import (
    AwaitingConfirmations,
    AwaitingInvitation,
    AwaitingResult,
    AwaitingRoster,
    AwaitingShares,
    AwaitingSurvivors,
    Ended,
    Revealed,
)

STATES = (
    AwaitingInvitation, AwaitingRoster, AwaitingShares, AwaitingSurvivors, AwaitingConfirmations, Revealed,
    AwaitingResult, Ended,
)  # fmt: skip
MESSAGES = get_args(Message)
NEXT = {
    (AwaitingInvitation, Invitation): AwaitingRoster,
    (AwaitingRoster, Roster): AwaitingShares,
    (AwaitingShares, DeliverShares): AwaitingSurvivors,
    (AwaitingSurvivors, Survivors): AwaitingConfirmations,
    (AwaitingConfirmations, UnmaskRequest): Revealed,
    (Revealed, FallbackRequest): AwaitingResult,
    (Revealed, Result): Ended,
    (AwaitingResult, Result): Ended,
} | {(state, Abort): Ended for state in STATES}
ANSWERS = {
    Invitation: AdvertiseKeys, Roster: ShareKeys, DeliverShares: MaskedInput, Survivors: Confirm,
    UnmaskRequest: UnmaskShares, FallbackRequest: FallbackShares,
}  # fmt: skip
U3 = parties(0, 1, 2, 3, 4)


def valid(kind: type) -> Any:
    """A message of the session itself; what only clients say, as a client said it."""
    rec = recorded()
    if kind is Abort:
        return Abort(AbortReason.STOPPED, None)
    return rec.heard.get(kind) or rec.said[ME, kind]


@pytest.mark.parametrize(("state", "kind"), list(product(STATES, MESSAGES)), ids=lambda kind: kind.__name__)
def test_every_message_in_every_state_does_the_one_thing_that_the_table_says(state: type, kind: type) -> None:
    client = recorded().client(state)
    before = client.snapshot()
    if state is Ended:
        assert client.receive(SERVER, valid(kind)) == []
        assert client.snapshot() == before
    elif (state, kind) in NEXT:
        answer = [envelope.message for envelope in client.receive(SERVER, valid(kind))]
        assert [type(message) for message in answer] == ([ANSWERS[kind]] if kind in ANSWERS else [])
        assert type(state_of(client)) is NEXT[state, kind]
    else:
        another = state is AwaitingConfirmations and kind is Survivors
        with pytest.raises(PeerMisbehaved) as refusal:
            client.receive(SERVER, survivors_of_others() if another else valid(kind))
        assert refusal.value.reason is (DropReason.SECOND_ANSWER if another else DropReason.UNEXPECTED)
        assert client.snapshot() == before


def survivors_of_others() -> Survivors:
    return recorded().survivors(recorded().everybody)


def test_the_same_survivors_again_do_not_belong_here_but_are_no_second_set() -> None:
    client = recorded().client(AwaitingConfirmations)
    with pytest.raises(PeerMisbehaved) as refusal:
        client.receive(SERVER, valid(Survivors))
    assert refusal.value.reason is DropReason.UNEXPECTED


@pytest.mark.parametrize("state", STATES[:-1], ids=lambda kind: kind.__name__)
def test_a_restored_client_goes_on_exactly_as_the_one_that_was_never_stopped(state: type) -> None:
    rec = recorded()
    fitting = next(kind for (before, kind) in NEXT if before is state)
    client = rec.client(state)
    assert client.snapshot() == rec.client_at[state]
    assert (client.receive(SERVER, valid(fitting)), client.snapshot()) == rec.after[state]


@pytest.mark.parametrize("state", STATES[:-1], ids=lambda kind: kind.__name__)
def test_whoever_is_not_the_server_is_not_heard(state: type) -> None:
    client = recorded().client(state)
    fitting = next(kind for (before, kind) in NEXT if before is state)
    with pytest.raises(LocalProtocolError):
        client.receive(PartyId(0), valid(fitting))
    assert client.snapshot() == recorded().client_at[state]


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
    assert client.snapshot() == recorded().client_at[state]


@pytest.mark.parametrize("state", STATES[:-1], ids=lambda kind: kind.__name__)
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


@pytest.mark.parametrize("state", STATES[:-1], ids=lambda kind: kind.__name__)
def test_an_abort_of_the_driver_ends_in_any_state(state: type) -> None:
    client = recorded().client(state)
    assert client.abort(AbortReason.STOPPED) == [Envelope((SERVER,), Abort(AbortReason.STOPPED, None))]
    assert client.outcome == Aborted(AbortReason.STOPPED)


@pytest.mark.parametrize("said", list(AbortReason))
@pytest.mark.parametrize("state", STATES[:-1], ids=lambda kind: kind.__name__)
def test_an_unsigned_abort_of_the_server_says_not_included_only_while_our_input_is_here(
    state: type, said: AbortReason
) -> None:
    client = recorded().client(state)
    client.receive(SERVER, Abort(said, PartyId(2)))
    early = state in (AwaitingInvitation, AwaitingRoster, AwaitingShares)
    kept = said if early and said is AbortReason.NOT_INCLUDED else AbortReason.TOLD
    assert client.outcome == Aborted(kept)


def test_a_restored_client_deals_the_same_shares_whatever_its_new_randomness() -> None:
    rec = recorded()
    rand = SeededRandomness(b"another process")
    client = rec.restored(AwaitingRoster, rand)
    assert client.receive(SERVER, rec.heard[Roster]) == rec.after[AwaitingRoster][0]


def test_a_snapshot_of_another_kind_of_machine_or_a_cut_one_is_refused() -> None:
    rec = recorded()
    of_server, of_client = rec.server_at[Round.SHARE], rec.client_at[AwaitingShares]
    for wrong in (of_server, of_client[:-1], b""):
        with pytest.raises(WireError):
            Client.restore(
                wrong,
                identity=rec.room.identities[ME],
                rand=SeededRandomness(b""),
                ledger=rec.ledger_at[AwaitingShares],
            )
    for wrong in (of_client, of_server[:-1], b""):
        with pytest.raises(WireError):
            Server.restore(wrong, identity=rec.room.identities[SERVER])


def test_a_seeded_session_does_not_go_on_with_the_systems_randomness() -> None:
    rec = recorded()
    with pytest.raises(LocalProtocolError, match="a seeded one with a seed"):
        rec.restored(AwaitingRoster, SystemRandomness())


# The server: every round x every message class x whoever says it

ROUNDS = tuple(Round)
TAKES = {
    Round.ADVERTISE: AdvertiseKeys, Round.SHARE: ShareKeys, Round.MASKED_INPUT: MaskedInput, Round.CONFIRM: Confirm,
    Round.UNMASK: UnmaskShares, Round.FALLBACK: FallbackShares,
}  # fmt: skip
GONE = {SILENT: (Round.FALLBACK, Round.DONE), LOST: tuple(Round)[3:]}  # the rounds in which they are lost already
every_round = pytest.mark.parametrize("opened", ROUNDS, ids=str)
open_rounds = pytest.mark.parametrize("opened", ROUNDS[:-1], ids=str)
every_message = pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)


@every_round
@every_message
def test_a_server_takes_from_a_member_what_the_round_is_about_and_refuses_the_rest(opened: Round, kind: type) -> None:
    server = recorded().server(opened)
    before, waiting = server.snapshot(), server.waiting_for
    if opened is Round.DONE:
        assert server.receive(ME, valid(kind)) == []
        assert server.snapshot() == before
    elif kind in (TAKES[opened], Abort):
        assert ME in waiting
        assert server.receive(ME, valid(kind)) == []
        assert server.waiting_for == waiting - {ME}
        assert (ME in server.dropped) == (kind is Abort)
    else:
        with pytest.raises(PeerMisbehaved) as refusal:
            server.receive(ME, valid(kind))
        assert (refusal.value.sender, refusal.value.reason) == (ME, DropReason.UNEXPECTED)
        assert server.snapshot() == before


@open_rounds
@every_message
def test_a_second_answer_is_refused_whatever_it_is(opened: Round, kind: type) -> None:
    server = recorded().server(opened)
    server.receive(ME, valid(TAKES[opened]))
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
        if (party, opened) not in ((LOST, Round.MASKED_INPUT), (SILENT, Round.UNMASK)):
            server.receive(party, rec.said[party, TAKES[opened]])
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
    (Round.ADVERTISE, 5), (Round.SHARE, 5), (Round.MASKED_INPUT, 5), (Round.CONFIRM, 4), (Round.UNMASK, 4),
    (Round.FALLBACK, 4),
])  # fmt: skip
def test_a_round_closes_from_that_answer_on_that_makes_enough(opened: Round, enough: int) -> None:
    rec = recorded()
    server = rec.server(opened)
    for count, party in enumerate(sorted(server.waiting_for), start=1):
        server.receive(party, rec.said[party, TAKES[opened]])
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
        LOST: (Round.MASKED_INPUT, DropReason.TOO_SLOW), SILENT: (Round.UNMASK, DropReason.TOO_SLOW)
    }  # fmt: skip


def test_a_machine_is_not_built_on_an_identity_that_the_session_does_not_name() -> None:
    room, stranger = recorded().room, Room(seed=b"strangers").identities
    with pytest.raises(LocalProtocolError, match="party 1"):
        Client(ME, identity=stranger[ME], terms=room.terms, rand=room.rand)
    with pytest.raises(LocalProtocolError, match="coordinator"):
        Server(room.params, identity=stranger[SERVER], members=room.terms.members)


@pytest.mark.parametrize("state", STATES[3:], ids=lambda kind: kind.__name__)
def test_an_input_is_set_once_and_before_the_shares_are_delivered(state: type) -> None:
    rec = recorded()
    for late in (state, AwaitingInvitation):
        client = rec.client(late)
        with pytest.raises(LocalProtocolError, match="set once"):
            client.set_input(rec.room.inputs[ME])
        assert client.snapshot() == rec.client_at[late]


@pytest.mark.parametrize(
    "vector", [[0, 0, 0], M31.zeros(4), M31.zeros(3).reshape(3, 1), np.zeros(3), np.full(3, 2**31 - 1, dtype=np.uint32)]
)
def test_an_input_of_another_shape_or_outside_the_field_is_refused(vector: Any) -> None:
    room = recorded().room
    client = Client(ME, identity=room.identities[ME], terms=room.terms, rand=room.rand)
    before = client.snapshot()
    with pytest.raises(LocalProtocolError):
        client.set_input(vector)
    assert client.snapshot() == before
