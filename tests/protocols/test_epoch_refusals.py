"""Each single check of PROTOCOLS 3F that a client makes before its input leaves, violated by itself.

A row is a message that differs from a good one in one thing, signed by whoever would have to collude. What must come of
it is a named error, and a client that stands where it stood: it still takes the good message, with the same answer.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from epoch_recorded import LOST, ME, STRANGER, U3, Recorded, recorded
from epoch_room import EpochRoom, parties

from mpc.hashing import digest
from mpc.sealing import seal
from protocols.epoch import bindings
from protocols.epoch.messages import AdvertiseKeys, Roster, RoundStart, ShareKeys
from protocols.epoch.states import AwaitingInvitation, AwaitingRoster, AwaitingShares, AwaitingStart
from protocols.errors import SERVER, AbortReason, DropReason, PartyId, PeerMisbehaved
from protocols.machine import Aborted
from protocols.messages import Abort, Invitation, MaskedInput, Round
from protocols.session import Variant

Make = Callable[[Recorded], Any]
FITTING = {AwaitingRoster: Roster, AwaitingShares: RoundStart, AwaitingStart: RoundStart}


@dataclass(frozen=True)
class Row:
    state: type
    make: Callable[[Recorded, int], Any]
    reason: DropReason
    text: str | None

    @property
    def session(self) -> int:
        return 2 if self.state is AwaitingStart else 1


ROWS: list[Row] = []


def refused(*states: type, reason: DropReason, text: str | None = None) -> Callable[[Callable[..., Any]], Any]:
    """Registers the message that the function makes: each of the states refuses it for `reason`."""

    def register(make: Callable[..., Any]) -> Any:
        ROWS.extend(Row(state, make, reason, text) for state in states)
        return make

    return register


BOTH = (AwaitingShares, AwaitingStart)


# Roster


@refused(AwaitingRoster, reason=DropReason.WRONG_SET)
def own_entry_with_another_key_in_a_later_round(rec: Recorded, _: int) -> Any:
    keys = own_keys(rec)
    return rec.roster_with(rec.entry(ME, mask_keys=(keys[0], keys[1], foreign_key(rec))))


@refused(AwaitingRoster, reason=DropReason.WRONG_SET)
def own_entry_missing(rec: Recorded, _: int) -> Any:
    return rec.roster(*(entry for entry in rec.heard[1, Roster].entries if entry.client != ME))


@refused(AwaitingRoster, reason=DropReason.WRONG_SET)
def entries_out_of_order(rec: Recorded, _: int) -> Any:
    return rec.roster(*reversed(rec.heard[1, Roster].entries))


@refused(AwaitingRoster, reason=DropReason.OUTSIDE_TERMS, text="party 9 is not in our consortium")
def an_id_outside_the_consortium(rec: Recorded, _: int) -> Any:
    stranger = replace(rec.heard[1, Roster].entries[LOST], client=STRANGER)
    return rec.roster(*rec.heard[1, Roster].entries[:LOST], stranger)


@refused(AwaitingRoster, reason=DropReason.WRONG_SET, text="4 parties, a sum must cover at least 5")
def fewer_parties_than_a_sum_must_cover(rec: Recorded, _: int) -> Any:
    return rec.roster(*rec.heard[1, Roster].entries[:4])


@refused(AwaitingRoster, reason=DropReason.BAD_KEY)
def keys_for_one_round_less(rec: Recorded, _: int) -> Any:
    return rec.roster_with(rec.entry(0, mask_keys=rec.heard[1, Roster].entries[0].mask_keys[:2]))


@refused(AwaitingRoster, reason=DropReason.BAD_KEY)
def one_key_for_two_rounds(rec: Recorded, _: int) -> Any:
    first, second, _third = rec.heard[1, Roster].entries[0].mask_keys
    return rec.roster_with(rec.entry(0, mask_keys=(first, second, second)))


@refused(AwaitingRoster, reason=DropReason.BAD_KEY)
def our_own_key_of_a_later_round_in_another_entry(rec: Recorded, _: int) -> Any:
    first, second, _third = rec.heard[1, Roster].entries[0].mask_keys
    return rec.roster_with(rec.entry(0, mask_keys=(first, second, own_keys(rec)[2])))


@refused(AwaitingRoster, reason=DropReason.BAD_KEY, text="low order")
def a_key_of_low_order_for_the_last_round(rec: Recorded, _: int) -> Any:
    first, second, _third = rec.heard[1, Roster].entries[0].mask_keys
    return rec.roster_with(rec.entry(0, mask_keys=(first, second, bytes(32))))


@refused(AwaitingRoster, reason=DropReason.BAD_KEY, text="party 0")
def keys_of_the_last_round_that_its_party_did_not_sign(rec: Recorded, _: int) -> Any:
    entry = rec.heard[1, Roster].entries[0]
    return rec.roster_with(replace(entry, mask_keys=(*entry.mask_keys[:2], foreign_key(rec))))


@refused(AwaitingRoster, reason=DropReason.BAD_SIGNATURE)
def a_roster_that_the_coordinator_did_not_sign(rec: Recorded, _: int) -> Any:
    return replace(rec.heard[1, Roster], signature=bytes(64))


# The start of a round, the first one and a later one


@refused(*BOTH, reason=DropReason.BAD_SIGNATURE)
def a_start_that_the_coordinator_did_not_sign(rec: Recorded, session: int) -> Any:
    return replace(rec.heard[session, RoundStart], signature=bytes(64))


@refused(*BOTH, reason=DropReason.BAD_SIGNATURE)
def a_start_signed_for_another_set(rec: Recorded, session: int) -> Any:
    true = rec.heard[session, RoundStart]
    return replace(true, signature=rec.start(session, u2=U3).signature)


@refused(AwaitingStart, reason=DropReason.BAD_SIGNATURE)
def a_start_signed_for_another_round(rec: Recorded, session: int) -> Any:
    true = rec.heard[session, RoundStart]
    return replace(true, signature=rec.start(session, number=3).signature)


@refused(AwaitingStart, reason=DropReason.BAD_SIGNATURE)
def a_start_signed_for_other_parameters(rec: Recorded, session: int) -> Any:
    true = rec.heard[session, RoundStart]
    other = replace(true.params, nonce=digest("another nonce"))
    return replace(true, signature=rec.start(session, params=other).signature)


@refused(*BOTH, reason=DropReason.WRONG_SET)
def a_round_without_us(rec: Recorded, session: int) -> Any:
    return start_of(rec, session, rec.everybody - {ME})


@refused(*BOTH, reason=DropReason.WRONG_SET)
def a_round_of_fewer_than_t(rec: Recorded, session: int) -> Any:
    return start_of(rec, session, parties(0, 1, 2))


@refused(*BOTH, reason=DropReason.WRONG_SET, text="a sum must cover at least 5")
def a_round_of_fewer_than_the_floor(rec: Recorded, session: int) -> Any:
    return start_of(rec, session, parties(0, 1, 2, 3))


@refused(*BOTH, reason=DropReason.WRONG_SET)
def a_round_with_a_stranger(rec: Recorded, session: int) -> Any:
    return start_of(rec, session, rec.everybody | {STRANGER})


@refused(AwaitingShares, reason=DropReason.WRONG_SET)
def a_bundle_missing(rec: Recorded, session: int) -> Any:
    bundles = rec.heard[1, RoundStart].bundles
    return rec.start(session, bundles={dealer: bundles[dealer] for dealer in bundles if dealer != 0})


@refused(AwaitingStart, reason=DropReason.WRONG_SET)
def bundles_in_a_later_round(rec: Recorded, session: int) -> Any:
    return rec.start(session, bundles=rec.heard[1, RoundStart].bundles)


@refused(AwaitingShares, reason=DropReason.SPLIT_VIEW, text="no bundle opens")
def bundles_of_another_session_all_of_them(rec: Recorded, session: int) -> Any:
    return rec.start(session, bundles={dealer: bytes(226) for dealer in rec.everybody - {ME}})


@refused(AwaitingShares, reason=DropReason.SPLIT_VIEW)
def a_first_round_of_another_epoch(rec: Recorded, session: int) -> Any:
    return rec.start(session, epoch=digest("another epoch"))


@refused(AwaitingShares, reason=DropReason.SPLIT_VIEW)
def a_second_round_before_the_first(rec: Recorded, session: int) -> Any:
    return rec.start(session, number=2)


@refused(AwaitingShares, reason=DropReason.SPLIT_VIEW)
def a_first_round_with_other_parameters_than_the_invitation(rec: Recorded, session: int) -> Any:
    return rec.start(session, params=replace(rec.heard[1, RoundStart].params, nonce=digest("another nonce")))


@refused(AwaitingStart, reason=DropReason.SECOND_ANSWER, text="round 1 of an epoch in which we stand before round 2")
def a_round_that_was(rec: Recorded, session: int) -> Any:
    return rec.start(session, number=1)


@refused(AwaitingStart, reason=DropReason.SECOND_ANSWER)
def a_round_after_the_last(rec: Recorded, session: int) -> Any:
    return rec.start(session, number=4)


@refused(AwaitingStart, reason=DropReason.SECOND_ANSWER)
def a_round_of_no_number(rec: Recorded, session: int) -> Any:
    return rec.start(session, number=0)


@refused(AwaitingStart, reason=DropReason.OUTSIDE_TERMS, text="its model is not the one that we hold")
def the_model_of_the_round_before(rec: Recorded, session: int) -> Any:
    return rec.start(session, params=rec.heard[1, RoundStart].params)


@refused(AwaitingStart, reason=DropReason.OUTSIDE_TERMS, text="number of rounds an epoch")
def an_epoch_that_became_longer(rec: Recorded, session: int) -> Any:
    return rec.start(session, params=replace(rec.heard[2, RoundStart].params, rounds_per_epoch=4))


@refused(AwaitingStart, reason=DropReason.OUTSIDE_TERMS, text="another threshold than the keys were shared with")
def a_threshold_that_the_keys_do_not_have(rec: Recorded, session: int) -> Any:
    return rec.start(session, params=replace(rec.heard[2, RoundStart].params, threshold=5))


def start_of(rec: Recorded, session: int, u2: frozenset[PartyId]) -> Any:
    bundles = dict(rec.heard[1, RoundStart].bundles) | {ME: bytes(226), STRANGER: bytes(226)}
    sealed = {dealer: bundles[dealer] for dealer in u2 - {ME}} if session == 1 else {}
    return rec.start(session, u2=u2, bundles=sealed)


def own_keys(rec: Recorded) -> tuple[bytes, ...]:
    keys: tuple[bytes, ...] = rec.said[1, AdvertiseKeys].mask_keys
    return keys


def foreign_key(rec: Recorded) -> bytes:
    """A good key that stands in nobody's entry."""
    return rec.room.identities[SERVER].verify_key.raw


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.state.__name__}-{row.make.__name__}")
def test_a_message_that_fails_one_check_is_refused_by_name_and_changes_nothing(row: Row) -> None:
    rec = recorded()
    client = rec.client(row.session, row.state)
    before, good = (client.snapshot(), client.ledger), rec.heard[row.session, FITTING[row.state]]
    with pytest.raises(PeerMisbehaved, match=row.text) as refusal:
        client.receive(SERVER, row.make(rec, row.session))
    assert refusal.value.reason is row.reason
    assert (client.snapshot(), client.ledger) == before
    assert (client.receive(SERVER, good), client.snapshot()) == rec.after[row.session, row.state]


