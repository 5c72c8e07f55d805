"""Snapshots that nobody wrote, and machines that cannot be made: named errors, found by fuzzing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from cases import CASES, Case
from driving import hold
from epoch_room import EpochRoom
from recorded import ME, SILENT, recorded

from protocols.committee.snapshots import load_member
from protocols.epoch import Server as EpochServer
from protocols.errors import SERVER, LocalProtocolError, WireError
from protocols.kept import ascending
from protocols.messages import Round
from protocols.secagg import Server
from protocols.secagg.unmasking import Dispute
from protocols.session import NO_COORDINATOR

SETS = {"disputes": 19}  # its place in a secagg server's record


def changed(snapshot: bytes, change: Callable[[list[Any]], None]) -> bytes:
    tree = msgpack.unpackb(snapshot)
    change(tree[2])
    packed: bytes = msgpack.packb(tree)
    return packed


@pytest.mark.parametrize("members", [(), (1,), (1, 2, 9)])
def test_a_set_in_its_order_is_taken(members: tuple[int, ...]) -> None:
    assert ascending(members) == members


@pytest.mark.parametrize("members", [(1, 1), (2, 1), (1, 3, 2)])
def test_a_set_in_another_order_is_refused(members: tuple[int, ...]) -> None:
    with pytest.raises(WireError, match="not in order"):
        ascending(members)


@pytest.mark.parametrize("disputes", [[[1, 4], [1, 4]], [[4, 1], [1, 4]]])
def test_disputes_have_one_order_in_a_snapshot(disputes: list[list[int]]) -> None:
    server = recorded().server(Round.UNMASK)
    server._state.disputes |= {Dispute(ME, SILENT), Dispute(SILENT, ME)}
    snapshot, identity = server.snapshot(), recorded().room.identities[SERVER]
    assert Server.restore(snapshot, identity=identity).snapshot() == snapshot
    place = SETS["disputes"]
    assert msgpack.unpackb(snapshot)[2][place] == [[1, 4], [4, 1]]
    with pytest.raises(WireError, match="not in order"):
        Server.restore(changed(snapshot, lambda fields: fields.__setitem__(place, disputes)), identity=identity)


def case_of(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def test_the_holders_of_a_client_have_one_order_in_a_snapshot() -> None:
    case = case_of("secagg+-active")
    room = case.make()
    server = hold(room, case, {room.parties[0]: "confirm"}).machines[SERVER]
    server._state.drawn = {room.parties[0]: frozenset(room.parties[1:])}
    snapshot = server.snapshot()
    case.wake(room, SERVER, snapshot, None)  # type: ignore[arg-type]

    def turn(fields: list[Any]) -> None:
        ((_, holders),) = fields[1]
        holders.reverse()

    with pytest.raises(WireError, match="not in order"):
        case.wake(room, SERVER, changed(snapshot, turn), None)  # type: ignore[arg-type]


def test_a_members_snapshot_of_a_session_that_no_committee_holds_is_refused() -> None:
    case = case_of("committee")
    room = case.make()
    machines = room.machines()
    held = hold(room, case, machines=machines)
    member = held.machines[room.parties[0]]
    me, _, now = load_member(member.snapshot())
    assert now.params is not None
    member._now = replace(now, params=replace(now.params, colluding=2**40))
    with pytest.raises(WireError, match="no committee"):
        case.wake(room, me, member.snapshot(), member.ledger)


@pytest.mark.parametrize("name", ["secagg-active", "secagg+-active", "lightsecagg-active", "committee", "epoch-first"])
def test_terms_that_name_no_coordinator_make_no_machine(name: str) -> None:
    case = case_of(name)
    room = case.make()
    subject = replace(room.terms.subject, coordinator=NO_COORDINATOR)
    with pytest.raises(LocalProtocolError, match="name no coordinator"):
        case.with_terms(room, room.parties[1], replace(room.terms, subject=subject))


def test_an_epoch_of_nobody_waits_for_nobody() -> None:
    room = EpochRoom(clients=4)
    server = EpochServer(room.params, identity=room.identities[SERVER], members={})
    assert not server.waiting_for
    assert not server.can_close
