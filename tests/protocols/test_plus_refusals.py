"""Each check of a client and of a server of secagg+ that secagg has not, or makes otherwise, violated by itself.

And the table: every state of a client and every round of a server x every message class.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any, get_args

import pytest
from plus_recorded import LOST, ME, STRANGER, Recorded, recorded

from protocols import messages
from protocols.errors import SERVER, AbortReason, DropReason, PeerMisbehaved
from protocols.machine import Finished
from protocols.messages import (
    Abort,
    AdvertiseKeys,
    Confirm,
    DeliverShares,
    DroppedReveal,
    Invitation,
    MaskKeyReveal,
    Result,
    ShareKeys,
    SurvivorReveal,
    UnmaskRequest,
    UnmaskShares,
)
from protocols.secagg.states import (
    AwaitingConfirmations,
    AwaitingInvitation,
    AwaitingResult,
    AwaitingRoster,
    AwaitingShares,
    AwaitingSurvivors,
    Ended,
)
from protocols.secagg_plus.messages import ChooseHolders, MaskedInput, Message, Neighbours, Roster, Round, Survivors
from protocols.secagg_plus.snapshots import CLIENT
from protocols.secagg_plus.states import AwaitingNeighbours

NEXT: dict[tuple[type, type], tuple[type, type | None]] = {
    (AwaitingInvitation, Invitation): (AwaitingRoster, AdvertiseKeys),
    (AwaitingRoster, Roster): (AwaitingNeighbours, ChooseHolders),
    (AwaitingNeighbours, Neighbours): (AwaitingShares, ShareKeys),
    (AwaitingShares, DeliverShares): (AwaitingSurvivors, MaskedInput),
    (AwaitingSurvivors, Survivors): (AwaitingConfirmations, Confirm),
    (AwaitingConfirmations, UnmaskRequest): (AwaitingResult, UnmaskShares),
    (AwaitingResult, Result): (Ended, None),
}
STATES = (*(state for state, _ in NEXT), Ended)
TAKES = {
    Round.ADVERTISE: AdvertiseKeys, Round.CHOOSE_HOLDERS: ChooseHolders, Round.SHARE: ShareKeys,
    Round.MASKED_INPUT: MaskedInput, Round.CONFIRM: Confirm, Round.UNMASK: UnmaskShares,
}  # fmt: skip


def valid(kind: type) -> Any:
    """A message of the session itself; what only clients say, as ME said it."""
    if kind is Abort:
        return Abort(AbortReason.STOPPED, None)
    return recorded().heard.get(kind) or recorded().said[ME, kind]


@pytest.mark.parametrize(("state", "kind"), list(product(STATES, get_args(Message))), ids=lambda kind: kind.__name__)
def test_every_message_in_every_state_does_the_one_thing_that_the_table_says(state: type, kind: type) -> None:
    client = recorded().client(state)
    before = client.snapshot()
    if state is Ended or kind is Abort:
        assert client.receive(SERVER, valid(kind)) == []
        assert client.round is Round.DONE
    elif (state, kind) in NEXT:
        after, answer = NEXT[state, kind]
        said = [envelope.message for envelope in client.receive(SERVER, valid(kind))]
        assert [type(one) for one in said] == ([answer] if answer else [])
        assert type(CLIENT.load(client.snapshot()).state) is after
        if answer and state is not AwaitingInvitation:  # which alone draws fresh keys
            assert said == [recorded().said[ME, answer]]
    else:
        with pytest.raises(PeerMisbehaved) as refusal:
            client.receive(SERVER, valid(kind))
        assert refusal.value.reason is DropReason.UNEXPECTED
        assert client.snapshot() == before


@pytest.mark.parametrize("kind", [messages.Roster, messages.FallbackRequest, messages.Survivors])
@pytest.mark.parametrize("state", STATES[:-1], ids=lambda kind: kind.__name__)
def test_what_only_secagg_says_is_not_of_this_protocol(state: type, kind: type) -> None:
    said = {
        messages.Roster: messages.Roster((), bytes(64)),
        messages.FallbackRequest: messages.FallbackRequest(frozenset({LOST})),
        messages.Survivors: messages.Survivors(recorded().u3, valid(Survivors).signature),
    }[kind]
    client = recorded().client(state)
    with pytest.raises(PeerMisbehaved, match="not of this protocol"):
        client.receive(SERVER, said)
    assert client.snapshot() == recorded().client_at[state]


@pytest.mark.parametrize(("opened", "kind"), list(product(Round, get_args(Message))), ids=str)
def test_a_server_takes_from_a_member_what_the_round_is_about_and_refuses_the_rest(opened: Round, kind: type) -> None:
    server = recorded().server(opened)
    before, waiting = server.snapshot(), server.waiting_for
    if opened is Round.DONE:
        assert server.receive(ME, valid(kind)) == []
        assert server.snapshot() == before
    elif kind in (TAKES[opened], Abort):
        assert server.receive(ME, valid(kind)) == []
        assert server.waiting_for == waiting - {ME}
        assert (ME in server.dropped) == (kind is Abort)
    else:
        with pytest.raises(PeerMisbehaved) as refusal:
            server.receive(ME, valid(kind))
        assert (refusal.value.sender, refusal.value.reason) == (ME, DropReason.UNEXPECTED)
        assert server.snapshot() == before


# A client's checks

Make = Callable[[Recorded], Any]
ROWS: list[tuple[type, DropReason, Make]] = []


def refused(state: type, reason: DropReason) -> Callable[[Make], Make]:
    def keep(make: Make) -> Make:
        ROWS.append((state, reason, make))
        return make

    return keep


@refused(AwaitingRoster, DropReason.OUTSIDE_TERMS)
def a_stranger_in_u1(rec: Recorded) -> Any:
    return rec.roster(rec.everybody | {STRANGER})


@refused(AwaitingRoster, DropReason.WRONG_SET)
def a_u1_without_us(rec: Recorded) -> Any:
    return rec.roster(rec.everybody - {ME})


@refused(AwaitingRoster, DropReason.WRONG_SET)
def a_u1_below_the_floor(rec: Recorded) -> Any:
    return rec.roster(frozenset({ME, LOST}))


@refused(AwaitingRoster, DropReason.BAD_SIGNATURE)
def a_roster_that_nobody_signed(rec: Recorded) -> Any:
    return replace(rec.heard[Roster], signature=bytes(64))


@refused(AwaitingRoster, DropReason.BAD_SIGNATURE)
def a_signature_over_another_u1(rec: Recorded) -> Any:
    return replace(rec.heard[Roster], u1=rec.everybody - {LOST})


@refused(AwaitingRoster, DropReason.BAD_SIGNATURE)
def a_signature_over_another_root(rec: Recorded) -> Any:
    return replace(rec.heard[Roster], root=bytes(32))


@refused(AwaitingNeighbours, DropReason.WRONG_SET)
def ourselves_among_our_owners(rec: Recorded) -> Any:
    true: Neighbours = rec.heard[Neighbours]
    return replace(true, owners=tuple(sorted({*true.owners, ME})))


@refused(AwaitingNeighbours, DropReason.WRONG_SET)
def an_owner_from_outside_u1(rec: Recorded) -> Any:
    true: Neighbours = rec.heard[Neighbours]
    return replace(true, owners=(*true.owners, STRANGER))


@refused(AwaitingNeighbours, DropReason.WRONG_SET)
def owners_out_of_order(rec: Recorded) -> Any:
    true: Neighbours = rec.heard[Neighbours]
    return replace(true, owners=true.owners[::-1])


@refused(AwaitingNeighbours, DropReason.WRONG_SET)
def keys_of_one_peer_missing(rec: Recorded) -> Any:
    true: Neighbours = rec.heard[Neighbours]
    return replace(true, entries=true.entries[:-1])


@refused(AwaitingNeighbours, DropReason.WRONG_SET)
def our_own_entry_with_another_key(rec: Recorded) -> Any:
    true: Neighbours = rec.heard[Neighbours]
    own = next(one for one in true.entries if one.entry.client == ME)
    changed = replace(own, entry=replace(own.entry, mask_key=true.entries[-1].entry.mask_key))
    return replace(true, entries=tuple(changed if one is own else one for one in true.entries))


def with_other(rec: Recorded, **changes: Any) -> Neighbours:
    """The last peer's entry, or its path, is another."""
    true: Neighbours = rec.heard[Neighbours]
    last = true.entries[-1]
    assert last.entry.client != ME
    return replace(true, entries=(*true.entries[:-1], replace(last, **changes)))


