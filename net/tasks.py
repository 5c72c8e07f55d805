"""Small helps around trio's nurseries."""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio


@contextmanager
def plain_errors() -> Iterator[None]:
    """Around a nursery: an error comes out as itself and not as a group. Of several, one that is no `Exception`
    first."""
    try:
        yield
        return
    except BaseExceptionGroup as group:
        errors = list(_leaves(group))
    error = next((error for error in errors if not isinstance(error, Exception | trio.Cancelled)), errors[0])
    raise error from error.__cause__


@asynccontextmanager
async def open_crew() -> AsyncIterator[trio.Nursery]:
    """A nursery whose background tasks end with its body."""
    with plain_errors():
        async with trio.open_nursery() as nursery:
            yield nursery
            nursery.cancel_scope.cancel()


async def stop_on_sigterm(stop: trio.Event) -> None:
    """Sets `stop` at the first SIGTERM. One in a process, in its main thread."""
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            stop.set()


async def cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    """Cancels `scope` once the event is set."""
    await event.wait()
    scope.cancel()


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
