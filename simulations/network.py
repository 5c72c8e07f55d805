"""Links and devices, as data, and the state of a link during a run.

A link is a pipe each way: a message waits until the one before it has left, takes its bytes at the link's rate, and
travels. Messages of one pair arrive in the order of sending, as on a connection, unless the scenario says otherwise.
"""

import math
from dataclasses import dataclass
from random import Random

FRAME_BYTES = 9
"""What `net` puts before a message: its length, its kind, its session."""

DUPLICATE_AFTER = 0.001  # seconds between a message and its second copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A kind of party. share: of all parties, beside the shares of the other kinds.

    latency: seconds one way. jitter: standard deviation of the logarithm of each message's latency. up_mbps, down_mbps:
    of its link. compute: speed, beside the device that the rates were measured on. training: seconds until its input is
    there, with `training_spread` as jitter.
    """

    name: str = "desktop"
    share: float = 1.0
    latency: float = 0.02
    jitter: float = 0.0
    up_mbps: float = 100.0
    down_mbps: float = 100.0
    compute: float = 1.0
    training: float = 0.0
    training_spread: float = 0.0

    def __post_init__(self) -> None:
        if not (self.share > 0 and self.compute > 0 and self.up_mbps > 0 and self.down_mbps > 0):
            raise ValueError(f"device {self.name}: share, compute and rates are above 0")
        if not min(self.latency, self.jitter, self.training, self.training_spread) >= 0:
            raise ValueError(f"device {self.name}: latency, jitter and training are 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What all links share. server_*: the coordinator's link and speed. loss, duplicate, reorder: chances of a message.

    reorder_by: mean seconds by which a message is late that others may overtake. noticed: a party that vanishes is seen
    to, after its latency; else only its silence is.
    """

    server_mbps: float = math.inf
    server_compute: float = 1.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    reorder_by: float = 1.0
    noticed: bool = True

    def __post_init__(self) -> None:
        if not (self.server_mbps > 0 and self.server_compute > 0 and self.reorder_by > 0):
            raise ValueError("network: rates and reorder_by are above 0")
        if any(not 0 <= chance <= 1 for chance in (self.loss, self.duplicate, self.reorder)):
            raise ValueError("network: loss, duplicate and reorder are chances, 0 to 1")


@dataclass(slots=True)
class Pipe:
    """One direction of a link. free: the second from which the next message may pass."""

    mbps: float
    free: float = 0.0

    def through(self, now: float, size: int) -> float:
        """When `size` bytes that are here now have passed."""
        if self.mbps == math.inf:
            return now
        self.free = max(now, self.free) + size / self.mbps * 8 / 1e6
        return self.free


def varied(mean: float, spread: float, chance: Random) -> float:
    """`mean` times a log-normal factor of median 1."""
    return mean * math.exp(chance.gauss(0.0, spread)) if spread else mean
