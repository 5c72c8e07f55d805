"""A set-up and the rounds after it: every sum exact, who was lost is back in the next, and when an epoch ends."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from epoch_room import EpochRoom, parties

from mpc.hashing import digest
from protocols.epoch import ClientEpoch, Server
from protocols.epoch.messages import CODEC, AdvertiseKeys, Roster, RoundStart, ShareKeys
from protocols.errors import SERVER, AbortReason, LocalProtocolError, PartyId, WireError
from protocols.families import family_of
from protocols.ledger import NOTHING_ANSWERED
from protocols.machine import Aborted
from protocols.messages import Round
from protocols.secagg import Dispute
from protocols.session import Variant
from protocols.wire import LARGEST_TREE

ALL = (0, 1, 2, 3, 4)


class Heard:
    """A tap that counts classes of messages by sender."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[PartyId, str]] = Counter()

    def __call__(self, sender: PartyId, _recipient: PartyId, data: bytes) -> None:
        self.seen[sender, type(CODEC.decode(data)).__name__] += 1

    def said(self, party: int) -> list[str]:
        return [name for (sender, name), count in self.seen.items() if sender == party for _ in range(count)]


def test_four_rounds_after_one_set_up_each_with_other_losses_give_four_exact_sums() -> None:
    room = EpochRoom(clients=5, rounds=4)
    room.hold({4: Round.MASKED_INPUT}).require_exact(0, 1, 2, 3)
    room.hold({1: Round.UNMASK}).require_exact(*ALL)
    room.hold({2: Round.MASKED_INPUT, 0: Round.UNMASK}).require_exact(0, 1, 3, 4)
    room.hold().require_exact(*ALL)
    assert room.server_epoch is None
    assert set(room.epochs.values()) == {None}


def test_a_session_without_a_set_up_has_three_messages_a_client_and_the_first_has_five() -> None:
    room, first, second = EpochRoom(clients=5), Heard(), Heard()
    room.hold(tap=first).require_exact(*ALL)
    room.hold(tap=second).require_exact(*ALL)
    assert first.said(2) == ["AdvertiseKeys", "ShareKeys", "MaskedInput", "Confirm", "UnmaskShares"]
    assert second.said(2) == ["MaskedInput", "Confirm", "UnmaskShares"]


def test_who_is_not_connected_for_two_rounds_takes_part_in_the_next_one_without_new_keys() -> None:
    room = EpochRoom(clients=5, rounds=4)
    room.hold().require_exact(*ALL)
    for _ in range(2):
        room.hold(present=parties(0, 1, 2, 4)).require_exact(0, 1, 2, 4)
    behind, others = room.epochs[PartyId(3)], room.epochs[PartyId(0)]
    assert behind is not None
    assert others is not None
    assert (behind.number, others.number) == (2, 4)
    heard = Heard()
    room.hold(tap=heard).require_exact(*ALL)
    assert "AdvertiseKeys" not in heard.said(3)


def test_after_the_last_round_the_next_session_sets_up_anew() -> None:
    room, heard = EpochRoom(clients=3, rounds=2), Heard()
    for _ in range(2):
        room.hold().require_exact(0, 1, 2)
    room.hold(tap=heard).require_exact(0, 1, 2)
    assert "AdvertiseKeys" in heard.said(0)
    assert room.ledgers[PartyId(0)].sessions[0].seq == 2  # one epoch is open, before its second round
    assert len(room.ledgers[PartyId(0)].sessions) == 1


def test_who_joins_makes_the_server_set_up_anew() -> None:
    room = EpochRoom(clients=5)
    room.hold(present=parties(0, 1, 2, 3)).require_exact(0, 1, 2, 3)
    heard = Heard()
    room.hold(tap=heard).require_exact(*ALL)
    assert all("AdvertiseKeys" in heard.said(party) for party in ALL)


def test_who_was_lost_in_the_set_up_joins_with_a_new_one() -> None:
    room = EpochRoom(clients=5)
    room.hold({0: Round.SHARE}).require_exact(1, 2, 3, 4)
    heard = Heard()
    room.hold(tap=heard).require_exact(*ALL)
    assert "AdvertiseKeys" in heard.said(1)