@refused(AwaitingNeighbours, DropReason.BAD_KEY)
def a_peers_key_that_is_not_in_the_roster(rec: Recorded) -> Any:
    last = rec.heard[Neighbours].entries[-1].entry
    return with_other(rec, entry=replace(last, mask_key=last.channel_key))


@refused(AwaitingNeighbours, DropReason.BAD_KEY)
def a_path_that_leads_elsewhere(rec: Recorded) -> Any:
    return with_other(rec, path=bytes(len(rec.heard[Neighbours].entries[-1].path)))


@refused(AwaitingNeighbours, DropReason.BAD_KEY)
def a_path_that_is_too_short(rec: Recorded) -> Any:
    return with_other(rec, path=b"")


@refused(AwaitingShares, DropReason.WRONG_SET)
def a_u2_beyond_u1(rec: Recorded) -> Any:
    return rec.deliver(rec.everybody | {STRANGER})


@refused(AwaitingShares, DropReason.WRONG_SET)
def a_u2_without_us(rec: Recorded) -> Any:
    return rec.deliver(rec.everybody - {ME})


@refused(AwaitingShares, DropReason.WRONG_SET)
def a_u2_with_too_few_of_our_holders(rec: Recorded) -> Any:
    return rec.deliver(rec.everybody - frozenset(sorted(rec.holders)[: 7 - rec.t]))


