"""Work on the slices of one vector: one after another, or side by side on several cores, as whoever drives says.

No thread is made here. A driver that has some hands in how to run tasks, for all that it calls:

    with spreading(run_tasks, cores=2):
        machine.close_round()
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

Task = Callable[[], None]
RunTasks = Callable[[Sequence[Task]], None]
"""Runs every task, in any order or side by side, and returns when all are done. Raises what one of them raises."""


def one_after_another(tasks: Sequence[Task]) -> None:
    for task in tasks:
        task()


@dataclass(frozen=True, slots=True)
class _How:
    run: RunTasks
    cores: int


_how: ContextVar[_How] = ContextVar("how work is spread", default=_How(one_after_another, 1))  # noqa: B039 (frozen)


@contextmanager
def spreading(run: RunTasks, *, cores: int) -> Iterator[None]:
    """Within this context, and in what is called from it, vectors are cut for so many cores."""
    if cores < 1:
        raise ValueError(f"work is done on 1 core or more, not {cores}")
    token = _how.set(_How(run, cores))
    try:
        yield
    finally:
        _how.reset(token)


def cores() -> int:
    """For so many cores `spread` cuts."""
    return _how.get().cores


def spread(work: Callable[[slice], None], length: int, *, smallest: int) -> None:
    """Call `work` for slices that make up 0..length-1, at most one a core, none but the last shorter than `smallest`.

    `work` writes its own slice only: the slices may be worked on at the same time.
    """
    how = _how.get()
    step = max(smallest, -(-length // how.cores), 1)
    slices = [slice(at, min(at + step, length)) for at in range(0, length, step)]
    if len(slices) <= 1:
        for part in slices:
            work(part)
    else:
        how.run([_task(work, part) for part in slices])


def _task(work: Callable[[slice], None], part: slice) -> Task:
    return lambda: work(part)
