"""Processes of their own, and what they tell."""

from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final

import trio

from benchmarks.reliability import child

CONTEXT: Final = get_context("forkserver")
"""Each process is one of its own; forked from one that has loaded the modules, which takes a second otherwise."""
CONTEXT.set_forkserver_preload([child.__name__])


def launch(main: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """Runs main with the arguments and one more, the end of a pipe; what it sends there can be heard at the other."""
    incoming, outgoing = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=main, args=(*arguments, outgoing))
    process.start()
    outgoing.close()
    return process, incoming


async def heard(incoming: Connection) -> AsyncGenerator[Any, None]:
    """Until the other end is closed, when its process ends at the latest."""
    with suppress(EOFError), incoming:
        while True:
            await trio.lowlevel.wait_readable(incoming.fileno())
            yield incoming.recv()


async def ended(process: BaseProcess) -> int:
    """Its status."""
    await trio.lowlevel.wait_readable(process.sentinel)
    process.join()
    assert process.exitcode is not None
    return process.exitcode
