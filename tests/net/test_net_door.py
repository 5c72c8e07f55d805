"""Who may come in, by the clock of the test: places, budgets of hosts, and what a member's visit costs."""

from types import SimpleNamespace

import pytest
import trio

from net.door import MOST_HOSTS, MOST_VISITS, Budget, Door, Doorway
from net.policy import ACCEPTED_A_SECOND, CALLS_A_SECOND

pytestmark = pytest.mark.usefixtures("autojump_clock")


def call(host="10.0.0.1"):
    return SimpleNamespace(socket=SimpleNamespace(getpeername=lambda: (host, 4711)))


def admitted(door, host, calls):
    return sum(door.admits(call(host)) for _ in range(calls))


async def test_a_budget_is_spent_at_once_and_earned_again_by_the_second():
    budget = Budget(3, 2.0)
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]
    assert budget.refused == 2
    await trio.sleep(1.0)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    await trio.sleep(100)
    assert budget.is_untouched
    assert sum(budget.take() for _ in range(10)) == 3


async def test_the_calls_of_one_host_are_counted_and_those_of_another_are_not():
    door = Door(5)
    assert admitted(door, "10.0.0.1", 100) == 5
    assert admitted(door, "10.0.0.2", 5) == 5
    await trio.sleep(1.0)
    assert admitted(door, "10.0.0.1", 100) == min(5, CALLS_A_SECOND)


async def test_a_flood_is_told_of_in_a_few_lines(caplog):
    door = Door(5)
    assert admitted(door, "10.0.0.1", 5 + 1000) == 5
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 10
    assert lines[-1] == "closed 512 connections from 10.0.0.1 so far: it calls too often"


async def test_the_oldest_stranger_of_the_host_that_has_the_most_goes():
    door = Door(4)
    bank = door.enter(call("10.0.0.9"))
    flood = [door.enter(call("10.0.0.1")) for _ in range(10)]
    assert not bank.scope.cancel_called
    assert [place.scope.cancel_called for place in flood] == [True] * 7 + [False] * 3


async def test_who_is_welcome_leaves_its_place_and_is_not_evicted():
    door = Door(2)
    member, stranger = door.enter(call()), door.enter(call())
    door.greet(member, "bank-0")
    more = [door.enter(call()) for _ in range(2)]
    assert (member.scope.cancel_called, stranger.scope.cancel_called) == (False, True)
    assert not any(place.scope.cancel_called for place in more)


async def test_a_members_call_does_not_count_unless_it_comes_all_the_time():
    door = Door(2)
    for _ in range(MOST_VISITS):
        assert door.admits(call())
        door.greet(door.enter(call()), "bank-0")
    assert admitted(door, "10.0.0.1", 2) == 2
    for place in [door.enter(call()) for _ in range(2)]:
        door.greet(place, "bank-0")
    assert not door.admits(call())
    door.greet(door.enter(call()), "bank-1")
    assert door.admits(call())


async def test_of_many_hosts_those_that_call_no_more_are_forgotten(monkeypatch):
    door = Door(2)
    for number in range(MOST_HOSTS):
        door.admits(call(f"host {number}"))
    await trio.sleep(10)
    assert admitted(door, "a busy one", 3) == 2
    assert list(door._budgets) == ["a busy one"]
    for number in range(3 * MOST_HOSTS):
        door.admits(call(f"host {number}"))
    assert len(door._budgets) <= MOST_HOSTS


class Listener:
    """Gives these connections, and notes which of them are closed."""

    socket = None

    def __init__(self, *connections):
        self._connections = list(connections)

    async def accept(self):
        return self._connections.pop(0)


class Connection:
    def __init__(self, host):
        self.socket = call(host).socket
        self.socket.close = self._close
        self.closed = False

    def _close(self):
        self.closed = True


async def test_a_doorway_lets_in_only_who_is_admitted_and_closes_the_others():
    calls = [Connection("10.0.0.1") for _ in range(5)] + [Connection("10.0.0.2")]
    doorway = Doorway(Listener(*calls), Door(2))
    accepted = [await doorway.accept() for _ in range(3)]
    assert accepted == [calls[0], calls[1], calls[5]]
    assert [one.closed for one in calls] == [False, False, True, True, True, False]


async def test_so_many_calls_a_second_are_accepted_of_all_hosts_together():
    hosts = 100 + 2 * int(ACCEPTED_A_SECOND)
    doorway = Doorway(Listener(*(Connection(f"host {number}") for number in range(hosts))), Door(100))
    begun = trio.current_time()
    for _ in range(hosts):
        await doorway.accept()
    assert trio.current_time() - begun == pytest.approx(2.0, rel=0.05)


async def test_who_is_gone_before_it_was_looked_at_has_no_host():
    def gone():
        raise OSError

    assert Door(1).admits(SimpleNamespace(socket=SimpleNamespace(getpeername=gone)))
