"""What holds for every session: an exact sum over U3 or none at all, and no client that says too much."""

from random import Random

import numpy as np
import pytest
from conversation import Room, Talk
from disorder import Disorder
from hypothesis import given
from hypothesis import strategies as st
from lies import Played, Plot, plots
from restored import restored_machines
from sessions import Session, bounded, sessions
from watch import Watch

from protocols.errors import SERVER, PartyId, PeerMisbehaved
from protocols.exchange import Exchange
from protocols.machine import Aborted, Finished
from protocols.messages import CODEC, Invitation, Roster
from protocols.secagg import Server, bindings
from protocols.session import Variant
from simulations.attacks.lying import answer


def hold(drawn: Session) -> tuple[Room, Talk, Watch]:
    room, watch = drawn.room(), Watch()
    return room, room.talk(vanish=drawn.losses, tap=watch), watch


def require_exact_or_none(drawn: Session) -> None:
    """The sum of U3 and of nobody else, the same for all; or nothing, and everybody knows."""
    room, talk, watch = hold(drawn)
    expected = drawn.survivors()
    server = talk.server
    if expected is None:
        assert isinstance(talk.outcome, Aborted)
    else:
        assert isinstance(talk.outcome, Finished)
        assert talk.outcome.aggregate.included == server.u3 == expected
        assert np.array_equal(talk.outcome.aggregate.vector, room.plain_sum(expected))
    require_nested_sets(server)
    require_everybody_told(talk)
    for party in room.parties:
        watch.require_discretion(party)


def require_nested_sets(server: Server) -> None:
    assert server.u1 >= server.u2 >= server.u3 >= server.u4
    assert server.u5 <= server.u3


def require_everybody_told(talk: Talk) -> None:
    for party in talk.exchange.machines.keys() - {SERVER}:
        outcome = talk.machines[party].outcome
        if isinstance(talk.outcome, Aborted):
            assert isinstance(outcome, Aborted)
        else:
            assert isinstance(outcome, Finished)
            assert outcome.aggregate.included == talk.server.u3
            assert np.array_equal(outcome.aggregate.vector, talk.outcome.aggregate.vector)


@bounded(5)
@given(sessions(most=7))
def test_whoever_vanishes_wherever_the_sum_is_exact_or_there_is_none(drawn: Session) -> None:
    require_exact_or_none(drawn)


@pytest.mark.slow
@bounded(100)
@given(sessions(most=12))
def test_the_same_for_many_sessions_of_up_to_twelve(drawn: Session) -> None:
    require_exact_or_none(drawn)


@pytest.mark.slow
@bounded(8)
@given(sessions(least=20, most=50))
def test_the_same_for_up_to_fifty_parties(drawn: Session) -> None:
    require_exact_or_none(drawn)


# Which sessions a client takes part in


def takes_part(room: Room, me: PartyId) -> bool:
    """Whether the client shares its keys when all of the room are in the roster."""
    clients = {party: room.client(party) for party in room.parties}
    entries = tuple(answer(client, Invitation(room.params)) for client in clients.values())
    signature = b""
    if room.variant is Variant.ACTIVE:
        signature = bindings.sign_roster(room.identities[SERVER], bindings.session_digest(room.params, entries))
    before = clients[me].snapshot()
    try:
        answer(clients[me], Roster(entries, signature))
    except PeerMisbehaved:
        assert clients[me].snapshot() == before
        return False
    return True


@bounded(25)
@given(st.integers(1, 6), st.integers(0, 5), st.integers(1, 7), st.integers(0, 7), st.sampled_from(Variant), st.data())
def test_a_client_takes_part_exactly_where_its_terms_hold_for_the_real_number_of_parties(
    n: int, c: int, threshold: int, cohort: int, variant: Variant, data: st.DataObject
) -> None:
    drawn = Session(n, c, threshold, cohort, variant, "M31", "uniform", (None,) * n)
    me = PartyId(data.draw(st.integers(0, n - 1)))
    assert takes_part(drawn.room(), me) == drawn.acceptable(n)


# Crashes and disorder


def traffic_of_restored(drawn: Session) -> tuple[Talk, Watch]:
    room, watch = drawn.room(), Watch()
    machines = restored_machines(room)
    gone = {PartyId(party): round_ for party, round_ in drawn.losses.items()}
    exchange = Exchange(machines, CODEC, vanish=gone, tap=watch)
    return Talk(exchange.run(), machines, exchange), watch


def require_no_trace_of_crashes(drawn: Session) -> None:
    _, plain, watch = hold(drawn)
    crashed, watched = traffic_of_restored(drawn)
    assert watched.frames == watch.frames
    for party, machine in plain.machines.items():
        assert crashed.machines[party].snapshot() == machine.snapshot()


@bounded(2)
@given(sessions(most=5))
def test_machines_that_are_restored_for_every_call_say_the_same_bytes(drawn: Session) -> None:
    require_no_trace_of_crashes(drawn)


@pytest.mark.slow
@bounded(40)
@given(sessions(most=8))
def test_the_same_for_many_sessions_with_crashes(drawn: Session) -> None:
    require_no_trace_of_crashes(drawn)


def require_order_does_not_matter(drawn: Session, chance: Random) -> None:
    """Whatever arrives whenever: an exact sum over those whose input came in time, or none, and nobody talks."""
    room = drawn.room()
    disorder = Disorder(room, chance, flips=drawn.variant is Variant.ACTIVE)  # the curious one trusts its server
    disorder.run(steps=12 * room.clients)
    outcome = disorder.server.outcome
    if isinstance(outcome, Finished) and not disorder.changed:
        assert outcome.aggregate.included == disorder.server.u3
        assert np.array_equal(outcome.aggregate.vector, room.plain_sum(disorder.server.u3))
    require_nested_sets(disorder.server)
    for party in room.parties:
        disorder.watch.require_discretion(party)


@bounded(4)
@given(sessions(most=5), st.randoms(use_true_random=False))
def test_late_doubled_and_reordered_frames_are_taken_or_refused_without_a_trace(drawn: Session, chance: Random) -> None:
    require_order_does_not_matter(drawn, chance)


@pytest.mark.slow
@bounded(80)
@given(sessions(most=6), st.randoms(use_true_random=False))
def test_the_same_for_much_disorder(drawn: Session, chance: Random) -> None:
    require_order_does_not_matter(drawn, chance)


# A server that says whatever it likes


def require_that_lies_do_not_pay(plot: Plot) -> None:
    """No client says both secrets of a peer, anything twice or for two U3; and no two answer for different sets."""
    played = Played(plot)
    played.require_discretion()
    assert len(played.answered_for) <= 1


@bounded(4)
@given(plots())
def test_whatever_a_lying_server_says_no_client_says_too_much(plot: Plot) -> None:
    require_that_lies_do_not_pay(plot)


@pytest.mark.slow
@bounded(150)
@given(plots())
def test_the_same_for_many_lies(plot: Plot) -> None:
    require_that_lies_do_not_pay(plot)
