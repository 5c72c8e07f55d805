"""How long to wait. No other module of net decides that; the values that say it are those of `protocols/deadlines`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import trio

from mpc.randomness import Randomness
from protocols.deadlines import Policy, RoundPolicy, Waiting

__all__ = ["ASSEMBLE", "Backoff", "Policy", "RoundPolicy", "Waiting", "gather"]

GRACE: Final = 5.0  # seconds in which a party may come back, where the coordinator's file does not say
HANDSHAKE_PATIENCE: Final = 30.0  # seconds from an accepted connection to its hello
ACCEPTED_A_SECOND: Final = 200.0  # calls of all hosts together; more wait with the system, which drops what is too much
CALLS_A_SECOND: Final = 10.0  # of one host that come to nothing; more are closed at once
VISITS_A_SECOND: Final = 1.0  # of one member; more count as calls that come to nothing
STALL: Final = 15.0  # seconds without a byte after which an upload loses its place to one that waits, at most
SLOWEST_UPLOAD: Final = 64 * 1024  # bytes a second that an upload must average while others wait for its place
STOPPING_PATIENCE: Final = 300.0  # seconds that a session may still take once its party was asked to end
KEEPALIVE_IDLE: Final = 60  # seconds of silence before a connection is probed
KEEPALIVE_INTERVAL: Final = 15  # seconds between two probes
SETTLING: Final = 1.0  # seconds of quiet after which peers that owe each other nothing more go on, or end
CLOSING_PATIENCE: Final = 5.0  # seconds for a peer to take what is still queued for it

_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 15.0

T = TypeVar("T")


ASSEMBLE: Final = "assemble"
"""The policy round in which parties connect, and say that they hold the payload."""


async def gather(
    patience: float | Callable[[], float],
    arrival: Callable[[], Awaitable[T]],
    handle: Callable[[T], Awaitable[None]],
    settled: Callable[[], bool],
) -> bool:
    """Handles what arrives until `settled`. False when `patience` seconds were over before.

    patience: since the call; as a callable it is asked again after each arrival.
    Only the waiting is under the deadline: what has arrived is always handled to its end.
    """
    start = trio.current_time()
    while not settled():
        arrived = False
        with trio.move_on_at(start + (patience() if callable(patience) else patience)):
            item = await arrival()
            arrived = True
        if not arrived:
            return False
        await handle(item)
    return True


def stall_in(policy: RoundPolicy) -> float:
    """STALL, or less where the round is short: several that stand still, one after another, must not use it up."""
    return min(STALL, policy.patience / 4)


@dataclass(slots=True)
class Backoff:
    """Delays before each attempt to connect: none before the first, then each twice the last, and a random part of
    it, so that many parties do not come at once."""

    rand: Randomness
    _delay: float = 0.0

    def next(self) -> float:
        """Seconds to wait now."""
        share = int.from_bytes(self.rand.bytes(4), "big") / 2**32
        delay, self._delay = self._delay, min(max(2 * self._delay, _FIRST_DELAY), _LONGEST_DELAY)
        return delay * (0.5 + share / 2)

    def succeeded(self) -> None:
        """A connection stood: the delays begin again."""
        self._delay = _FIRST_DELAY
