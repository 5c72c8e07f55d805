"""Counts what the primitives did, for whoever asks: the bench that prices a call, the simulator that has no clock.

Nobody asks in a real session, and then a primitive pays for one look-up. Nothing secret is counted, only how much.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Work:
    """Units: calls, and where it says so elements or bytes. One call may count in several.

    agreements: X25519 products, those that make a public key among them. streams: keystreams opened, one a mask.
    stream_bytes: of keystream as elements. sealed_bytes: opened or sealed. products: multiplications in matrices.
    """

    agreements: int = 0
    signatures: int = 0
    checks: int = 0
    streams: int = 0
    stream_bytes: int = 0
    seals: int = 0
    sealed_bytes: int = 0
    products: int = 0


_counted: ContextVar[Work | None] = ContextVar("work", default=None)


@contextmanager
def counted(work: Work) -> Iterator[None]:
    """What this thread computes meanwhile is added to `work`."""
    before = _counted.set(work)
    try:
        yield
    finally:
        _counted.reset(before)


def count(**done: int) -> None:
    """Called by a primitive, with what it does by the names above."""
    if (work := _counted.get()) is not None:
        for name, amount in done.items():
            setattr(work, name, getattr(work, name) + amount)