def test_the_row_makers_make_good_messages_where_they_change_nothing() -> None:
    rec = recorded()
    for session, state in ((1, AwaitingShares), (2, AwaitingStart)):
        assert rec.start(session) == rec.heard[session, RoundStart]
        client = rec.client(session, state)
        assert isinstance(client.receive(SERVER, start_of(rec, session, U3))[0].message, MaskedInput)
    assert rec.roster_with(rec.entry(0)) == rec.heard[1, Roster]


# Invitations


@pytest.mark.parametrize("where", [(1, AwaitingInvitation), (2, AwaitingStart)])
def test_an_invitation_outside_the_terms_is_refused_and_an_epoch_stays(where: tuple[int, type]) -> None:
    rec = recorded()
    good = rec.heard[where[0], RoundStart].params
    for wrong in (
        replace(good, rounds_per_epoch=2),
        replace(good, variant=Variant.CURIOUS),
        replace(good, subject=replace(good.subject, model=digest("another"))),
    ):
        client = rec.client(*where)
        before = client.snapshot(), client.ledger
        with pytest.raises(PeerMisbehaved) as refusal:
            client.receive(SERVER, Invitation(wrong))
        assert refusal.value.reason is DropReason.OUTSIDE_TERMS
        assert (client.snapshot(), client.ledger) == before


