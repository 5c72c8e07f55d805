"""The cores of this machine, for what `mpc.spreading` can cut into parts."""

import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import trio

from mpc.spreading import Task, one_after_another, spreading

_MOST = 8


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within this context vectors are masked and unmasked by so many threads."""
    with ThreadPoolExecutor(count) as pool, spread_over(pool, count):
        yield


def spread_over(pool: ThreadPoolExecutor, count: int) -> AbstractContextManager[None]:
    """The same with threads that are there already."""
    return spreading(lambda tasks: _run(pool, tasks), cores=count)


def run(main: Callable[..., Awaitable[object]], *args: Any) -> None:
    """`trio.run`; vectors are masked and unmasked on all cores."""
    with threads(available()):
        trio.run(main, *args)


def available() -> int:
    """Cores that this process may use, and has a use for: past eight its threads would wait for the interpreter."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST)


def _run(pool: ThreadPoolExecutor, tasks: Sequence[Task]) -> None:
    running: list[Future[None]] = []
    try:
        for task in tasks:
            running.append(pool.submit(task))
    except RuntimeError:  # there is no thread to be had: too many, or the program is ending
        one_after_another(tasks[len(running) :])
    finally:
        wait(running)  # also where one fails: they write where the caller goes on
    for done in running:
        done.result()
