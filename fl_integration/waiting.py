"""Calls that take a while, for callers with an event loop: of asyncio or of trio, whichever runs."""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")


async def in_thread(call: Callable[[], T], *, abandon: bool = False) -> T:
    """What `call` gives, in a thread. abandon: a cancelled caller does not wait for its end."""
    return await anyio.to_thread.run_sync(call, abandon_on_cancel=abandon)


async def finish_in_thread(call: Callable[[], object]) -> None:
    """`call` to its end, even when the caller is cancelled: for what closes."""
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(call)