def test_terms_of_the_curious_variant_hold_no_epoch_either() -> None:
    room = EpochRoom(clients=3)
    client = room.epoch_client(PartyId(0), terms=replace(room.terms, variant=Variant.CURIOUS))
    with pytest.raises(PeerMisbehaved, match="active variant"):
        client.receive(SERVER, Invitation(replace(room.params, variant=Variant.CURIOUS)))


def test_a_round_with_a_party_that_dealt_us_nothing_is_refused() -> None:
    room = EpochRoom(clients=5, length=3)
    room.hold({0: Round.SHARE}).require_exact(1, 2, 3, 4)
    room.next_step()
    client, epoch = room.epoch_client(PartyId(1)), room.server_epoch
    assert epoch is not None
    for u2 in (parties(0, 1, 2, 3, 4), parties(1, 2, 3, 4)):
        shared = bindings.round_digest(epoch.digest, 2, room.params, u2)
        signature = bindings.sign_start(room.identities[SERVER], shared)
        message = RoundStart(epoch.digest, 2, room.params, u2, signature, {})
        if 0 in u2:
            with pytest.raises(PeerMisbehaved, match="dealt us nothing"):
                client.receive(SERVER, message)
        else:
            assert isinstance(client.receive(SERVER, message)[0].message, MaskedInput)


