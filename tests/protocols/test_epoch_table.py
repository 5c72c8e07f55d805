"""The table of transitions, whole: every state of a client in an epoch x every message class, and the server's rounds.

What must come of it: the next state, or a named error and a machine that stands where it stood.
"""

from itertools import product
from typing import Any, get_args

import numpy as np
import pytest
from epoch_recorded import LOST, ME, STRANGER, recorded, state_of

from mpc.field import M31
from mpc.randomness import SystemRandomness
from protocols.epoch import Client
from protocols.epoch.messages import AdvertiseKeys, Message, Roster, RoundStart, ShareKeys
from protocols.epoch.states import AwaitingInvitation, AwaitingRoster, AwaitingShares, AwaitingStart
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.machine import Aborted
from protocols.messages import (
    Abort,
    Confirm,
    FallbackRequest,
    FallbackShares,
    Invitation,
    MaskedInput,
    Result,
    Round,
    Survivors,
    UnmaskRequest,
    UnmaskShares,
)
from protocols.secagg.states import AwaitingConfirmations, AwaitingResult, AwaitingSurvivors, Ended, Revealed

SET_UP = [(1, AwaitingInvitation), (1, AwaitingRoster), (1, AwaitingShares)]
IN_ROUND = (AwaitingSurvivors, AwaitingConfirmations, Revealed, AwaitingResult, Ended)
STATES = [*SET_UP, (2, AwaitingStart), *product((1, 2), IN_ROUND)]
NEXT = {
    (AwaitingInvitation, Invitation): AwaitingRoster,
    (AwaitingInvitation, RoundStart): Ended,  # it has no keys, and says so
    (AwaitingStart, Invitation): AwaitingRoster,
    (AwaitingStart, RoundStart): AwaitingSurvivors,
    (AwaitingRoster, Roster): AwaitingShares,
    (AwaitingShares, RoundStart): AwaitingSurvivors,
    (AwaitingSurvivors, Survivors): AwaitingConfirmations,
    (AwaitingConfirmations, UnmaskRequest): Revealed,
    (Revealed, FallbackRequest): AwaitingResult,
    (Revealed, Result): Ended,
    (AwaitingResult, Result): Ended,
} | {(state, Abort): Ended for _, state in STATES}
ANSWERS = {
    Invitation: AdvertiseKeys, Roster: ShareKeys, RoundStart: MaskedInput, Survivors: Confirm,
    UnmaskRequest: UnmaskShares, FallbackRequest: FallbackShares,
}  # fmt: skip


def valid(session: int, state: type, kind: type) -> Any:
    """A message of the session itself; what only clients say, as ME said it."""
    rec = recorded()
    if kind is Abort:
        return Abort(AbortReason.STOPPED, None)
    if kind is Invitation:
        return Invitation(rec.heard[session, RoundStart].params)
    if (state, kind) == (AwaitingConfirmations, Survivors):  # the same again
        return rec.heard[session, Survivors]
    for at in (session, 1):
        if found := rec.heard.get((at, kind)) or rec.said.get((at, kind)):
            return found
    raise LookupError(kind)


def name(given: Any) -> str:
    return f"{given[0]}-{given[1].__name__}" if isinstance(given, tuple) else given.__name__


@pytest.mark.parametrize(("where", "kind"), list(product(STATES, get_args(Message))), ids=name)
def test_every_message_in_every_state_does_the_one_thing_that_the_table_says(
    where: tuple[int, type], kind: type
) -> None:
    session, state = where
    client = recorded().client(session, state)
    before = client.snapshot(), client.ledger
    assert state_of(client) is state
    message = valid(session, state, kind)
    if state is Ended:
        assert client.receive(SERVER, message) == []
        assert (client.snapshot(), client.ledger) == before
    elif (state, kind) in NEXT:
        answer = [type(envelope.message) for envelope in client.receive(SERVER, message)]
        expected = ANSWERS.get(kind)
        if (state, kind) == (AwaitingInvitation, RoundStart):
            expected = Abort
        assert answer == ([] if expected is None else [expected])
        assert state_of(client) is NEXT[state, kind]
    else:
        with pytest.raises(PeerMisbehaved) as refusal:
            client.receive(SERVER, message)
        assert refusal.value.reason is DropReason.UNEXPECTED
        assert (client.snapshot(), client.ledger) == before


