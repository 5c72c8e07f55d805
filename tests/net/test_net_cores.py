"""Work is shared among threads, and both processes share it among all cores."""

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import trio

from mpc import prg
from mpc.field import PrimeField
from mpc.prg import Seed
from mpc.randomness import SeededRandomness
from mpc.spreading import spread
from net import blocking, cores
from protocols import masking
from protocols.errors import PartyId


def test_tasks_run_side_by_side():
    meeting = threading.Barrier(3, timeout=30)  # nobody passes alone
    with cores.threads(3):
        spread(lambda _share: meeting.wait() and None, 3, smallest=1)


def test_a_task_that_fails_is_heard_of_when_all_are_done():
    failed, done = threading.Event(), []

    def work(share: slice) -> None:
        if share.start == 0:
            failed.set()
            raise ZeroDivisionError
        failed.wait(30)
        done.append(share)

    with cores.threads(2), pytest.raises(ZeroDivisionError):
        spread(work, 2, smallest=1)
    assert done == [slice(1, 2)]


def shares() -> list[slice]:
    found: list[slice] = []
    spread(found.append, 1000, smallest=1)
    return found


@pytest.mark.parametrize("process", ["coordinator", "party", "party in a thread"])
def test_both_processes_mask_and_unmask_on_all_cores(process: str, monkeypatch: pytest.MonkeyPatch):
    found: list[list[slice]] = []

    async def run(*_: Any, **__: Any) -> None:
        found.append(await trio.to_thread.run_sync(shares))

    def nothing(*_: Any) -> None:
        pass

    monkeypatch.setattr(cores, "available", lambda: 3)
    monkeypatch.setattr(blocking, "run_coordinator", run)
    monkeypatch.setattr(blocking, "run_party", run)
    anything: Any = object()
    if process == "coordinator":
        blocking.coordinate(anything, anything, b"", on_report=nothing, on_listening=nothing)
    elif process == "party":
        blocking.take_part(anything, anything, b"", before_send=nothing, on_event=nothing, on_report=nothing)
    else:
        thread = blocking.PartyThread(anything, anything, b"", on_event=nothing, on_end=nothing)
        thread.start()
        thread._thread.join(30)
    assert [len(shared) for shared in found] == [3]
    assert len(shares()) == 1


def test_where_no_thread_is_to_be_had_the_work_is_done_all_the_same():
    """As when the program's main thread has ended, and a party's goes on."""
    with ThreadPoolExecutor(2) as pool, cores.spread_over(pool, 2):
        pool.shutdown()
        assert len(shares()) == 2


def test_what_several_threads_mask_and_unmask_is_the_sum(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prg, "_SMALLEST_SHARE", 1)
    field, rand, parties = PrimeField.with_bits(26), SeededRandomness(b"threads"), list(map(PartyId, range(8)))
    inputs = {party: field.uniform(5000, rand) for party in parties}
    own = {party: Seed(rand.bytes(32)) for party in parties}
    pairs = {pair: Seed(rand.bytes(32)) for pair in combinations(parties, 2)}
    shared = {
        one: {other: pairs[min(one, other), max(one, other)] for other in parties if other != one} for one in parties
    }
    lost, stayed = parties[5], [party for party in parties if party != 5]
    total = field.zeros(5000)
    with cores.threads(3):
        for party in stayed:
            masked = inputs[party].copy()
            masking.mask(masked, field, me=party, self_seed=own[party], leaf_seeds=shared[party])
            total = field.add(total, masked)
        masking.remove_self_masks(total, field, [own[party] for party in stayed])
        masking.remove_pairwise_masks(total, field, {lost: shared[lost]})
    plain = field.zeros(5000)
    for party in stayed:
        plain = field.add(plain, inputs[party])
    assert np.array_equal(total, plain)