def test_terms_that_became_stricter_than_the_epoch_hold_no_further_round_of_it() -> None:
    rec = recorded()
    client = rec.client(2, AwaitingStart)
    client._terms = replace(client._terms, max_colluding=1)
    with pytest.raises(PeerMisbehaved, match="plans for 0 colluding") as refusal:
        client.receive(SERVER, rec.heard[2, RoundStart])
    assert refusal.value.reason is DropReason.OUTSIDE_TERMS


def test_a_party_that_answered_for_this_step_too_often_contributes_to_no_round_of_it() -> None:
    rec = recorded()
    client = rec.client(2, AwaitingStart)
    terms, key = client._terms, client._standing.key
    for _ in range(2):
        client._ledger = client._ledger.revealed(key, terms, U3)
    with pytest.raises(PeerMisbehaved) as refusal:
        client.receive(SERVER, rec.heard[2, RoundStart])
    assert refusal.value.reason is DropReason.SUMMED_BEFORE


# Another epoch, and bundles that do not open


def test_asked_for_a_round_of_an_epoch_that_it_has_no_keys_of_a_client_says_so_and_gives_its_own_up() -> None:
    rec = recorded()
    client = rec.client(2, AwaitingStart)
    (answer,) = client.receive(SERVER, rec.start(2, epoch=digest("another epoch")))
    assert answer.message == Abort(AbortReason.NO_EPOCH, None)
    assert client.epoch is None
    assert client.ledger.sessions == ()


def test_a_bundle_that_does_not_open_ends_the_session_before_the_input_leaves_and_names_its_dealer() -> None:
    rec = recorded()
    client = rec.client(1, AwaitingShares)
    bundles = dict(rec.heard[1, RoundStart].bundles) | {PartyId(3): bytes(226)}
    (answer,) = client.receive(SERVER, rec.start(1, bundles=bundles))
    assert answer.message == Abort(AbortReason.REFUSED, PartyId(3))
    assert client.outcome == Aborted(AbortReason.REFUSED, DropReason.BAD_BUNDLE, PartyId(3))
    assert client.epoch is None