@refused(AwaitingShares, DropReason.WRONG_SET)
def a_bundle_of_an_owner_missing(rec: Recorded) -> Any:
    return rec.deliver(rec.everybody, bundles=dict(list(rec.heard[DeliverShares].bundles.items())[1:]))


@refused(AwaitingShares, DropReason.BAD_SIGNATURE)
def a_u2_that_nobody_signed(rec: Recorded) -> Any:
    return rec.deliver(rec.everybody, signature=bytes(64))


@refused(AwaitingSurvivors, DropReason.WRONG_SET)
def a_u3_with_too_few_of_our_holders(rec: Recorded) -> Any:
    return rec.survivors(rec.everybody - frozenset(sorted(rec.holders)[: 7 - rec.t]))


@refused(AwaitingSurvivors, DropReason.WRONG_SET)
def a_u3_beyond_u2(rec: Recorded) -> Any:
    return rec.survivors(rec.u3 | {STRANGER})


@refused(AwaitingSurvivors, DropReason.WRONG_SET)
def an_input_of_a_peer_missing(rec: Recorded) -> Any:
    return rec.survivors(rec.u3, dict(list(rec.heard[Survivors].inputs.items())[1:]))


@refused(AwaitingSurvivors, DropReason.SPLIT_VIEW)
def a_peer_that_masked_under_another_u2(rec: Recorded) -> Any:
    peer = min(rec.peers & rec.u3)
    return rec.survivors(rec.u3, dict(rec.heard[Survivors].inputs) | {peer: rec.signed_input(peer, rec.u3)})


@refused(AwaitingSurvivors, DropReason.SPLIT_VIEW)
def an_input_signed_by_somebody_else(rec: Recorded) -> Any:
    peer, other = sorted(rec.peers & rec.u3)[:2]
    return rec.survivors(rec.u3, dict(rec.heard[Survivors].inputs) | {peer: rec.signed_input(other, rec.everybody)})


@refused(AwaitingSurvivors, DropReason.BAD_SIGNATURE)
def a_u3_that_nobody_signed(rec: Recorded) -> Any:
    return replace(rec.heard[Survivors], signature=bytes(64))


@refused(AwaitingConfirmations, DropReason.SECOND_ANSWER)
def a_second_u3(rec: Recorded) -> Any:
    return rec.survivors(rec.everybody)


@refused(AwaitingConfirmations, DropReason.NO_QUORUM)
def one_confirmation_too_few(rec: Recorded) -> Any:
    return rec.confirmed(frozenset(sorted(rec.holders & rec.u3)[: rec.t - 1]), rec.u3)


@refused(AwaitingConfirmations, DropReason.NO_QUORUM)
def enough_confirmations_but_one_of_them_not_of_a_holder(rec: Recorded) -> Any:
    other = min(rec.u3 - rec.holders - {ME})
    return rec.confirmed(frozenset(sorted(rec.holders & rec.u3)[: rec.t - 1]) | {other}, rec.u3)


@refused(AwaitingConfirmations, DropReason.NO_QUORUM)
def our_own_confirmation_among_them(rec: Recorded) -> Any:
    return rec.confirmed(rec.holders & rec.u3 | {ME}, rec.u3)


@refused(AwaitingConfirmations, DropReason.NO_QUORUM)
def confirmations_of_another_u3(rec: Recorded) -> Any:
    return replace(rec.confirmed(rec.holders & rec.u3, rec.everybody))


@refused(AwaitingConfirmations, DropReason.NO_QUORUM)
def confirmations_under_another_u2(rec: Recorded) -> Any:
    return rec.confirmed(rec.holders & rec.u3, rec.u3, u2=rec.u3)


@refused(AwaitingResult, DropReason.WRONG_SET)
def a_sum_over_others(rec: Recorded) -> Any:
    return rec.result(rec.everybody)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2].__name__)
def test_a_client_refuses_it_and_stands_where_it_stood(row: tuple[type, DropReason, Make]) -> None:
    state, reason, make = row
    rec = recorded()
    client = rec.client(state)
    with pytest.raises(PeerMisbehaved) as refusal:
        client.receive(SERVER, make(rec))
    assert (refusal.value.sender, refusal.value.reason) == (SERVER, reason)
    assert client.snapshot() == rec.client_at[state]
    fitting = next(kind for known, kind in NEXT if known is state)
    client.receive(SERVER, valid(fitting))  # the true one is still taken
    assert client.snapshot() != rec.client_at[state]