@pytest.mark.parametrize("where", [one for one in STATES if one[1] is not Ended], ids=name)
def test_a_restored_client_goes_on_exactly_as_the_one_that_was_never_stopped(where: tuple[int, type]) -> None:
    rec = recorded()
    client = rec.client(*where)
    fitting = next(
        rec.heard[where[0], kind]
        for state, kind in NEXT
        if state is where[1] and kind is not Abort and (where[0], kind) in rec.heard
    )
    assert client.snapshot() == rec.kept[where][0]
    assert (client.receive(SERVER, fitting), client.snapshot()) == rec.after[where]


@pytest.mark.parametrize("where", [one for one in STATES if one[1] not in (Ended, AwaitingInvitation)], ids=name)
def test_only_the_last_snapshot_is_taken_up_again(where: tuple[int, type]) -> None:
    rec = recorded()
    snapshot, ledger = rec.kept[where]
    places = list(rec.kept)
    later = [rec.kept[place][1] for place in places[places.index(where) + 1 :]]
    identity, rand = rec.room.identities[ME], rec.room.rand.child("again")
    assert later
    for newer in later:
        with pytest.raises(LocalProtocolError):
            Client.restore(snapshot, identity=identity, rand=rand, ledger=newer)
    Client.restore(snapshot, identity=identity, rand=rand, ledger=ledger)


def test_a_seeded_session_does_not_go_on_with_real_randomness() -> None:
    snapshot, ledger = recorded().kept[1, AwaitingRoster]
    with pytest.raises(LocalProtocolError, match="real session"):
        Client.restore(snapshot, identity=recorded().room.identities[ME], rand=SystemRandomness(), ledger=ledger)


@pytest.mark.parametrize("where", STATES, ids=name)
def test_a_client_waits_for_its_server_until_it_has_ended_and_closes_nothing(where: tuple[int, type]) -> None:
    client = recorded().client(*where)
    before = client.snapshot()
    assert client.waiting_for == (frozenset() if where[1] is Ended else {SERVER})
    assert client.round is where[1].round  # type: ignore[attr-defined]
    assert not client.can_close
    assert client.start() == []
    assert client.drop(PartyId(0), DropReason.VANISHED) == []
    with pytest.raises(LocalProtocolError):
        client.close_round()
    if where[1] is not Ended:
        with pytest.raises(LocalProtocolError):
            client.receive(PartyId(0), Abort(AbortReason.STOPPED, None))
    assert client.snapshot() == before


@pytest.mark.parametrize("where", [one for one in STATES if one[1] is not Ended], ids=name)
@pytest.mark.parametrize("reason", [DropReason.VANISHED, DropReason.UNEXPECTED])
def test_a_client_that_loses_its_server_ends_there(where: tuple[int, type], reason: DropReason) -> None:
    client = recorded().client(*where)
    why = AbortReason.SERVER_LOST if reason is DropReason.VANISHED else AbortReason.REFUSED
    assert [envelope.message for envelope in client.drop(SERVER, reason)] == [Abort(why, None)]
    assert client.outcome == Aborted(why, reason)
    kept = where[1] is AwaitingStart or where[1] in IN_ROUND
    assert (client.epoch is not None) == kept


