"""Every view that a lying server can choose for every honest client in a later round of an epoch, on the real machines.

The search is that of `test_view_search.py`, with the start of a round in place of the delivery of shares: each client
is shown every U2_r, every U3 and every set of confirmations. As there the floor of a sum is taken away.
"""

from collections.abc import Callable
from typing import Any

import pytest
from epoch_lying import EpochLyingServer
from epoch_room import EpochRoom
from test_view_search import least_threshold, slow_case, without_count, without_my_u3

from protocols import session
from protocols.epoch import Client
from protocols.errors import SERVER, DropReason, PartyId, PeerMisbehaved
from protocols.messages import MaskedInput, UnmaskRequest
from protocols.secagg import bindings
from simulations.attacks import playing
from simulations.attacks.lying import LyingServer, answer, parties
from simulations.attacks.playing import every_threshold

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def _no_floor(monkeypatch: Patch) -> None:
    monkeypatch.setattr(session, "smallest_cohort", lambda colluding, cohort=1: 1)


class Played(playing.Played):
    """The second round of n parties, the last c of which collude with the coordinator, in every view."""

    def liar(self) -> LyingServer:
        return EpochLyingServer(EpochRoom(clients=self.n, colluding=self.c, threshold=self.t, length=2))


SLOW = [slow_case(*case) for case in every_threshold(4)]


@pytest.mark.parametrize(("n", "c", "t"), [*every_threshold(3), *SLOW])
def test_in_a_later_round_too_small_a_sum_is_learnt_exactly_where_two_quorums_can_miss_each_other(
    n: int, c: int, t: int, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(session, "smallest_threshold", lambda variant, clients, colluding: t)
    finding = Played(n, c, t).smallest_sum(enough=1)
    assert finding is not None  # the sum that the protocol is for, at the least
    too_small = finding.size < t - c or finding.size == 1
    assert too_small == (2 * t <= n + c)


def test_the_attack_that_is_found_is_real(monkeypatch: Patch) -> None:
    monkeypatch.setattr(session, "smallest_threshold", lambda variant, clients, colluding: 2)
    played = Played(3, 1, 2)
    finding = played.smallest_sum()
    assert finding is not None
    assert finding.size == 1
    assert played.carry_out(finding)


@pytest.mark.parametrize(("n", "c"), [(3, 0), (3, 1)])
def test_the_sum_that_is_allowed_comes_out_too(n: int, c: int) -> None:
    played = Played(n, c, least_threshold(n, c))
    finding = played.smallest_sum()
    assert finding is not None
    assert finding.size == 2
    assert played.carry_out(finding)


def without_size_of_u2(monkeypatch: Patch) -> None:
    """The client takes part in a round of any number of members."""
    real = Client._check_members

    def check(self: Client, u2: Any, u1: Any, threshold: int) -> None:
        real(self, u2, u1, 0)

    monkeypatch.setattr(Client, "_check_members", check)


LOAD_BEARING: dict[str, Callable[[Patch], None]] = {
    "|U2| >= t": without_size_of_u2, "t of them": without_count, "on my U3": without_my_u3,
}  # fmt: skip


@pytest.mark.parametrize("check", LOAD_BEARING)
def test_without_a_load_bearing_check_a_smaller_sum_is_learnt(check: str, monkeypatch: Patch) -> None:
    LOAD_BEARING[check](monkeypatch)
    played = Played(3, 0, least_threshold(3, 0))
    finding = played.smallest_sum()
    assert finding is not None
    assert finding.size < played.t - played.c
    assert played.carry_out(finding)


# What an epoch adds to the choices of a server: the number of the round


def test_the_threshold_is_that_of_all_who_hold_shares_and_not_of_those_who_take_part() -> None:
    """Five hold shares, t = 3. Two who are told that they are the only ones would confirm each other if t were 2."""
    server = EpochLyingServer(EpochRoom(clients=5, length=2))
    for members in (0b00011, 0b00101):
        with pytest.raises(PeerMisbehaved) as refusal:
            server.masked(PartyId(0), parties(members))
        assert refusal.value.reason is DropReason.WRONG_SET
    server.masked(PartyId(0), parties(0b00111))


def test_a_round_that_is_started_twice_over_other_members_is_answered_once_for_good() -> None:
    room = EpochRoom(clients=5, length=2)
    server = EpochLyingServer(room)
    me, first, second = PartyId(0), parties(0b11111), parties(0b11101)
    client = server.holders[me]
    assert isinstance(answer(client, server.start(first)), MaskedInput)  # type: ignore[arg-type]
    with pytest.raises(PeerMisbehaved) as refusal:
        client.receive(SERVER, server.start(second))
    assert refusal.value.reason is DropReason.UNEXPECTED
    again = room.epoch_client(me, epoch=client.epoch, ledger=client.ledger)
    for members in (first, second):
        with pytest.raises(PeerMisbehaved) as refusal:
            again.receive(SERVER, server.start(members))
        assert refusal.value.reason is DropReason.SECOND_ANSWER
    assert isinstance(answer(again, server.start(second, number=3)), MaskedInput)  # type: ignore[arg-type]


def test_confirmations_of_the_same_sets_in_another_round_are_no_quorum() -> None:
    """A client that was shown round 3, skipping 2, signs for 3. Another one in round 2 takes nothing of that."""
    server = EpochLyingServer(EpochRoom(clients=3, length=2))
    everybody = parties(0b111)
    client, _ = server.masked(PartyId(0), everybody)
    client.receive(SERVER, server.survivors(everybody, everybody))
    here = {v: server.confirmation(v, everybody, everybody) for v in everybody}
    other = server.shared(everybody, number=3)
    elsewhere = {v: _confirmed(server, v, other) for v in everybody}
    with pytest.raises(PeerMisbehaved) as refusal:
        client.receive(SERVER, UnmaskRequest(elsewhere))
    assert refusal.value.reason is DropReason.NO_QUORUM
    client.receive(SERVER, UnmaskRequest(here))


def _confirmed(server: EpochLyingServer, signer: PartyId, shared: bytes) -> bytes:
    return bindings.sign_confirmation(server.room.identities[signer], shared, frozenset(server.room.parties))