@pytest.mark.parametrize("plain", [bytes(140), b"\xff" * 210], ids=["of one round less", "not of the field"])
def test_a_bundle_that_opens_to_something_else_names_its_dealer_too(plain: bytes) -> None:
    rec = recorded()
    client, dealer = rec.client(1, AwaitingShares), PartyId(3)
    state: Any = client._now
    bundles = dict(rec.heard[1, RoundStart].bundles) | {
        dealer: seal(state.opening[dealer], plain, state.epoch, dealer, ME)
    }
    (answer,) = client.receive(SERVER, rec.start(1, bundles=bundles))
    assert answer.message == Abort(AbortReason.REFUSED, dealer)


# What a server refuses of a client in a set-up


def keys_in_anothers_name(rec: Recorded) -> Any:
    """Signed by who sends them."""
    return rec.entry(ME, client=PartyId(0))


def keys_of_one_round_less(rec: Recorded) -> Any:
    return rec.entry(ME, mask_keys=own_keys(rec)[:2])


def one_key_twice(rec: Recorded) -> Any:
    keys = own_keys(rec)
    return rec.entry(ME, mask_keys=(keys[0], keys[1], keys[1]))


def keys_that_are_not_signed(rec: Recorded) -> Any:
    return replace(rec.said[1, AdvertiseKeys], signature=bytes(64))


def a_key_of_low_order(rec: Recorded) -> Any:
    return rec.entry(ME, mask_keys=(*own_keys(rec)[:2], bytes(32)))


@pytest.mark.parametrize(
    "make", [keys_in_anothers_name, keys_of_one_round_less, one_key_twice, keys_that_are_not_signed, a_key_of_low_order]
)
def test_a_server_refuses_keys_that_are_not_one_for_each_round_and_the_partys_own(make: Make) -> None:
    rec = recorded()
    server = rec.server(1, Round.ADVERTISE)
    before = server.snapshot()
    with pytest.raises(PeerMisbehaved) as refusal:
        server.receive(ME, make(rec))
    assert refusal.value.reason is DropReason.BAD_KEY
    assert server.snapshot() == before
    server.receive(ME, rec.said[1, AdvertiseKeys])


def test_a_server_refuses_anothers_key_of_any_round() -> None:
    rec = recorded()
    server = rec.server(1, Round.ADVERTISE)
    server.receive(PartyId(0), rec.entry(0))
    taken = rec.heard[1, Roster].entries[0].mask_keys[2]
    with pytest.raises(PeerMisbehaved) as refusal:
        server.receive(ME, rec.entry(ME, mask_keys=(*own_keys(rec)[:2], taken)))
    assert refusal.value.reason is DropReason.BAD_KEY


def signed_shares(rec: Recorded, **changes: Any) -> ShareKeys:
    changed: ShareKeys = replace(rec.said[1, ShareKeys], **changes)
    epoch = rec.heard[1, RoundStart].epoch
    signature = bindings.sign_shares(rec.room.identities[ME], epoch, ME, changed.commitments, changed.bundles)
    return replace(changed, signature=signature)


@pytest.mark.parametrize("what", ["a bundle less", "a commitment less", "not signed"])
def test_a_server_refuses_shares_that_are_not_for_every_peer_and_every_round(what: str) -> None:
    rec = recorded()
    server, true = rec.server(1, Round.SHARE), rec.said[1, ShareKeys]
    wrong, reason = {
        "a bundle less": (
            signed_shares(rec, bundles={peer: true.bundles[peer] for peer in true.bundles if peer != 0}),
            DropReason.WRONG_SET,
        ),
        "a commitment less": (signed_shares(rec, commitments=true.commitments[:2]), DropReason.WRONG_SET),
        "not signed": (replace(true, signature=bytes(64)), DropReason.BAD_SIGNATURE),
    }[what]
    before = server.snapshot()
    with pytest.raises(PeerMisbehaved) as refusal:
        server.receive(ME, wrong)
    assert refusal.value.reason is reason
    assert server.snapshot() == before
    assert signed_shares(rec) == true
    server.receive(ME, true)
