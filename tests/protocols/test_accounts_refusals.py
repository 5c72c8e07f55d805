"""What a client refuses of a server, and a server of a dealer, in an accountable session."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cheats import AccountableRoom
from conversation import Room

from protocols.errors import SERVER, DropReason, PartyId, PeerMisbehaved
from protocols.messages import DeliverShares, Invitation, Roster, ShareKeys, Voucher
from protocols.secagg import Server
from simulations.attacks.lying import LyingServer

CHEATER, TARGET, LOST = PartyId(1), PartyId(2), PartyId(4)


# A coordinator that lies to a holder about a dealer


def standing(room: AccountableRoom) -> LyingServer:
    """All have shared; the bundles and vouchers are with a server that lies."""
    return LyingServer(room)


Change = Callable[[DeliverShares], DeliverShares]


def other_voucher(**changes: Any) -> Change:
    def change(message: DeliverShares) -> DeliverShares:
        spoilt = replace(message.vouchers[TARGET], **{name: make(message) for name, make in changes.items()})
        return replace(message, vouchers={**message.vouchers, TARGET: spoilt})

    return change


def of(party: PartyId) -> Callable[[DeliverShares], Voucher]:
    return lambda message: message.vouchers[party]


LIES: dict[str, Change] = {
    "another bundle": lambda m: replace(m, bundles={**m.bundles, TARGET: bytes(86)}),
    "the bundle of another": lambda m: replace(m, bundles={**m.bundles, TARGET: m.bundles[LOST]}),
    "another digest": other_voucher(digests=lambda m: bytes(64)),
    "the digests swapped": other_voucher(digests=lambda m: of(TARGET)(m).digests[32:] + of(TARGET)(m).digests[:32]),
    "another commitment": other_voucher(commitment=lambda m: bytes(32)),
    "no commitment": other_voucher(commitment=lambda m: b""),
    "another place": other_voucher(place=lambda m: of(TARGET)(m).place + 1),
    "a place that there is not": other_voucher(place=lambda m: 2**40),
    "another path": other_voucher(path=lambda m: of(LOST)(m).path),
    "a path too long": other_voucher(path=lambda m: of(TARGET)(m).path + bytes(32)),
    "no path": other_voucher(path=lambda m: b""),
    "another signature": other_voucher(signature=lambda m: of(LOST)(m).signature),
    "no signature": other_voucher(signature=lambda m: b""),
    "the voucher of another": lambda m: replace(m, vouchers={**m.vouchers, TARGET: m.vouchers[LOST]}),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_a_coordinator_changes_on_the_way_is_its_own_fault_and_not_the_dealers(lie: str) -> None:
    server = standing(AccountableRoom(length=2))
    client, true = server.clients[CHEATER], server.deliver(CHEATER, frozenset(server.clients))
    before = client.snapshot()
    with pytest.raises(PeerMisbehaved, match="party 2 did not sign for the bundle that we were shown") as refusal:
        client.receive(SERVER, LIES[lie](true))
    assert (refusal.value.sender, refusal.value.reason) == (SERVER, DropReason.BAD_SIGNATURE)
    assert client.snapshot() == before
    assert client.receive(SERVER, true)


@pytest.mark.parametrize("changed", [lambda v: {}, lambda v: {**v, CHEATER: v[TARGET]}], ids=["none", "one more"])
def test_vouchers_of_others_than_the_dealers_are_refused(changed: Callable[[Any], Any]) -> None:
    server = standing(AccountableRoom(length=2))
    true = server.deliver(CHEATER, frozenset(server.clients))
    with pytest.raises(PeerMisbehaved, match="vouchers of others than U2"):
        server.clients[CHEATER].receive(SERVER, replace(true, vouchers=changed(dict(true.vouchers))))


def test_vouchers_and_signed_reveals_have_no_place_in_a_session_that_is_not_accountable() -> None:
    accountable, plain = standing(AccountableRoom(length=2)), standing(Room(length=2))  # type: ignore[arg-type]
    everybody = frozenset(plain.clients)
    vouchers = accountable.deliver(CHEATER, everybody).vouchers
    with pytest.raises(PeerMisbehaved, match="where dealers sign for no shares"):
        plain.clients[CHEATER].receive(SERVER, replace(plain.deliver(CHEATER, everybody), vouchers=vouchers))


# What the server refuses of a dealer


def sharing(room: AccountableRoom) -> tuple[Server, dict[PartyId, ShareKeys]]:
    """A server that waits for shares, and what each client has for it."""
    server, clients = room.server(), {me: room.client(me) for me in room.parties}
    for me, client in clients.items():
        server.receive(me, client.receive(SERVER, Invitation(room.params))[0].message)
    (roster,) = server.close_round()
    assert isinstance(roster.message, Roster)
    return server, {me: client.receive(SERVER, roster.message)[0].message for me, client in clients.items()}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (lambda m: {"digests": b""}, DropReason.BAD_LENGTH),
        (lambda m: {"digests": m.digests[:-64]}, DropReason.BAD_LENGTH),
        (lambda m: {"digests": m.digests + bytes(64)}, DropReason.BAD_LENGTH),
        (lambda m: {"digests": m.digests[64:] + m.digests[:64]}, DropReason.BAD_SIGNATURE),
        (lambda m: {"bundles": {**m.bundles, TARGET: bytes(86)}}, DropReason.BAD_SIGNATURE),
        (lambda m: {"commitment": bytes(32)}, DropReason.BAD_SIGNATURE),
        (lambda m: {"signature": b""}, DropReason.BAD_SIGNATURE),
    ],
)
def test_a_dealing_that_is_not_signed_as_it_stands_is_refused(changes: Any, reason: DropReason) -> None:
    server, said = sharing(AccountableRoom(length=2))
    before = server.snapshot()
    with pytest.raises(PeerMisbehaved) as refusal:
        server.receive(CHEATER, replace(said[CHEATER], **changes(said[CHEATER])))
    assert (refusal.value.sender, refusal.value.reason) == (CHEATER, reason)
    assert server.snapshot() == before
    assert server.receive(CHEATER, said[CHEATER]) == []


def test_digests_have_no_place_where_nobody_vouches() -> None:
    server, said = sharing(Room(length=2))  # type: ignore[arg-type]
    with pytest.raises(PeerMisbehaved, match="digests of other shares than it dealt"):
        server.receive(CHEATER, replace(said[CHEATER], digests=bytes(64 * 5)))