@pytest.mark.parametrize("why", ["another party's signature", "a key of low order", "one key twice"])
def test_a_peer_in_the_roster_with_keys_that_are_not_its_own_is_refused(why: str) -> None:
    rec = recorded()
    peer = min(rec.holders)
    changes: dict[str, Any] = {
        "another party's signature": {"signature": rec.entries[LOST].signature},
        "a key of low order": {"mask_key": bytes(32)},
        "one key twice": {"mask_key": rec.entries[ME].channel_key},
    }[why]
    roster, everybody = rec.another(peer, **changes)
    client = rec.client(AwaitingRoster)
    (said,) = client.receive(SERVER, roster)
    ids = set(said.message.holders) | {ME, peer}
    shown = tuple(one for one in everybody.entries if one.entry.client in ids)
    before = client.snapshot()
    with pytest.raises(PeerMisbehaved) as refusal:
        client.receive(SERVER, Neighbours((peer,), shown))
    assert refusal.value.reason is DropReason.BAD_KEY
    assert client.snapshot() == before


def test_more_owners_than_three_times_chance_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rec = recorded()
    monkeypatch.setattr("protocols.secagg_plus.client.MOST_OWNERS", 0)
    client = rec.client(AwaitingNeighbours)
    with pytest.raises(PeerMisbehaved, match="owners, 6 is what chance gives"):
        client.receive(SERVER, rec.heard[Neighbours])


def test_exactly_t_confirmations_of_holders_suffice() -> None:
    rec = recorded()
    by = frozenset(sorted(rec.holders & rec.u3)[: rec.t])
    (said,) = rec.client(AwaitingConfirmations).receive(SERVER, rec.confirmed(by, rec.u3))
    assert said.message == rec.said[ME, UnmaskShares]


def test_of_each_owner_one_share_leaves_and_nothing_of_ourselves_or_of_a_holder() -> None:
    rec = recorded()
    reveals = rec.said[ME, UnmaskShares].reveals
    assert reveals.keys() == rec.owners
    assert {one for one, given in reveals.items() if isinstance(given, SurvivorReveal)} == rec.owners - {LOST}
    assert {one for one, given in reveals.items() if isinstance(given, MaskKeyReveal)} == rec.owners & {LOST}


def test_the_recorded_graph_is_sparse_and_its_session_had_a_sum() -> None:
    rec = recorded()
    assert isinstance(rec.outcome, Finished)
    assert rec.outcome.aggregate.included == rec.u3
    assert len(rec.holders) == 6
    assert rec.holders != rec.owners
    assert rec.peers & rec.u3 - rec.holders


# A server's checks


def test_a_choice_of_another_number_or_of_oneself_or_out_of_order_is_refused() -> None:
    rec = recorded()
    true = rec.said[ME, ChooseHolders].holders
    for wrong in (true[:-1], (*true[:-1], STRANGER), tuple(sorted({*true[:-1], ME})), true[::-1], (true[0],) * 6):
        server = rec.server(Round.CHOOSE_HOLDERS)
        before = server.snapshot()
        with pytest.raises(PeerMisbehaved) as refusal:
            server.receive(ME, ChooseHolders(wrong))
        assert (refusal.value.sender, refusal.value.reason) == (ME, DropReason.WRONG_SET)
        assert server.snapshot() == before


def test_a_masked_input_whose_signature_is_not_its_partys_over_this_u2_and_this_input_is_refused() -> None:
    rec = recorded()
    true: MaskedInput = rec.said[ME, MaskedInput]
    other = rec.signed_input(ME, rec.u3).signature
    for wrong in (replace(true, signature=other), replace(true, signature=bytes(64)), replace(true, signature=b"")):
        server = rec.server(Round.MASKED_INPUT)
        before = server.snapshot()
        with pytest.raises(PeerMisbehaved) as refusal:
            server.receive(ME, wrong)
        assert refusal.value.reason is DropReason.BAD_SIGNATURE
        assert server.snapshot() == before


def test_a_leaf_seed_is_no_answer() -> None:
    rec = recorded()
    holder = min(rec.graph.holders(LOST) & rec.u3)
    reveals = dict(rec.said[holder, UnmaskShares].reveals) | {LOST: DroppedReveal(bytes(32))}
    with pytest.raises(PeerMisbehaved, match="the wrong kind of secret"):
        rec.server(Round.UNMASK).receive(holder, UnmaskShares(reveals))