@pytest.mark.parametrize("change", ["version", "consortium"])
def test_with_another_consortium_file_nobody_goes_on_with_the_old_keys(change: str) -> None:
    room, heard = EpochRoom(clients=3), Heard()
    room.hold().require_exact(0, 1, 2)
    changed: Any = {"version": 2} if change == "version" else {"consortium": digest("another")}
    room.params = replace(room.params, subject=replace(room.params.subject, **changed))
    room.terms = replace(room.terms, subject=room.params.subject)
    room.hold(tap=heard).require_exact(0, 1, 2)
    assert "AdvertiseKeys" in heard.said(0)
    assert len(room.ledgers[PartyId(0)].sessions) == 1  # the old epoch is not open any more


def test_with_t_of_a_larger_roster_left_new_keys_bring_the_threshold_down() -> None:
    room = EpochRoom(clients=6)  # t = 4
    room.hold().require_exact(0, 1, 2, 3, 4, 5)
    heard = Heard()
    room.hold({3: Round.MASKED_INPUT}, present=parties(0, 1, 2, 3), tap=heard).require_exact(0, 1, 2)
    assert "AdvertiseKeys" in heard.said(0)


def test_one_more_than_t_go_on_with_the_keys_they_have() -> None:
    room, heard = EpochRoom(clients=6), Heard()
    room.hold().require_exact(0, 1, 2, 3, 4, 5)
    room.hold({3: Round.MASKED_INPUT}, present=parties(0, 1, 2, 3, 4), tap=heard).require_exact(0, 1, 2, 4)
    assert "AdvertiseKeys" not in heard.said(0)


@pytest.mark.slow
def test_a_restarted_client_says_that_it_has_no_keys_and_the_session_after_sets_up_anew() -> None:
    room = EpochRoom(clients=5)
    room.hold().require_exact(*ALL)
    room.epochs[PartyId(2)], room.ledgers[PartyId(2)] = None, room.ledgers[PartyId(2)].burnt()
    held = room.hold()
    held.require_exact(0, 1, 3, 4)
    assert held.machines[PartyId(2)].outcome == Aborted(AbortReason.NO_EPOCH)
    heard = Heard()
    room.hold(tap=heard).require_exact(*ALL)
    assert "AdvertiseKeys" in heard.said(2)


def test_a_session_that_ends_without_a_result_burns_its_round_and_no_more() -> None:
    room = EpochRoom(clients=5)
    room.hold().require_exact(*ALL)
    room.hold(dict.fromkeys((0, 1, 2), Round.CONFIRM)).require_no_result()
    assert room.server_epoch is not None
    assert room.server_epoch.number == 3
    room.hold().require_exact(*ALL)


def test_a_client_whose_server_stops_before_the_round_keeps_its_epoch() -> None:
    room = EpochRoom(clients=3)
    room.hold()
    room.next_step()
    client = room.epoch_client(PartyId(0))
    before = client.epoch
    client.abort(AbortReason.STOPPED)
    assert client.epoch == before is not None
    client.epoch.require_last(client.ledger)


# Rule 12: the ledger guards an epoch as it guards a session


def test_an_epoch_that_was_there_before_is_refused() -> None:
    room = EpochRoom(clients=3)
    room.hold()
    old = room.epochs[PartyId(0)]
    room.hold()
    room.next_step()
    with pytest.raises(LocalProtocolError, match="before round 2 and the ledger says 3"):
        room.epoch_client(PartyId(0), epoch=old)
    room.epoch_client(PartyId(0))


def test_an_epoch_that_the_ledger_does_not_know_is_refused() -> None:
    room = EpochRoom(clients=3)
    room.hold()
    room.next_step()
    with pytest.raises(LocalProtocolError, match="the ledger does not know it"):
        room.epoch_client(PartyId(0), ledger=NOTHING_ANSWERED)
    with pytest.raises(LocalProtocolError, match="the ledger does not know it"):
        room.epoch_client(PartyId(0), ledger=room.ledgers[PartyId(0)].burnt())


def test_the_epoch_before_its_last_round_is_refused_when_that_round_was_held() -> None:
    room = EpochRoom(clients=3, rounds=2)
    room.hold()
    last = room.epochs[PartyId(0)]
    room.hold()
    room.next_step()
    with pytest.raises(LocalProtocolError, match="the ledger does not know it"):
        room.epoch_client(PartyId(0), epoch=last)