@pytest.mark.parametrize("where", [one for one in STATES if one[1] not in IN_ROUND], ids=name)
def test_the_input_is_set_once_and_of_one_shape(where: tuple[int, type]) -> None:
    client = recorded().client(*where)
    with pytest.raises(LocalProtocolError, match="once"):
        client.set_input(M31.zeros(3))
    client._input = None
    for wrong in (M31.zeros(4), [0, 0, 0], np.full(3, 2**31 - 1, dtype=np.uint32)):
        with pytest.raises(LocalProtocolError):
            client.set_input(wrong)  # type: ignore[arg-type]
    client.set_input(M31.zeros(3))


@pytest.mark.parametrize("where", [(1, AwaitingShares), (2, AwaitingStart)], ids=name)
def test_a_round_does_not_start_before_the_input_is_there(where: tuple[int, type]) -> None:
    rec = recorded()
    client = rec.client(*where)
    client._input = None
    before = client.snapshot(), client.ledger
    with pytest.raises(LocalProtocolError, match="input must be set"):
        client.receive(SERVER, rec.heard[where[0], RoundStart])
    assert (client.snapshot(), client.ledger) == before


@pytest.mark.parametrize("state", [AwaitingSurvivors, Ended])
def test_once_the_input_has_left_no_other_one_is_taken(state: type) -> None:
    with pytest.raises(LocalProtocolError, match="once"):
        recorded().client(2, state).set_input(M31.zeros(3))


def test_told_that_it_is_not_in_the_set_up_a_client_knows_it() -> None:
    client = recorded().client(1, AwaitingRoster)
    client.receive(SERVER, Abort(AbortReason.NOT_INCLUDED, None))
    assert client.outcome == Aborted(AbortReason.NOT_INCLUDED)


# The server's rounds before the first sum

OPENED = [(1, Round.ADVERTISE), (1, Round.SHARE), (1, Round.MASKED_INPUT), (2, Round.MASKED_INPUT)]
FITS = {Round.ADVERTISE: AdvertiseKeys, Round.SHARE: ShareKeys, Round.MASKED_INPUT: MaskedInput}


@pytest.mark.parametrize(
    ("where", "kind"),
    list(product(OPENED, get_args(Message))),
    ids=lambda given: f"{given[0]}-{given[1]}" if isinstance(given, tuple) else given.__name__,
)
def test_a_server_takes_in_each_round_the_one_message_that_belongs_there(where: tuple[int, Round], kind: type) -> None:
    server = recorded().server(*where)
    assert ME in server.waiting_for
    before = server.snapshot()
    message = valid(where[0], AwaitingSurvivors, kind)
    if kind is Abort:
        assert server.receive(ME, message) == []
        assert server.dropped[ME] == (where[1], DropReason.ABORTED)
    elif kind is FITS[where[1]]:
        assert server.receive(ME, message) == []
        assert ME not in server.waiting_for
        with pytest.raises(PeerMisbehaved):
            server.receive(ME, message)
    else:
        with pytest.raises(PeerMisbehaved) as refusal:
            server.receive(ME, message)
        assert refusal.value.reason is DropReason.UNEXPECTED
        assert server.snapshot() == before


@pytest.mark.parametrize("where", OPENED, ids=str)
def test_a_server_closes_no_round_too_early_hears_no_stranger_and_nobody_who_was_lost(
    where: tuple[int, Round],
) -> None:
    server = recorded().server(*where)
    assert not server.can_close
    with pytest.raises(LocalProtocolError):
        server.close_round()
    with pytest.raises(LocalProtocolError):
        server.receive(STRANGER, Abort(AbortReason.STOPPED, None))
    server.drop(LOST, DropReason.VANISHED)
    before = server.snapshot()
    assert server.receive(LOST, Abort(AbortReason.STOPPED, None)) == []
    assert server.drop(LOST, DropReason.VANISHED) == []
    assert server.snapshot() == before
    assert LOST not in server.waiting_for
    (told,) = server.abort(AbortReason.STOPPED)
    assert LOST not in told.recipients
    assert server.outcome == Aborted(AbortReason.STOPPED)
    assert server.abort(AbortReason.STOPPED) == []
