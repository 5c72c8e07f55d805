import pytest
import trio

from mpc.randomness import SeededRandomness
from net.policy import STALL, Backoff, Policy, RoundPolicy, Waiting, gather, stall_in


@pytest.fixture
def collect():
    """Gathers until `wanted` have arrived: (whether they did, those that did, seconds)."""

    async def run(patience, wanted, arrivals, slow=0.0):
        send, inbox = trio.open_memory_channel(0)
        got = []

        async def arrive():
            for delay, item in arrivals:
                await trio.sleep(delay)
                await send.send(item)

        async def handle(item):
            await trio.sleep(slow)
            got.append(item)

        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(arrive)
            settled = await gather(patience, inbox.receive, handle, lambda: len(got) == wanted)
            nursery.cancel_scope.cancel()
        return settled, got, trio.current_time() - start

    return run


async def test_gathering_ends_as_soon_as_it_is_settled(autojump_clock, collect):
    assert await collect(60, 2, [(1, "a"), (2, "b"), (3, "c")]) == (True, ["a", "b"], 3)


async def test_gathering_ends_when_the_patience_does(autojump_clock, collect):
    assert await collect(10, 2, [(1, "a"), (20, "b")]) == (False, ["a"], 10)


async def test_what_has_arrived_is_handled_to_its_end_though_the_patience_is_over(autojump_clock, collect):
    assert await collect(10, 2, [(9, "a")], slow=5) == (False, ["a"], 14)


async def test_a_quantile_of_the_arrivals_ends_the_waiting_for_the_rest(autojump_clock):
    waiting, start = Waiting(RoundPolicy(60, quantile=0.5, stretch=2), asked=4), trio.current_time()
    delays, got = iter([1, 2, 20]), []

    async def arrival():
        await trio.sleep(next(delays))
        return trio.current_time() - start

    async def handle(elapsed):
        got.append(elapsed)
        waiting.heard(len(got), elapsed)

    assert await gather(lambda: waiting.limit(can_close=True), arrival, handle, lambda: len(got) == 4) is False
    assert (got, trio.current_time() - start) == ([1, 3], 6)


async def test_nothing_is_awaited_when_it_is_settled_before(autojump_clock, collect):
    assert await collect(10, 0, [(1, "a")]) == (True, [], 0)


@pytest.mark.parametrize("build", [lambda: RoundPolicy(0), lambda: RoundPolicy(1, 0), lambda: Policy(attempts=0)])
def test_a_policy_without_patience_or_hope_is_refused(build):
    with pytest.raises(ValueError, match="above 0"):
        build()


def test_delays_between_dials_grow_to_a_limit_and_begin_again():
    backoff = Backoff(SeededRandomness(b"backoff"))
    delays = [backoff.next() for _ in range(12)]
    assert delays[0] == 0
    assert all(0.05 <= delay <= 15 for delay in delays[1:])
    assert delays[-1] >= 7.5
    backoff.succeeded()
    assert backoff.next() <= 0.1


def test_an_upload_may_stand_still_for_a_quarter_of_a_round_and_never_for_long():
    assert stall_in(RoundPolicy(4.0)) == 1.0
    assert stall_in(RoundPolicy(60.0)) == stall_in(RoundPolicy(3600.0)) == STALL