def test_an_epoch_goes_through_bytes_and_back() -> None:
    room = EpochRoom(clients=3)
    room.hold()
    for party, epoch in room.epochs.items():
        assert epoch is not None
        room.epochs[party] = ClientEpoch.from_bytes(epoch.to_bytes())
        assert room.epochs[party] == epoch
        with pytest.raises(WireError):
            ClientEpoch.from_bytes(epoch.to_bytes() + b"\0")
        with pytest.raises(ValueError, match="rounds to come"):
            replace(epoch, number=epoch.number + 1)
        with pytest.raises(ValueError, match="of each peer"):
            replace(epoch, peers={PartyId(9): next(iter(epoch.peers.values())).without(1)})
    room.hold().require_exact(0, 1, 2)


# What a server refuses to begin


def test_a_set_up_that_would_not_go_into_a_message_is_refused_with_the_number_that_would() -> None:
    room = EpochRoom(clients=20, rounds=1000)
    with pytest.raises(LocalProtocolError, match="20 members share the keys of at most 726 rounds"):
        room.epoch_server()


@pytest.mark.slow
@pytest.mark.parametrize(("n", "rounds"), [(20, 726), (100, 143), (4854, 1)])
def test_a_set_up_that_is_not_refused_goes_into_messages(n: int, rounds: int) -> None:
    room = EpochRoom(clients=3)
    members = dict.fromkeys(map(PartyId, range(n)), room.identities[PartyId(0)].verify_key)
    Server(replace(room.params, rounds_per_epoch=rounds), identity=room.identities[SERVER], members=members)
    with pytest.raises(LocalProtocolError, match=f"at most {rounds} rounds"):
        Server(replace(room.params, rounds_per_epoch=rounds + 1), identity=room.identities[SERVER], members=members)
    entry = AdvertiseKeys(PartyId(n - 1), bytes(32), (bytes(32),) * rounds, bytes(64))
    bundles = dict.fromkeys(map(PartyId, range(n - 1)), bytes(70 * rounds + 16))
    start = RoundStart(bytes(32), 1, room.params, frozenset(members), bytes(64), bundles)
    for message in (
        Roster((entry,) * n, bytes(64)), ShareKeys((bytes(32),) * rounds, bytes(64), bundles), start,
    ):  # fmt: skip
        assert len(CODEC.encode(message)) <= LARGEST_TREE


def test_a_server_of_another_identity_and_one_of_the_curious_variant_are_refused() -> None:
    room = EpochRoom(clients=3)
    members = room.terms.members
    with pytest.raises(LocalProtocolError, match="not the coordinator"):
        Server(room.params, identity=room.identities[PartyId(0)], members=members)
    curious = replace(room.params, variant=Variant.CURIOUS)
    with pytest.raises(LocalProtocolError, match="active"):
        Server(curious, identity=room.identities[SERVER], members=members)


def test_the_family_of_secagg_with_more_rounds_an_epoch_than_one_is_that_of_epochs() -> None:
    assert family_of("secagg", 4).collector is Server
    assert family_of("secagg").collector is not Server
    with pytest.raises(KeyError):
        family_of("mesh", 4)


def test_a_dealer_whose_bundle_does_not_open_is_noted_and_the_round_goes_on_without_the_holder() -> None:
    room = EpochRoom(clients=5)
    room.next_step()
    machines = room.machines()
    holder = machines[PartyId(1)]
    receive = holder.receive

    def spoiled(sender: PartyId, message: Any) -> Any:
        if isinstance(message, RoundStart):
            message = replace(message, bundles=dict(message.bundles) | {PartyId(3): bytes(296)})
        return receive(sender, message)

    holder.receive = spoiled  # type: ignore[method-assign]
    held = room.hold_these(machines)
    held.require_exact(0, 2, 3, 4)
    assert held.server.disputes == {Dispute(PartyId(3), PartyId(1))}
    assert room.epochs[PartyId(1)] is None


def test_a_server_goes_on_only_with_parameters_that_the_keys_were_shared_for() -> None:
    room = EpochRoom(clients=6)  # t = 4
    room.hold()
    epoch, five = room.server_epoch, parties(0, 1, 2, 3, 4)
    assert epoch is not None
    assert epoch.fits(room.params, five)
    assert not epoch.fits(replace(room.params, threshold=5), five)
    assert not epoch.fits(replace(room.params, cohort=6), five)
    assert not epoch.fits(replace(room.params, rounds_per_epoch=5), five)
    assert not epoch.fits(replace(room.params, variant=Variant.CURIOUS), five)
    assert not epoch.fits(room.params, five | parties(9))
