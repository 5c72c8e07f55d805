"""Work is shared among threads, and both processes share it among all cores."""

import threading
from typing import Any

import pytest
import trio

from mpc.spreading import spread
from net import blocking, cores


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
